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
  /** Ends the watch, with the next look. */
  signal: AbortSignal;
}

export interface JobWatchOptions {
  /** How soon something is noticed: a job may be worked on in any process. */
  pollMs?: number;
  silenceMs?: number;
}

const POLL_MS = 200;
const SILENCE_MS = 15_000;
const EVENTS_AT_ONCE = 200;
/** What a job ends with, unless it is retried. */
export const ENDINGS: ReadonlySet<EventType> = new Set(['job.completed', 'job.failed', 'job.cancelled']);

/** Many may watch: all look at the same time, and those of one job look once. */
export class JobWatch {
  readonly #catalog: Services['catalog'];
  readonly #pollMs: number;
  readonly #silenceMs: number;
  /** Being read. */
  readonly #reads = new Map<string, Promise<JobRow | undefined>>();
  #nextLook: Promise<void> | undefined;

  constructor({ catalog }: Pick<Services, 'catalog'>, options: JobWatchOptions = {}) {
    this.#catalog = catalog;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
  }

  /** Nothing more will ever be told to somebody who has seen the events up to this id. */
  async isOver(job: JobRow, afterEventId: number): Promise<boolean> {
    return FINAL.has(job.status) && (await this.#catalog.eventsOf(job.jobId, afterEventId, 1)).length === 0;
  }

  /** Ends when the job has, and all was told. */
  async *follow(
    jobId: string,
    { afterEventId, signal }: WatchOptions,
  ): AsyncGenerator<JobUpdate, void, void> {
    let cursor = afterEventId;
    let before: JobRow | undefined;
    let spokeAtMs = performance.now();
    while (!signal.aborted) {
      const job = await this.#look(jobId);
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
        for (const [event, isLast] of await news(job, cursor, this.#catalog)) {
          // The job has ended since it was read: it is read again before that is told.
          if (isLast && !hasEnded) break;
          cursor = event.id;
          yield { kind: 'event', job, event, isLast };
          spokeAtMs = performance.now();
        }
        if (hasEnded) return;
      }
      before = job;
      if (performance.now() - spokeAtMs >= this.#silenceMs) {
        yield { kind: 'silence' };
        spokeAtMs = performance.now();
      }
      await this.#pause();
    }
  }

  #look(jobId: string): Promise<JobRow | undefined> {
    const shared = this.#reads.get(jobId);
    if (shared) return shared;
    const read = this.#catalog.job(jobId).finally(() => this.#reads.delete(jobId));
    this.#reads.set(jobId, read);
    return read;
  }

  /** One timer for all: fifty cost more than fifty reads. */
  #pause(): Promise<void> {
    this.#nextLook ??= sleep(this.#pollMs).then(() => {
      this.#nextLook = undefined;
    });
    return this.#nextLook;
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

/** Another one whenever what clients are shown of it has changed. */
export const progressOf = ({ status, progress, step, cancelRequested }: JobRow): string =>
  [status, progress, step, cancelRequested].join();

/** Another one whenever there may be a new event. */
export const stateOf = (job: JobRow): string =>
  [
    progressOf(job),
    job.attemptCount,
    job.lostLeases,
    job.startedAt,
    job.completedAt,
    Object.keys(job.processedPaths).length,
  ].join();
