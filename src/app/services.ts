/** Opens what a configuration names: catalog, blobs, queue. */
import type { Logger } from 'pino';
import { type Config, limitsFrom } from '../config.ts';
import type { Policies } from '../contract/policies.ts';
import { openFsBlobs } from '../drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../drivers/catalog/sqlite.ts';
import { EmbeddedQueue } from '../drivers/queue/embedded.ts';
import type { Pool } from '../engine/pool/pool.ts';
import { systemClock } from '../ports/clock.ts';
import type { Services } from '../services/context.ts';
import { leaseOwner } from '../services/lease-owner.ts';
import { createRelay, type Relay } from '../services/relay.ts';
import { expectNoRestore } from './restore-target.ts';

export interface OpenOptions {
  pool: Pool;
  logger: Logger;
  policies: Policies;
  urlSigningKey: Uint8Array;
  metrics?: NonNullable<Services['metrics']>;
}

export interface OpenServices {
  services: Services;
  relay: Relay;
}

/**
 * @param stack closes what was opened, the catalog last
 * @throws Problem `dependency_down`, or `invalid_configuration` where a later release wrote the catalog
 */
export async function openServices(
  config: Config,
  { pool, logger, policies, urlSigningKey, metrics }: OpenOptions,
  stack: AsyncDisposableStack,
): Promise<OpenServices> {
  expectNoRestore(config);
  const catalog = await openSqliteCatalog(config.databasePath, {
    onDamage: ({ cause, ...where }) => logger.error({ ...where, err: cause }, 'the catalog is damaged'),
  });
  stack.defer(() => catalog.close());
  expectNoRestore(config);
  const blobs = await openFsBlobs(config.storagePath);
  const queue = new EmbeddedQueue();
  stack.defer(() => queue.close());
  const relay = createRelay({ catalog, queue, log: logger });
  const services: Services = {
    catalog,
    blobs,
    queue,
    wakeRelay: () => relay.kick(),
    pool,
    clock: systemClock,
    log: logger,
    policies,
    limits: limitsFrom(config, 'upload'),
    rateLimit: { max: config.rateLimitMaxUploads, windowMs: config.rateLimitWindowMs },
    maxPendingJobs: config.maxPendingJobs,
    maxRetries: config.maxRetries,
    retryDelayMs: config.retryDelayMs,
    presignedTtlMs: config.presignedUrlTtlMs,
    urlSigningKey,
    leaseOwner: leaseOwner(),
    ...(metrics && { metrics }),
  };
  return { services, relay };
}
