import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planFromSegment } from '../../../src/contract/plan-codec.ts';
import { planFor } from '../../../src/contract/plan-for-source.ts';

test('a drawing is made as large as it is asked for, a picture of pixels is not', () => {
  const plan = planFromSegment('w_600,grayscale,resize,h_50,f_png');
  const before = structuredClone(plan);
  assert.deepEqual(
    planFor('svg', plan),
    planFromSegment('w_600,enlarge,grayscale,resize,h_50,enlarge,f_png'),
  );
  assert.deepEqual(planFor('png', plan), plan);
  assert.deepEqual(plan, before, 'the plan itself stays');
});
