/** What becomes of a job: what its worker reports, and what its user asks for. */
import { sql } from 'kysely';
import { type Outcome, RETRYABLE_BY_USER } from '../../../domain/job.ts';
import type { Catalog, JobRow, NewRendition } from '../../../ports/catalog.ts';
import { Problem, type SerializedProblem } from '../../../problem.ts';
import { priorityFor } from './accept.ts';
import { addReference, dropReference } from './blobs.ts';
import { announce, record } from './events.ts';
import { addVersion, slotOf } from './making.ts';
import { end, fail, NO_LEASE } from './outcomes.ts';
import { type Job, jobFrom, type OnDamage, placeholdersTo } from './rows.ts';
import type { Access, Db, Tx } from './tables.ts';

export function jobMethods({ read, write, onDamage }: Access) {
  return {
    async job(jobId: string): Promise<JobRow | undefined> {
      return jobOf(read, jobId, onDamage);
    },

    async failedJobs(limit: number): Promise<JobRow[]> {
      const rows = await read
        .selectFrom('processing_jobs')
        .selectAll()
        .where('status', '=', sql.lit('failed'))
        .orderBy('completed_at', 'desc')
        .limit(limit)
        .execute();
      return rows.map((row) => jobFrom(row, onDamage));
    },

    async publishRendition(
      jobId: string,
      leaseOwner: string,
      rendition: NewRendition,
      ensureBlob: () => void | Promise<void>,
      now: Date = new Date(),
    ): Promise<boolean> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const job = await heldJob(tx, jobId, leaseOwner, onDamage);
        if (!job) return false;
        const { name, format, blobKey, width, height, bytes } = rendition;
        const slot = slotOf(rendition);
        // A version that is being made is not there yet, and neither are its renditions: the job holds them.
        const imageId = job.kind === 'process' ? null : job.imageId;
        const before = imageId
          ? await renditionKey(tx, imageId, job.version, rendition)
          : job.processedPaths[slot];
        if (before !== blobKey) {
          // The new one first: where both are the last reference to something, nothing is queued that is needed.
          await addReference(tx, blobKey, rendition, at);
          if (imageId) {
            const row = { blob_key: blobKey, width, height, bytes, created_at: at };
            await tx
              .insertInto('renditions')
              .values({ image_id: imageId, version: job.version, name, format, ...row })
              .onConflict((c) => c.columns(['image_id', 'version', 'name', 'format']).doUpdateSet(row))
              .execute();
          }
          if (before !== undefined) await dropReference(tx, before, at);
          if (job.kind !== 'process') {
            await record(tx, 'rendition.ready', job, { name, format, width, height, bytes }, at);
          }
        }
        if (job.processedPaths[slot] !== blobKey) {
          await tx
            .updateTable('processing_jobs')
            .set({ processed_paths: JSON.stringify({ ...job.processedPaths, [slot]: blobKey }) })
            .where('job_id', '=', jobId)
            .execute();
        }
        await ensureBlob();
        return true;
      });
    },

    async completeJob(
      jobId: string,
      leaseOwner: string,
      result: Parameters<Catalog['completeJob']>[2],
      now: Date,
    ): Promise<boolean> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const job = await heldJob(tx, jobId, leaseOwner, onDamage);
        if (!job) return false;
        const isTold = await tellImage(tx, job, result, at);
        if (!isTold) {
          const problem = { code: 'conflict', detail: 'The image has changed meanwhile.' } as const;
          await fail(tx, job, problem, { status: 'failed' }, at);
          return false;
        }
        await tx
          .updateTable('processing_jobs')
          .set({
            ...NO_LEASE,
            status: 'completed',
            completed_at: at,
            duration_ms: Math.max(0, now.getTime() - Date.parse(job.startedAt ?? at)),
            progress: 100,
            step: 'completed',
            last_error: null,
            processing_metadata: JSON.stringify({ ...job.processingMetadata, ...result.processingMetadata }),
          })
          .where('job_id', '=', jobId)
          .execute();
        await record(tx, 'job.completed', job, { attempt: job.attemptCount }, at);
        return true;
      });
    },

    async failJob(
      jobId: string,
      leaseOwner: string,
      problem: SerializedProblem,
      outcome: Outcome,
      now: Date,
    ): Promise<boolean> {
      return write.transaction().execute(async (tx) => {
        const job = await heldJob(tx, jobId, leaseOwner, onDamage);
        if (!job) return false;
        await fail(tx, job, problem, outcome, now.toISOString());
        return true;
      });
    },

    async retryJob(jobId: string, now: Date): Promise<JobRow> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const job = await existing(tx, jobId, onDamage);
        if (!RETRYABLE_BY_USER.has(job.status)) {
          throw new Problem('conflict', {
            detail: `The job is ${job.status}; only a failed, cancelled or waiting one can be retried.`,
          });
        }
        const source = job.making?.sourceVersion ?? job.version;
        if (job.imageId && !(await hasVersion(tx, job.imageId, source))) {
          throw new Problem('conflict', { detail: 'The bytes of this upload have not arrived.' });
        }
        // A waiting one stands behind the others of its owner, not behind itself.
        const others = (await priorityFor(tx, job.owner)) - (job.status === 'retrying' ? 1 : 0);
        const row = await tx
          .updateTable('processing_jobs')
          .set({
            ...NO_LEASE,
            status: 'pending',
            priority: Math.max(0, others),
            queued_at: at,
            attempt_count: 0,
            lost_leases: 0,
            cancel_requested: 0,
            next_attempt_at: null,
            started_at: null,
            completed_at: null,
            last_error: null,
            progress: 0,
            step: null,
          })
          .where('job_id', '=', jobId)
          .returningAll()
          .executeTakeFirstOrThrow();
        if (job.imageId) {
          await tx
            .updateTable('images')
            .set({ status: 'pending', updated_at: at })
            .where('image_id', '=', job.imageId)
            .where('status', '=', 'failed')
            .execute();
        }
        await announce(tx, jobId, at);
        await record(tx, 'job.retried', job, {}, at);
        return jobFrom(row, onDamage);
      });
    },

    async cancelJob(jobId: string, now: Date): Promise<JobRow> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const job = await existing(tx, jobId, onDamage);
        if (job.status === 'completed' || job.status === 'failed') {
          throw new Problem('conflict', { detail: `The job is ${job.status} already.` });
        }
        if (job.status === 'cancelled' || job.cancelRequested) return job;
        await tx
          .updateTable('processing_jobs')
          .set({ cancel_requested: 1 })
          .where('job_id', '=', jobId)
          .execute();
        // A worker learns of it at its next heartbeat, and ends the job.
        if (job.status === 'processing') await record(tx, 'job.cancel_requested', job, {}, at);
        else await end(tx, job, 'cancelled', at);
        return existing(tx, jobId, onDamage);
      });
    },

    async confirmCancelled(jobId: string, leaseOwner: string, now: Date): Promise<boolean> {
      return write.transaction().execute(async (tx) => {
        const job = await jobOf(tx, jobId, onDamage);
        if (job?.status !== 'processing' || job.leaseOwner !== leaseOwner || !job.cancelRequested) {
          return false;
        }
        await end(tx, job, 'cancelled', now.toISOString());
        return true;
      });
    },
  } satisfies Partial<Catalog>;
}

