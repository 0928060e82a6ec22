/** Uploads of a user in fixed windows of time. */
import { sql } from 'kysely';
import type { RateLimit, RateState } from '../../../ports/catalog.ts';
import { Problem } from '../../../problem.ts';
import type { Db, Tx } from './tables.ts';

function windowOf(limit: RateLimit, now: Date): { start: Date; end: Date } {
  const start = Math.floor(now.getTime() / limit.windowMs) * limit.windowMs;
  return { start: new Date(start), end: new Date(start + limit.windowMs) };
}

export async function rateOf(db: Db, userId: string, limit: RateLimit, now: Date): Promise<RateState> {
  const { start, end } = windowOf(limit, now);
  const row = await db
    .selectFrom('upload_rate_limits')
    .select('upload_count')
    .where('user_id', '=', userId)
    .where('window_start', '=', start.toISOString())
    .executeTakeFirst();
  return { limit: limit.max, remaining: Math.max(0, limit.max - (row?.upload_count ?? 0)), resetAt: end };
}

/** Counts one upload. @throws Problem rate_limited where the window is full */
export async function countUpload(tx: Tx, userId: string, limit: RateLimit, now: Date): Promise<RateState> {
  return (await countUploads(tx, userId, limit, now, 1)).state;
}

/** Counts as many uploads as there is room for. @throws Problem rate_limited where there is none */
export async function countUploads(
  tx: Tx,
  userId: string,
  limit: RateLimit,
  now: Date,
  uploads: number,
): Promise<{ counted: number; state: RateState }> {
  const { start, end } = windowOf(limit, now);
  const window = { user_id: userId, window_start: start.toISOString() };
  const { upload_count } = await tx
    .insertInto('upload_rate_limits')
    .values({ ...window, window_end: end.toISOString(), upload_count: uploads })
    .onConflict((c) =>
      c
        .columns(['user_id', 'window_start'])
        .doUpdateSet({ upload_count: sql`upload_rate_limits.upload_count + ${uploads}` }),
    )
    .returning('upload_count')
    .executeTakeFirstOrThrow();
  const over = Math.max(0, upload_count - limit.max);
  if (over >= uploads) {
    const seconds = Math.max(1, Math.ceil((end.getTime() - now.getTime()) / 1000));
    // The transaction ends with this, and the count with it.
    throw new Problem('rate_limited', {
      detail: `At most ${limit.max} uploads in ${limit.windowMs / 60_000} minutes; the window ends in ${seconds} s.`,
      retryAfterSeconds: seconds,
    });
  }
  if (over > 0) {
    await tx
      .updateTable('upload_rate_limits')
      .set({ upload_count: limit.max })
      .where('user_id', '=', window.user_id)
      .where('window_start', '=', window.window_start)
      .execute();
  }
  return {
    counted: uploads - over,
    state: { limit: limit.max, remaining: limit.max - upload_count + over, resetAt: end },
  };
}
