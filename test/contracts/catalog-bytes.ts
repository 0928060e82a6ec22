import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Catalog } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import { after, DAY, HOUR, MINUTE, NOON, originalKey, problem, upload } from './catalog-rows.ts';

async function deleted(catalog: Catalog, at: Date): Promise<string> {
  const row = upload();
  await catalog.acceptUpload(row);
  await catalog.deleteImage(row.image.imageId, at);
  return row.original.blobKey;
}

export function bytesContract(open: OpenCatalog): void {
  test('unreferenced bytes are deleted oldest first, so many at a time, once', async (t) => {
    const catalog = await open(t);
    const keys = [];
    for (let i = 0; i < 5; i++) keys.push(await deleted(catalog, after(i)));
    const removed: string[] = [];
    const remove = async (key: string) => void removed.push(key);
    assert.equal(await catalog.deleteBlobs(3, remove), 3);
    assert.equal(await catalog.deleteBlobs(3, remove), 2);
    assert.equal(await catalog.deleteBlobs(3, remove), 0);
    assert.deepEqual(removed, keys);
  });

  test('bytes that cannot be deleted are tried again, after the others', async (t) => {
    const catalog = await open(t);
    const stubborn = await deleted(catalog, NOON);
    const other = await deleted(catalog, after(1));
    const tried: string[] = [];
    const fault = new Error('no permission');
    const remove = async (key: string) => {
      tried.push(key);
      if (tried.length === 1) throw fault;
    };
    await assert.rejects(catalog.deleteBlobs(10, remove), fault);
    assert.equal(await catalog.deleteBlobs(10, remove), 2);
    assert.deepEqual(tried, [stubborn, other, stubborn]);
  });

  test('a stray file is removed only where no row knows its key', async (t) => {
    const catalog = await open(t);
    const { original, ...rest } = upload();
    await catalog.acceptUpload({ original, ...rest });
    let removed = 0;
    const remove = async () => void removed++;
    assert.equal(await catalog.removeIfUnknown(original.blobKey, remove), false);
    assert.equal(removed, 0);
    assert.equal(await catalog.removeIfUnknown(originalKey(), remove), true);
    assert.equal(removed, 1);
    assert.equal(await catalog.blob(originalKey()), undefined);
  });

  test('idempotency keys go after a day and rate windows when they are over', async (t) => {
    const catalog = await open(t);
    const week = { max: 1, windowMs: 7 * DAY };
    await catalog.acceptUpload({ ...upload(), rateLimit: week });
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    await catalog.settleIdempotencyKey('ann', 'k', 'done');
    await catalog.expire(after(DAY - 1));
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), 'done');
    await catalog.expire(after(DAY));
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'other', NOON), undefined);
    const { resetAt, remaining } = await catalog.rateState('ann', week, NOON);
    assert.equal(remaining, 0, 'a window longer than a day is still counted');
    await catalog.expire(resetAt);
    assert.equal((await catalog.rateState('ann', week, NOON)).remaining, 1);
  });

  test('figures say what there is, how long it took and how long it waits', async (t) => {
    const catalog = await open(t);
    const none = await catalog.stats(NOON);
    assert.equal(none.images, 0);
    assert.equal(none.avgProcessingSeconds, null);
    assert.equal(none.oldestWaitingSeconds, null);
    for (const seconds of [2, 4]) {
      const row = upload();
      await catalog.acceptUpload(row);
      await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON);
      await catalog.completeJob(row.job.jobId, 'w', { processingMetadata: {} }, after(seconds * 1000));
    }
    await catalog.acceptUpload(upload({ at: after(-5 * MINUTE) }));
    await catalog.acceptUpload(upload());
    assert.deepEqual(await catalog.stats(NOON), {
      jobs: {
        expected: 0,
        pending: 2,
        processing: 0,
        retrying: 0,
        completed: 2,
        failed: 0,
        cancelled: 0,
      },
      images: 4,
      bytes: 8_000_000,
      completed24h: 2,
      avgProcessingSeconds: 3,
      oldestWaitingSeconds: 300,
    });
    assert.equal((await catalog.stats(after(DAY + HOUR))).completed24h, 0);
  });

  test('the last day is told by the hour, and the last jobs by their ids', async (t) => {
    const catalog = await open(t);
    const ids = ['0b', '0c', '0a'].map((n) => `01980000-0000-7000-8000-0000000000${n}`);
    for (const [i, jobId] of ids.entries()) {
      await catalog.acceptUpload(upload({ job: { jobId } }));
      await catalog.leaseNext({ owner: 'w', until: after(DAY) }, NOON);
      const end = after(i * HOUR + 2000);
      if (i < 2) await catalog.completeJob(jobId, 'w', { processingMetadata: {} }, end);
      else await catalog.failJob(jobId, 'w', { code: 'internal' }, { status: 'failed' }, end);
    }
    const recent = await catalog.recentJobs(2);
    assert.deepEqual(
      recent.map((job) => job.jobId),
      [ids[1], ids[0]],
    );
    const { outbox, hours } = await catalog.activity(after(2 * HOUR + MINUTE));
    assert.equal(outbox, 3);
    assert.equal(hours.length, 24);
    assert.equal(hours.at(-1)?.hour, after(2 * HOUR).toISOString());
    assert.deepEqual(
      hours.slice(-4).map((h) => [h.completed, h.failed, h.avgProcessingSeconds]),
      [
        [0, 0, null],
        [1, 0, 2],
        [1, 0, 3602],
        [0, 1, null],
      ],
    );
  });

  test('a sound catalog says so', async (t) => {
    const catalog = await open(t);
    await catalog.acceptUpload(upload());
    await catalog.check();
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('closing waits for what is under way; then every call is refused', async (t) => {
    const catalog = await open(t);
    const row = upload();
    const accepting = catalog.acceptUpload({
      ...row,
      ensureBlob: () => new Promise((resolve) => setTimeout(resolve, 20)),
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all([catalog.close(), catalog.close()]);
    await accepting;
    await assert.rejects(catalog.job(row.job.jobId), problem('shutting_down'));
    await assert.rejects(catalog.acceptUpload(upload()), problem('shutting_down'));
  });
}
