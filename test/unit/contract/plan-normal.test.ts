import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type {
  NormalOperation,
  NormalPlan,
  Operation,
  OutputOptions,
  Plan,
} from '../../../src/contract/plan.ts';
import { planSchema } from '../../../src/contract/plan.ts';
import { normalizePlan, parsePlan, planHash } from '../../../src/contract/plan-normal.ts';
import { Problem } from '../../../src/problem.ts';
import { plans } from './plan-arbitrary.ts';
import { problemOf } from './plan-problem.ts';

const operations = (...given: Operation[]) => normalizePlan({ operations: given }).operations;
const output = (given: OutputOptions) => normalizePlan({ output: given }).output;

describe('the normal form', () => {
  test('writes out what an empty plan means', () => {
    assert.deepEqual(normalizePlan({}), {
      operations: [],
      output: { format: 'jpeg', metadata: 'keep', quality: 95, chroma: '4:4:4', background: '#ffffff' },
    });
  });

  test('takes the format of a plan that names none from the caller', () => {
    assert.equal(normalizePlan({}, 'webp').output.format, 'webp');
    assert.equal(normalizePlan({ output: { format: 'jpg' } }, 'webp').output.format, 'jpeg');
  });

  test('is its own normal form, is a valid plan, and leaves the plan as it was', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const before = structuredClone(plan);
        const normal = normalizePlan(plan);
        assert.deepEqual(plan, before);
        assert.deepEqual(normalizePlan(normal), normal);
        assert.deepEqual(parsePlan(plan), normal);
        assert.ok(planSchema.safeParse(normal).success);
      }),
    );
  });

  test('resolves the other names of fits and formats', () => {
    assert.deepEqual(
      operations({ op: 'resize', width: 2, height: 2, fit: 'fill' }, { op: 'resize', width: 1, fit: 'fit' }),
      [
        { op: 'resize', width: 2, height: 2, fit: 'cover', gravity: 'center', enlarge: false },
        { op: 'resize', width: 1, fit: 'contain', enlarge: false },
      ],
    );
    assert.equal(output({ format: 'jpg' }).format, 'jpeg');
    assert.equal(output({ format: 'tif' }).format, 'tiff');
  });

  test('drops what a fit has no use for', () => {
    const extras = { gravity: 'north', focus: { x: 0.3, y: 0.7 }, background: '#abc' } as const;
    const box = { op: 'resize', width: 20, height: 10 } as const;
    assert.deepEqual(
      operations(
        { ...box, ...extras, fit: 'contain' },
        { ...box, ...extras, fit: 'stretch' },
        { ...box, ...extras, fit: 'cover' },
        { ...box, ...extras, fit: 'pad' },
      ),
      [
        { ...box, fit: 'contain', enlarge: false },
        { ...box, fit: 'stretch', enlarge: false },
        { ...box, fit: 'cover', enlarge: false, focus: { x: 0.3, y: 0.7 } },
        { ...box, fit: 'pad', enlarge: false, gravity: 'north', background: '#aabbcc' },
      ],
    );
  });

  test('knows that cover with one side cuts nothing off, and that pad looks for nothing in the picture', () => {
    assert.deepEqual(operations({ op: 'resize', width: 5, fit: 'cover', gravity: 'attention' }), [
      { op: 'resize', width: 5, fit: 'contain', enlarge: false },
    ]);
    assert.deepEqual(operations({ op: 'resize', width: 5, height: 5, fit: 'pad', gravity: 'entropy' }), [
      {
        op: 'resize',
        width: 5,
        height: 5,
        fit: 'pad',
        gravity: 'center',
        background: '#ffffff',
        enlarge: false,
      },
    ]);
  });

  test('keeps only those output options that the format has', () => {
    const all: OutputOptions = {
      quality: 80,
      effort: 9,
      lossless: false,
      chroma: '4:2:0',
      progressive: true,
    };
    assert.deepEqual(output({ ...all, format: 'jpeg', background: 'black' }), {
      format: 'jpeg',
      metadata: 'keep',
      quality: 80,
      chroma: '4:2:0',
      progressive: true,
      background: '#000000',
    });
    assert.deepEqual(output({ ...all, format: 'png', background: 'black' }), {
      format: 'png',
      metadata: 'keep',
      effort: 9,
      progressive: true,
    });
    assert.deepEqual(output({ ...all, format: 'webp' }), {
      format: 'webp',
      metadata: 'keep',
      quality: 80,
      effort: 6,
    });
    assert.deepEqual(output({ ...all, format: 'tiff' }), { format: 'tiff', metadata: 'keep' });
    assert.deepEqual(output({ ...all, format: 'gif', effort: 0 }), {
      format: 'gif',
      metadata: 'keep',
      effort: 1,
    });
    assert.deepEqual(output({ ...all, format: 'bmp' }), {
      format: 'bmp',
      metadata: 'keep',
      background: '#ffffff',
    });
  });

  test('has no quality and full chroma where nothing may be lost', () => {
    assert.deepEqual(output({ format: 'avif', lossless: true, quality: 3, chroma: '4:2:0' }), {
      format: 'avif',
      metadata: 'keep',
      lossless: true,
      chroma: '4:4:4',
    });
    assert.equal(output({ format: 'jpeg', lossless: true }).lossless, undefined);
  });

  test('spells colours one way', () => {
    const colors = { '#FFF': '#ffffff', abc: '#aabbcc', '#12345678': '#12345678', '#123456FF': '#123456' };
    const named = { transparent: '#00000000', '#ffffff00': '#00000000', Black: '#000000' };
    for (const [given, expected] of Object.entries({ ...colors, ...named })) {
      assert.deepEqual(operations({ op: 'rotate', angle: 1, background: given }), [
        { op: 'rotate', angle: 1, background: expected },
      ]);
    }
  });

  test('takes a translucent colour as it looks on white where the result must be opaque', () => {
    assert.deepEqual(operations({ op: 'flatten', background: '#0000ff80' }), [
      { op: 'flatten', background: '#7f7fff' },
    ]);
    assert.equal(output({ background: 'transparent' }).background, '#ffffff');
  });

  test('brings angles into [0, 360) and gives only slanting ones a background', () => {
    const angleOf = (angle: number) => operations({ op: 'rotate', angle, background: '#000' });
    assert.deepEqual(angleOf(-90), [{ op: 'rotate', angle: 270 }]);
    assert.deepEqual(angleOf(-45), [{ op: 'rotate', angle: 315, background: '#000000' }]);
    for (const angle of [0, -0, 360, -360, -1e-12, 359.999999]) assert.deepEqual(angleOf(angle), []);
    assert.deepEqual(operations({ op: 'rotate', angle: 10 }), [
      { op: 'rotate', angle: 10, background: '#00000000' },
    ]);
  });

  test('writes mirrors and quarter turns in the fewest operations, with the same effect', () => {
    const turn = fc.oneof(
      fc.constantFrom<Operation>({ op: 'flip' }, { op: 'flop' }),
      fc.constantFrom(0, 90, 180, 270, -90).map((angle): Operation => ({ op: 'rotate', angle })),
    );
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 12 }), (given) => {
        const normal = operations(...given);
        assert.ok(normal.length <= 2, JSON.stringify(normal));
        assert.deepEqual(turned(normal), turned(given));
      }),
    );
    assert.deepEqual(operations({ op: 'flip' }, { op: 'flip' }), []);
    assert.deepEqual(operations({ op: 'flip' }), [{ op: 'flip' }]);
    assert.deepEqual(operations({ op: 'rotate', angle: 90 }, { op: 'rotate', angle: 90 }), [
      { op: 'rotate', angle: 180 },
    ]);
  });

  test('writes out the defaults of every operation, and drops what changes nothing', () => {
    assert.deepEqual(
      operations(
        { op: 'adjust', contrast: 1.23456 },
        { op: 'adjust', brightness: 1, hue: 360, exposure: -0 },
        { op: 'sharpen' },
        { op: 'sharpen', amount: 0.000_01, radius: 3 },
        { op: 'background', method: 'auto' },
        { op: 'background', method: 'auto', mask: true, color: '#fff' },
        { op: 'threshold' },
        { op: 'dither' },
        { op: 'trim' },
        { op: 'colorspace', space: 'grayscale' },
        { op: 'watermark', text: ' a ', color: '#FFF' },
      ),
      [
        { op: 'adjust', brightness: 1, contrast: 1.2346, saturation: 1, hue: 0, gamma: 1, exposure: 0 },
        { op: 'sharpen', amount: 1, radius: 1 },
        { op: 'background', method: 'auto', color: '#00000000', mask: false },
        { op: 'background', method: 'auto', color: '#00000000', mask: true },
        { op: 'threshold', level: 128 },
        { op: 'dither', method: 'floyd-steinberg' },
        { op: 'trim', threshold: 10 },
        { op: 'grayscale' },
        {
          op: 'watermark',
          text: 'a',
          color: '#ffffff',
          gravity: 'southeast',
          opacity: 0.5,
          scale: 0.2,
          margin: 16,
          tile: false,
        },
      ],
    );
    assert.deepEqual(operations({ op: 'clip', start: 2 }), [{ op: 'clip', start: 2, duration: 3, fps: 10 }]);
    assert.deepEqual(operations({ op: 'vectorize' }), [
      { op: 'vectorize', colors: 'color', detail: 'medium', maxBytes: 2_000_000 },
    ]);
  });

  test('turns mm into px by the dots an inch, which it then writes into the file', () => {
    const print = (dpi?: number, enlarge?: boolean) =>
      normalizePlan({
        operations: [{ op: 'resize', width: 80, unit: 'mm', ...(enlarge !== undefined && { enlarge }) }],
        output: { ...(dpi !== undefined && { dpi }) },
      });
    assert.deepEqual(print(254).operations, [{ op: 'resize', width: 800, fit: 'contain', enlarge: true }]);
    assert.equal(print(254).output.dpi, 254);
    assert.equal(print().output.dpi, 300);
    assert.deepEqual(print(undefined, false).operations, [
      { op: 'resize', width: 945, fit: 'contain', enlarge: false },
    ]);
  });

  test('gives a bit its compression and something to lie on, and a format only depths of its own', () => {
    assert.deepEqual(output({ format: 'tiff', depth: 1 }), {
      format: 'tiff',
      metadata: 'keep',
      depth: 1,
      compression: 'g4',
      background: '#ffffff',
    });
    assert.deepEqual(output({ format: 'tiff', compression: 'g4' }), output({ format: 'tiff', depth: 1 }));
    assert.equal(output({ format: 'tiff', depth: 1, compression: 'lzw' }).compression, 'lzw');
    assert.deepEqual(output({ format: 'tiff', compression: 'lzw' }), { format: 'tiff', metadata: 'keep' });
    assert.equal(output({ format: 'png', depth: 1 }).background, '#ffffff');
    assert.equal(output({ format: 'png', depth: 8 }).background, undefined);
    assert.deepEqual(output({ format: 'bmp', depth: 32 }), { format: 'bmp', metadata: 'keep', depth: 32 });
    assert.deepEqual(output({ format: 'bmp', depth: 24 }), output({ format: 'bmp' }));
    assert.equal(output({ format: 'webp', depth: 16, dpi: 72, compression: 'none' }).depth, undefined);
  });

  test('drops a second grayscale or flatten in a row, and those only', () => {
    const grayscale = { op: 'grayscale' } as const;
    assert.deepEqual(operations(grayscale, { op: 'flip' }, { op: 'flip' }, grayscale, grayscale), [
      grayscale,
    ]);
    assert.equal(operations(grayscale, { op: 'resize', width: 3 }, grayscale).length, 3);
  });
});

