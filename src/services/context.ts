/** What every service of the house works with. `app.ts` makes one; each service takes what it needs of it. */

import type { Policies } from '../contract/policies.ts';
import type { Limits } from '../engine/limits.ts';
import type { Pool } from '../engine/pool/pool.ts';
import type { Blobs } from '../ports/blobs.ts';
import type { Catalog, RateLimit } from '../ports/catalog.ts';
import type { Clock } from '../ports/clock.ts';
import type { Queue } from '../ports/queue.ts';

/** Structured log lines; never image content, tokens or secrets. */
export interface Log {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

/** Takes the time of the stages that a piece of work goes through. */
export interface StageTimes {
  /** @param work what it is a stage of. The names of both are few: each pair is a series of its own */
  observeStage(work: 'upload' | 'job', stage: string, seconds: number): void;
}

export interface Services {
  catalog: Catalog;
  blobs: Blobs;
  queue: Queue;
  /** A job was accepted: the relay need not wait for its next look at the outbox. `Relay.kick`. */
  wakeRelay: () => void;
  pool: Pool;
  clock: Clock;
  log: Log;
  /** Presets, and what each bucket does with its images. */
  policies: Policies;
  /** Of an upload. */
  limits: Limits;
  rateLimit: RateLimit;
  /** Of one owner, to be refused more processing. */
  maxPendingJobs: number;
  maxRetries: number;
  retryDelayMs: number;
  presignedTtlMs: number;
  /** Signs private image URLs and direct uploads. */
  urlSigningKey: Uint8Array;
  /** This process as the holder of leases. */
  leaseOwner: string;
  /** Nobody measures where it is absent. */
  metrics?: StageTimes;
}
