import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dither } from '../../../../src/engine/steps/dither.ts';
import { fromLinear, toLinear } from '../../../../src/engine/steps/srgb.ts';
import { context, painted, row } from './painted.ts';

const METHODS = ['floyd-steinberg', 'atkinson', 'bayer'] as const;
const op = (method: (typeof METHODS)[number]) => ({ op: 'dither', method }) as const;

/** The 8-bit level that shows a part of white's light. */
const levelOf = (light: number) => Math.round(fromLinear(light) * 255);
/** A quarter of white's light: 0.2502. */
const QUARTER = levelOf(0.25);

const rowsOf = (data: Uint8Array, width: number) =>
  Array.from({ length: data.length / width }, (_, y) =>
    Array.from(data.subarray(y * width, (y + 1) * width), (value) => (value === 255 ? '#' : '.')).join(''),
  );

async function dithered(method: (typeof METHODS)[number], width: number, height: number, level: number) {
  const pixels = painted(width, height, () => [level]);
  return rowsOf((await dither(pixels, op(method), context())).data, width);
}

describe('dither', () => {
  test('floyd-steinberg hands errors on as 7, 3, 5 and 1 sixteenths, to and fro', async () => {
    // By hand: above, 0.25, 0.36, 0.41 and 0.43 are all black. Below, from the right: 0.25 + 0.37 is white,
    // 0.25 + 0.23 − 0.16 black, 0.25 + 0.20 + 0.14 white, 0.25 + 0.19 − 0.18 black.
    assert.deepEqual(await dithered('floyd-steinberg', 4, 2, QUARTER), ['....', '.#.#']);
  });

  test('atkinson hands an eighth of the error to each of six neighbours', async () => {
    // By hand: the greatest sums of the first two rows are 0.32 and 0.45; in the third, 0.37, 0.48, 0.56, 0.41.
    assert.deepEqual(await dithered('atkinson', 4, 3, QUARTER), ['....', '....', '..#.']);
  });

  test('bayer makes white the places of its matrix that lie below the tone', async () => {
    // The first row of the matrix is 0 32 8 40 2 34 10 42: of 64, those below 16 are white.
    const rows = await dithered('bayer', 16, 8, QUARTER);
    assert.equal(rows[0], '#.#.#.#.#.#.#.#.');
    assert.equal(rows[1], '................');
    assert.equal(rows.join('').replaceAll('.', '').length, 2 * 16);
    assert.deepEqual(await dithered('bayer', 8, 1, levelOf(5 / 64)), ['#...#...']);
  });

  for (const [method, tolerance] of [
    ['floyd-steinberg', 0.006],
    ['bayer', 0.012],
  ] as const) {
    test(`${method} keeps the light of a gradient in each of 16 patches`, async () => {
      for (let patch = 0; patch < 16; patch++) {
        const pixels = painted(64, 64, () => [patch * 17]);
        const { data } = await dither(pixels, op(method), context());
        const white = data.reduce((sum, value) => sum + value / 255, 0) / data.length;
        const light = toLinear((patch * 17) / 255);
        assert.ok(Math.abs(white - light) <= tolerance, `level ${patch * 17}: ${white}, not ${light}`);
      }
    });
  }

  test('atkinson keeps tones in order, clean at both ends', async () => {
    const whites: number[] = [];
    for (let patch = 0; patch < 16; patch++) {
      const pixels = painted(64, 64, () => [patch * 17]);
      const { data } = await dither(pixels, op('atkinson'), context());
      const white = data.reduce((sum, value) => sum + value / 255, 0) / data.length;
      assert.ok(Math.abs(white - toLinear((patch * 17) / 255)) < 0.12);
      whites.push(white);
    }
    assert.deepEqual(
      whites,
      whites.toSorted((a, b) => a - b),
    );
    assert.equal(whites[1], 0);
    assert.equal(whites[15], 1);
  });

  test('makes nothing but black and white, in one channel, and leaves those as they are', async () => {
    for (const method of METHODS) {
      const noisy = painted(37, 21, (x, y) => [(x * 31 + y * 17) & 255, (x * 7) & 255, (y * 13) & 255]);
      const out = await dither(noisy, op(method), context());
      assert.deepEqual([out.width, out.height, out.channels, out.depth], [37, 21, 1, 8]);
      assert.deepEqual([...new Set(out.data)].sort(), [0, 255]);
      assert.deepEqual((await dither(out, op(method), context())).data, out.data, method);
    }
  });

  test('takes colours for their luminance, and transparent pixels for white', async () => {
    const light = async (pixel: number[], depth: 8 | 16 = 8) => {
      const { data } = await dither(
        painted(64, 64, () => pixel, depth),
        op('floyd-steinberg'),
        context(),
      );
      return data.reduce((sum, value) => sum + value / 255, 0) / data.length;
    };
    const near = (actual: number, expected: number) =>
      assert.ok(Math.abs(actual - expected) < 0.006, `${actual}`);
    near(await light([255, 0, 0]), 0.2126);
    near(await light([0, 255, 0]), 0.7152);
    near(await light([0, 0, 255], 16), 0.0722);
    assert.equal(await light([0, 0, 0, 0]), 1);
    assert.equal(await light([0, 0]), 1);
    near(await light([0, 0, 0, 128]), toLinear(127 / 255));
    near(await light([0, 128], 16), toLinear(127 / 255));
  });

  test('works on pictures of one pixel, one row and one column', async () => {
    for (const method of METHODS) {
      for (const [pixels, count] of [
        [row([[200]]), 1],
        [row(Array.from({ length: 9 }, () => [90])), 9],
        [painted(1, 9, () => [90]), 9],
      ] as const) {
        assert.equal((await dither(pixels, op(method), context())).data.length, count);
      }
    }
  });
});
