import assert from 'node:assert/strict';
import { test } from 'node:test';
import { threshold } from '../../../../src/engine/steps/threshold.ts';
import { all, context, painted, row } from './painted.ts';

const op = (level: number) => ({ op: 'threshold', level }) as const;

test('a level is white from the threshold on, at every threshold', async () => {
  for (const level of [0, 1, 77, 128, 255]) {
    const out = await threshold(
      painted(256, 1, (x) => [x]),
      op(level),
      context(),
    );
    assert.equal(out.channels, 1);
    assert.deepEqual(
      [...out.data],
      Array.from({ length: 256 }, (_, x) => (x >= level ? 255 : 0)),
    );
  }
});

test('a 16-bit level just below the threshold is black', async () => {
  const pixels = painted(2, 1, () => [0], 16);
  new Uint16Array(pixels.data.buffer).set([128 * 257 - 1, 128 * 257]);
  const out = await threshold(pixels, op(128), context());
  assert.equal(out.depth, 8);
  assert.deepEqual(all(out), [[0], [255]]);
});

test('colours count by their luminance', async () => {
  // Red has the grey level 127, green 220.
  const out = await threshold(
    row([
      [255, 0, 0],
      [0, 255, 0],
    ]),
    op(128),
    context(),
  );
  assert.deepEqual(all(out), [[0], [255]]);
});

test('what is transparent is white paper', async () => {
  const out = await threshold(
    row([
      [0, 0, 0, 0],
      [0, 0, 0, 255],
      [0, 0, 0, 100],
      [0, 0, 0, 200],
    ]),
    op(128),
    context(),
  );
  assert.deepEqual(all(out), [[255], [0], [255], [0]]);
});
