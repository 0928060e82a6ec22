import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NormalOperation } from '../../../../src/contract/plan.ts';
import { layoutStream } from '../../../../src/engine/steps/index.ts';
import { stagesOf } from '../../../../src/engine/steps/pipeline.ts';
import type { Primitive } from '../../../../src/engine/steps/primitive.ts';
import { runOn } from '../../../../src/engine/steps/run.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { at, painted } from './painted.ts';

async function oneByOne(pixels: Pixels, primitives: Primitive[]): Promise<Pixels> {
  let out = pixels;
  for (const primitive of primitives) out = await runOn(out, [primitive]);
  return out;
}

const operation: fc.Arbitrary<NormalOperation> = fc.oneof(
  fc.record({
    op: fc.constant('crop' as const),
    // Whatever five crops leave, they start inside.
    left: fc.integer({ min: 0, max: 1 }),
    top: fc.integer({ min: 0, max: 1 }),
    width: fc.integer({ min: 8, max: 30 }),
    height: fc.integer({ min: 8, max: 30 }),
  }),
  fc.constantFrom<NormalOperation>(
    { op: 'flip' },
    { op: 'rotate', angle: 90 },
    { op: 'rotate', angle: 33, background: '#00ff00' },
    { op: 'rotate', angle: 200, background: '#00000000' },
    { op: 'blur', radius: 2 },
    { op: 'resize', fit: 'stretch', width: 21, height: 17, enlarge: true },
    {
      op: 'resize',
      fit: 'pad',
      width: 40,
      height: 40,
      gravity: 'northwest',
      background: '#ff0000',
      enlarge: false,
    },
    { op: 'resize', fit: 'cover', width: 12, height: 14, gravity: 'east', enlarge: true },
  ),
);

test('operations run in the order of the Plan, however they are fused', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 2, maxLength: 5 }),
      fc.constantFrom(1, 3, 4),
      async (ops, channels) => {
        const pixels = painted(37, 29, (x, y) =>
          [x * 6, y * 8, (x * y) % 256, x > 8 ? 255 : 0].slice(0, channels),
        );
        const { primitives, size } = layoutStream(ops, pixels);
        const [fused, single] = [await runOn(pixels, primitives), await oneByOne(pixels, primitives)];
        assert.deepEqual([fused.width, fused.height], [size.width, size.height]);
        assert.deepEqual(
          [fused.width, fused.height, fused.channels],
          [single.width, single.height, single.channels],
        );
        // Between two stages levels are rounded, and premultiplied ones at faint pixels by more.
        const at = (p: Pixels, i: number, c: number) => {
          const alpha = p.channels === 4 ? p.data[i * 4 + 3]! / 255 : 1;
          return c === 3 ? p.data[i * 4 + 3]! : p.data[i * p.channels + c]! * alpha;
        };
        for (let i = 0; i < fused.width * fused.height; i++) {
          for (let c = 0; c < fused.channels; c++) {
            const away = Math.abs(at(fused, i, c) - at(single, i, c));
            assert.ok(away <= 5, `pixel ${i}, channel ${c}: ${away} away`);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('blur before a crop takes what is cut off with it, after the crop it cannot', async () => {
  const edge = painted(40, 20, (x) => (x < 20 ? [0, 0, 0] : [240, 240, 240]));
  const crop = { do: 'extract', left: 20, top: 0, width: 20, height: 20 } as const;
  const blur = { do: 'blur', sigma: 4 } as const;
  assert.ok(at(await runOn(edge, [blur, crop]), 0, 10)[0]! < 140);
  assert.equal(at(await runOn(edge, [crop, blur]), 0, 10)[0], 240);
});

test('a border put on before the blur is blurred, after it is not', async () => {
  const black = painted(20, 20, () => [0, 0, 0]);
  const extend = { do: 'extend', left: 10, top: 10, right: 10, bottom: 10, background: '#ffffff' } as const;
  const blur = { do: 'blur', sigma: 3 } as const;
  const near = (pixels: Pixels) => at(pixels, 9, 20)[0]!;
  assert.equal(near(await runOn(black, [blur, extend])), 255);
  assert.ok(near(await runOn(black, [extend, blur])) < 200);
});

test('a border put on before a free turn turns with it', async () => {
  const black = painted(20, 20, () => [0, 0, 0]);
  const extend = { do: 'extend', left: 20, top: 20, right: 20, bottom: 20, background: '#ff0000' } as const;
  const rotate = { do: 'rotate', angle: 45, background: '#0000ff' } as const;
  const out = await runOn(black, [extend, rotate]);
  assert.deepEqual(
    [at(out, 1, 1), at(out, 42, 10)],
    [
      [0, 0, 255],
      [255, 0, 0],
    ],
  );
});

test('a border about what was cut out of a smaller picture counts into its size', async () => {
  const out = await runOn(
    painted(40, 20, () => [9, 9, 9]),
    [
      { do: 'scale', width: 20, height: 10 },
      { do: 'extract', left: 5, top: 0, width: 10, height: 10 },
      { do: 'extend', left: 1, top: 2, right: 3, bottom: 4, background: '#ffffff' },
    ],
  );
  assert.deepEqual([out.width, out.height, out.data.length], [14, 16, 14 * 16 * 3]);
});

test('the common plans are one stage', () => {
  const one = (...primitives: Primitive[]) => assert.equal(stagesOf(primitives).length, 1);
  const scale = { do: 'scale', width: 10, height: 10 } as const;
  const extract = { do: 'extract', left: 0, top: 0, width: 5, height: 5 } as const;
  const extend = { do: 'extend', left: 1, top: 1, right: 1, bottom: 1, background: '#ff0000' } as const;
  one(extract, scale);
  one(scale, { do: 'orient', orientation: 6 }, extract);
  one(extract, scale, extend);
  one(extract, scale, { do: 'blur', sigma: 2 });
});

test('before a hue on a picture that may be grey comes a cut, of nothing if need be', () => {
  const extend = { do: 'extend', left: 1, top: 1, right: 1, bottom: 1, background: '#ff0000' } as const;
  const scale = { do: 'scale', width: 10, height: 10 } as const;
  assert.deepEqual(stagesOf([extend], true), [[], [extend]]);
  assert.deepEqual(stagesOf([scale, extend], true), [[scale], [extend]]);
  assert.equal(stagesOf([{ ...extend, background: '#eeeeee' }], true).length, 1);
});
