/** What operators look at, at any size within a millisecond or so. */
import { sql } from 'kysely';
import { JOB_STATUSES, type JobStatus } from '../../../domain/job.ts';
import type { Catalog } from '../../../ports/catalog.ts';
import type { Access } from './tables.ts';

const DAY_MS = 86_400_000;

export function statsMethods({ read }: Access) {
  return {
    async stats(now: Date) {
      const since = new Date(now.getTime() - DAY_MS).toISOString();
      const totals = new Map(
        (await read.selectFrom('totals').selectAll().execute()).map(({ name, value }) => [
          name,
          Number(value),
        ]),
      );
      const done = await read
        .selectFrom('processing_jobs')
        .select((q) => [q.fn.countAll<number>().as('n'), q.fn.avg<number | null>('duration_ms').as('ms')])
        .where('status', '=', sql.lit('completed'))
        .where('completed_at', '>=', since)
        .executeTakeFirstOrThrow();
      const oldest = await read
        .selectFrom('processing_jobs')
        .select((q) => q.fn.min<string | null>('queued_at').as('at'))
        .where('status', '=', sql.lit('pending'))
        .executeTakeFirstOrThrow();
      return {
        jobs: Object.fromEntries(JOB_STATUSES.map((s) => [s, totals.get(`jobs.${s}`) ?? 0])) as Record<
          JobStatus,
          number
        >,
        images: totals.get('images') ?? 0,
        bytes: totals.get('bytes') ?? 0,
        completed24h: Number(done.n),
        avgProcessingSeconds: done.ms === null ? null : Number(done.ms) / 1000,
        oldestWaitingSeconds:
          oldest.at === null ? null : Math.max(0, (now.getTime() - Date.parse(oldest.at)) / 1000),
      };
    },

    async check(): Promise<void> {
      // A page of the file: a constant would be answered without it.
      await read.selectFrom('totals').select('value').where('name', '=', 'images').executeTakeFirstOrThrow();
    },
  } satisfies Partial<Catalog>;
}
