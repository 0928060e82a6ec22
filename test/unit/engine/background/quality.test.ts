/** Mattes against true ones, on pictures that nothing was tuned on. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Composition, compositions } from '../../../support/compositions.ts';
import { meanErrors } from '../../../support/mattes.ts';

const HELD_OUT_SEED = 4_242;
const PER_GROUND = 9;
const MIN_IOU = { auto: 0.9, watershed: 0.9, grabcut: 0.95 } as const;
const MAX_MEAN_ERROR = 0.02;

describe('a removed background', () => {
  let pictures: Composition[];
  before(async () => {
    pictures = await compositions(HELD_OUT_SEED, PER_GROUND, ['plain', 'gradient']);
  });

  for (const method of ['auto', 'watershed', 'grabcut'] as const) {
    test(`${method}: what is left is the foreground, with soft edges and in its own colours`, async (t) => {
      const means = await meanErrors(pictures, method);
      for (const [ground, { iou, meanError, edge, edgeUntouched }] of means) {
        t.diagnostic(
          `${ground}: IoU ${iou.toFixed(3)}, mean error ${meanError.toFixed(4)}, edge ${edge.toFixed(1)} (${edgeUntouched.toFixed(1)} before)`,
        );
      }
      const mean = (of: 'iou' | 'meanError') => (means.get('plain')![of] + means.get('gradient')![of]) / 2;
      assert.ok(mean('iou') >= MIN_IOU[method], `IoU ${mean('iou')}`);
      assert.ok(mean('meanError') <= MAX_MEAN_ERROR, `mean error ${mean('meanError')}`);
      for (const [ground, { edge, edgeUntouched }] of means) {
        assert.ok(edge <= edgeUntouched * 0.5, `a halo on ${ground}: ${edge} of ${edgeUntouched}`);
      }
    });
  }
});
