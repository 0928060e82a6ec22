import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Catalog, NewDerived } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import {
  after,
  HOUR,
  MINUTE,
  NOON,
  noCheck,
  originalKey,
  problem,
  rendition,
  renditionKey,
  upload,
} from './catalog-rows.ts';

const MUCH = 1e9;

async function accepted(catalog: Catalog, more: Parameters<typeof upload>[0] = {}) {
  const row = upload(more);
  await catalog.acceptUpload(row);
  return row;
}

const derived = (
  { image, original }: Pick<Awaited<ReturnType<typeof accepted>>, 'image' | 'original'>,
  more: Partial<NewDerived> = {},
): NewDerived => ({
  imageId: image.imageId,
  version: 1,
  sourceKey: original.blobKey,
  blobKey: renditionKey(),
  width: 600,
  height: 450,
  bytes: 100,
  ensureBlob: noCheck,
  ...more,
});

export function derivedContract(open: OpenCatalog): void {
  test('says what a URL needs to know of its image', async (t) => {
    const catalog = await open(t);
    const { image, original } = await accepted(catalog, { image: { visibility: 'private' } });
    const { imageId } = image;
    const about = { imageId, owner: 'ann', bucket: 'photos', visibility: 'private', status: 'pending' };
    const bytes = { version: 1, blobKey: original.blobKey, format: 'jpeg' };
    assert.deepEqual(await catalog.imageSource(imageId), { ...about, bytes });
    assert.deepEqual(await catalog.imageSource(imageId, 1), { ...about, bytes });
    assert.deepEqual(await catalog.imageSource(imageId, 2), about);
    assert.equal(await catalog.imageSource('nope'), undefined);
    const later = upload();
    const expected = { contentType: 'image/jpeg', expiresAt: after(HOUR) };
    await catalog.expectUpload(later.image, later.job, expected);
    const awaited = await catalog.imageSource(later.image.imageId);
    assert.deepEqual([awaited?.status, awaited?.bytes], ['expected', undefined]);
  });

  test('keeps what was rendered, once, with a reference to its bytes', async (t) => {
    const catalog = await open(t);
    const row = derived(await accepted(catalog));
    let checked = 0;
    const ensureBlob = () => void checked++;
    assert.deepEqual(await catalog.keepDerived([{ ...row, ensureBlob }], MUCH, NOON), [true]);
    assert.deepEqual(await catalog.keepDerived([row], MUCH, NOON), [true]);
    const { key, bytes, refs, width, height } = (await catalog.blob(row.blobKey))!;
    assert.deepEqual(
      { key, bytes, refs, width, height },
      { key: row.blobKey, bytes: 100, refs: 1, width: 600, height: 450 },
    );
    assert.equal(checked, 1);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('keeps nothing of what is gone or has become other bytes, and the rest of the batch', async (t) => {
    const catalog = await open(t);
    const [gone, there] = [await accepted(catalog), await accepted(catalog)];
    await catalog.deleteImage(gone.image.imageId, NOON);
    const batch = [
      derived(gone),
      derived(there),
      derived(there, { version: 2 }),
      derived(there, { sourceKey: originalKey() }),
    ];
    assert.deepEqual(await catalog.keepDerived(batch, MUCH, NOON), [false, true, false, false]);
    const known = await Promise.all(batch.map(({ blobKey }) => catalog.blob(blobKey)));
    assert.deepEqual(
      known.map((blob) => blob !== undefined),
      [false, true, false, false],
    );
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('keeps none of a batch whose bytes are not in place', async (t) => {
    const catalog = await open(t);
    const row = await accepted(catalog);
    const fault = new Error('no room');
    const ensureBlob = () => {
      throw fault;
    };
    const batch = [derived(row), derived(row, { ensureBlob })];
    await assert.rejects(
      catalog.keepDerived(batch, MUCH, NOON),
      (error: Error) => error === fault || error.cause === fault,
    );
    assert.equal(await catalog.blob(batch[0]!.blobKey), undefined);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('drops what was used longest ago until the rest has room', async (t) => {
    const catalog = await open(t);
    const image = await accepted(catalog);
    const rows = Array.from({ length: 5 }, () => derived(image));
    for (const [i, row] of rows.entries()) await catalog.keepDerived([row], MUCH, after(i * MINUTE));
    await catalog.touchDerived([rows[0]!.blobKey, renditionKey()], after(HOUR));
    // An earlier use than is known changes nothing.
    await catalog.touchDerived([rows[4]!.blobKey], NOON);
    const newest = derived(image);
    assert.deepEqual(await catalog.keepDerived([newest], 350, after(2 * HOUR)), [true]);
    const kept = await Promise.all([...rows, newest].map(({ blobKey }) => catalog.blob(blobKey)));
    assert.deepEqual(
      kept.map((blob) => blob !== undefined),
      [true, false, false, false, true, true],
    );
    const removed: string[] = [];
    await catalog.deleteBlobs(10, async (key) => void removed.push(key));
    assert.deepEqual(
      removed.sort(),
      rows
        .slice(1, 4)
        .map(({ blobKey }) => blobKey)
        .sort(),
    );
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('shares bytes with the renditions of jobs, and with images of the same bytes', async (t) => {
    const catalog = await open(t);
    const key = originalKey();
    const [one, other] = [await accepted(catalog, { key }), await accepted(catalog, { key })];
    const blobKey = renditionKey();
    await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON);
    await catalog.publishRendition(one.job.jobId, 'w', rendition({ blobKey, bytes: 100 }), noCheck);
    await catalog.keepDerived([derived(one, { blobKey }), derived(other, { blobKey })], MUCH, NOON);
    assert.equal((await catalog.blob(blobKey))?.refs, 3);
    assert.equal(await catalog.dropDerived(other.image.imageId, NOON), 1);
    assert.equal(await catalog.dropDerived(other.image.imageId, NOON), 0);
    assert.equal((await catalog.blob(blobKey))?.refs, 2);
    await catalog.deleteImage(one.image.imageId, NOON);
    assert.equal(await catalog.blob(blobKey), undefined);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('goes with its image, and its bytes are queued for deletion', async (t) => {
    const catalog = await open(t);
    const image = await accepted(catalog);
    const row = derived(image);
    await catalog.keepDerived([row], MUCH, NOON);
    await catalog.deleteImage(image.image.imageId, NOON);
    const removed: string[] = [];
    await catalog.deleteBlobs(10, async (key) => void removed.push(key));
    assert.deepEqual(removed.sort(), [row.blobKey, image.original.blobKey].sort());
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('is refused once the catalog is closed', async (t) => {
    const catalog = await open(t);
    const row = derived(await accepted(catalog));
    await catalog.close();
    await assert.rejects(catalog.keepDerived([row], MUCH, NOON), problem('shutting_down'));
  });
}
