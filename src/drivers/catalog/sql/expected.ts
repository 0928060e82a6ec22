/** Direct uploads: allowed now, with bytes that may come later, once. */
import type { Catalog, ImageRow, JobRow, RateLimit, RateState, VersionRow } from '../../../ports/catalog.ts';
import { Problem } from '../../../problem.ts';
import { priorityFor } from './accept.ts';
import { addReference } from './blobs.ts';
import { announce, record } from './events.ts';
import { countUpload } from './rates.ts';
import { imageTo, jobFrom, jobTo, versionTo } from './rows.ts';
import type { Access } from './tables.ts';

export function expectedMethods({ read, write, onDamage }: Access) {
  return {
    async expectUpload(
      image: ImageRow,
      job: JobRow,
      expected: { contentType: string; bytes?: number; sha256?: string; expiresAt: Date },
      rateLimit?: RateLimit,
    ): Promise<RateState | undefined> {
      const at = image.createdAt;
      return write.transaction().execute(async (tx) => {
        const rate = rateLimit && (await countUpload(tx, image.owner, rateLimit, new Date(at)));
        await tx
          .insertInto('images')
          .values({ ...imageTo(image), status: 'expected' })
          .execute();
        await tx
          .insertInto('processing_jobs')
          .values({ ...jobTo(job), status: 'expected' })
          .execute();
        await tx
          .insertInto('presigned_uploads')
          .values({
            image_id: image.imageId,
            job_id: job.jobId,
            content_type: expected.contentType,
            bytes: expected.bytes ?? null,
            sha256: expected.sha256 ?? null,
            expires_at: expected.expiresAt.toISOString(),
          })
          .execute();
        await record(tx, 'upload.expected', job, { content_type: expected.contentType }, at);
        return rate;
      });
    },

    async expectedUpload(imageId: string) {
      const row = await read
        .selectFrom('presigned_uploads')
        .selectAll()
        .where('image_id', '=', imageId)
        .executeTakeFirst();
      return (
        row && {
          contentType: row.content_type,
          ...(row.bytes !== null && { bytes: row.bytes }),
          ...(row.sha256 !== null && { sha256: row.sha256 }),
          expiresAt: new Date(row.expires_at),
        }
      );
    },

    async fulfilUpload(
      imageId: string,
      original: VersionRow,
      now: Date,
      ensureBlob: () => void | Promise<void>,
    ): Promise<JobRow> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const taken = await tx
          .deleteFrom('presigned_uploads')
          .where('image_id', '=', imageId)
          .where('expires_at', '>', at)
          .returning('job_id')
          .executeTakeFirst();
        if (!taken) {
          throw new Problem('conflict', { detail: 'This upload URL was used before, or its time is over.' });
        }
        const waiting = await tx
          .selectFrom('processing_jobs')
          .select('owner')
          .where('job_id', '=', taken.job_id)
          .where('status', '=', 'expected')
          .executeTakeFirst();
        if (!waiting) throw new Problem('conflict', { detail: 'This upload was cancelled.' });
        const priority = await priorityFor(tx, waiting.owner);
        const row = await tx
          .updateTable('processing_jobs')
          .set({ status: 'pending', queued_at: at, priority })
          .where('job_id', '=', taken.job_id)
          .returningAll()
          .executeTakeFirstOrThrow();
        await tx
          .updateTable('images')
          .set({ status: 'pending', updated_at: at })
          .where('image_id', '=', imageId)
          .execute();
        await addReference(tx, original.blobKey, original, at);
        await tx
          .insertInto('image_versions')
          .values({ ...versionTo(original), image_id: imageId })
          .execute();
        const job = jobFrom(row, onDamage);
        await announce(tx, job.jobId, at);
        await record(tx, 'upload.accepted', job, { bytes: original.bytes, format: original.format }, at);
        await ensureBlob();
        return job;
      });
    },
  } satisfies Partial<Catalog>;
}
