/** Deleting an image: what goes, what stays, who may. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { startWorker } from '../../src/worker/loop.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite, eventually } from '../support/service.ts';

describe('deleting an image', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let anna: string;
  before(async () => {
    service = await startImageService(ending);
    anna = await service.token('anna');
  });

  const remove = ({ imageId }: Pick<Seeded, 'imageId'>, token?: string) => {
    const { method, path } = exercise('delete_image');
    return service.get(path.replace('{image_id}', imageId), token, { method });
  };
  async function assertRemoved(image: Seeded): Promise<void> {
    const response = await remove(image, anna);
    assert.equal(response.status, 204);
    assert.equal(await response.text(), '');
    assertPublished('delete_image', response, undefined);
  }
  /** Rows of the catalog that are about an image, without the audit trail. */
  const rowsOf = ({ imageId }: Seeded) =>
    ['images', 'image_versions', 'renditions', 'processing_jobs'].flatMap((table) =>
      service.rows(`select * from ${table} where image_id = ?`, imageId),
    );
  const blobRows = () => service.rows('select key from blobs union all select key from blob_deletions');

  it('leaves neither row nor byte, at once', async () => {
    const image = await service.add(await photo(1, 300, 200));
    assert.equal(rowsOf(image).length, 7);
    assert.ok(service.services.stored().length >= 4);
    await assertRemoved(image);
    assert.deepEqual(rowsOf(image), []);
    assert.deepEqual(blobRows(), []);
    assert.deepEqual(service.services.stored(), []);
    assert.deepEqual(service.services.staged(), []);
    const gone = await service.get(exercise('get_image').path.replace('{image_id}', image.imageId));
    await assertProblem('get_image', gone, 'not_found');
    await assertProblem('delete_image', await remove(image, anna), 'not_found');
    const events = service.rows(
      'select event_type from image_upload_events where image_id = ?',
      image.imageId,
    );
    assert.equal(events.at(-1)!.event_type, 'image.deleted');
  });

  it('harms no other image of the same bytes', async () => {
    const bytes = await photo(2, 300, 200);
    const [mine, other] = [
      await service.add(bytes),
      await service.add(bytes, { owner: 'ben', preset: 'web' }),
    ];
    const stored = service.services.stored();
    await assertRemoved(mine);
    assert.deepEqual(service.services.stored(), stored);
    const ben = await service.token('ben');
    const download = await service.get(
      exercise('download_image').path.replace('{image_id}', other.imageId),
      ben,
    );
    assert.deepEqual(Buffer.from(await download.arrayBuffer()), bytes);
    for (const size of ['thumbnail', 'medium', 'large', 'original']) {
      const response = await service.get(
        `${exercise('read_image').path.replace('{image_id}', other.imageId)}?size=${size}`,
      );
      assert.equal(response.status, 200);
      await response.arrayBuffer();
    }
    assert.equal((await remove(other, ben)).status, 204);
    assert.deepEqual(service.services.stored(), []);
  });

  it('takes what is shared with it only in part', async () => {
    const bytes = await photo(3, 300, 200);
    const [web, gallery] = [await service.add(bytes), await service.add(bytes, { preset: 'gallery' })];
    await assertRemoved(web);
    const kept = await service.services.catalog.renditions([gallery.imageId]);
    assert.deepEqual(
      service.services.stored(),
      [gallery.key, ...new Set(kept.map((row) => row.blobKey))].sort(),
    );
    await assertRemoved(gallery);
  });

  it('is for the owner and admins', async () => {
    const open = await service.add(await photo(4, 90, 60));
    const secret = await service.add(await photo(5, 90, 60), { bucket: 'vault' });
    const none = await remove(open);
    assert.equal(none.headers.get('www-authenticate'), 'Bearer');
    await assertProblem('delete_image', none, 'unauthorized');
    await assertProblem('delete_image', await remove(open, await service.token('ben')), 'forbidden');
    await assertProblem('delete_image', await remove(secret, await service.token('ben')), 'not_found');
    for (const who of [{ scope: 'read' as const }, { buckets: ['other'] }]) {
      const token = await service.token('anna', who);
      await assertProblem('delete_image', await remove(open, token), 'forbidden');
    }
    await assertProblem('delete_image', await remove({ imageId: randomUUID() }, anna), 'not_found');
    await assertProblem('delete_image', await remove({ imageId: 'x' }, anna), 'not_found');
    assert.equal(rowsOf(open).length, 7);
    await assertRemoved(open);
    const admin = await service.token('root', { scope: 'admin' });
    assert.equal((await remove(secret, admin)).status, 204);
    assert.deepEqual(service.services.stored(), []);
  });

  it('ends the job that is at work on it, whose results go too', async (t) => {
    // Long enough for the deletion to come in the middle.
    const image = await service.accept(await photo(6, 5000, 3400));
    const worker = startWorker(service.services, { concurrency: 1, watchMs: 50 });
    t.after(() => worker.stop({ graceMs: 0 }));
    await eventually(
      'a first size is published',
      () => service.rows('select 1 from renditions where image_id = ?', image.imageId).length > 0,
    );
    assert.equal(worker.stats().running, 1);
    await assertRemoved(image);
    await eventually('the job has ended', () => worker.stats().running === 0);
    await worker.stop({ graceMs: 0 });
    assert.deepEqual(rowsOf(image), []);
    assert.deepEqual(service.services.stored(), []);
    assert.deepEqual(service.services.staged(), []);
    assert.deepEqual(blobRows(), []);
  });

  it('many times at once is done once, and leaves nothing', async () => {
    const images = [];
    for (let i = 0; i < 6; i++) images.push(await service.add(await photo(7 + (i % 2), 90, 60)));
    const responses = await Promise.all([...images, ...images].map((image) => remove(image, anna)));
    assert.deepEqual(responses.map(({ status }) => status).sort(), [
      ...Array(6).fill(204),
      ...Array(6).fill(404),
    ]);
    assert.deepEqual(service.services.stored(), []);
    assert.deepEqual(blobRows(), []);
    assert.equal(await service.services.catalog.integrity(), 'ok');
  });

  it('succeeds where the store cannot delete now; the bytes are deleted later', async (t) => {
    const image = await service.add(await photo(9, 90, 60));
    const { blobs, catalog } = service.services;
    t.mock.method(blobs, 'delete', async () => {
      throw new Error('read-only file system');
    });
    await assertRemoved(image);
    assert.deepEqual(rowsOf(image), []);
    assert.ok(service.services.stored().includes(image.key));
    t.mock.restoreAll();
    while ((await catalog.deleteBlobs(100, (key) => blobs.delete(key))) > 0);
    assert.deepEqual(service.services.stored(), []);
  });
});
