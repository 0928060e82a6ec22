import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import type { NormalOperation } from '../../../src/contract/plan.ts';
import { layout } from '../../../src/engine/steps/index.ts';
import { applyStage, delayOrient, stagesOf } from '../../../src/engine/steps/pipeline.ts';
import type { Primitive, Size } from '../../../src/engine/steps/primitive.ts';
import { contained, resize } from '../../../src/engine/steps/resize.ts';
import type { Orientation } from '../../../src/engine/types.ts';
import { Problem } from '../../../src/problem.ts';

/** Every pixel of its own colour, so that a wrong turn or an offset by one shows. */
function chart(width: number, height: number): Sharp {
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    data[i * 3] = (i % width) * 5;
    data[i * 3 + 1] = Math.floor(i / width) * 7;
    data[i * 3 + 2] = (i * 13) % 256;
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

interface Raw extends Size {
  data: Buffer;
}

async function rawOf(image: Sharp): Promise<Raw> {
  const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

const again = (raw: Raw) => sharp(raw.data, { raw: { width: raw.width, height: raw.height, channels: 3 } });

async function oneByOne(from: Sharp, primitives: Primitive[]): Promise<Raw> {
  let raw = await rawOf(from);
  for (const primitive of primitives) raw = await rawOf(applyStage(again(raw), [primitive]));
  return raw;
}

async function fused(from: Sharp, primitives: Primitive[], stored: Size): Promise<Raw> {
  let raw = await rawOf(from);
  for (const stage of stagesOf(delayOrient(primitives, stored)))
    raw = await rawOf(applyStage(again(raw), stage));
  return raw;
}

const resizeOp = (more: Partial<Extract<NormalOperation, { op: 'resize' }>>) =>
  ({ op: 'resize', fit: 'contain', enlarge: false, ...more }) as Extract<NormalOperation, { op: 'resize' }>;

const exact = fc.oneof(
  fc.record({
    op: fc.constant('crop' as const),
    left: fc.integer({ min: 0, max: 9 }),
    top: fc.integer({ min: 0, max: 9 }),
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 40 }),
  }),
  fc.constantFrom({ op: 'flip' as const }, { op: 'flop' as const }),
  fc.constantFrom(90, 180, 270).map((angle) => ({ op: 'rotate' as const, angle })),
  fc.constant(resizeOp({ fit: 'pad', width: 60, height: 50, gravity: 'northwest', background: '#102030' })),
);

test('fusing operations into few pipelines gives the same pixels as running them one by one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(exact, { maxLength: 4 }),
      fc.integer({ min: 1, max: 8 }),
      async (operations, orientation) => {
        const stored = { width: 37, height: 23 };
        let plan: ReturnType<typeof layout>;
        try {
          plan = layout(operations as NormalOperation[], stored, orientation as Orientation);
        } catch (error) {
          assert.ok(error instanceof Problem && error.code === 'invalid_plan'); // a crop outside
          return;
        }
        const [a, b] = [
          await oneByOne(chart(37, 23), plan.primitives),
          await fused(chart(37, 23), plan.primitives, stored),
        ];
        assert.deepEqual([b.width, b.height], [plan.size.width, plan.size.height]);
        assert.deepEqual([b.width, b.height], [a.width, a.height]);
        assert.ok(a.data.equals(b.data), 'pixels differ');
      },
    ),
    { numRuns: 120 },
  );
});

test('turns each of the eight EXIF orientations upright, scaled before or after the turn', async () => {
  const upright = await rawOf(chart(40, 24));
  // How a camera stores the upright picture for each orientation: the inverse of what makes it upright.
  const store: Record<number, (image: Sharp) => Sharp> = {
    1: (i) => i,
    2: (i) => i.flop(),
    3: (i) => i.rotate(180),
    4: (i) => i.flip(),
    5: (i) => i.flop().rotate(270),
    6: (i) => i.rotate(270),
    7: (i) => i.flop().rotate(90),
    8: (i) => i.rotate(90),
  };
  for (let orientation = 1; orientation <= 8; orientation++) {
    const stored = await rawOf(store[orientation]!(again(upright)));
    const whole = layout([], stored, orientation as Orientation);
    const turned = await fused(again(stored), whole.primitives, stored);
    assert.deepEqual([turned.width, turned.height], [40, 24], `orientation ${orientation}`);
    assert.ok(turned.data.equals(upright.data), `orientation ${orientation}`);

    const half = layout([resizeOp({ width: 20 })], stored, orientation as Orientation);
    const small = await fused(again(stored), half.primitives, stored);
    assert.deepEqual([small.width, small.height], [20, 12], `orientation ${orientation}`);
    const reference = await rawOf(again(upright).resize(20, 12, { fit: 'fill' }));
    const worst = small.data.reduce((max, v, i) => Math.max(max, Math.abs(v - reference.data[i]!)), 0);
    assert.ok(worst <= 8, `orientation ${orientation}: differs by ${worst}`);
  }
});

