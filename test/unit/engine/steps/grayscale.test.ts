import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { grayscale } from '../../../../src/engine/steps/grayscale.ts';
import { fromLinear, toLinear } from '../../../../src/engine/steps/srgb.ts';
import { all, context, noise, painted, row } from './painted.ts';

const op = { op: 'grayscale' } as const;

test('a grey level is the luminance of the light: 21 % red, 72 % green, 7 % blue', async () => {
  const out = await grayscale(
    row([
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [255, 255, 0],
    ]),
    op,
    context(),
  );
  assert.equal(out.channels, 1);
  const level = (light: number) => [Math.round(255 * fromLinear(light))];
  assert.deepEqual(all(out), [level(0.2126), level(0.7152), level(0.0722), level(0.9278)]);
});

test('a neutral pixel keeps its level exactly, at 8 and 16 bits', async () => {
  const out = await grayscale(
    painted(256, 1, (x) => [x, x, x]),
    op,
    context(),
  );
  assert.deepEqual(
    [...out.data],
    Array.from({ length: 256 }, (_, i) => i),
  );
  const deep = painted(2, 1, () => [0, 0, 0], 16);
  new Uint16Array(deep.data.buffer).set([1, 1, 1, 54_321, 54_321, 54_321]);
  assert.deepEqual(all(await grayscale(deep, op, context())), [[1], [54_321]]);
});

test('the 8-bit table is nowhere more than rounding away from the formula', async () => {
  const random = noise(7);
  const pixels = painted(64, 64, () => [random(), random(), random()].map((v) => Math.floor(v * 256)));
  const colors = all(pixels);
  const out = all(await grayscale(pixels, op, context()));
  out.forEach(([level], i) => {
    const [red, green, blue] = colors[i]!.map((v) => toLinear(v / 255));
    const exact = 255 * fromLinear(0.2126 * red! + 0.7152 * green! + 0.0722 * blue!);
    assert.ok(Math.abs(level! - exact) <= 0.55, `${level} ${exact}`);
  });
});

test('agrees with libvips', async () => {
  const random = noise(3);
  const pixels = painted(40, 40, () => [random(), random(), random()].map((v) => Math.floor(v * 256)));
  const raw = { width: 40, height: 40, channels: 3 } as const;
  const theirs = await sharp(Buffer.from(pixels.data), { raw }).toColourspace('b-w').raw().toBuffer();
  const ours = await grayscale(pixels, op, context());
  assert.ok(theirs.every((level, i) => Math.abs(level - ours.data[i]!) <= 1));
});

test('transparency stays', async () => {
  const out = await grayscale(
    row([
      [9, 9, 9, 40],
      [255, 255, 255, 0],
    ]),
    op,
    context(),
  );
  assert.deepEqual(all(out), [
    [9, 40],
    [255, 0],
  ]);
});
