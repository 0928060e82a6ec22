/** What several jobs add up to. */
import type { BatchDocument } from '../contract/jobs.ts';
import { SHOWN_JOB_STATUSES } from '../contract/jobs.ts';
import { FINAL, type JobStatus } from './job.ts';

export type BatchState = Pick<BatchDocument, 'status' | 'progress' | 'counts'>;

/** A job that has ended, well or not, counts as all of its part of the progress. */
export function batchState(jobs: readonly { status: JobStatus; progress: number }[]): BatchState {
  const counts = Object.fromEntries(SHOWN_JOB_STATUSES.map((status) => [status, 0])) as BatchState['counts'];
  let percent = 0;
  for (const { status, progress } of jobs) {
    counts[status === 'expected' ? 'pending' : status] += 1;
    percent += FINAL.has(status) ? 100 : progress;
  }
  return {
    status: statusOf(counts, jobs.length),
    progress: jobs.length === 0 ? 100 : Math.floor(percent / jobs.length),
    counts,
  };
}

function statusOf(counts: BatchState['counts'], total: number): BatchState['status'] {
  const { pending, completed, failed, cancelled } = counts;
  if (completed === total) return 'completed';
  if (pending === total) return 'pending';
  if (failed + cancelled === total) return 'failed';
  return completed + failed + cancelled === total ? 'partially_completed' : 'processing';
}
