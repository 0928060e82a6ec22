/**
 * Takes jobs as long as there are some, and works on a few at a time:
 *
 *   wait (delivery · poll · a job ended) → a slot and a child of the engine free? → lease → run, with heartbeats → again
 *
 * The queue only says when to look; the catalog says what is next. Nothing ends the loop but `stop`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobRow } from '../ports/catalog.ts';
import type { Delivery } from '../ports/queue.ts';
import { Problem } from '../problem.ts';
import type { Services } from '../services/context.ts';
import { newLease } from '../services/lease-owner.ts';
import { type JobEnd, type RunJobServices, runJob } from '../services/run-job.ts';
import { Turns } from '../services/turns.ts';
import { HeldLease } from './held-lease.ts';

export interface WorkerOptions {
  /** Jobs at the same time. */
  concurrency: number;
  /** How long a dead worker's job waits, at most, for another; heartbeats come three times as often. */
  leaseMs?: number;
  /** How often the catalog is asked where no delivery comes: other processes' jobs, and retries that fall due. */
  pollMs?: number;
  /** How soon a job under way notices that it was cancelled or deleted. */
  watchMs?: number;
}

export interface WorkerStats {
  concurrency: number;
  running: number;
}

export interface Worker {
  stats(): WorkerStats;
  /**
   * Leases nothing more and lets what runs finish; what is left after `graceMs` is called off and given back, as if it
   * had not been tried. Again with less shortens it.
   */
  stop(options: { graceMs: number }): Promise<void>;
}

export type WorkerServices = RunJobServices & Pick<Services, 'queue' | 'leaseOwner'>;

const LEASE_MS = 30_000;
const POLL_MS = 1_000;
const WATCH_MS = 250;
/** While the engine is busy with what somebody waits for. */
const CHILD_POLL_MS = 50;
/** Behind requests that somebody waits for, which have 0 … */
const BEHIND_REQUESTS = -1;
/** … but not for ever: after so long without a free child a job stands in line with them. */
const PATIENCE_MS = 2_000;
const MAX_BACKOFF_MS = 10_000;
/** How long a stopping worker tries to give a job back; a sweep takes it from the dead otherwise. */
const LAST_WORDS_MS = 2_000;

/** Starts at once. */
export function startWorker(services: WorkerServices, options: WorkerOptions): Worker {
  return new LeasingWorker(services, options);
}

class LeasingWorker implements Worker {
  readonly #services: WorkerServices;
  readonly #options: Required<WorkerOptions>;
  readonly #running = new Map<Promise<void>, AbortController>();
  readonly #turns = new Turns();
  readonly #graceOver = Promise.withResolvers<void>();
  readonly #loop: Promise<void>;
  #wake = new AbortController();
  #noChildSinceMs: number | undefined;
  #stopping: Promise<void> | undefined;

  constructor(services: WorkerServices, options: WorkerOptions) {
    this.#services = services;
    this.#options = { leaseMs: LEASE_MS, pollMs: POLL_MS, watchMs: WATCH_MS, ...options };
    this.#loop = this.#run();
  }

