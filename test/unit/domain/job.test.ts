import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { afterFailure, FINAL, JOB_STATUSES, RETRYABLE_BY_USER } from '../../../src/domain/job.ts';
import type { ProblemCode } from '../../../src/problem.ts';

const NOW = new Date('2026-03-01T12:00:00Z');
const POLICY = { maxRetries: 3, retryDelayMs: 60_000 };

function delayMs(code: ProblemCode, attempts: number, more: object = {}): number | undefined {
  const outcome = afterFailure({ code, ...more }, attempts, POLICY, NOW);
  return outcome.status === 'retrying' ? outcome.nextAttemptAt.getTime() - NOW.getTime() : undefined;
}

describe('a failed attempt', () => {
  test('is followed by later and later ones while attempts are left', () => {
    assert.deepEqual(
      [1, 2, 3, 4].map((attempts) => delayMs('dependency_down', attempts)),
      [60_000, 120_000, 240_000, undefined],
    );
  });

  test('is the last where doing the same again cannot help', () => {
    assert.equal(delayMs('undecodable_image', 1), undefined);
    assert.equal(delayMs('decoder_crashed', 1), undefined);
  });

  test('is not repeated sooner than the problem asks for, nor later than in an hour', () => {
    assert.equal(delayMs('overloaded', 1, { retryAfterSeconds: 5 }), 60_000);
    assert.equal(delayMs('overloaded', 1, { retryAfterSeconds: 90 }), 90_000);
    assert.equal(delayMs('overloaded', 1, { retryAfterSeconds: 86_400 }), 3_600_000);
    const policy = { maxRetries: 5_000, retryDelayMs: 60_000 };
    const outcome = afterFailure({ code: 'internal' }, 4_000, policy, NOW);
    assert.deepEqual(outcome, { status: 'retrying', nextAttemptAt: new Date('2026-03-01T13:00:00Z') });
  });

  test('is the only one where no retries are wanted', () => {
    const outcome = afterFailure({ code: 'internal' }, 1, { ...POLICY, maxRetries: 0 }, NOW);
    assert.deepEqual(outcome, { status: 'failed' });
  });

  test('with a code of another release is repeated like a fault of ours', () => {
    assert.equal(delayMs('some_later_code' as ProblemCode, 1), 60_000);
  });
});

test('a job under way or completed is not retried by its user', () => {
  assert.deepEqual(
    JOB_STATUSES.filter((status) => RETRYABLE_BY_USER.has(status)),
    ['retrying', 'failed', 'cancelled'],
  );
  assert.deepEqual(
    JOB_STATUSES.filter((status) => FINAL.has(status)),
    ['completed', 'failed', 'cancelled'],
  );
});
