import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NormalOperation } from '../../../../src/contract/plan.ts';
import { adjust, colorMatrix } from '../../../../src/engine/steps/adjust.ts';
import { fromLinear, toLinear } from '../../../../src/engine/steps/srgb.ts';
import { all, context, row } from './painted.ts';

type Adjust = Extract<NormalOperation, { op: 'adjust' }>;
const op = (more: Partial<Adjust>): Adjust => ({
  op: 'adjust',
  brightness: 1,
  contrast: 1,
  saturation: 1,
  hue: 0,
  gamma: 1,
  exposure: 0,
  ...more,
});

async function adjusted(pixels: number[][], more: Partial<Adjust>, depth: 8 | 16 = 8): Promise<number[][]> {
  return all(await adjust(row(pixels, depth), op(more), context()));
}

const grays = [0, 1, 10, 64, 100, 127, 128, 200, 254, 255];

test('brightness 2 doubles every level, up to white', async () => {
  assert.deepEqual(
    await adjusted(
      [
        [0, 10, 100],
        [127, 128, 255],
      ],
      { brightness: 2 },
    ),
    [
      [0, 20, 200],
      [254, 255, 255],
    ],
  );
});

test('contrast moves levels away from mid-grey, which stays', async () => {
  assert.deepEqual(
    await adjusted(
      [
        [127, 128, 100],
        [200, 0, 255],
      ],
      { contrast: 2 },
    ),
    [
      [127, 129, 73], // 127.5 is the middle
      [255, 0, 255],
    ],
  );
  assert.deepEqual(await adjusted([[0, 255, 51]], { contrast: 0 }), [[128, 128, 128]]);
  assert.deepEqual(await adjusted([[0, 255, 51]], { contrast: 0.5 }), [[64, 191, 89]]);
});

test('gamma is the power 1/g of the level: 2 lifts mid-tones, black and white stay', async () => {
  const lifted = await adjusted(
    grays.map((g) => [g]),
    { gamma: 2 },
  );
  assert.deepEqual(
    lifted,
    grays.map((g) => [Math.round(255 * Math.sqrt(g / 255))]),
  );
  const back = await adjusted([[181]], { gamma: 0.5 });
  assert.deepEqual(back, [[Math.round(255 * (181 / 255) ** 2)]]);
});

test('exposure +1 doubles the light, not the level', async () => {
  const brighter = await adjusted(
    grays.map((g) => [g]),
    { exposure: 1 },
  );
  brighter.forEach(([level], i) => {
    const light = Math.min(1, 2 * toLinear(grays[i]! / 255));
    assert.equal(level, Math.round(255 * fromLinear(light)), `level ${grays[i]}`);
  });
  assert.deepEqual(await adjusted([[188]], { exposure: -1 }), [[137]]); // 50 % of light to 25 %
});

test('nothing is cut off in between: contrast brings back what exposure lifted beyond white', async () => {
  const [[a], [b]] = (await adjusted([[200], [220]], { exposure: 1, contrast: 0.4 })) as [[number], [number]];
  assert.ok(a < b && b < 255, `${a} ${b}`);
});

test('saturation 0 leaves the Rec. 709 luma, 2 doubles the distance from it', async () => {
  assert.deepEqual(
    await adjusted(
      [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
      ],
      { saturation: 0 },
    ),
    [
      [54, 54, 54],
      [182, 182, 182],
      [18, 18, 18],
    ],
  );
  const luma = 0.2126 * 100 + 0.7152 * 120 + 0.0722 * 140;
  assert.deepEqual(await adjusted([[100, 120, 140]], { saturation: 2 }), [
    [100, 120, 140].map((v) => Math.round(luma + 2 * (v - luma))),
  ]);
});

test('hue 120° turns red into green and green into blue, as the CSS filter does, at the same luma', async () => {
  // hue-rotate(120deg) of the W3C Filter Effects module, by its matrix.
  assert.deepEqual(await adjusted([[255, 0, 0]], { hue: 120 }), [[0, 113, 0]]);
  const [[r, g, b]] = (await adjusted([[0, 255, 0]], { hue: 120 })) as [[number, number, number]];
  assert.ok(b > 200 && b > g && b > r, `${r} ${g} ${b}`);
  // A muted colour, where nothing is cut off, keeps its luma, and three turns bring it back.
  const luma = ([red, green, blue]: number[]) => 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  let color = [[140, 120, 110]];
  for (let turn = 0; turn < 3; turn++) {
    color = await adjusted(color, { hue: 120 });
    assert.ok(Math.abs(luma(color[0]!) - luma([140, 120, 110])) < 1);
  }
  assert.ok(color[0]!.every((level, i) => Math.abs(level - [140, 120, 110][i]!) <= 2));
});

test('greys stay grey whatever the hue and the saturation', async () => {
  for (const g of grays)
    assert.deepEqual(await adjusted([[g, g, g]], { hue: 77, saturation: 3 }), [[g, g, g]]);
  assert.deepEqual(await adjusted([[90]], { hue: 77, saturation: 3 }), [[90]]);
  for (const hue of [0, 45, 120, 359]) {
    const matrix = colorMatrix({ hue, saturation: 2.5 })!;
    for (const at of [0, 3, 6])
      assert.ok(Math.abs(matrix[at]! + matrix[at + 1]! + matrix[at + 2]! - 1) < 1e-9);
  }
});

test('transparency stays, at any channel count', async () => {
  assert.deepEqual(await adjusted([[10, 77]], { brightness: 2 }), [[20, 77]]);
  assert.deepEqual(await adjusted([[10, 20, 30, 77]], { brightness: 2 }), [[20, 40, 60, 77]]);
  assert.deepEqual(await adjusted([[10, 20, 30, 77]], { brightness: 2, saturation: 0.999_999 }), [
    [20, 40, 60, 77],
  ]);
});

test('16 bits are kept: levels between those of 8 bits come out', async () => {
  const pixels = row([[0, 0, 0]], 16);
  const samples = new Uint16Array(pixels.data.buffer);
  samples.set([1002, 20_004, 65_535]);
  const out = await adjust(pixels, op({ brightness: 0.5 }), context());
  assert.equal(out.depth, 16);
  assert.deepEqual(all(out), [[501, 10_002, 32_768]]);
});
