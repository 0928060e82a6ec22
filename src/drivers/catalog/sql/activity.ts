/** What happened lately: the jobs that came last, and what the last day was like, hour by hour. */
import { sql } from 'kysely';
import type { ActivityHour, Catalog, JobRow } from '../../../ports/catalog.ts';
import { jobFrom } from './rows.ts';
import type { Access } from './tables.ts';

const HOUR_MS = 3_600_000;
const HOURS = 24;
/** `2026-11-02T08`: what times of one hour have in common. */
const HOUR_CHARS = 13;

export function activityMethods({ read, onDamage }: Access) {
  /** By hour, in the time that an index on `completed_at` takes. */
  async function ended(status: 'completed' | 'failed', since: string) {
    const hour = sql<string>`substr(completed_at, 1, ${sql.lit(HOUR_CHARS)})`;
    const rows = await read
      .selectFrom('processing_jobs')
      .select((q) => [
        hour.as('hour'),
        q.fn.countAll<number>().as('n'),
        q.fn.avg<number | null>('duration_ms').as('ms'),
      ])
      .where('status', '=', sql.lit(status))
      .where('completed_at', '>=', since)
      .groupBy(hour)
      .execute();
    return new Map(rows.map((row) => [row.hour, row]));
  }

  return {
    async recentJobs(limit: number): Promise<JobRow[]> {
      // Ids begin with the time, and they have an index.
      const rows = await read
        .selectFrom('processing_jobs')
        .selectAll()
        .orderBy('job_id', 'desc')
        .limit(limit)
        .execute();
      return rows.map((row) => jobFrom(row, onDamage));
    },

    async latestJob(imageId: string, version: number): Promise<JobRow | undefined> {
      const row = await read
        .selectFrom('processing_jobs')
        .selectAll()
        .where('image_id', '=', imageId)
        .where('version', '=', version)
        .orderBy('created_at', 'desc')
        .orderBy('job_id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row && jobFrom(row, onDamage);
    },

    async activity(now: Date): Promise<{ outbox: number; hours: ActivityHour[] }> {
      const running = Math.floor(now.getTime() / HOUR_MS);
      const hours = Array.from({ length: HOURS }, (_, i) =>
        new Date((running - HOURS + 1 + i) * HOUR_MS).toISOString(),
      );
      const [completed, failed] = [await ended('completed', hours[0]!), await ended('failed', hours[0]!)];
      const { n: outbox } = await read
        .selectFrom('outbox')
        .select((q) => q.fn.countAll<number>().as('n'))
        .executeTakeFirstOrThrow();
      return {
        outbox: Number(outbox),
        hours: hours.map((hour) => {
          const done = completed.get(hour.slice(0, HOUR_CHARS));
          return {
            hour,
            completed: Number(done?.n ?? 0),
            failed: Number(failed.get(hour.slice(0, HOUR_CHARS))?.n ?? 0),
            avgProcessingSeconds: done?.ms == null ? null : Number(done.ms) / 1000,
          };
        }),
      };
    },
  } satisfies Partial<Catalog>;
}
