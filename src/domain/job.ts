/**
 * The life of a job, pure. The catalog stores what these functions decide; no driver decides by itself.
 *
 *   expected ──bytes arrive──▶ pending ──lease──▶ processing ──▶ completed
 *      │ expires                  ▲  ▲                │ retryable fault, attempts left
 *      ▼                          │  └── due ── retrying ◀┤
 *   (removed)         retry (user)│                   │ else
 *                                 └────── failed ◀────┘        cancelled ◀── cancel, from any state that is not final
 */
import { SHOWN_JOB_STATUSES } from '../contract/jobs.ts';
import type { ProblemCode, SerializedProblem } from '../problem.ts';
import { PROBLEMS } from '../problem.ts';

/** `expected` is shown to clients as `pending`. */
export const JOB_STATUSES = ['expected', ...SHOWN_JOB_STATUSES] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/** States that nothing leaves by itself. */
export const FINAL: ReadonlySet<JobStatus> = new Set(['completed', 'failed', 'cancelled']);
/** States from which a user may have the job run again, from its first attempt. */
export const RETRYABLE_BY_USER: ReadonlySet<JobStatus> = new Set(['failed', 'cancelled', 'retrying']);

/** A lease that ended without a word (its process died) is not the input's fault until it has happened this often. */
export const MAX_LOST_LEASES = 10;
const MAX_DELAY_MS = 3_600_000;

export interface RetryPolicy {
  /** Attempts after the first. */
  maxRetries: number;
  /** Before the second attempt; doubled for each later one, an hour at most. */
  retryDelayMs: number;
}

export type Outcome = { status: 'retrying'; nextAttemptAt: Date } | { status: 'failed' };

/**
 * What follows a failed attempt: another, later and later, while the fault may pass and attempts are left. Where the
 * problem says how long its cause will last, the next attempt does not come sooner.
 * @param attempts made so far, this one included
 */
export function afterFailure(
  problem: SerializedProblem,
  attempts: number,
  policy: RetryPolicy,
  now: Date,
): Outcome {
  if (!mayPass(problem.code) || attempts > policy.maxRetries) return { status: 'failed' };
  const backOffMs = policy.retryDelayMs * 2 ** Math.max(0, attempts - 1);
  const askedMs = (problem.retryAfterSeconds ?? 0) * 1000;
  const delayMs = Math.min(MAX_DELAY_MS, Math.max(backOffMs, askedMs));
  return { status: 'retrying', nextAttemptAt: new Date(now.getTime() + delayMs) };
}

/** A code that this release does not know (stored by another one) is taken for our own fault, as `Problem` does. */
const mayPass = (code: ProblemCode) => (PROBLEMS[code] ?? PROBLEMS.internal).retryable;
