import assert from 'node:assert/strict';
import { randomUUIDv7 } from 'node:crypto';
import { test } from 'node:test';
import type { Catalog } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import { after, HOUR, MINUTE, NOON, noCheck, originalKey, upload } from './catalog-rows.ts';

/** Accepts an upload whose job ends at a time, one second after it began. */
async function ended(catalog: Catalog, how: 'completed' | 'failed', at: Date): Promise<string> {
  const row = upload({ at, job: { jobId: randomUUIDv7() } });
  await catalog.acceptUpload(row);
  await catalog.leaseNext({ owner: 'w', until: after(HOUR, at) }, after(-1_000, at));
  const { jobId } = row.job;
  if (how === 'completed') await catalog.completeJob(jobId, 'w', { processingMetadata: {} }, at);
  else await catalog.failJob(jobId, 'w', { code: 'internal' }, { status: 'failed' }, at);
  return row.image.imageId;
}

export function activityContract(open: OpenCatalog): void {
  test('the last day is told by hours, the empty ones as well', async (t) => {
    const catalog = await open(t);
    const empty = await catalog.activity(NOON);
    assert.equal(empty.outbox, 0);
    assert.equal(empty.hours.length, 24);
    assert.deepEqual(empty.hours[0], {
      hour: '2026-02-28T13:00:00.000Z',
      completed: 0,
      failed: 0,
      avgProcessingSeconds: null,
    });
    await ended(catalog, 'completed', after(-24 * HOUR));
    await ended(catalog, 'completed', after(-23 * HOUR));
    await ended(catalog, 'completed', after(-1));
    await ended(catalog, 'completed', NOON);
    await ended(catalog, 'completed', after(10 * MINUTE));
    await ended(catalog, 'failed', after(5 * MINUTE));
    const { outbox, hours } = await catalog.activity(after(20 * MINUTE));
    assert.equal(outbox, 6);
    assert.deepEqual(
      hours.filter(({ completed, failed }) => completed + failed > 0),
      [
        { hour: '2026-02-28T13:00:00.000Z', completed: 1, failed: 0, avgProcessingSeconds: 1 },
        { hour: '2026-03-01T11:00:00.000Z', completed: 1, failed: 0, avgProcessingSeconds: 1 },
        { hour: '2026-03-01T12:00:00.000Z', completed: 2, failed: 1, avgProcessingSeconds: 1 },
      ],
    );
  });

  test('the last jobs come first, whatever their state', async (t) => {
    const catalog = await open(t);
    const images = [];
    for (const how of ['completed', 'failed', 'completed'] as const)
      images.push(await ended(catalog, how, NOON));
    const recent = await catalog.recentJobs(2);
    assert.deepEqual(
      recent.map(({ imageId, status }) => [imageId, status]),
      [
        [images[2], 'completed'],
        [images[1], 'failed'],
      ],
    );
  });

  test('the last job of an image is found, and none of an unknown one', async (t) => {
    const catalog = await open(t);
    const imageId = await ended(catalog, 'failed', NOON);
    assert.equal((await catalog.latestJob(imageId, 1))?.lastError?.code, 'internal');
    assert.equal(await catalog.latestJob(randomUUIDv7(), 1), undefined);
  });

  test('images can be listed in several buckets at once, and in none', async (t) => {
    const catalog = await open(t);
    for (const bucket of ['one', 'two', 'three']) await catalog.acceptUpload(upload({ image: { bucket } }));
    const bucketsOf = async (buckets: string[], bucket?: string) => {
      const { items } = await catalog.listImages({ limit: 9, buckets, ...(bucket && { bucket }) });
      return items.map((image) => image.bucket).sort();
    };
    assert.deepEqual(await bucketsOf(['one', 'three', 'four']), ['one', 'three']);
    assert.deepEqual(await bucketsOf([]), []);
    assert.deepEqual(await bucketsOf(['one', 'two'], 'two'), ['two']);
    assert.deepEqual(await bucketsOf(['one'], 'two'), []);
  });

  test('the current versions of many images are found, without those whose bytes have not come', async (t) => {
    const catalog = await open(t);
    const [a, b, waiting] = [upload(), upload({ key: originalKey() }), upload()];
    for (const row of [a, b]) await catalog.acceptUpload({ ...row, ensureBlob: noCheck });
    await catalog.expectUpload(
      { ...waiting.image, status: 'expected' },
      { ...waiting.job, status: 'expected' },
      { contentType: 'image/jpeg', expiresAt: after(HOUR) },
    );
    const ids = [a, b, waiting].map(({ image }) => image.imageId);
    const found = await catalog.currentVersions([...ids, randomUUIDv7()]);
    assert.deepEqual(
      new Map(found.map((row) => [row.imageId, row])),
      new Map([a, b].map((row) => [row.image.imageId, row.original])),
    );
    assert.deepEqual(await catalog.currentVersions([]), []);
  });
}
