import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Catalog } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import { after, HOUR, MINUTE, NOON, noCheck, originalKey, problem, upload } from './catalog-rows.ts';

const EXPIRES = after(10 * MINUTE);
const LEASE = { owner: 'w', until: after(HOUR) };

async function expect(catalog: Catalog, owner = 'ann') {
  const { image, original, job } = upload({ owner });
  await catalog.expectUpload(image, job, { contentType: 'image/jpeg', bytes: 2_000_000, expiresAt: EXPIRES });
  return { image, original, job };
}

export function directUploadContract(open: OpenCatalog): void {
  test('what was expected is remembered, and is neither listed nor processed', async (t) => {
    const catalog = await open(t);
    const { image, job } = await expect(catalog);
    assert.deepEqual(await catalog.expectedUpload(image.imageId), {
      contentType: 'image/jpeg',
      bytes: 2_000_000,
      expiresAt: EXPIRES,
    });
    assert.equal((await catalog.image(image.imageId))?.status, 'expected');
    assert.equal((await catalog.job(job.jobId))?.status, 'expected');
    assert.deepEqual((await catalog.listImages({ limit: 10 })).items, []);
    assert.equal(await catalog.leaseNext(LEASE, NOON), undefined);
    assert.deepEqual(await catalog.outbox(10), []);
    assert.equal((await catalog.stats(NOON)).images, 0);
  });

  test('of 20 arrivals at once exactly one counts', async (t) => {
    const catalog = await open(t);
    const { image, original, job } = await expect(catalog);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => catalog.fulfilUpload(image.imageId, original, after(MINUTE), noCheck)),
    );
    const [arrived, ...none] = results.filter((r) => r.status === 'fulfilled');
    assert.deepEqual(none, []);
    assert.equal(arrived?.value.jobId, job.jobId);
    assert.equal(arrived?.value.status, 'pending');
    for (const r of results) if (r.status === 'rejected') assert.equal(r.reason.code, 'conflict');
    assert.equal((await catalog.blob(original.blobKey))?.refs, 1);
    assert.equal((await catalog.image(image.imageId))?.status, 'pending');
    assert.equal(await catalog.expectedUpload(image.imageId), undefined);
    assert.deepEqual(await catalog.versions(image.imageId), [original]);
    assert.deepEqual(
      (await catalog.outbox(10)).map((row) => row.jobId),
      [job.jobId],
    );
    assert.equal((await catalog.leaseNext(LEASE, after(MINUTE)))?.jobId, job.jobId);
  });

  test('bytes that come too late, or for an image that is not expected, are a conflict', async (t) => {
    const catalog = await open(t);
    const { image, original } = await expect(catalog);
    await assert.rejects(
      catalog.fulfilUpload(image.imageId, original, EXPIRES, noCheck),
      problem('conflict'),
    );
    const other = upload();
    await catalog.acceptUpload(other);
    await assert.rejects(
      catalog.fulfilUpload(other.image.imageId, original, NOON, noCheck),
      problem('conflict'),
    );
    assert.equal(await catalog.blob(original.blobKey), undefined);
  });

  test('a failed arrival can be tried again', async (t) => {
    const catalog = await open(t);
    const { image, original } = await expect(catalog);
    const lost = new Error('lost');
    await assert.rejects(
      catalog.fulfilUpload(image.imageId, original, NOON, () => {
        throw lost;
      }),
      lost,
    );
    await catalog.fulfilUpload(image.imageId, original, NOON, noCheck);
  });

  test('a cancelled one takes no bytes, and cannot be retried without any', async (t) => {
    const catalog = await open(t);
    const { image, original, job } = await expect(catalog);
    assert.equal((await catalog.cancelJob(job.jobId, NOON)).status, 'cancelled');
    await assert.rejects(catalog.fulfilUpload(image.imageId, original, NOON, noCheck), problem('conflict'));
    await assert.rejects(catalog.retryJob(job.jobId, NOON), problem('conflict'));
    await catalog.expire(EXPIRES);
    assert.equal(await catalog.image(image.imageId), undefined);
    assert.equal(await catalog.job(job.jobId), undefined);
  });

  test('it counts against the rate limit when it is allowed', async (t) => {
    const catalog = await open(t);
    const rateLimit = { max: 1, windowMs: HOUR };
    const expected = { contentType: 'image/png', expiresAt: EXPIRES };
    const [first, second] = [upload(), upload()];
    const state = await catalog.expectUpload(first.image, first.job, expected, rateLimit);
    assert.equal(state?.remaining, 0);
    await assert.rejects(
      catalog.expectUpload(second.image, second.job, expected, rateLimit),
      problem('rate_limited'),
    );
    assert.equal(await catalog.image(second.image.imageId), undefined);
  });

  test('those that were not used go with their images, those that were used stay', async (t) => {
    const catalog = await open(t);
    const unused = await Promise.all(Array.from({ length: 3 }, () => expect(catalog)));
    const used = await expect(catalog);
    await catalog.fulfilUpload(used.image.imageId, used.original, NOON, noCheck);
    await catalog.expire(after(-1, EXPIRES));
    for (const { image } of unused) assert.ok(await catalog.image(image.imageId));
    await catalog.expire(EXPIRES);
    for (const { image, job } of unused) {
      assert.equal(await catalog.image(image.imageId), undefined);
      assert.equal(await catalog.job(job.jobId), undefined);
      assert.equal(await catalog.expectedUpload(image.imageId), undefined);
    }
    assert.equal((await catalog.image(used.image.imageId))?.status, 'pending');
  });

  test('it stands behind what its owner has waiting when its bytes arrive', async (t) => {
    const catalog = await open(t);
    const direct = await expect(catalog, 'ann');
    for (let i = 0; i < 3; i++) await catalog.acceptUpload(upload({ owner: 'ann' }));
    const job = await catalog.fulfilUpload(direct.image.imageId, direct.original, NOON, noCheck);
    assert.equal(job.priority, 3);
    const bens = upload({ owner: 'ben', at: after(MINUTE), key: originalKey() });
    await catalog.acceptUpload(bens);
    const order = [];
    for (let i = 0; i < 5; i++) order.push((await catalog.leaseNext(LEASE, after(MINUTE)))?.jobId);
    assert.equal(order[1], bens.job.jobId);
    assert.equal(order[4], direct.job.jobId);
  });
}
