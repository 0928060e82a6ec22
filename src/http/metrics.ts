/** Metrics for Prometheus; base units in the names (seconds, bytes), as its naming practice wants. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Pool, PoolEvent } from '../engine/pool/pool.ts';

const HTTP_BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export class Metrics {
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

  constructor() {
    this.contentType = this.#registry.contentType;
    collectDefaultMetrics({ register: this.#registry });
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

  /** The exposition format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
