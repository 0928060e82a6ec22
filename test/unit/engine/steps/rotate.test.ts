import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayOrient } from '../../../../src/engine/steps/pipeline.ts';
import { type Size, sizeAfter } from '../../../../src/engine/steps/primitive.ts';
import { rotate } from '../../../../src/engine/steps/rotate.ts';
import { runOn } from '../../../../src/engine/steps/run.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { all, at, painted } from './painted.ts';

const turned = (pixels: Pixels, angle: number, background?: `#${string}`) =>
  runOn(pixels, rotate({ op: 'rotate', angle, ...(background && { background }) }));

const square = (color: number[], side = 40) => painted(side, side, () => color);

test('the size is told exactly before, at any angle', async () => {
  const sizes: Size[] = [
    { width: 90, height: 40 },
    { width: 33, height: 77 },
    { width: 101, height: 3 },
    { width: 1, height: 1 },
  ];
  for (let angle = 0.4; angle < 360; angle += 23.7) {
    for (const { width, height } of sizes) {
      const out = await turned(
        painted(width, height, () => [1, 2, 3]),
        angle,
        '#ffffff',
      );
      const told = sizeAfter({ do: 'rotate', angle, background: '#ffffff' }, { width, height });
      assert.deepEqual([out.width, out.height], [told.width, told.height], `${width}×${height} by ${angle}`);
    }
  }
});

test('a square by 45° stands on its tip, the corners filled', async () => {
  const out = await turned(square([200, 30, 40]), 45, '#0000ff');
  assert.equal(out.width, 57);
  for (const [x, y] of [
    [0, 0],
    [56, 0],
    [0, 56],
    [56, 56],
    [8, 8],
  ] as const)
    assert.deepEqual(at(out, x, y), [0, 0, 255]);
  for (const [x, y] of [
    [28, 28],
    [28, 4],
    [4, 28],
  ] as const)
    assert.deepEqual(at(out, x, y), [200, 30, 40]);
});

test('turns clockwise', async () => {
  const out = await turned(
    painted(40, 40, (x) => (x < 20 ? [255, 0, 0] : [0, 0, 255])),
    60,
    '#ffffff',
  );
  const middle = out.width / 2;
  // The left half goes up.
  assert.equal(at(out, middle, middle - 12)[0], 255);
  assert.equal(at(out, middle, middle + 12)[2], 255);
});

test('without a background the corners are transparent, and the edges have no dark fringe', async () => {
  for (const channels of [3, 4]) {
    const out = await turned(square([200, 100, 50, 255].slice(0, channels)), 30);
    assert.equal(out.channels, 4);
    assert.equal(at(out, 0, 0)[3], 0);
    let soft = 0;
    for (const [red, green, blue, alpha] of all(out) as [number, number, number, number][]) {
      if (alpha < 16) continue;
      if (alpha < 255) soft++;
      const rounding = 1 + 255 / alpha;
      assert.ok(
        Math.abs(red - 200) <= rounding &&
          Math.abs(green - 100) <= rounding &&
          Math.abs(blue - 50) <= rounding,
        `${red},${green},${blue} at ${alpha}`,
      );
    }
    assert.ok(soft > 50, 'edges are smooth');
  }
});

test('a grey picture gets corners of the colour', async () => {
  const out = await turned(square([90]), 45, '#ff0000');
  assert.deepEqual(at(out, 0, 0), [255, 0, 0]);
  assert.deepEqual(at(out, 28, 28), [90, 90, 90]);
});

test('a turn by quarters before a free one is not forgotten', async () => {
  const halves = painted(40, 40, (x) => (x < 20 ? [255, 0, 0] : [0, 0, 255]));
  // Upright is a quarter clockwise of what is stored: red comes to the top, then 10° more.
  const primitives = delayOrient(
    [{ do: 'orient', orientation: 6 }, ...rotate({ op: 'rotate', angle: 10, background: '#ffffff' })],
    halves,
  );
  const out = await runOn(halves, primitives);
  const middle = Math.floor(out.width / 2);
  assert.deepEqual(at(out, middle, middle - 10), [255, 0, 0]);
  assert.deepEqual(at(out, middle, middle + 10), [0, 0, 255]);
});
