/** Follows the jobs of one request: how they stand, what has happened and what happens, until all have ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { batchState } from '../domain/batch.ts';
import { FINAL } from '../domain/job.ts';
import type { EventRow, JobRow } from '../ports/catalog.ts';
import type { Services } from './context.ts';
import { ENDINGS, type JobWatchOptions, progressOf, stateOf, type WatchOptions } from './watch-job.ts';

export type BatchUpdate =
  /** The first of all, and whenever what they add up to has changed. */
  | { kind: 'state'; jobs: readonly JobRow[] }
  /** One that has not ended, first and whenever its progress or step has changed. */
  | { kind: 'job'; job: JobRow }
  /** `isEnd`: this job has ended with it. `isLast`: and so have all; `over` follows. */
  | { kind: 'event'; job: JobRow; event: EventRow; isEnd: boolean; isLast: boolean }
  /** All have ended. The id is that of the last event. */
  | { kind: 'over'; jobs: readonly JobRow[]; eventId: number }
  /** All were deleted with their images. */
  | { kind: 'gone' }
  /** Nothing for a while. */
  | { kind: 'silence' };

const POLL_MS = 250;
const SILENCE_MS = 15_000;
const EVENTS_AT_ONCE = 500;

/** Those who watch the same batch look together. */
export class BatchWatch {
  readonly #catalog: Services['catalog'];
  readonly #pollMs: number;
  readonly #silenceMs: number;
  /** Being read. */
  readonly #reads = new Map<string, Promise<JobRow[]>>();

  constructor({ catalog }: Pick<Services, 'catalog'>, options: JobWatchOptions = {}) {
    this.#catalog = catalog;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
  }

  /** Nothing more will ever be told to somebody who has seen the events up to this id. */
  async isOver(batchId: string, jobs: readonly JobRow[], afterEventId: number): Promise<boolean> {
    return haveEnded(jobs) && (await this.#catalog.batchEvents(batchId, afterEventId, 1)).length === 0;
  }

  /** Ends when all jobs have, and all was told. */
  async *follow(
    batchId: string,
    { afterEventId, signal }: WatchOptions,
  ): AsyncGenerator<BatchUpdate, void, void> {
    let cursor = afterEventId;
    let before = new Map<string, JobRow>();
    let toldState = '';
    let spokeAtMs = performance.now();
    while (!signal.aborted) {
      const jobs = await this.#look(batchId);
      if (jobs.length === 0) {
        yield { kind: 'gone' };
        return;
      }
      const updates: BatchUpdate[] = [];
      const state = JSON.stringify(batchState(jobs));
      if (state !== toldState) updates.push({ kind: 'state', jobs });
      toldState = state;
      for (const job of jobs) {
        const known = before.get(job.jobId);
        const isNews = !known || progressOf(known) !== progressOf(job);
        if (isNews && !FINAL.has(job.status)) updates.push({ kind: 'job', job });
      }
      if (jobs.some((job) => !isSame(job, before.get(job.jobId)))) {
        updates.push(...(await this.#news(batchId, jobs, cursor)));
      }
      for (const update of updates) {
        if (update.kind === 'event') cursor = update.event.id;
        yield update;
      }
      if (haveEnded(jobs)) {
        yield { kind: 'over', jobs, eventId: cursor };
        return;
      }
      before = new Map(jobs.map((job) => [job.jobId, job]));
      if (updates.length > 0) spokeAtMs = performance.now();
      else if (performance.now() - spokeAtMs >= this.#silenceMs) {
        yield { kind: 'silence' };
        spokeAtMs = performance.now();
      }
      await sleep(this.#pollMs);
    }
  }

  /** Oldest first, as far as it goes with the jobs as they were read. */
  async #news(batchId: string, jobs: readonly JobRow[], afterId: number): Promise<BatchUpdate[]> {
    const events: EventRow[] = [];
    for (;;) {
      const after = events.at(-1)?.id ?? afterId;
      const page = await this.#catalog.batchEvents(batchId, after, EVENTS_AT_ONCE);
      events.push(...page);
      if (page.length < EVENTS_AT_ONCE) break;
    }
    const byId = new Map(jobs.map((job) => [job.jobId, job]));
    // An ending is one only where nothing followed it: a failed job may have been retried.
    const lastOf = new Map(events.map(({ jobId, id }) => [jobId, id]));
    const updates: BatchUpdate[] = [];
    for (const event of events) {
      const job = byId.get(event.jobId ?? '');
      if (!job) continue;
      const isEnd = ENDINGS.has(event.eventType) && lastOf.get(job.jobId) === event.id;
      // The job has ended since it was read: it is read again before that is told.
      if (isEnd && !FINAL.has(job.status)) break;
      updates.push({ kind: 'event', job, event, isEnd, isLast: haveEnded(jobs) && event === events.at(-1) });
    }
    return updates;
  }

  #look(batchId: string): Promise<JobRow[]> {
    const shared = this.#reads.get(batchId);
    if (shared) return shared;
    const read = this.#catalog.batch(batchId).finally(() => this.#reads.delete(batchId));
    this.#reads.set(batchId, read);
    return read;
  }
}

const haveEnded = (jobs: readonly JobRow[]): boolean => jobs.every(({ status }) => FINAL.has(status));

const isSame = (job: JobRow, known: JobRow | undefined): boolean =>
  known !== undefined && stateOf(known) === stateOf(job);
