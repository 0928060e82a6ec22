import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Catalog } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import { after, MINUTE, NOON, originalKey, upload } from './catalog-rows.ts';

async function deleted(catalog: Catalog): Promise<string> {
  const row = upload();
  await catalog.acceptUpload(row);
  await catalog.deleteImage(row.image.imageId, NOON);
  return row.original.blobKey;
}

export function holdContract(open: OpenCatalog): void {
  test('nothing is deleted while deletions are held; then everything is', async (t) => {
    const catalog = await open(t);
    const keys = [await deleted(catalog)];
    const removed: string[] = [];
    const remove = async (key: string) => void removed.push(key);
    await catalog.holdDeletions('a backup', after(MINUTE));
    await catalog.holdDeletions('another', after(MINUTE));
    keys.push(await deleted(catalog));
    assert.equal(await catalog.deleteBlobs(10, remove, NOON), 0);
    await catalog.releaseDeletions('a backup', NOON);
    assert.equal(await catalog.deleteBlobs(10, remove, NOON), 0);
    assert.deepEqual(removed, []);
    await catalog.releaseDeletions('another', NOON);
    await catalog.releaseDeletions('another', NOON);
    assert.equal(await catalog.deleteBlobs(10, remove, NOON), 2);
    assert.deepEqual(removed.sort(), keys.sort());
  });

  test('a hold ends by itself, and later where it is renewed', async (t) => {
    const catalog = await open(t);
    await deleted(catalog);
    const remove = async () => {};
    await catalog.holdDeletions('a backup', after(MINUTE));
    await catalog.holdDeletions('a backup', after(2 * MINUTE));
    assert.equal(await catalog.deleteBlobs(10, remove, after(MINUTE)), 0);
    assert.equal(await catalog.deleteBlobs(10, remove, after(2 * MINUTE)), 1);
  });

  test('a stray file under a hold is deleted after it, unless a row has come to know it', async (t) => {
    const catalog = await open(t);
    const [stray, adopted] = [originalKey(), upload()];
    const removed: string[] = [];
    const remove = async (key: string) => void removed.push(key);
    await catalog.holdDeletions('a backup', after(MINUTE));
    for (const key of [stray, adopted.original.blobKey]) {
      assert.equal(await catalog.removeIfUnknown(key, () => remove(key), NOON), false);
    }
    await catalog.acceptUpload(adopted);
    assert.deepEqual(removed, []);
    assert.equal(await catalog.deleteBlobs(10, remove, after(MINUTE)), 1);
    assert.deepEqual(removed, [stray]);
  });

  test('what is stored is listed by key, in pages', async (t) => {
    const catalog = await open(t);
    const uploads = Array.from({ length: 5 }, () => upload());
    for (const row of uploads) await catalog.acceptUpload(row);
    const first = await catalog.storedBlobs('', 3);
    const rest = await catalog.storedBlobs(first[2]!.key, 3);
    const expected = uploads
      .map(({ original }) => ({ key: original.blobKey, bytes: original.bytes }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    assert.deepEqual([...first, ...rest], expected);
    assert.deepEqual(await catalog.storedBlobs(rest[1]!.key, 3), []);
  });
}
