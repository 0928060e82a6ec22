import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentOf, trim } from '../../../../src/engine/steps/trim.ts';
import { all, at, context, noise, painted } from './painted.ts';

const op = (threshold = 10, background?: `#${string}`) =>
  ({ op: 'trim', threshold, ...(background && { background }) }) as const;

const inside = (x: number, y: number) => x >= 7 && x < 19 && y >= 4 && y < 9;

test('keeps exactly the rectangle of what differs by more than the threshold, though the border is noisy', async () => {
  const random = noise(5);
  const pixels = painted(30, 20, (x, y) => {
    if (inside(x, y)) return [111, 100, 100]; // 11 away in one channel
    if (x === 0 && y === 0) return [100, 100, 100];
    return [random(), random(), random()].map((v) => 90 + Math.floor(v * 21)); // at most 10 away
  });
  const out = await trim(pixels, op(), context());
  assert.deepEqual([out.width, out.height], [12, 5]);
  assert.ok(all(out).every(([red]) => red === 111));
});

test('a single pixel that differs is found at any side', () => {
  for (const [px, py] of [
    [0, 5],
    [9, 5],
    [5, 0],
    [5, 9],
    [9, 9],
  ]) {
    const pixels = painted(10, 10, (x, y) => [x === px && y === py ? 0 : 200]);
    assert.deepEqual(contentOf(pixels, 0, '#c8c8c8'), { left: px, top: py, width: 1, height: 1 });
  }
});

test('a border of another colour than asked for is kept', async () => {
  const pixels = painted(30, 20, (x, y) => (inside(x, y) ? [255, 0, 0] : [255, 255, 255]));
  assert.deepEqual(contentOf(pixels, 10, '#ff0000'), { left: 0, top: 0, width: 30, height: 20 });
  assert.deepEqual(contentOf(pixels, 10, '#ffffff'), { left: 7, top: 4, width: 12, height: 5 });
});

test('transparent borders go, whatever colour they hide', async () => {
  const random = noise(9);
  const pixels = painted(30, 20, (x, y) =>
    inside(x, y) ? [80, 80, 80, 255] : [Math.floor(random() * 256), 0, 0, Math.floor(random() * 11)],
  );
  const out = await trim(pixels, op(), context());
  assert.deepEqual([out.width, out.height], [12, 5]);
  assert.deepEqual(at(out, 0, 0), [80, 80, 80, 255]);
});

test('a picture that is nothing but border stays as it is', async () => {
  for (const pixels of [
    painted(9, 7, () => [40, 50, 60]),
    painted(9, 7, () => [1, 2, 3, 0]),
    painted(1, 1, () => [7]),
  ]) {
    const before = all(pixels);
    const out = await trim(pixels, op(), context());
    assert.deepEqual([out.width, out.height], [pixels.width, pixels.height]);
    assert.deepEqual(all(out), before);
  }
  const half = painted(9, 7, (x) => [x < 4 ? 0 : 255]);
  assert.equal((await trim(half, op(255), context())).width, 9);
});

test('works on 16 bits, where the threshold is as much of the scale', () => {
  const pixels = painted(30, 20, (x, y) => (inside(x, y) ? [61, 50, 50] : [x % 2 ? 60 : 50, 50, 50]), 16);
  assert.deepEqual(contentOf(pixels, 10), { left: 7, top: 4, width: 12, height: 5 });
});

test('a coloured background is never met in a grey picture', () => {
  assert.deepEqual(
    contentOf(
      painted(4, 4, () => [54]),
      0,
      '#ff0000',
    ),
    { left: 0, top: 0, width: 4, height: 4 },
  );
});
