import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anchorsOf, type Face, facesFrom, merged, scoreOf } from '../../../src/engine/faces/decode.ts';
import { detectFaces, partsOf } from '../../../src/engine/faces/detect.ts';
import { focusOn } from '../../../src/engine/faces/focus.ts';
import { noise, painted } from './steps/painted.ts';

const SHORT = {
  side: 128,
  grids: [
    { cells: 16, perCell: 2 },
    { cells: 8, perCell: 6 },
  ],
  minScore: 0.5,
};

const face = (x: number, y: number, side: number, score = 0.9): Face => ({
  x,
  y,
  width: side,
  height: side,
  score,
});
const near = (actual: number, expected: number, within = 1e-6) =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`);

test('the short-range model has 896 anchors: two in each of 16 × 16 cells, six in each of 8 × 8', () => {
  const anchors = anchorsOf(SHORT.grids);
  assert.equal(anchors.length, 896 * 2);
  assert.deepEqual([...anchors.slice(0, 6)], [0.03125, 0.03125, 0.03125, 0.03125, 0.09375, 0.03125]);
  assert.deepEqual([...anchors.slice(512 * 2, 512 * 2 + 2)], [0.0625, 0.0625]);
  assert.deepEqual([...anchors.slice(-2)], [0.9375, 0.9375]);
  assert.equal(anchorsOf([{ cells: 48, perCell: 1 }]).length, 2304 * 2);
});

test('a box is as far from its anchor as the model says, in px of its input', () => {
  const logits = new Float32Array(896).fill(-5);
  const boxes = new Float32Array(896 * 16);
  const at = 512 + 6 * (8 * 3 + 4); // of the 8 × 8 grid: column 4, row 3, around 0.5625, 0.4375
  logits[at] = 2;
  boxes.set([12.8, -6.4, 64, 32], at * 16);
  const [only, ...others] = facesFrom(logits, boxes, SHORT);
  assert.equal(others.length, 0);
  near(only!.x, 0.5625 + 0.1 - 0.25);
  near(only!.y, 0.4375 - 0.05 - 0.125);
  near(only!.width, 0.5);
  near(only!.height, 0.25);
  near(only!.score, 1 / (1 + Math.exp(-2)));
});

test('scores are bounded however large the logit, and numbers that are none are no face', () => {
  assert.equal(scoreOf(1e9), 1);
  assert.ok(scoreOf(-1e9) > 0 && scoreOf(-1e9) < 1e-40);
  const logits = new Float32Array(896).fill(Number.NaN);
  assert.deepEqual(facesFrom(logits, new Float32Array(896 * 16), SHORT), []);
  assert.deepEqual(facesFrom(logits.fill(9), new Float32Array(896 * 16), SHORT), [], 'boxes without a size');
});

test('boxes of the same face become their mean by score, those of others stay', () => {
  const faces = merged([face(0.1, 0.1, 0.2, 0.6), face(0.12, 0.1, 0.2, 0.9), face(0.6, 0.6, 0.2, 0.7)]);
  assert.equal(faces.length, 2);
  near(faces[0]!.x, (0.1 * 0.6 + 0.12 * 0.9) / 1.5);
  assert.equal(faces[0]!.score, 0.9);
  near(faces[1]!.x, 0.6);
  near(faces[1]!.width, 0.2);
  assert.deepEqual(merged([]), []);
});

test('the parts of a picture overlap and leave nothing out', () => {
  for (const [width, height, count] of [
    [300, 200, 4],
    [1000, 200, 10],
    [100, 900, 12],
    [1, 5000, 12],
  ] as const) {
    const parts = partsOf({ width, height });
    assert.equal(parts.length, count);
    for (const part of parts) {
      assert.ok(
        part.x >= 0 && part.y >= 0 && part.x + part.width <= 1.000_001 && part.y + part.height <= 1.000_001,
      );
    }
    for (let x = 0.01; x < 1; x += 0.049) {
      for (let y = 0.01; y < 1; y += 0.049) {
        assert.ok(parts.some((p) => x >= p.x && x <= p.x + p.width && y >= p.y && y <= p.y + p.height));
      }
    }
  }
});

test('a crop that can hold all heads is centred on them, with room for the hair', () => {
  const focus = focusOn([face(0.5, 0.4, 0.1), face(0.7, 0.4, 0.1)], { width: 0.5, height: 1 })!;
  near(focus.x, 0.65);
  near(focusOn([face(0.4, 0.5, 0.2)], { width: 1, height: 0.5 })!.y, (0.4 + 0.75) / 2);
});

test('a crop that cannot hold all heads keeps the largest of them, whole', () => {
  const window = { width: 0.4, height: 1 };
  const faces = [face(0.05, 0.4, 0.1), face(0.7, 0.4, 0.2), face(0.92, 0.4, 0.05)];
  const { x } = focusOn(faces, window)!;
  const from = Math.min(0.6, Math.max(0, x - 0.2));
  assert.ok(from <= 0.65 && from + 0.4 >= 0.98, `${from}`);
  // Four small ones outweigh none of the large, but a group outweighs a single one of the same size.
  const group = [face(0, 0.4, 0.1), face(0.7, 0.4, 0.1), face(0.85, 0.4, 0.1)];
  assert.ok(focusOn(group, window)!.x > 0.7);
});

test('a head that is larger than the crop is shown by its middle', () => {
  near(focusOn([face(0.2, 0.3, 0.4)], { width: 0.3, height: 1 })!.x, 0.4);
  assert.equal(focusOn([], { width: 0.5, height: 1 }), undefined);
});

test('the models find no face in noise, on a plain picture or in a single pixel', async () => {
  const random = noise(11);
  for (const pixels of [
    painted(90, 60, () => [random(), random(), random()].map((v) => Math.floor(v * 256))),
    painted(40, 40, () => [128, 90]),
    painted(1, 1, () => [7, 7, 7]),
    painted(30, 200, () => [0, 0, 0], 16),
  ]) {
    assert.deepEqual(await detectFaces(pixels), []);
  }
});
