/** Rows whose time is over, a few at a time: no transaction is long, and none is begun for nothing. */
import type { Catalog } from '../../../ports/catalog.ts';
import { dropReference } from './blobs.ts';
import { record } from './events.ts';
import { jobFrom, type OnDamage } from './rows.ts';
import type { Access, Db, Tx } from './tables.ts';

const DAY_MS = 86_400_000;
const BATCH = 200;

export function expireMethods({ read, write, onDamage }: Access) {
  /** One kind of row: `due` looks without a lock, `remove` looks again under it. */
  async function clear<T>(due: (db: Db) => Promise<T[]>, remove: (tx: Tx, rows: T[]) => Promise<void>) {
    while ((await due(read)).length > 0) {
      await write.transaction().execute(async (tx) => remove(tx, await due(tx)));
    }
  }

  return {
    async expire(now: Date): Promise<void> {
      const at = now.toISOString();
      const dayAgo = new Date(now.getTime() - DAY_MS).toISOString();

      await clear(
        (db) =>
          db
            .selectFrom('presigned_uploads')
            .select('image_id')
            .where('expires_at', '<=', at)
            .limit(BATCH)
            .execute(),
        async (tx, rows) => {
          for (const { image_id } of rows) {
            await tx.deleteFrom('presigned_uploads').where('image_id', '=', image_id).execute();
            // Its job, expected or cancelled, goes with it.
            await tx
              .deleteFrom('images')
              .where('image_id', '=', image_id)
              .where('status', '=', 'expected')
              .execute();
          }
        },
      );

      await clear(
        (db) =>
          db
            .selectFrom('processing_jobs')
            .selectAll()
            .where('image_id', 'is', null)
            .where('completed_at', '<=', dayAgo)
            .limit(BATCH)
            .execute(),
        async (tx, rows) => {
          for (const row of rows) await expireConversion(tx, row, at, onDamage);
        },
      );

      await clear(
        (db) =>
          db
            .selectFrom('idempotency_keys')
            .select(['owner', 'key'])
            .where('created_at', '<=', dayAgo)
            .limit(BATCH)
            .execute(),
        async (tx, rows) => {
          for (const { owner, key } of rows) {
            await tx
              .deleteFrom('idempotency_keys')
              .where('owner', '=', owner)
              .where('key', '=', key)
              .execute();
          }
        },
      );

      await clear(
        (db) =>
          db
            .selectFrom('upload_rate_limits')
            .select(['user_id', 'window_start'])
            .where('window_start', '<=', at)
            .where('window_end', '<=', at)
            .limit(BATCH)
            .execute(),
        async (tx, rows) => {
          for (const { user_id, window_start } of rows) {
            await tx
              .deleteFrom('upload_rate_limits')
              .where('user_id', '=', user_id)
              .where('window_start', '=', window_start)
              .execute();
          }
        },
      );
    },
  } satisfies Partial<Catalog>;
}

async function expireConversion(
  tx: Tx,
  row: Parameters<typeof jobFrom>[0],
  at: string,
  onDamage: OnDamage,
): Promise<void> {
  const job = jobFrom(row, onDamage);
  await tx.deleteFrom('processing_jobs').where('job_id', '=', job.jobId).execute();
  const keys = Object.values(job.processedPaths);
  if (job.stagingPath !== null) keys.push(job.stagingPath);
  for (const key of keys) await dropReference(tx, key, at);
  await record(tx, 'conversion.expired', job, {}, at);
}
