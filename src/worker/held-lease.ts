/** Keeps the lease of one job while it is worked on, tells its progress, and notices when it is not to be worked on any more. */
import type { JobRow } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from '../services/context.ts';
import type { JobProgress } from '../services/run-job.ts';

export interface LeaseTimes {
  /** How long a lease holds without a heartbeat. */
  leaseMs: number;
  /** How often the job is looked at: a cancelled or deleted one is noticed this soon. Between heartbeats it is a read. */
  watchMs: number;
}

export class HeldLease {
  readonly #job: JobRow;
  readonly #services: Pick<Services, 'catalog' | 'clock' | 'log'>;
  readonly #times: LeaseTimes;
  readonly #lost: (reason: Problem) => void;
  #progress: JobProgress = { percent: 0, step: 'starting' };
  #told = this.#progress;
  #renewedAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #ended = false;

  /** @param lost called once, when the work has to end */
  constructor(
    job: JobRow,
    services: Pick<Services, 'catalog' | 'clock' | 'log'>,
    times: LeaseTimes,
    lost: (reason: Problem) => void,
  ) {
    this.#job = job;
    this.#services = services;
    this.#times = times;
    this.#lost = lost;
    this.#schedule();
  }

  /** Told with the next look. */
  report(progress: JobProgress): void {
    this.#progress = progress;
  }

  /** Resolves when nothing of it runs any more. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #schedule(): void {
    if (this.#ended) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => this.#schedule());
    }, this.#times.watchMs);
  }

  async #look(): Promise<void> {
    const { leaseMs } = this.#times;
    try {
      const held = this.#heartbeatIsDue() ? await this.#heartbeat() : await this.#isHeld();
      if (!held) this.#lose('The job was cancelled or deleted, or another worker has it.');
    } catch (error) {
      const { jobId } = this.#job;
      this.#services.log.warn({ job_id: jobId, err: error }, 'the lease could not be renewed');
      if (performance.now() - this.#renewedAtMs >= leaseMs) this.#lose('The lease ran out.');
    }
  }

  #heartbeatIsDue(): boolean {
    const { leaseMs } = this.#times;
    return this.#progress !== this.#told || performance.now() - this.#renewedAtMs >= leaseMs / 3;
  }

  async #heartbeat(): Promise<boolean> {
    const { catalog, clock } = this.#services;
    const { jobId, leaseOwner } = this.#job;
    const atMs = performance.now();
    const progress = this.#progress;
    const until = new Date(clock.now().getTime() + this.#times.leaseMs);
    if (!(await catalog.heartbeat(jobId, leaseOwner ?? '', until, progress))) return false;
    this.#renewedAtMs = atMs;
    this.#told = progress;
    return true;
  }

  async #isHeld(): Promise<boolean> {
    const { jobId, leaseOwner } = this.#job;
    const row = await this.#services.catalog.job(jobId);
    return row?.status === 'processing' && row.leaseOwner === leaseOwner && !row.cancelRequested;
  }

  #lose(detail: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lost(new Problem('cancelled', { detail }));
  }
}
