import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Catalog, ImageFilter } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import {
  after,
  HOUR,
  info,
  NOON,
  noCheck,
  originalKey,
  problem,
  rendition,
  type UploadOptions,
  upload,
} from './catalog-rows.ts';

async function accepted(catalog: Catalog, options?: UploadOptions) {
  const row = upload(options);
  await catalog.acceptUpload(row);
  return row;
}

async function ids(catalog: Catalog, filter: Partial<ImageFilter>): Promise<string[]> {
  const { items } = await catalog.listImages({ limit: 100, ...filter });
  return items.map((image) => image.imageId);
}

/** Accepts an upload and completes it with what the camera says. */
async function photo(catalog: Catalog, of: Parameters<typeof info>[0]): Promise<string> {
  const { image, job } = await accepted(catalog);
  const owner = randomUUID();
  await catalog.leaseNext({ owner, until: after(HOUR) }, NOON);
  assert.ok(await catalog.completeJob(job.jobId, owner, { info: info(of), processingMetadata: {} }, NOON));
  return image.imageId;
}

export function imageContract(open: OpenCatalog): void {
  test('a list is latest first, in pages that miss and repeat nothing, also within one millisecond', async (t) => {
    const catalog = await open(t);
    const all = [];
    for (let i = 0; i < 23; i++) {
      all.push((await accepted(catalog, { at: after(Math.floor(i / 5)) })).image);
    }
    all.sort((a, b) => (a.createdAt + a.imageId < b.createdAt + b.imageId ? 1 : -1));
    const seen: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const page: Awaited<ReturnType<Catalog['listImages']>> = await catalog.listImages({
        owner: 'ann',
        limit: 4,
        ...(cursor !== null && { cursor }),
      });
      seen.push(...page.items.map((image) => image.imageId));
      cursor = page.nextCursor;
      pages++;
    } while (cursor !== null);
    assert.deepEqual(
      seen,
      all.map((image) => image.imageId),
    );
    assert.equal(pages, 6);
  });

  test('a list that ends with a full page has no next one', async (t) => {
    const catalog = await open(t);
    await accepted(catalog);
    await accepted(catalog);
    assert.equal((await catalog.listImages({ limit: 2 })).nextCursor, null);
  });

  test('a cursor that is not ours is refused by name', async (t) => {
    const catalog = await open(t);
    for (const cursor of ['', 'x', Buffer.from('a b').toString('base64url')]) {
      await assert.rejects(catalog.listImages({ limit: 1, cursor }), problem('invalid_field'));
    }
  });

  test('lists can be narrowed by owner, bucket, project and status', async (t) => {
    const catalog = await open(t);
    const a = (await accepted(catalog, { image: { bucket: 'one', project: 'p' } })).image.imageId;
    const b = (await accepted(catalog, { at: after(1), image: { bucket: 'two', project: 'p' } })).image
      .imageId;
    const c = (await accepted(catalog, { at: after(2), owner: 'ben', image: { bucket: 'one' } })).image
      .imageId;
    await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON);
    const first = (await catalog.image(a))!;
    assert.deepEqual(await ids(catalog, {}), [c, b, a]);
    assert.deepEqual(await ids(catalog, { owner: 'ann' }), [b, a]);
    assert.deepEqual(await ids(catalog, { bucket: 'one' }), [c, a]);
    assert.deepEqual(await ids(catalog, { owner: 'ann', bucket: 'one' }), [a]);
    assert.deepEqual(await ids(catalog, { project: 'p' }), [b, a]);
    assert.deepEqual(await ids(catalog, { project: 'p', bucket: 'two' }), [b]);
    assert.deepEqual(await ids(catalog, { status: 'pending' }), [c, b, a]);
    assert.deepEqual(await ids(catalog, { status: first.status, owner: 'nobody' }), []);
    assert.deepEqual(await ids(catalog, { status: 'ready' }), []);
  });

  test('lists can be narrowed by camera, without wildcards, and by when it was taken', async (t) => {
    const catalog = await open(t);
    const fuji = await photo(catalog, { date_taken: '2025-05-31T23:59:59' });
    const percent = await photo(catalog, {
      camera_make: null,
      camera_model: '100%_Cam!',
      date_taken: '2025-06-01T00:00:00Z',
    });
    const silent = await photo(catalog, { camera_make: null, camera_model: null, date_taken: null });
    assert.equal((await catalog.image(silent))?.camera, null);
    assert.deepEqual(await ids(catalog, { camera: 'x100' }), [fuji]);
    assert.deepEqual(await ids(catalog, { camera: 'fujifilm x100v' }), [fuji]);
    assert.deepEqual(await ids(catalog, { camera: '0%_c' }), [percent]);
    assert.deepEqual(await ids(catalog, { camera: 'cam!' }), [percent]);
    assert.deepEqual(await ids(catalog, { camera: 'F%X' }), []);
    assert.deepEqual(await ids(catalog, { takenFrom: '2025-06-01' }), [percent]);
    assert.deepEqual(await ids(catalog, { takenTo: '2025-05-31' }), [fuji], 'the whole last day');
    assert.deepEqual(await ids(catalog, { takenFrom: '2025-05', takenTo: '2025-05' }), [fuji]);
    assert.equal((await ids(catalog, { takenFrom: '2025', takenTo: '2025' })).length, 2);
  });

  test('thousands of ids can be asked for at once, known, unknown and repeated', async (t) => {
    const catalog = await open(t);
    const { image, job } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON);
    await catalog.publishRendition(job.jobId, 'w', rendition(), noCheck);
    const many = [image.imageId, ...Array.from({ length: 40_000 }, () => randomUUID()), image.imageId];
    assert.equal((await catalog.images(many)).length, 1);
    assert.equal((await catalog.renditions(many)).length, 1);
    assert.deepEqual(await catalog.images([]), []);
    assert.deepEqual(await catalog.renditions([]), []);
  });

  test('deletion takes everything of an image and nothing of another that shares its bytes', async (t) => {
    const catalog = await open(t);
    const key = originalKey();
    const shared = rendition();
    const own = rendition({ name: 'large' });
    const [a, b] = [await accepted(catalog, { key }), await accepted(catalog, { key })];
    for (const { job } of [a, b]) {
      assert.equal((await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON))?.jobId, job.jobId);
      await catalog.publishRendition(job.jobId, 'w', shared, noCheck);
    }
    await catalog.publishRendition(a.job.jobId, 'w', own, noCheck);
    assert.equal(await catalog.deleteImage(a.image.imageId, NOON), true);
    assert.equal(await catalog.deleteImage(a.image.imageId, NOON), false);
    assert.equal(await catalog.image(a.image.imageId), undefined);
    assert.equal(await catalog.job(a.job.jobId), undefined);
    assert.deepEqual(await catalog.versions(a.image.imageId), []);
    assert.deepEqual(await catalog.renditions([a.image.imageId]), []);
    assert.equal((await catalog.blob(key))?.refs, 1);
    assert.equal((await catalog.blob(shared.blobKey))?.refs, 1);
    const removed: string[] = [];
    await catalog.deleteBlobs(10, async (k) => void removed.push(k));
    assert.deepEqual(removed, [own.blobKey]);
    assert.equal((await catalog.renditions([b.image.imageId])).length, 1);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('the current version and the latest job of an image can be asked for', async (t) => {
    const catalog = await open(t);
    const { image, original, job } = await accepted(catalog);
    const expected = upload();
    const terms = { contentType: 'image/jpeg', expiresAt: after(HOUR) };
    await catalog.expectUpload(expected.image, expected.job, terms);
    const ids = [expected.image.imageId, randomUUID(), image.imageId];
    assert.deepEqual(await catalog.currentVersions(ids), [original]);
    assert.equal((await catalog.latestJob(image.imageId, 1))?.jobId, job.jobId);
    assert.equal(await catalog.latestJob(randomUUID(), 1), undefined);
  });

  test('an unknown image is not there', async (t) => {
    const catalog = await open(t);
    const id = randomUUID();
    assert.equal(await catalog.image(id), undefined);
    assert.deepEqual(await catalog.versions(id), []);
    assert.equal(await catalog.deleteImage(id, NOON), false);
    assert.equal(await catalog.expectedUpload(id), undefined);
  });
}