/** Carries mirrors and quarter turns out on a small picture without symmetries. */
function turned(given: (Operation | NormalOperation)[]): number[][] {
  let rows = [
    [1, 2, 3],
    [4, 5, 6],
  ];
  const clockwise = () => {
    rows = rows[0]!.map((_, x) => rows.map((row) => row[x]!).reverse());
  };
  for (const op of given) {
    if (op.op === 'flip') rows = rows.toReversed();
    if (op.op === 'flop') rows = rows.map((row) => row.toReversed());
    if (op.op === 'rotate') for (let quarters = (op.angle + 360) / 90; quarters > 0; quarters--) clockwise();
  }
  return rows;
}

describe('parsePlan', () => {
  test('names every wrong field, what was expected and what was found', () => {
    const problem = problemOf(() =>
      parsePlan({
        preview: 'first',
        operations: [{ op: 'resize', width: 1.5, fit: 'covr', colour: 1 }, { op: 'rsize' }, 'flip'],
        output: { quality: '80', chroma: '4:1:1' },
        outputs: [],
      }),
    );
    assert.deepEqual(Object.fromEntries(problem.errors!.map(({ path, message }) => [path, message])), {
      preview: 'expected embedded, got "first"',
      'operations.0.width': 'expected a whole number from 1 to 65535, got 1.5',
      'operations.0.fit':
        'expected one of contain, fit, cover, fill, stretch, pad, got "covr"; did you mean cover?',
      'operations.0.colour': 'unknown key',
      'operations.1.op':
        'expected one of resize, crop, rotate, flip, flop, flatten, grayscale, adjust, sharpen, blur, colorspace, ' +
        'background, threshold, dither, watermark, trim, frame, clip, vectorize, got "rsize"; did you mean resize?',
      'operations.2': 'expected an object, got "flip"',
      'output.quality': 'expected a number, got "80"',
      'output.chroma': 'expected one of 4:4:4, 4:2:0, got "4:1:1"',
      outputs: 'unknown key',
    });
    assert.match(problem.detail!, /^preview: expected embedded, got "first"; .* \(and 6 more\)$/);
  });

  test('needs a side to resize to, and a frame to come first', () => {
    assert.match(
      problemOf(() => parsePlan({ operations: [{ op: 'resize' }] })).detail!,
      /^operations\.0: resize needs/,
    );
    const late = { operations: [{ op: 'flip' }, { op: 'frame', page: 0 }] };
    assert.match(problemOf(() => parsePlan(late)).detail!, /frame must be the first/);
  });

  test('refuses what cannot be had together, whatever the format comes from', () => {
    const [depth] = problemOf(() => parsePlan({ output: { depth: 24 } }, 'png')).errors!;
    assert.deepEqual(depth, { path: 'output.depth', message: 'expected 1 or 8 or 16 for png, got 24' });
    const [svg] = problemOf(() => parsePlan({}, 'svg')).errors!;
    assert.equal(svg!.path, 'output.format');
    assert.equal(parsePlan({ operations: [{ op: 'vectorize' }] }, 'png').output.format, 'svg');
    const [whole] = problemOf(() => parsePlan(null)).errors!;
    assert.equal(whole!.path, 'plan');
  });

  test('refuses __proto__ and the like', () => {
    const hostile = JSON.parse('{"__proto__":{"operations":[]},"output":{"constructor":1}}');
    const paths = problemOf(() => parsePlan(hostile)).errors!.map(({ path }) => path);
    assert.deepEqual(paths.sort(), ['__proto__', 'output.constructor']);
  });

  test('keeps the message short for a plan that is wrong in a thousand places', () => {
    const errors = {
      operations: Array(1000).fill({ op: 'x'.repeat(5000) }),
      ...Object.fromEntries(Array(1000).entries()),
    };
    const problem = problemOf(() => parsePlan(errors));
    assert.ok(problem.errors!.length <= 20);
    assert.ok(JSON.stringify(problem.serialize()).length < 10_000);
  });

  test('throws a Problem and nothing else, whatever it gets', () => {
    const nearly = fc.record({ operations: fc.array(fc.anything()), output: fc.anything() });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          nearly,
          fc.json().map((text) => JSON.parse(text)),
        ),
        (input) => {
          try {
            parsePlan(input);
          } catch (error) {
            assert.ok(error instanceof Problem && error.code === 'invalid_plan', String(error));
          }
        },
      ),
    );
  });
});

