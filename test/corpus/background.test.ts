import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { removeBackground } from '../../src/engine/background/index.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { rawOf } from '../../src/engine/steps/run.ts';
import type { Pixels } from '../../src/engine/types.ts';
import { corpusMissing, good } from '../support/corpus.ts';

type Point = [x: number, y: number];

/** Looked up by eye, as parts of the sides. */
const PHOTOS: Record<
  string,
  { methods: ('auto' | 'grabcut' | 'person')[]; before: Point[]; behind: Point[] }
> = {
  // A woman in a blue dress that the lower border cuts, before a red wall; one arm akimbo.
  'jpeg-icc-adobergb.jpg': {
    methods: ['auto', 'grabcut', 'person'],
    before: [
      [0.52, 0.2],
      [0.5, 0.14],
      [0.45, 0.5],
      [0.4, 0.95],
      [0.85, 0.55],
    ],
    behind: [
      [0.05, 0.05],
      [0.95, 0.05],
      [0.1, 0.5],
      [0.95, 0.75],
    ],
  },
  // A leaf in the snow.
  'jpeg-nikon-d3100.jpg': {
    methods: ['auto', 'grabcut'],
    before: [
      [0.6, 0.35],
      [0.75, 0.36],
    ],
    behind: [
      [0.2, 0.5],
      [0.9, 0.9],
      [0.5, 0.1],
    ],
  },
  // A cat on a green floor.
  'jpeg-progressive.jpg': {
    methods: ['auto', 'grabcut'],
    before: [
      [0.42, 0.35],
      [0.43, 0.6],
      [0.42, 0.85],
    ],
    behind: [
      [0.8, 0.5],
      [0.7, 0.1],
      [0.1, 0.9],
    ],
  },
};

const open = (name: string) => rawOf(sharp(good(name)).autoOrient(), 8);
const cutOut = (pixels: Pixels, method: 'auto' | 'grabcut' | 'person') =>
  removeBackground(
    { ...pixels, data: pixels.data.slice() },
    { op: 'background', method, color: '#00000000', mask: false },
    {
      limits: DEFAULT_LIMITS,
    },
  );

describe('photographs without their background', { skip: corpusMissing }, () => {
  for (const [name, { methods, before, behind }] of Object.entries(PHOTOS)) {
    test(`${name}: subject and ground are told apart`, async () => {
      const pixels = await open(name);
      for (const method of methods) {
        const { data, width, height } = await cutOut(pixels, method);
        const alpha = ([x, y]: Point) =>
          data[(Math.floor(y * height) * width + Math.floor(x * width)) * 4 + 3]!;
        for (const point of before)
          assert.ok(alpha(point) > 240, `${method} before, ${point}: ${alpha(point)}`);
        for (const point of behind)
          assert.ok(alpha(point) < 15, `${method} behind, ${point}: ${alpha(point)}`);
      }
    });
  }

  test('no red of the wall is left around dark hair', async () => {
    const { data, width, height } = await cutOut(await open('jpeg-icc-adobergb.jpg'), 'grabcut');
    let soft = 0;
    let red = 0;
    for (let y = 0; y < height * 0.2; y++) {
      for (let x = 0; x < width; x++) {
        const at = (y * width + x) * 4;
        const [r, g, a] = [data[at]!, data[at + 1]!, data[at + 3]!];
        if (a < 20 || a > 235) continue;
        soft++;
        // The wall is 180, 20, 50; hair and skin have as much green as blue.
        if (r > 120 && r - g > 90) red++;
      }
    }
    assert.ok(soft > 100, `${soft} soft pixels`);
    assert.ok(red / soft < 0.1, `${red} of ${soft}`);
  });
});