test('an upright resize of a turned photo is one streaming stage', () => {
  const stored = { width: 4000, height: 3000 };
  const { primitives } = layout([resizeOp({ width: 600, height: 600 })], stored, 6);
  assert.deepEqual(stagesOf(delayOrient(primitives, stored)), [
    [
      { do: 'scale', width: 600, height: 450 },
      { do: 'orient', orientation: 6 },
    ],
  ]);
});

test('contain never enlarges unless asked, and keeps at least one pixel', () => {
  assert.deepEqual(contained({ width: 100, height: 100, enlarge: false }, { width: 50, height: 20 }), {
    width: 50,
    height: 20,
  });
  assert.deepEqual(contained({ width: 100, enlarge: true }, { width: 50, height: 20 }), {
    width: 100,
    height: 40,
  });
  assert.deepEqual(contained({ width: 10, enlarge: false }, { width: 5000, height: 1 }), {
    width: 10,
    height: 1,
  });
});

test('cover gives exactly the box, or the largest box of its aspect that a small picture can fill', () => {
  const size = (op: Partial<Extract<NormalOperation, { op: 'resize' }>>, from: Size) =>
    layout([resizeOp({ fit: 'cover', ...op })], from, 1).size;
  assert.deepEqual(size({ width: 200, height: 200 }, { width: 4000, height: 3000 }), {
    width: 200,
    height: 200,
  });
  assert.deepEqual(size({ width: 200, height: 200 }, { width: 100, height: 50 }), { width: 50, height: 50 });
  assert.deepEqual(size({ width: 200, height: 200, enlarge: true }, { width: 100, height: 50 }), {
    width: 200,
    height: 200,
  });
});

test('cover keeps the side that gravity names and centres on a focal point', () => {
  const area = (op: Partial<Extract<NormalOperation, { op: 'resize' }>>) =>
    resize(resizeOp({ fit: 'cover', width: 100, height: 100, ...op }), { width: 400, height: 100 }).find(
      (p) => p.do === 'extract',
    );
  assert.equal(area({ gravity: 'west' })?.left, 0);
  assert.equal(area({ gravity: 'east' })?.left, 300);
  assert.equal(area({})?.left, 150);
  assert.equal(area({ focus: { x: 0.25, y: 0.5 } })?.left, 50);
  assert.equal(area({ focus: { x: 1, y: 0 } })?.left, 300);
});

test('pad keeps the whole picture and fills to the box', () => {
  assert.deepEqual(resize(resizeOp({ fit: 'pad', width: 100, height: 100 }), { width: 200, height: 100 }), [
    { do: 'scale', width: 100, height: 50 },
    { do: 'extend', left: 0, right: 0, top: 25, bottom: 25, background: '#ffffff' },
  ]);
});

test('stretch ignores the aspect', () => {
  assert.deepEqual(
    layout([resizeOp({ fit: 'stretch', width: 30, height: 70 })], { width: 100, height: 100 }, 1).size,
    {
      width: 30,
      height: 70,
    },
  );
});

test('a crop that starts outside the picture is an invalid plan; one that ends outside is cut', () => {
  const crop = (left: number) =>
    layout([{ op: 'crop', left, top: 0, width: 50, height: 50 }], { width: 100, height: 40 }, 1);
  assert.deepEqual(crop(80).size, { width: 20, height: 40 });
  assert.throws(
    () => crop(100),
    (error: unknown) => error instanceof Problem && error.code === 'invalid_plan',
  );
});

test('a free rotation gives the bounding box that libvips makes', async () => {
  for (const angle of [1, 33.3, 45, 120, 271]) {
    const { primitives, size } = layout(
      [{ op: 'rotate', angle, background: '#ffffff' }],
      { width: 90, height: 40 },
      1,
    );
    const { info } = await applyStage(chart(90, 40), primitives).raw().toBuffer({ resolveWithObject: true });
    assert.ok(Math.abs(info.width - size.width) <= 1 && Math.abs(info.height - size.height) <= 1, `${angle}`);
  }
});
