/** Metrics for Prometheus; base units in the names (seconds, bytes), as its naming practice wants. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Pool, PoolEvent } from '../engine/pool/pool.ts';
import type { StageTimes } from '../services/context.ts';
import type { Overview } from '../services/overview.ts';

const HTTP_BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Stages are shorter than requests. */
const STAGE_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120,
];

/** A timer that runs for as long as the service: at the usual 10 ms it is most of what an idle one takes. */
const LAG_STEP_MS = 100;

export class Metrics implements StageTimes {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #requests = new Histogram({
    name: 'tintype_http_request_duration_seconds',
    help: 'From the first byte of a request to the last of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: HTTP_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #problems = new Counter({
    name: 'tintype_http_problems_total',
    help: 'Requests that were answered with a problem, by its code.',
    labelNames: ['code'],
    registers: [this.#registry],
  });
  readonly #tasks = new Histogram({
    name: 'tintype_task_duration_seconds',
    help: 'Running time of a task in a child process, without its waiting.',
    labelNames: ['kind', 'outcome'],
    buckets: HTTP_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #taskWaits = new Histogram({
    name: 'tintype_task_wait_seconds',
    help: 'Time that a task waited for a child process.',
    labelNames: ['kind'],
    buckets: HTTP_BUCKETS_SECONDS,
    registers: [this.#registry],
  });

  readonly #stages = new Histogram({
    name: 'tintype_stage_duration_seconds',
    help: 'Stages of accepting an upload, and of a job.',
    labelNames: ['work', 'stage'],
    buckets: STAGE_BUCKETS_SECONDS,
    registers: [this.#registry],
  });

  constructor() {
    this.contentType = this.#registry.contentType;
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: LAG_STEP_MS });
  }

  observeRequest(method: string, route: string, status: number, code: string | undefined, ms: number): void {
    this.#requests.observe({ method, route, status }, ms / 1000);
    if (code !== undefined) this.#problems.inc({ code });
  }

  /** To be called with each event of the pool. */
  observePool(event: PoolEvent): void {
    if (event.type !== 'task_finished') return;
    const { kind, problem, waitedMs, ranMs } = event;
    this.#tasks.observe({ kind, outcome: problem ?? 'completed' }, ranMs / 1000);
    this.#taskWaits.observe({ kind }, waitedMs / 1000);
  }

  observeStage(work: 'upload' | 'job', stage: string, seconds: number): void {
    this.#stages.observe({ work, stage }, seconds);
  }

  /** Adds the pool's state, read whenever the metrics are. */
  watchPool(pool: Pick<Pool, 'stats'>): void {
    const registers = [this.#registry];
    new Gauge({
      name: 'tintype_pool_children',
      help: 'Child processes, by what they do.',
      labelNames: ['state'],
      registers,
      collect() {
        const { busy, idle } = pool.stats();
        this.set({ state: 'busy' }, busy);
        this.set({ state: 'idle' }, idle);
      },
    });
    new Gauge({
      name: 'tintype_pool_waiting_tasks',
      help: 'Tasks that wait for a child process.',
      registers,
      collect() {
        this.set(pool.stats().waiting);
      },
    });
    new Gauge({
      name: 'tintype_pool_resident_memory_bytes',
      help: 'Resident memory of all child processes together, as last sampled.',
      registers,
      collect() {
        this.set(Object.values(pool.stats().rssBytes).reduce((sum, bytes) => sum + bytes, 0));
      },
    });
    new Counter({
      name: 'tintype_pool_child_replacements_total',
      help: 'Children that were replaced: because they died or were killed, or because of age or size.',
      labelNames: ['reason'],
      registers,
      collect() {
        const { restarts, recycled } = pool.stats();
        this.reset();
        this.inc({ reason: 'lost' }, restarts);
        this.inc({ reason: 'recycled' }, recycled);
      },
    });
  }

  /**
   * Adds what the catalog knows of the whole installation. While it does not answer these series are left out, and the
   * others go on.
   */
  watchCatalog(overview: Pick<Overview, 'figures' | 'activity'>): void {
    const registers = [this.#registry];
    type Figures = Awaited<ReturnType<Overview['figures']>>;
    const gauge = (name: string, help: string, value: (figures: Figures) => number) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          const figures = await overview.figures().catch(() => undefined);
          if (figures) this.set(value(figures));
          else this.remove();
        },
      });
    gauge('tintype_images', 'Images in the catalog.', ({ images }) => images);
    gauge(
      'tintype_stored_bytes',
      'Bytes of uploads and renditions; what is shared counts once.',
      (f) => f.bytes,
    );
    gauge('tintype_queue_jobs', 'Jobs that could run now and wait.', ({ jobs }) => jobs.pending);
    gauge(
      'tintype_queue_oldest_job_age_seconds',
      'How long the oldest job that could run has waited; 0 where none does.',
      ({ oldestWaitingSeconds }) => oldestWaitingSeconds ?? 0,
    );
    new Gauge({
      name: 'tintype_jobs',
      help: 'Jobs in the catalog, by their state.',
      labelNames: ['state'],
      registers,
      async collect() {
        this.reset();
        const figures = await overview.figures().catch(() => undefined);
        for (const [state, count] of Object.entries(figures?.jobs ?? {})) this.set({ state }, count);
      },
    });
    new Gauge({
      name: 'tintype_outbox_jobs',
      help: 'Jobs that the queue has not been told of yet.',
      registers,
      async collect() {
        const activity = await overview.activity().catch(() => undefined);
        if (activity) this.set(activity.outbox);
        else this.remove();
      },
    });
  }

  /** The exposition format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
