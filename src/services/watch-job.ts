/** Follows a job: how it stands, what has happened and what happens, until it has ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FINAL } from '../domain/job.ts';
import type { EventRow, EventType, JobRow } from '../ports/catalog.ts';
import type { Services } from './context.ts';

export type JobUpdate =
  /** The first of all, and whenever progress or step has changed. */
  | { kind: 'state'; job: JobRow }
  /** `isLast`: the job has ended with it. */
  | { kind: 'event'; job: JobRow; event: EventRow; isLast: boolean }
  /** Deleted with its image, or expired. */
  | { kind: 'gone' }
  /** Nothing for a while. */
  | { kind: 'silence' };

export interface WatchOptions {
  /** Events up to this id were seen already. */
  afterEventId: number;
  /** Ends the watch. */
  signal: AbortSignal;
  /** How soon something is noticed: the job may be worked on in any process. */
  pollMs?: number;
  silenceMs?: number;
}

const POLL_MS = 200;
const SILENCE_MS = 15_000;
const EVENTS_AT_ONCE = 200;
const ENDINGS: ReadonlySet<EventType> = new Set(['job.completed', 'job.failed', 'job.cancelled']);

/** Nothing more will ever be told to somebody who has seen the events up to this id. */
export async function hasSeenAll(
  job: JobRow,
  afterEventId: number,
  { catalog }: Pick<Services, 'catalog'>,
): Promise<boolean> {
  return FINAL.has(job.status) && (await catalog.eventsOf(job.jobId, afterEventId, 1)).length === 0;
}

/** Costs one small read a poll, and another where something has changed. Ends when the job has, and all was told. */
export async function* watchJob(
  jobId: string,
  { catalog }: Pick<Services, 'catalog'>,
  { afterEventId, signal, pollMs = POLL_MS, silenceMs = SILENCE_MS }: WatchOptions,
): AsyncGenerator<JobUpdate, void, void> {
  let cursor = afterEventId;
  let before: JobRow | undefined;
  let spokeAtMs = performance.now();
  while (!signal.aborted) {
    const job = await catalog.job(jobId);
    if (!job) {
      yield { kind: 'gone' };
      return;
    }
    if (!before || progressOf(job) !== progressOf(before)) {
      yield { kind: 'state', job };
      spokeAtMs = performance.now();
    }
    if (!before || stateOf(job) !== stateOf(before)) {
      const hasEnded = FINAL.has(job.status);
      for (const [event, isLast] of await news(job, cursor, catalog)) {
        // The job has ended since it was read: it is read again before that is told.
        if (isLast && !hasEnded) break;
        cursor = event.id;
        yield { kind: 'event', job, event, isLast };
        spokeAtMs = performance.now();
      }
      if (hasEnded) return;
    }
    before = job;
    if (performance.now() - spokeAtMs >= silenceMs) {
      yield { kind: 'silence' };
      spokeAtMs = performance.now();
    }
    await sleep(pollMs, undefined, { signal }).catch(() => {});
  }
}

/** Oldest first. An ending is the last one only where nothing followed it: a failed job may have been retried. */
async function news(
  { jobId }: JobRow,
  afterId: number,
  catalog: Services['catalog'],
): Promise<[event: EventRow, isLast: boolean][]> {
  const events: EventRow[] = [];
  for (;;) {
    const page = await catalog.eventsOf(jobId, events.at(-1)?.id ?? afterId, EVENTS_AT_ONCE);
    events.push(...page);
    if (page.length < EVENTS_AT_ONCE) break;
  }
  return events.map((event, i) => [event, i === events.length - 1 && ENDINGS.has(event.eventType)]);
}

const progressOf = ({ status, progress, step, cancelRequested }: JobRow): string =>
  [status, progress, step, cancelRequested].join();

/** Another one whenever there may be a new event. */
const stateOf = (job: JobRow): string =>
  [
    progressOf(job),
    job.attemptCount,
    job.lostLeases,
    job.startedAt,
    job.completedAt,
    Object.keys(job.processedPaths).length,
  ].join();
