/** How a job ends or waits again, with what that means for its image and the audit trail. */
import type { Outcome } from '../../../domain/job.ts';
import type { JobRow } from '../../../ports/catalog.ts';
import type { SerializedProblem } from '../../../problem.ts';
import { dropReference } from './blobs.ts';
import { record } from './events.ts';
import type { Database, Tx } from './tables.ts';

export const NO_LEASE = { lease_owner: null, lease_until: null } as const;

/** What a job of an image refers to itself, one entry for each reference: a version that is being made. */
export const heldKeys = ({ kind, status, processedPaths }: JobRow): string[] =>
  kind === 'process' && status !== 'completed' ? Object.values(processedPaths) : [];

/**
 * The job leaves the queue for good; without it, an image that has nothing to show has failed as well, and a version that
 * was being made will not be.
 */
export async function end(
  tx: Tx,
  job: JobRow,
  status: 'failed' | 'cancelled',
  at: string,
  more: Partial<Database['processing_jobs']> = {},
): Promise<void> {
  const held = heldKeys(job);
  for (const key of held) await dropReference(tx, key, at);
  await tx
    .updateTable('processing_jobs')
    .set({
      ...NO_LEASE,
      status,
      next_attempt_at: null,
      completed_at: at,
      step: status,
      ...(held.length > 0 && { processed_paths: '{}' }),
      ...more,
    })
    .where('job_id', '=', job.jobId)
    .execute();
  if (job.imageId) {
    await tx
      .updateTable('images')
      .set({ status: 'failed', updated_at: at })
      .where('image_id', '=', job.imageId)
      .where('status', '=', 'pending')
      .execute();
  }
  if (status === 'cancelled') await record(tx, 'job.cancelled', job, {}, at);
}

export async function fail(
  tx: Tx,
  job: JobRow,
  problem: SerializedProblem,
  outcome: Outcome,
  at: string,
): Promise<void> {
  const last_error = JSON.stringify(problem);
  const { code } = problem;
  const attempt = job.attemptCount;
  if (outcome.status === 'retrying') {
    const next_attempt_at = outcome.nextAttemptAt.toISOString();
    await tx
      .updateTable('processing_jobs')
      .set({ ...NO_LEASE, status: 'retrying', next_attempt_at, last_error, step: 'waiting to retry' })
      .where('job_id', '=', job.jobId)
      .execute();
    await record(tx, 'job.retrying', job, { code, attempt, next_attempt_at }, at);
    return;
  }
  await end(tx, job, 'failed', at, { last_error });
  await record(tx, 'job.failed', job, { code, attempt }, at);
}
