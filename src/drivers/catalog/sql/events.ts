/**
 * The append-only audit trail, written in the same transaction as what it tells of, and the outbox: job ids that the
 * queue has yet to hear of.
 */
import type { Catalog, EventType, JobRow } from '../../../ports/catalog.ts';
import { inChunks } from './chunks.ts';
import { eventFrom } from './rows.ts';
import type { Access, Tx } from './tables.ts';

export async function record(
  tx: Tx,
  eventType: EventType,
  of: { imageId: string | null; jobId: string | null },
  metadata: Record<string, unknown>,
  at: string,
): Promise<void> {
  await tx
    .insertInto('image_upload_events')
    .values({
      event_type: eventType,
      image_id: of.imageId,
      job_id: of.jobId,
      metadata: JSON.stringify(metadata),
      created_at: at,
    })
    .execute();
}

/** The queue is to hear of a job that can run. */
export async function announce(tx: Tx, jobId: JobRow['jobId'], at: string): Promise<void> {
  await tx.insertInto('outbox').values({ job_id: jobId, created_at: at }).execute();
}

export function eventMethods({ read, write, onDamage }: Access) {
  return {
    async eventsOf(jobId: string, afterId: number, limit: number) {
      const rows = await read
        .selectFrom('image_upload_events')
        .selectAll()
        .where('job_id', '=', jobId)
        .where('id', '>', afterId)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => eventFrom(row, onDamage));
    },

    async outbox(limit: number) {
      const rows = await read
        .selectFrom('outbox')
        .select(['id', 'job_id'])
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((r) => ({ id: r.id, jobId: r.job_id }));
    },

    async relayed(ids: number[]): Promise<void> {
      if (ids.length === 0) return;
      await write.transaction().execute(async (tx) => {
        for (const chunk of inChunks(ids)) {
          await tx.deleteFrom('outbox').where('id', 'in', chunk).execute();
        }
      });
    },
  } satisfies Partial<Catalog>;
}
