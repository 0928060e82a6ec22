import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { batchState } from '../../../src/domain/batch.ts';
import type { JobStatus } from '../../../src/domain/job.ts';

const of = (...statuses: JobStatus[]) => batchState(statuses.map((status) => ({ status, progress: 40 })));

describe('the state of a batch', () => {
  test('is what its jobs add up to', () => {
    for (const [statuses, state] of [
      [['pending', 'expected'], 'pending'],
      [['pending', 'processing'], 'processing'],
      [['completed', 'pending'], 'processing'],
      [['failed', 'retrying'], 'processing'],
      [['completed', 'completed'], 'completed'],
      [['completed', 'failed'], 'partially_completed'],
      [['completed', 'cancelled'], 'partially_completed'],
      [['failed', 'cancelled'], 'failed'],
    ] as [JobStatus[], string][]) {
      assert.equal(of(...statuses).status, state, statuses.join());
    }
  });

  test('counts each job once, one whose bytes have not come among those that wait', () => {
    assert.deepEqual(of('expected', 'pending', 'processing', 'failed').counts, {
      pending: 2,
      processing: 1,
      retrying: 0,
      completed: 0,
      failed: 1,
      cancelled: 0,
    });
  });

  test('is done by 100 percent where all have ended, however they have, and never before', () => {
    assert.equal(of('processing', 'failed').progress, 70);
    assert.equal(of('cancelled', 'failed').progress, 100);
    const nearly = [
      { status: 'completed', progress: 100 },
      { status: 'processing', progress: 99 },
    ] as const;
    assert.equal(batchState(nearly).progress, 99);
    assert.equal(batchState([]).progress, 100);
  });
});
