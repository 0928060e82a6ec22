/** References to stored bytes, and their deletion once nothing refers to them. */
import { sql } from 'kysely';
import type { Catalog } from '../../../ports/catalog.ts';
import { isHeld } from './holds.ts';
import { repeated } from './repeated.ts';
import type { Access, Tx } from './tables.ts';

const refer = repeated(
  (db, v: { key: string; bytes: number; width: number | null; height: number | null; at: string }) =>
    db
      .insertInto('blobs')
      .values({ key: v.key, bytes: v.bytes, refs: 1, width: v.width, height: v.height, created_at: v.at })
      .onConflict((c) =>
        c.column('key').doUpdateSet({
          refs: sql`blobs.refs + 1`,
          width: sql`coalesce(blobs.width, excluded.width)`,
          height: sql`coalesce(blobs.height, excluded.height)`,
        }),
      ),
);

const callOffDeletion = repeated((db, { key }: { key: string }) =>
  db.deleteFrom('blob_deletions').where('key', '=', key),
);

const storedBlob = repeated((db, { key }: { key: string }) =>
  db.selectFrom('blobs').select(['bytes', 'refs', 'width', 'height']).where('key', '=', key),
);

/** One reference more; a deletion that was queued for the key is called off. */
export async function addReference(
  tx: Tx,
  key: string,
  of: { bytes: number; width?: number; height?: number },
  at: string,
): Promise<void> {
  const { bytes, width = null, height = null } = of;
  await refer(tx, { key, bytes, width, height, at });
  await callOffDeletion(tx, { key });
}

/** One reference less; with the last one the row goes and the key is queued for deletion. */
export async function dropReference(tx: Tx, key: string, at: string): Promise<void> {
  const row = await tx
    .updateTable('blobs')
    .set({ refs: sql`refs - 1` })
    .where('key', '=', key)
    .returning('refs')
    .executeTakeFirst();
  if (row?.refs !== 0) return;
  await tx.deleteFrom('blobs').where('key', '=', key).execute();
  await queueDeletion(tx, key, at);
}

async function queueDeletion(tx: Tx, key: string, queued_at: string): Promise<void> {
  await tx
    .insertInto('blob_deletions')
    .values({ key, queued_at })
    .onConflict((c) => c.doNothing())
    .execute();
}

export function blobMethods({ read, write }: Access) {
  return {
    async blob(key: string) {
      const {
        rows: [row],
      } = await storedBlob(read, { key });
      return row && { key, ...row };
    },

    async storedBlobs(afterKey: string, limit: number) {
      const rows = await read
        .selectFrom('blobs')
        .select(['key', 'bytes'])
        .where('key', '>', afterKey)
        .orderBy('key')
        .limit(limit)
        .execute();
      return rows.map(({ key, bytes }) => ({ key, bytes }));
    },

    async deleteBlobs(
      limit: number,
      remove: (key: string) => Promise<void>,
      now: Date = new Date(),
    ): Promise<number> {
      if (await isHeld(read, now)) return 0;
      const queued = await read
        .selectFrom('blob_deletions')
        .select('key')
        .orderBy('queued_at')
        .orderBy('key')
        .limit(limit)
        .execute();
      let removed = 0;
      for (const { key } of queued) {
        try {
          // One short transaction each: an upload that wants the same key waits for it, and then stores it anew.
          removed += await write.transaction().execute(async (tx) => {
            if (await isHeld(tx, now)) return 0;
            const taken = await tx.deleteFrom('blob_deletions').where('key', '=', key).executeTakeFirst();
            if (taken.numDeletedRows === 0n) return 0;
            if (await known(tx, key)) return 0;
            await remove(key);
            return 1;
          });
        } catch (error) {
          // Behind the others: one that cannot be deleted must not keep them for ever.
          await write.transaction().execute(async (tx) => {
            const queued_at = new Date().toISOString();
            await tx.updateTable('blob_deletions').set({ queued_at }).where('key', '=', key).execute();
          });
          throw error;
        }
      }
      return removed;
    },

    async removeIfUnknown(
      key: string,
      remove: () => Promise<void>,
      now: Date = new Date(),
    ): Promise<boolean> {
      return write.transaction().execute(async (tx) => {
        if (await known(tx, key)) return false;
        if (await isHeld(tx, now)) {
          await queueDeletion(tx, key, now.toISOString());
          return false;
        }
        await remove();
        return true;
      });
    },
  } satisfies Partial<Catalog>;
}

async function known(tx: Tx, key: string): Promise<boolean> {
  return (await tx.selectFrom('blobs').select('key').where('key', '=', key).executeTakeFirst()) !== undefined;
}
