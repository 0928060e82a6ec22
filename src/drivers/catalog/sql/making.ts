/** Versions that are processed from others: accepted as a job, there once it is completed. */
import { MIME_TYPES } from '../../../contract/plan.ts';
import type { AcceptedProcessing, Catalog, JobRow, Placeholders } from '../../../ports/catalog.ts';
import { VERSION_NAME } from '../../../ports/catalog.ts';
import { Problem } from '../../../problem.ts';
import { insertJob, unfinishedOf } from './accept.ts';
import { record } from './events.ts';
import { settleInside } from './idempotency.ts';
import { eventFrom, type Job, jobFrom, placeholdersTo } from './rows.ts';
import type { Access, Tx } from './tables.ts';

/** Jobs end in seconds: whoever has so many waiting is better off asking a little later. */
const TRY_AGAIN_SECONDS = 30;

/** A key of `processedPaths`. */
export const slotOf = ({ name, format }: { name: string; format: string }): string => `${name}.${format}`;

export function makingMethods({ read, write, onDamage }: Access) {
  return {
    async acceptProcessing({ owner, jobs, maxUnfinished, idempotency }: AcceptedProcessing) {
      return write.transaction().execute(async (tx) => {
        if (maxUnfinished !== undefined) await expectRoom(tx, owner, jobs.length, maxUnfinished);
        const versions: (number | undefined)[] = [];
        for (const job of jobs) {
          const version = await nextVersion(tx, job);
          versions.push(version);
          if (version === undefined) continue;
          await insertJob(tx, { ...job, owner, version });
          const { sourceVersion: source_version } = job.making;
          await record(tx, 'process.accepted', job, { version, source_version }, job.createdAt);
        }
        if (idempotency) await settleInside(tx, owner, idempotency.key, idempotency.answer(versions));
        return versions;
      });
    },

    async batch(batchId: string): Promise<JobRow[]> {
      const rows = await read
        .selectFrom('processing_jobs')
        .selectAll()
        .where('batch_id', '=', batchId)
        .orderBy('job_id')
        .execute();
      return rows.map((row) => jobFrom(row, onDamage));
    },

    async batchEvents(batchId: string, afterId: number, limit: number) {
      const rows = await read
        .selectFrom('image_upload_events')
        .selectAll()
        .where('job_id', 'in', (q) =>
          q.selectFrom('processing_jobs').select('job_id').where('batch_id', '=', batchId),
        )
        .where('id', '>', afterId)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => eventFrom(row, onDamage));
    },
  } satisfies Partial<Catalog>;
}

/** @throws Problem rate_limited */
async function expectRoom(tx: Tx, owner: string, more: number, most: number): Promise<void> {
  const unfinished = await unfinishedOf(tx, owner, most);
  if (unfinished + more <= most) return;
  throw new Problem('rate_limited', {
    detail: `No more than ${most} jobs of one owner may be unfinished; ${unfinished} are, and ${more} were to come.`,
    retryAfterSeconds: TRY_AGAIN_SECONDS,
  });
}

async function nextVersion(
  tx: Tx,
  { imageId, making }: AcceptedProcessing['jobs'][number],
): Promise<number | undefined> {
  const row = await tx
    .updateTable('images')
    .set((q) => ({ last_version: q('last_version', '+', 1) }))
    .where('image_id', '=', imageId)
    .where('status', '=', 'ready')
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('image_versions')
          .select('version')
          .where('image_id', '=', imageId)
          .where('version', '=', making.sourceVersion),
      ),
    )
    .returning('last_version')
    .executeTakeFirst();
  return row?.last_version;
}

/**
 * The references that the job held become those of the version and its renditions; from now on it is there.
 * @throws Problem internal where the bytes of the version were not published
 */
export async function addVersion(
  tx: Tx,
  job: Job,
  placeholders: Placeholders | undefined,
  at: string,
): Promise<void> {
  const { imageId, version, making, plans, processedPaths } = job;
  if (!imageId || !making) throw new TypeError('only a process job makes a version');
  const { format } = making.plan.output;
  const { [slotOf({ name: VERSION_NAME, format })]: made, ...sizes } = processedPaths;
  if (!made) throw new Problem('internal', { detail: 'The new version of this image was not stored.' });
  const { key: blob_key, width, height } = await pictureAt(tx, made);
  const shown = placeholdersTo(placeholders);
  await tx
    .insertInto('image_versions')
    .values({
      image_id: imageId,
      version,
      blob_key,
      mime: MIME_TYPES[format],
      format,
      width,
      height,
      plan: JSON.stringify(making.plan),
      ...shown,
      created_at: at,
    })
    .execute();
  const missing = plans.find(({ name, plan }) => !(slotOf({ name, ...plan.output }) in sizes));
  if (missing)
    throw new Problem('internal', { detail: `The size ${missing.name} of this image was not stored.` });
  for (const [slot, key] of Object.entries(sizes)) {
    const { key: blob_key, ...size } = await pictureAt(tx, key);
    const dot = slot.lastIndexOf('.');
    const rendition = { name: slot.slice(0, dot), format: slot.slice(dot + 1) };
    await tx
      .insertInto('renditions')
      .values({ image_id: imageId, version, ...rendition, blob_key, ...size, created_at: at })
      .execute();
    await record(tx, 'rendition.ready', job, { ...rendition, ...size }, at);
  }
  // A later one that was quicker stays the one that is shown.
  await tx
    .updateTable('images')
    .set({ current_version: version, updated_at: at, ...shown })
    .where('image_id', '=', imageId)
    .where('current_version', '<', version)
    .execute();
}

/** What is known of bytes that the job refers to. */
async function pictureAt(tx: Tx, key: string) {
  const { width, height, bytes } = await tx
    .selectFrom('blobs')
    .select(['width', 'height', 'bytes'])
    .where('key', '=', key)
    .executeTakeFirstOrThrow();
  if (!width || !height) throw new Problem('internal', { cause: new Error(`${key} has no size`) });
  return { key, width, height, bytes };
}
