/** Who works on a job: lease, heartbeat, giving back, taking back. Every write compares the lease first. */
import { sql } from 'kysely';
import { MAX_LOST_LEASES } from '../../../domain/job.ts';
import type { Catalog, JobRow, Lease } from '../../../ports/catalog.ts';
import { announce, record } from './events.ts';
import { end, fail, NO_LEASE } from './outcomes.ts';
import { DAMAGED, type Damage, jobFrom } from './rows.ts';
import type { Access, Db, Tx } from './tables.ts';

/** Retries that are made ready by one lease, so that no transaction is long. */
const MAX_PROMOTED = 100;

export function leaseMethods({ read, write, onDamage }: Access) {
  return {
    async leaseNext(lease: Lease, now: Date): Promise<JobRow | undefined> {
      const at = now.toISOString();
      // An idle service asks all the time: it must not take the write lock to hear that there is nothing.
      if (!(await anyDue(read, at))) return undefined;
      return write.transaction().execute(async (tx) => {
        await promoteDue(tx, at);
        // Ends: each round takes a job out of `pending`.
        for (;;) {
          const row = await takeFirst(tx, lease, at);
          if (!row) return undefined;
          const damages: Damage[] = [];
          const job = jobFrom(row, (damage) => damages.push(damage));
          damages.forEach(onDamage);
          if (damages.every((damage) => damage.column === 'last_error')) {
            await record(tx, 'job.started', job, { attempt: job.attemptCount }, at);
            return job;
          }
          await fail(tx, job, DAMAGED, { status: 'failed' }, at);
        }
      });
    },

    async heartbeat(
      jobId: string,
      leaseOwner: string,
      until: Date,
      progress: { percent: number; step: string },
    ): Promise<boolean> {
      return write.transaction().execute(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable('processing_jobs')
          .set({
            lease_until: until.toISOString(),
            progress: Math.round(progress.percent),
            step: progress.step,
          })
          .where('job_id', '=', jobId)
          .where('status', '=', 'processing')
          .where('lease_owner', '=', leaseOwner)
          .where('cancel_requested', '=', 0)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      });
    },

    async releaseJob(jobId: string, leaseOwner: string, now: Date = new Date()): Promise<boolean> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const row = await tx
          .selectFrom('processing_jobs')
          .selectAll()
          .where('job_id', '=', jobId)
          .where('status', '=', 'processing')
          .where('lease_owner', '=', leaseOwner)
          .executeTakeFirst();
        if (!row) return false;
        const job = jobFrom(row, onDamage);
        if (job.cancelRequested) await end(tx, job, 'cancelled', at);
        else {
          await backToPending(tx, job, at);
          await record(tx, 'job.released', job, {}, at);
        }
        return true;
      });
    },

    async reclaimLost(now: Date, isGone: (leaseOwner: string) => boolean): Promise<number> {
      const at = now.toISOString();
      const leased = await read
        .selectFrom('processing_jobs')
        .select(['job_id', 'lease_owner', 'lease_until'])
        .where('status', '=', sql.lit('processing'))
        .execute();
      // Whether an owner is gone may take a look at the system: not under the write lock, and once for each.
      const gone = new Map<string, boolean>();
      const isLost = (owner: string | null, until: string | null) => {
        if (owner === null || until === null || until < at) return true;
        if (!gone.has(owner)) gone.set(owner, isGone(owner));
        return gone.get(owner)!;
      };
      const lost = leased.filter((r) => isLost(r.lease_owner, r.lease_until));
      if (lost.length === 0) return 0;
      return write.transaction().execute(async (tx) => {
        let reclaimed = 0;
        for (const { job_id, lease_owner, lease_until } of lost) {
          const row = await tx
            .selectFrom('processing_jobs')
            .selectAll()
            .where('job_id', '=', job_id)
            .where('status', '=', 'processing')
            .executeTakeFirst();
          // Meanwhile ended, renewed or taken by another.
          if (!row || row.lease_owner !== lease_owner || row.lease_until !== lease_until) continue;
          await reclaim(tx, jobFrom(row, onDamage), at);
          reclaimed++;
        }
        return reclaimed;
      });
    },
  } satisfies Partial<Catalog>;
}

async function anyDue(db: Db, at: string): Promise<boolean> {
  const pending = await db
    .selectFrom('processing_jobs')
    .select('job_id')
    .where('status', '=', sql.lit('pending'))
    .limit(1)
    .executeTakeFirst();
  if (pending) return true;
  const retrying = await db
    .selectFrom('processing_jobs')
    .select('job_id')
    .where('status', '=', sql.lit('retrying'))
    .where('next_attempt_at', '<=', at)
    .limit(1)
    .executeTakeFirst();
  return retrying !== undefined;
}

/** Retries whose time has come take their place among those that wait. */
async function promoteDue(tx: Tx, at: string): Promise<void> {
  const due = await tx
    .updateTable('processing_jobs')
    .set({ status: 'pending', next_attempt_at: null, queued_at: at, step: null })
    .where('job_id', 'in', (q) =>
      q
        .selectFrom('processing_jobs')
        .select('job_id')
        .where('status', '=', sql.lit('retrying'))
        .where('next_attempt_at', '<=', at)
        .orderBy('next_attempt_at')
        .limit(MAX_PROMOTED),
    )
    .returning('job_id')
    .execute();
  for (const { job_id } of due) await announce(tx, job_id, at);
}

async function takeFirst(tx: Tx, lease: Lease, at: string) {
  return tx
    .updateTable('processing_jobs')
    .set({
      status: 'processing',
      lease_owner: lease.owner,
      lease_until: lease.until.toISOString(),
      attempt_count: sql`attempt_count + 1`,
      started_at: at,
      progress: 0,
      step: 'starting',
    })
    .where('job_id', '=', (q) =>
      q
        .selectFrom('processing_jobs')
        .select('job_id')
        .where('status', '=', sql.lit('pending'))
        .orderBy('priority')
        .orderBy('queued_at')
        .orderBy('job_id')
        .limit(1),
    )
    .returningAll()
    .executeTakeFirst();
}

async function reclaim(tx: Tx, job: JobRow, at: string): Promise<void> {
  if (job.cancelRequested) {
    await end(tx, job, 'cancelled', at);
  } else if (job.lostLeases + 1 >= MAX_LOST_LEASES) {
    const detail = 'The worker died each time that it worked on this image.';
    await fail(tx, job, { code: 'decoder_crashed', detail }, { status: 'failed' }, at);
  } else {
    await backToPending(tx, job, at, { lost_leases: sql`lost_leases + 1` });
    await record(tx, 'job.reclaimed', job, { lost_leases: job.lostLeases + 1 }, at);
  }
}

/** As if it had not been tried: its place in the queue, by its age, is among the first of its owner's. */
async function backToPending(tx: Tx, job: JobRow, at: string, more: object = {}): Promise<void> {
  await tx
    .updateTable('processing_jobs')
    .set({
      ...NO_LEASE,
      status: 'pending',
      attempt_count: sql`attempt_count - 1`,
      started_at: null,
      step: null,
      progress: 0,
      ...more,
    })
    .where('job_id', '=', job.jobId)
    .execute();
  await announce(tx, job.jobId, at);
}
