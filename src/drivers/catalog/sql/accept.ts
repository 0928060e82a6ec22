/** Accepting work whose bytes are there: uploads and conversions. */
import { sql } from 'kysely';
import type {
  AcceptedUpload,
  AcceptedUploads,
  Catalog,
  JobRow,
  RateLimit,
  RateState,
} from '../../../ports/catalog.ts';
import { addReference } from './blobs.ts';
import { announce, record } from './events.ts';
import { settleInside } from './idempotency.ts';
import { countUploads, rateOf } from './rates.ts';
import { imageTo, jobTo, versionTo } from './rows.ts';
import type { Access, Tx } from './tables.ts';

/** Counting stops here: whoever has so many waiting stands behind everybody else in any case. */
const MAX_PRIORITY = 1_000;

export function acceptMethods({ read, write }: Access) {
  async function acceptUploads({ uploads, rateLimit, idempotency }: AcceptedUploads) {
    const [first] = uploads;
    if (!first) return { accepted: 0, rate: undefined };
    const { owner, createdAt: at } = first.image;
    return write.transaction().execute(async (tx) => {
      const counted = rateLimit && (await countUploads(tx, owner, rateLimit, new Date(at), uploads.length));
      const accepted = uploads.slice(0, counted?.counted);
      if (idempotency) await settleInside(tx, owner, idempotency.key, idempotency.answer(accepted.length));
      for (const { image, original, job, ensureBlob } of accepted) {
        await tx.insertInto('images').values(imageTo(image)).execute();
        await addReference(tx, original.blobKey, original, at);
        await tx.insertInto('image_versions').values(versionTo(original)).execute();
        await insertJob(tx, job);
        await record(tx, 'upload.accepted', job, { bytes: original.bytes, format: original.format }, at);
        await ensureBlob();
      }
      return { accepted: accepted.length, rate: counted?.state };
    });
  }

  return {
    async acceptUpload(upload: AcceptedUpload): Promise<RateState | undefined> {
      const { rateLimit, idempotency } = upload;
      const { rate } = await acceptUploads({
        uploads: [upload],
        ...(rateLimit && { rateLimit }),
        ...(idempotency && { idempotency: { key: idempotency.key, answer: () => idempotency.answer } }),
      });
      return rate;
    },

    acceptUploads,

    async acceptConversion(
      job: JobRow,
      blob: { key: string; bytes: number },
      ensureBlob: () => void | Promise<void>,
    ): Promise<void> {
      await write.transaction().execute(async (tx) => {
        await addReference(tx, blob.key, blob, job.createdAt);
        // The reference is the job's own: what the row names is what will be let go.
        await insertJob(tx, { ...job, imageId: null, stagingPath: blob.key });
        await record(tx, 'conversion.accepted', job, { bytes: blob.bytes }, job.createdAt);
        await ensureBlob();
      });
    },

    async rateState(userId: string, limit: RateLimit, now: Date = new Date()): Promise<RateState> {
      return rateOf(read, userId, limit, now);
    },
  } satisfies Partial<Catalog>;
}

/** @param job takes its place behind the others of its owner, and the queue hears of it */
export async function insertJob(tx: Tx, job: JobRow): Promise<void> {
  const priority = await priorityFor(tx, job.owner);
  await tx
    .insertInto('processing_jobs')
    .values({ ...jobTo(job), priority })
    .execute();
  await announce(tx, job.jobId, job.createdAt);
}

/** Behind the jobs that this owner has unfinished, so that nobody's thousand hold up another's one. */
export const priorityFor = (tx: Tx, owner: string): Promise<number> => unfinishedOf(tx, owner, MAX_PRIORITY);

/** How many jobs of an owner are unfinished, as far as `most`. */
export async function unfinishedOf(tx: Tx, owner: string, most: number): Promise<number> {
  const unfinished = await tx
    .selectFrom((q) =>
      q
        .selectFrom('processing_jobs')
        .select('owner')
        .where('owner', '=', owner)
        .where(sql<boolean>`status in ('pending', 'retrying', 'processing')`)
        .limit(most)
        .as('unfinished'),
    )
    .select((q) => q.fn.countAll<number>().as('n'))
    .executeTakeFirstOrThrow();
  return Number(unfinished.n);
}