  stats(): WorkerStats {
    return { concurrency: this.#options.concurrency, running: this.#running.size };
  }

  stop({ graceMs }: { graceMs: number }): Promise<void> {
    const timer = setTimeout(this.#graceOver.resolve, graceMs);
    this.#stopping ??= this.#drain();
    this.#wake.abort();
    return this.#stopping.finally(() => clearTimeout(timer));
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // `#stopping` is set by now
    await this.#loop;
    const ended = Promise.all(this.#running.keys());
    await Promise.race([ended, this.#graceOver.promise]);
    const reason = new Problem('shutting_down');
    for (const controller of this.#running.values()) controller.abort(reason);
    await ended;
  }

  async #run(): Promise<void> {
    const { queue, log } = this.#services;
    let delivery: Delivery | undefined;
    let failures = 0;
    while (!this.#stopping) {
      this.#wake = new AbortController();
      const { signal } = this.#wake;
      try {
        const waitMs = await this.#lease();
        await delivery?.ack();
        delivery = undefined;
        failures = 0;
        if (this.#stopping || signal.aborted) continue;
        // A slot or a child has to come free: deliveries are left for those who have one.
        if (waitMs === undefined) delivery = await queue.receive(this.#options.pollMs, signal);
        else await pause(waitMs, signal);
      } catch (error) {
        const backOffMs = Math.min(MAX_BACKOFF_MS, 100 * 2 ** failures++);
        log.warn({ err: error, failures, wait_ms: backOffMs }, 'no job could be leased');
        await delivery?.nack(backOffMs).catch(() => {}); // the poll finds what it stood for
        delivery = undefined;
        if (!this.#stopping) await pause(backOffMs, this.#wake.signal);
      }
    }
    await delivery?.nack(0).catch(() => {});
  }

  /**
   * Leases until nothing is due or nothing more can be taken.
   * @returns how long to wait before more can be taken; undefined where nothing is due
   */
  async #lease(): Promise<number | undefined> {
    const { catalog, clock, leaseOwner } = this.#services;
    const { concurrency, leaseMs, pollMs } = this.#options;
    while (!this.#stopping) {
      // A job that is leased now would lose an attempt to what is not its fault, and so would all that wait.
      if (this.#services.pool.stats().down) return pollMs;
      if (this.#running.size >= concurrency) return Number.POSITIVE_INFINITY;
      const priority = this.#priority();
      if (priority === undefined) return CHILD_POLL_MS;
      const now = clock.now();
      const until = new Date(now.getTime() + leaseMs);
      const job = await catalog.leaseNext({ owner: newLease(leaseOwner), until }, now);
      this.#noChildSinceMs = undefined;
      if (!job) return undefined;
      this.#start(job, priority);
    }
    return undefined;
  }

  /** Of a job that is leased now; undefined where it had better not be. */
  #priority(): number | undefined {
    const { size, busy, waiting } = this.#services.pool.stats();
    // A job that was leased a moment ago has not come to the pool yet.
    if (Math.max(busy + waiting, this.#running.size) < size) return BEHIND_REQUESTS;
    this.#noChildSinceMs ??= performance.now();
    return performance.now() - this.#noChildSinceMs >= PATIENCE_MS ? 0 : undefined;
  }

  #start(job: JobRow, priority: number): void {
    const controller = new AbortController();
    const work = this.#work(job, priority, controller).catch((error) =>
      this.#services.log.error({ job_id: job.jobId, err: error }, 'a job was left to its lease'),
    );
    this.#running.set(work, controller);
    void work.then(() => {
      this.#running.delete(work);
      this.#wake.abort();
    });
  }

  async #work(job: JobRow, priority: number, controller: AbortController): Promise<void> {
    const { log } = this.#services;
    const fields = { job_id: job.jobId, attempt: job.attemptCount };
    const begun = performance.now();
    log.debug(fields, 'job leased');
    const lease = new HeldLease(job, this.#services, this.#options, (reason) => controller.abort(reason));
    let end: JobEnd = 'stopped';
    try {
      end = await runJob(job, this.#services, {
        signal: controller.signal,
        priority,
        turns: this.#turns,
        onProgress: (progress) => lease.report(progress),
      });
    } catch (error) {
      log.warn({ ...fields, err: error }, 'the catalog was not told how a job ended');
    } finally {
      await lease.end();
    }
    if (end === 'stopped') await this.#giveBack(job);
    log.info({ ...fields, end, ms: Math.round(performance.now() - begun) }, 'job ended');
  }

  /** Tried again and again while the catalog is away, for as long as the lease may hold. */
  async #giveBack({ jobId, leaseOwner }: JobRow): Promise<void> {
    const { catalog, clock } = this.#services;
    const begun = performance.now();
    for (let pauseMs = 50; ; pauseMs = Math.min(2_000, pauseMs * 2)) {
      try {
        if (await catalog.confirmCancelled(jobId, leaseOwner ?? '', clock.now())) return;
        await catalog.releaseJob(jobId, leaseOwner ?? '');
        return;
      } catch (error) {
        const limitMs = this.#stopping ? LAST_WORDS_MS : this.#options.leaseMs;
        const isOver = performance.now() - begun + pauseMs > limitMs;
        if (isOver || Problem.from(error).code === 'shutting_down') throw error;
      }
      await sleep(pauseMs);
    }
  }
}

/** @param ms Infinity waits for the signal alone */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = Number.isFinite(ms) ? setTimeout(end, ms) : undefined;
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
}
