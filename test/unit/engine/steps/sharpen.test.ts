import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharpen } from '../../../../src/engine/steps/sharpen.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { all, at, context, painted } from './painted.ts';

const op = (amount: number, radius = 1) => ({ op: 'sharpen', amount, radius }) as const;
const sharpened = (pixels: Pixels, amount: number, radius = 1) =>
  sharpen(pixels, op(amount, radius), context());

/** From dark to bright in four steps, as a lens leaves an edge. */
const SOFT = [80, 80, 80, 80, 80, 80, 95, 125, 145, 160, 160, 160, 160, 160, 160];
const soft = (depth: 8 | 16 = 8) => painted(SOFT.length, 9, (x) => [SOFT[x]!, SOFT[x]!, SOFT[x]!], depth);
const line = (pixels: Pixels) => Array.from({ length: pixels.width }, (_, x) => at(pixels, x, 4)[0]!);

test('makes an edge steeper, with an overshoot that grows with the amount', async () => {
  const slope = (levels: number[]) => Math.max(...levels.slice(1).map((v, i) => v - levels[i]!));
  const [half, one, two] = await Promise.all([0.5, 1, 2].map(async (a) => line(await sharpened(soft(), a))));
  assert.ok(slope(SOFT) < slope(half!) && slope(half!) < slope(one!) && slope(one!) < slope(two!));
  const overshoot = (levels: number[]) => Math.max(...levels) - 160;
  assert.ok(overshoot(one!) >= 2 && overshoot(one!) <= 12, `${overshoot(one!)}`);
  assert.ok(overshoot(two!) > overshoot(one!));
});

test('adds what sets a pixel apart from its Gaussian surroundings', async () => {
  const dot = painted(21, 21, (x, y) => (x === 10 && y === 10 ? [110] : [100]));
  const out = await sharpened(dot, 1, 1);
  // The middle of a Gaussian of deviation 1 holds 15.9 % of it.
  assert.equal(at(out, 10, 10)[0], Math.round(110 + 10 * (1 - 0.159)));
  assert.ok(at(out, 11, 10)[0]! <= 100 && at(out, 11, 10)[0]! >= 98);
});

test('a halo is at most a tenth of the scale bright and a fifth dark, at any amount', async () => {
  const edge = painted(40, 9, (x) => (x < 20 ? [100, 100, 100] : [150, 150, 150]));
  const levels = line(await sharpened(edge, 10, 3));
  assert.equal(Math.max(...levels), Math.round(150 + 25.5));
  assert.equal(Math.min(...levels), Math.round(100 - 51));
});

test('amount 0 and flat areas change nothing', async () => {
  const before = line(soft());
  assert.deepEqual(line(await sharpened(soft(), 0)), before);
  const flat = await sharpened(
    painted(12, 12, () => [7, 130, 250, 200]),
    10,
    5,
  );
  assert.ok(all(flat).every((pixel) => pixel.join() === '7,130,250,200'));
});

test('changes all channels alike, so that hues stay', async () => {
  const edge = painted(20, 9, (x) => (x < 10 ? [60, 80, 100] : [90, 110, 130]));
  for (const [red, green, blue] of all(await sharpened(edge, 2))) {
    assert.ok(Math.abs(green! - red! - 20) <= 1 && Math.abs(blue! - green! - 20) <= 1);
  }
});

test('a cut-out has no rim: transparent pixels are no surroundings', async () => {
  const disk = painted(41, 41, (x, y) =>
    Math.hypot(x - 20, y - 20) < 12 ? [128, 100, 90, 255] : [0, 0, 0, 0],
  );
  const out = await sharpened(disk, 3, 2);
  for (const pixel of all(out)) {
    assert.deepEqual(pixel[3] === 255 ? pixel : pixel[3], pixel[3] === 255 ? [128, 100, 90, 255] : 0);
  }
});

test('16 bits are kept', async () => {
  const out = await sharpened(soft(16), 1);
  assert.equal(out.depth, 16);
  assert.ok(line(out).some((level) => level % 257 !== 0));
  const eight = line(await sharpened(soft(), 1));
  assert.ok(line(out).every((level, x) => Math.abs(level / 257 - eight[x]!) <= 1));
});
