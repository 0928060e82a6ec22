/** Deletions that wait: an object that a snapshot refers to must not go before it is copied. */
import type { Catalog } from '../../../ports/catalog.ts';
import type { Access, Db } from './tables.ts';

/** Asked under the write lock, the answer holds until the transaction ends. */
export async function isHeld(db: Db, now: Date): Promise<boolean> {
  const row = await db
    .selectFrom('deletion_holds')
    .select('id')
    .where('held_until', '>', now.toISOString())
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export function holdMethods({ write }: Access) {
  return {
    async holdDeletions(id: string, until: Date): Promise<void> {
      const held_until = until.toISOString();
      await write.transaction().execute(async (tx) => {
        await tx
          .insertInto('deletion_holds')
          .values({ id, held_until })
          .onConflict((c) => c.column('id').doUpdateSet({ held_until }))
          .execute();
      });
    },

    async releaseDeletions(id: string, now: Date = new Date()): Promise<void> {
      await write.transaction().execute(async (tx) => {
        await tx.deleteFrom('deletion_holds').where('id', '=', id).execute();
        await tx.deleteFrom('deletion_holds').where('held_until', '<=', now.toISOString()).execute();
      });
    },
  } satisfies Partial<Catalog>;
}
