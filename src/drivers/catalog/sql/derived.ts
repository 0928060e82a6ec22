/** What URLs have rendered: kept while there is room, the least recently used dropped first. */
import type { Catalog, ImageSource, NewDerived } from '../../../ports/catalog.ts';
import { addReference, dropReference } from './blobs.ts';
import { inChunks } from './chunks.ts';
import { repeated } from './repeated.ts';
import type { Access, Database, Tx } from './tables.ts';

/** How many rows one transaction drops at most: a limit that was lowered is reached in several. */
const EVICTED_AT_ONCE = 100;

const SOURCE_COLUMNS = [
  ...(['i.owner', 'i.bucket', 'i.visibility', 'i.status'] as const),
  ...(['v.version', 'v.blob_key', 'v.format'] as const),
] as const;

type Row = Pick<Database['derived_renditions'], 'image_id' | 'version' | 'blob_key' | 'bytes'>;

const currentSource = repeated((db, { imageId }: { imageId: string }) =>
  db
    .selectFrom('images as i')
    .leftJoin('image_versions as v', (join) =>
      join.onRef('v.image_id', '=', 'i.image_id').onRef('v.version', '=', 'i.current_version'),
    )
    .select(SOURCE_COLUMNS)
    .where('i.image_id', '=', imageId),
);

const sourceOfVersion = repeated((db, { imageId, version }: { imageId: string; version: number }) =>
  db
    .selectFrom('images as i')
    .leftJoin('image_versions as v', (join) =>
      join.onRef('v.image_id', '=', 'i.image_id').on('v.version', '=', version),
    )
    .select(SOURCE_COLUMNS)
    .where('i.image_id', '=', imageId),
);

interface DerivedKey {
  image_id: string;
  version: number;
  blob_key: string;
}

const sourceKeyOf = repeated((db, { image_id, version }: Omit<DerivedKey, 'blob_key'>) =>
  db
    .selectFrom('image_versions')
    .select('blob_key')
    .where('image_id', '=', image_id)
    .where('version', '=', version),
);

const useAgain = repeated((db, v: DerivedKey & { at: string }) =>
  db
    .updateTable('derived_renditions')
    .set({ last_used_at: v.at })
    .where('image_id', '=', v.image_id)
    .where('version', '=', v.version)
    .where('blob_key', '=', v.blob_key),
);

const addDerived = repeated((db, v: DerivedKey & { bytes: number; at: string }) =>
  db.insertInto('derived_renditions').values({
    image_id: v.image_id,
    version: v.version,
    blob_key: v.blob_key,
    bytes: v.bytes,
    last_used_at: v.at,
    created_at: v.at,
  }),
);

export function derivedMethods({ read, write }: Access) {
  return {
    async imageSource(imageId: string, version?: number): Promise<ImageSource | undefined> {
      const {
        rows: [row],
      } = await (version === undefined
        ? currentSource(read, { imageId })
        : sourceOfVersion(read, { imageId, version }));
      if (!row) return undefined;
      const { owner, bucket, visibility, status, blob_key, format } = row;
      return {
        imageId,
        owner,
        bucket,
        visibility,
        status,
        ...(row.version !== null && {
          bytes: { version: row.version, blobKey: blob_key!, format: format! },
        }),
      };
    },

    async keepDerived(
      derived: readonly NewDerived[],
      maxTotalBytes: number,
      now: Date = new Date(),
    ): Promise<boolean[]> {
      const at = now.toISOString();
      return write.transaction().execute(async (tx) => {
        const kept: boolean[] = [];
        for (const one of derived) kept.push(await keep(tx, one, at));
        // At once, since others wait for the lock; none may be at work still when the transaction has failed.
        const ensured = await Promise.allSettled(
          derived.filter((_, i) => kept[i]).map((one) => one.ensureBlob()),
        );
        const failed = ensured.find(({ status }) => status === 'rejected');
        if (failed?.status === 'rejected') throw failed.reason;
        await evict(tx, maxTotalBytes, at);
        return kept;
      });
    },

    async touchDerived(blobKeys: string[], at: Date): Promise<void> {
      const last_used_at = at.toISOString();
      for (const chunk of inChunks(blobKeys)) {
        await write.transaction().execute(async (tx) => {
          await tx
            .updateTable('derived_renditions')
            .set({ last_used_at })
            .where('blob_key', 'in', chunk)
            .where('last_used_at', '<', last_used_at)
            .execute();
        });
      }
    },

    async dropDerived(imageId: string, now: Date = new Date()): Promise<number> {
      return write.transaction().execute((tx) => dropDerivedOf(tx, imageId, now.toISOString()));
    },
  } satisfies Partial<Catalog>;
}

async function keep(
  tx: Tx,
  { imageId: image_id, version, sourceKey, blobKey: blob_key, width, height, bytes }: NewDerived,
  at: string,
): Promise<boolean> {
  const of = { image_id, version, blob_key };
  const source = await sourceKeyOf(tx, { image_id, version });
  if (source.rows[0]?.blob_key !== sourceKey) return false;
  const { numAffectedRows = 0n } = await useAgain(tx, { ...of, at });
  if (numAffectedRows > 0n) return true;
  await addReference(tx, blob_key, { bytes, width, height }, at);
  await addDerived(tx, { ...of, bytes, at });
  return true;
}

/** All of an image. How many. */
export async function dropDerivedOf(tx: Tx, imageId: string, at: string): Promise<number> {
  const rows = await tx
    .deleteFrom('derived_renditions')
    .where('image_id', '=', imageId)
    .returning('blob_key')
    .execute();
  for (const { blob_key } of rows) await dropReference(tx, blob_key, at);
  return rows.length;
}

async function evict(tx: Tx, maxTotalBytes: number, at: string): Promise<void> {
  const total = await tx
    .selectFrom('totals')
    .select('value')
    .where('name', '=', 'derived_bytes')
    .executeTakeFirstOrThrow();
  let over = total.value - maxTotalBytes;
  if (over <= 0) return;
  const oldest: Row[] = await tx
    .selectFrom('derived_renditions')
    .select(['image_id', 'version', 'blob_key', 'bytes'])
    .orderBy('last_used_at')
    .limit(EVICTED_AT_ONCE)
    .execute();
  for (const { image_id, version, blob_key, bytes } of oldest) {
    if (over <= 0) return;
    await tx
      .deleteFrom('derived_renditions')
      .where('image_id', '=', image_id)
      .where('version', '=', version)
      .where('blob_key', '=', blob_key)
      .execute();
    await dropReference(tx, blob_key, at);
    over -= bytes;
  }
}