describe('planHash', () => {
  const plan: NormalPlan = parsePlan({
    operations: [{ op: 'resize', width: 600 }],
    output: { format: 'webp' },
  });

  test('is 32 hex digits and always the same', () => {
    assert.match(planHash(plan, '1'), /^[0-9a-f]{32}$/);
    assert.equal(planHash(plan, '1'), planHash(structuredClone(plan), '1'));
    // Renditions are stored under it: a change throws away every cache.
    assert.equal(planHash(plan, '1'), '216cfbd94c84c5ae34da0a8a56d9f63c');
  });

  test('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(plans, (given) => {
        const normal = normalizePlan(given);
        assert.equal(planHash(reversedKeys(normal) as NormalPlan, '1'), planHash(normal, '1'));
      }),
    );
  });

  test('differs between engine versions, plans and orders of operations', () => {
    fc.assert(
      fc.property(plans, plans, (a, b) => {
        const [one, other] = [normalizePlan(a), normalizePlan(b)];
        assert.notEqual(planHash(one, '1'), planHash(one, '2'));
        const same = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
        assert.equal(planHash(one, '1') === planHash(other, '1'), same);
      }),
    );
    const steps: Plan['operations'] = [{ op: 'grayscale' }, { op: 'resize', width: 3 }];
    const hashes = [steps, steps.toReversed()].map((given) =>
      planHash(normalizePlan({ operations: given }), '1'),
    );
    assert.notEqual(hashes[0], hashes[1]);
  });
});

function mapKeys(value: unknown, arrange: (keys: string[]) => string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => mapKeys(item, arrange));
  if (typeof value !== 'object' || value === null) return value;
  const members = value as Record<string, unknown>;
  return Object.fromEntries(
    arrange(Object.keys(members)).map((key) => [key, mapKeys(members[key], arrange)]),
  );
}

const reversedKeys = (value: unknown) => mapKeys(value, (keys) => keys.toReversed());
const sorted = (value: unknown) => mapKeys(value, (keys) => keys.toSorted());
