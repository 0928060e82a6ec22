/** Images, their versions and renditions: reads for the API, and deletion. */
import { sql } from 'kysely';
import type { Catalog, ImageFilter, ImageRow, RenditionRow, VersionRow } from '../../../ports/catalog.ts';
import { Problem } from '../../../problem.ts';
import { dropReference } from './blobs.ts';
import { inChunks } from './chunks.ts';
import { dropDerivedOf } from './derived.ts';
import { record } from './events.ts';
import { heldKeys } from './outcomes.ts';
import { imageFrom, jobFrom, renditionFrom, versionFrom } from './rows.ts';
import type { Access } from './tables.ts';

export function imageMethods({ read, write, onDamage }: Access) {
  return {
    async image(imageId: string): Promise<ImageRow | undefined> {
      const row = await read
        .selectFrom('images')
        .selectAll()
        .where('image_id', '=', imageId)
        .executeTakeFirst();
      return row && imageFrom(row, onDamage);
    },

    async images(imageIds: string[]): Promise<ImageRow[]> {
      const found: ImageRow[] = [];
      for (const chunk of inChunks(imageIds)) {
        const rows = await read.selectFrom('images').selectAll().where('image_id', 'in', chunk).execute();
        found.push(...rows.map((row) => imageFrom(row, onDamage)));
      }
      return found;
    },

    async listImages(filter: ImageFilter): Promise<{ items: ImageRow[]; nextCursor: string | null }> {
      const { owner, bucket, buckets, project, status, camera, takenFrom, takenTo, cursor, limit } = filter;
      let query = read.selectFrom('images').selectAll();
      query =
        status === undefined ? query.where('status', '!=', 'expected') : query.where('status', '=', status);
      if (owner !== undefined) query = query.where('owner', '=', owner);
      if (bucket !== undefined) {
        // Of one owner in one bucket: by the owner's index, which has the bucket in it; a bucket may be everybody's.
        query =
          owner === undefined
            ? query.where('bucket', '=', bucket)
            : query.where(sql<boolean>`bucket || '' = ${bucket}`);
      }
      if (buckets?.length === 0) return { items: [], nextCursor: null };
      if (buckets !== undefined) query = query.where('bucket', 'in', buckets);
      if (project !== undefined) query = query.where('project', '=', project);
      if (camera !== undefined) {
        query = query.where(sql<boolean>`lower(camera) like lower(${likePattern(camera)}) escape '!'`);
      }
      if (takenFrom !== undefined) query = query.where('taken_at', '>=', takenFrom);
      // As much of it as was given: `2024-05` includes the whole month.
      if (takenTo !== undefined) {
        query = query.where(sql<boolean>`substr(taken_at, 1, ${sql.lit(takenTo.length)}) <= ${takenTo}`);
      }
      if (cursor !== undefined) {
        const [at, id] = decodeCursor(cursor);
        query = query.where(sql<boolean>`(created_at, image_id) < (${at}, ${id})`);
      }
      const rows = await query
        .orderBy('created_at', 'desc')
        .orderBy('image_id', 'desc')
        .limit(limit + 1)
        .execute();
      const items = rows.slice(0, limit).map((row) => imageFrom(row, onDamage));
      const last = items.at(-1);
      return { items, nextCursor: rows.length > limit && last ? encodeCursor(last) : null };
    },

    async versions(imageId: string): Promise<VersionRow[]> {
      const rows = await read
        .selectFrom('image_versions')
        .innerJoin('blobs', 'blobs.key', 'image_versions.blob_key')
        .selectAll('image_versions')
        .select('blobs.bytes')
        .where('image_id', '=', imageId)
        .orderBy('version')
        .execute();
      return rows.map((row) => versionFrom(row, onDamage));
    },

    async currentVersions(imageIds: string[]): Promise<VersionRow[]> {
      const found: VersionRow[] = [];
      for (const chunk of inChunks(imageIds)) {
        const rows = await read
          .selectFrom('images')
          .innerJoin('image_versions', (join) =>
            join
              .onRef('image_versions.image_id', '=', 'images.image_id')
              .onRef('image_versions.version', '=', 'images.current_version'),
          )
          .innerJoin('blobs', 'blobs.key', 'image_versions.blob_key')
          .selectAll('image_versions')
          .select('blobs.bytes')
          .where('images.image_id', 'in', chunk)
          .execute();
        found.push(...rows.map((row) => versionFrom(row, onDamage)));
      }
      return found;
    },

    async renditions(imageIds: string[], version?: number): Promise<RenditionRow[]> {
      const found: RenditionRow[] = [];
      for (const chunk of inChunks(imageIds)) {
        const rows = await read
          .selectFrom('renditions')
          .selectAll()
          .where('image_id', 'in', chunk)
          .$if(version !== undefined, (q) => q.where('version', '=', version!))
          .orderBy('image_id')
          .orderBy('version')
          .orderBy('width')
          .orderBy('name')
          .orderBy('format')
          .execute();
        found.push(...rows.map(renditionFrom));
      }
      return found;
    },

    async deleteImage(imageId: string, now: Date): Promise<boolean> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        await dropDerivedOf(tx, imageId, at);
        const keys = [
          ...(await tx
            .deleteFrom('renditions')
            .where('image_id', '=', imageId)
            .returning('blob_key')
            .execute()),
          ...(await tx
            .deleteFrom('image_versions')
            .where('image_id', '=', imageId)
            .returning('blob_key')
            .execute()),
        ];
        const jobs = await tx
          .deleteFrom('processing_jobs')
          .where('image_id', '=', imageId)
          .returningAll()
          .execute();
        // Only now: rows must not refer to a blob that is gone.
        for (const { blob_key } of keys) await dropReference(tx, blob_key, at);
        for (const key of jobs.flatMap((row) => heldKeys(jobFrom(row, onDamage)))) {
          await dropReference(tx, key, at);
        }
        const gone = await tx.deleteFrom('images').where('image_id', '=', imageId).executeTakeFirst();
        if (gone.numDeletedRows === 0n) return false;
        await record(tx, 'image.deleted', { imageId, jobId: null }, {}, at);
        return true;
      });
    },
  } satisfies Partial<Catalog>;
}

const likePattern = (text: string) => `%${text.replace(/[!%_]/g, '!$&')}%`;

const encodeCursor = (image: ImageRow) =>
  Buffer.from(`${image.createdAt} ${image.imageId}`).toString('base64url');

function decodeCursor(cursor: string): [at: string, id: string] {
  const match = /^(\S{24}) ([0-9a-f-]{36})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (!match) {
    throw new Problem('invalid_field', {
      detail: 'The cursor is not one that this service gave.',
      errors: [{ path: 'cursor', message: 'expected the next_cursor of an earlier answer' }],
    });
  }
  return [match[1]!, match[2]!];
}