async function jobOf(db: Db | Tx, jobId: string, onDamage: OnDamage): Promise<Job | undefined> {
  const row = await db
    .selectFrom('processing_jobs')
    .selectAll()
    .where('job_id', '=', jobId)
    .executeTakeFirst();
  return row && jobFrom(row, onDamage);
}

/** The job, if this lease still holds it and nobody wants it cancelled. */
async function heldJob(
  tx: Tx,
  jobId: string,
  leaseOwner: string,
  onDamage: OnDamage,
): Promise<Job | undefined> {
  const job = await jobOf(tx, jobId, onDamage);
  const held = job?.status === 'processing' && job.leaseOwner === leaseOwner && !job.cancelRequested;
  return held ? job : undefined;
}

async function existing(tx: Tx, jobId: string, onDamage: OnDamage): Promise<Job> {
  const job = await jobOf(tx, jobId, onDamage);
  if (!job) throw new Problem('not_found', { detail: 'There is no such job.' });
  return job;
}

/** What a completed job means for its image. False where that is not the image any more that the job was about. */
async function tellImage(
  tx: Tx,
  job: Job,
  { info, placeholders }: Parameters<Catalog['completeJob']>[2],
  at: string,
): Promise<boolean> {
  if (!job.imageId) return true;
  if (job.making) {
    await addVersion(tx, job, placeholders, at);
    return true;
  }
  const camera = info && [info.camera_make, info.camera_model].filter(Boolean).join(' ');
  const shown = placeholders && placeholdersTo(placeholders);
  const { numUpdatedRows } = await tx
    .updateTable('images')
    .set({
      status: 'ready',
      updated_at: at,
      ...(info && { info: JSON.stringify(info), camera: camera || null, taken_at: info.date_taken }),
      ...shown,
    })
    .where('image_id', '=', job.imageId)
    .where('current_version', '=', job.version)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return false;
  if (shown) {
    await tx
      .updateTable('image_versions')
      .set(shown)
      .where('image_id', '=', job.imageId)
      .where('version', '=', job.version)
      .execute();
  }
  return true;
}

async function hasVersion(tx: Tx, imageId: string, version: number): Promise<boolean> {
  const row = await tx
    .selectFrom('image_versions')
    .select('version')
    .where('image_id', '=', imageId)
    .where('version', '=', version)
    .executeTakeFirst();
  return row !== undefined;
}

async function renditionKey(
  tx: Tx,
  imageId: string,
  version: number,
  { name, format }: NewRendition,
): Promise<string | undefined> {
  const row = await tx
    .selectFrom('renditions')
    .select('blob_key')
    .where('image_id', '=', imageId)
    .where('version', '=', version)
    .where('name', '=', name)
    .where('format', '=', format)
    .executeTakeFirst();
  return row?.blob_key;
}
