import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Catalog } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import {
  after,
  conversion,
  HOUR,
  info,
  MINUTE,
  NOON,
  noCheck,
  originalKey,
  placeholders,
  problem,
  rendition,
  renditionKey,
  type UploadOptions,
  upload,
} from './catalog-rows.ts';

const until = after(HOUR);
const FAULT = { code: 'undecodable_image', detail: 'The file ends too soon.' } as const;
const DONE = { processingMetadata: {} };

async function leased(catalog: Catalog, options: UploadOptions = {}, owner = 'w') {
  const row = upload(options);
  await catalog.acceptUpload(row);
  assert.equal((await catalog.leaseNext({ owner, until }, NOON))?.jobId, row.job.jobId);
  return row;
}

async function failed(catalog: Catalog, options?: UploadOptions) {
  const row = await leased(catalog, options);
  await catalog.failJob(row.job.jobId, 'w', FAULT, { status: 'failed' }, after(MINUTE));
  return row;
}

export function jobContract(open: OpenCatalog): void {
  test('a rendition is seen as soon as it is published, under its name and format', async (t) => {
    const catalog = await open(t);
    const { job, image } = await leased(catalog);
    const webp = rendition();
    const jpeg = rendition({ format: 'jpeg', width: 600 });
    assert.equal(await catalog.publishRendition(job.jobId, 'w', webp, noCheck), true);
    assert.equal(await catalog.publishRendition(job.jobId, 'w', jpeg, noCheck), true);
    const stored = await catalog.renditions([image.imageId]);
    assert.deepEqual(
      stored.map(({ createdAt: _, ...row }) => row),
      [webp, jpeg].map((r) => ({ imageId: image.imageId, version: 1, ...r })),
    );
    assert.deepEqual((await catalog.job(job.jobId))?.processedPaths, {
      'thumbnail.webp': webp.blobKey,
      'thumbnail.jpeg': jpeg.blobKey,
    });
    const events = await catalog.eventsOf(job.jobId, 0, 10);
    assert.deepEqual(events.at(-1)?.metadata, {
      name: 'thumbnail',
      format: 'jpeg',
      width: 600,
      height: 113,
      bytes: 4_321,
    });
  });

  test('the same rendition again changes nothing, another one takes its place', async (t) => {
    const catalog = await open(t);
    const { job, image } = await leased(catalog);
    const first = rendition();
    let looks = 0;
    for (let i = 0; i < 3; i++) {
      await catalog.publishRendition(job.jobId, 'w', first, () => void looks++);
    }
    assert.equal(looks, 3, 'the blob is looked for each time');
    assert.equal((await catalog.blob(first.blobKey))?.refs, 1);
    assert.equal((await catalog.eventsOf(job.jobId, 0, 10)).length, 3, 'accepted, started, ready once');
    const second = rendition({ width: 151 });
    await catalog.publishRendition(job.jobId, 'w', second, noCheck);
    assert.equal(await catalog.blob(first.blobKey), undefined);
    assert.equal((await catalog.blob(second.blobKey))?.refs, 1);
    const rows = await catalog.renditions([image.imageId]);
    assert.deepEqual(
      rows.map((r) => [r.blobKey, r.width]),
      [[second.blobKey, 151]],
    );
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('a rendition whose blob is not in place is not published', async (t) => {
    const catalog = await open(t);
    const { job, image } = await leased(catalog);
    const lost = new Error('lost');
    const row = rendition();
    await assert.rejects(
      catalog.publishRendition(job.jobId, 'w', row, async () => {
        throw lost;
      }),
      lost,
    );
    assert.deepEqual(await catalog.renditions([image.imageId]), []);
    assert.equal(await catalog.blob(row.blobKey), undefined);
    assert.equal(await catalog.publishRendition(job.jobId, 'w', row, noCheck), true);
  });

  test('a completed job gives its image what was found out', async (t) => {
    const catalog = await open(t);
    const { job, image } = await leased(catalog);
    const result = { info: info(), placeholders, processingMetadata: { steps: { decode: 78 } } };
    assert.equal(await catalog.completeJob(job.jobId, 'w', result, after(MINUTE)), true);
    const done = await catalog.job(job.jobId);
    assert.equal(done?.status, 'completed');
    assert.equal(done?.progress, 100);
    assert.equal(done?.completedAt, after(MINUTE).toISOString());
    assert.equal(done?.leaseOwner, null);
    assert.deepEqual(done?.processingMetadata, { steps: { decode: 78 } });
    const ready = await catalog.image(image.imageId);
    assert.deepEqual(ready, {
      ...image,
      status: 'ready',
      info: info(),
      camera: 'FUJIFILM X100V',
      takenAt: '2025-07-14T18:30:00+02:00',
      ...placeholders,
      updatedAt: after(MINUTE).toISOString(),
    });
    assert.equal(await catalog.completeJob(job.jobId, 'w', result, NOON), false, 'once only');
  });

  test('a job of a version that is no longer the current one fails and leaves the image alone', async (t) => {
    const catalog = await open(t);
    const { job, image } = await leased(catalog, { image: { currentVersion: 2, status: 'ready' } });
    assert.equal(await catalog.completeJob(job.jobId, 'w', { info: info(), ...DONE }, NOON), false);
    const over = await catalog.job(job.jobId);
    assert.equal(over?.status, 'failed');
    assert.equal(over?.lastError?.code, 'conflict');
    assert.deepEqual(await catalog.image(image.imageId), image);
  });

  test('a failed job is a dead letter, its image has failed, and its error can be read', async (t) => {
    const catalog = await open(t);
    const { job, image } = await failed(catalog);
    const later = await leased(catalog);
    await catalog.failJob(later.job.jobId, 'w', FAULT, { status: 'failed' }, after(HOUR));
    const dead = await catalog.failedJobs(10);
    assert.deepEqual(
      dead.map((j) => j.jobId),
      [later.job.jobId, job.jobId],
    );
    assert.deepEqual(dead[1]?.lastError, FAULT);
    assert.equal((await catalog.failedJobs(1)).length, 1);
    assert.equal((await catalog.image(image.imageId))?.status, 'failed');
  });

  test('a retried job starts from its first attempt, behind those that wait', async (t) => {
    const catalog = await open(t);
    const { job, image } = await failed(catalog);
    await catalog.acceptUpload(upload());
    const again = await catalog.retryJob(job.jobId, after(MINUTE));
    assert.equal(again.status, 'pending');
    assert.equal(again.attemptCount, 0);
    assert.equal(again.lastError, null);
    assert.equal(again.completedAt, null);
    assert.equal(again.priority, 1);
    assert.equal((await catalog.image(image.imageId))?.status, 'pending');
    assert.equal((await catalog.outbox(10)).at(-1)?.jobId, job.jobId);
    await assert.rejects(catalog.retryJob(job.jobId, NOON), problem('conflict'));
    await catalog.leaseNext({ owner: 'w2', until }, NOON);
    assert.equal((await catalog.leaseNext({ owner: 'w2', until }, NOON))?.jobId, job.jobId);
    await assert.rejects(catalog.retryJob(job.jobId, NOON), problem('conflict'));
    assert.equal(await catalog.completeJob(job.jobId, 'w2', DONE, NOON), true);
    await assert.rejects(catalog.retryJob(job.jobId, NOON), problem('conflict'));
    assert.equal((await catalog.image(image.imageId))?.status, 'ready');
  });

  test('a job that waits for its next attempt can be retried at once', async (t) => {
    const catalog = await open(t);
    const { job } = await leased(catalog);
    const outcome = { status: 'retrying', nextAttemptAt: after(HOUR) } as const;
    await catalog.failJob(job.jobId, 'w', FAULT, outcome, NOON);
    assert.equal((await catalog.retryJob(job.jobId, NOON)).status, 'pending');
    assert.equal((await catalog.leaseNext({ owner: 'w', until }, NOON))?.jobId, job.jobId);
    assert.equal(await catalog.leaseNext({ owner: 'w', until }, after(2 * HOUR)), undefined);
  });

  test('a job that waits is cancelled at once; one that has ended cannot be', async (t) => {
    const catalog = await open(t);
    const waiting = upload();
    await catalog.acceptUpload(waiting);
    assert.equal((await catalog.cancelJob(waiting.job.jobId, NOON)).status, 'cancelled');
    assert.equal((await catalog.cancelJob(waiting.job.jobId, NOON)).status, 'cancelled', 'again is no fault');
    assert.equal(await catalog.leaseNext({ owner: 'w', until }, NOON), undefined);
    assert.equal((await catalog.image(waiting.image.imageId))?.status, 'failed');
    const { job } = await failed(catalog);
    await assert.rejects(catalog.cancelJob(job.jobId, NOON), problem('conflict'));
    const done = await leased(catalog);
    await catalog.completeJob(done.job.jobId, 'w', DONE, NOON);
    await assert.rejects(catalog.cancelJob(done.job.jobId, NOON), problem('conflict'));
    assert.equal((await catalog.retryJob(waiting.job.jobId, NOON)).status, 'pending');
  });

  test('an unknown job is not found', async (t) => {
    const catalog = await open(t);
    const id = randomUUID();
    assert.equal(await catalog.job(id), undefined);
    assert.deepEqual(await catalog.eventsOf(id, 0, 10), []);
    await assert.rejects(catalog.retryJob(id, NOON), problem('not_found'));
    await assert.rejects(catalog.cancelJob(id, NOON), problem('not_found'));
  });

  test('of a retry and a cancellation at once the job keeps one consistent outcome', async (t) => {
    const catalog = await open(t);
    const { job } = await leased(catalog);
    await catalog.failJob(job.jobId, 'w', FAULT, { status: 'retrying', nextAttemptAt: after(HOUR) }, NOON);
    await Promise.allSettled([
      catalog.retryJob(job.jobId, NOON),
      catalog.cancelJob(job.jobId, NOON),
      catalog.retryJob(job.jobId, NOON),
      catalog.leaseNext({ owner: 'w2', until }, NOON),
      catalog.cancelJob(job.jobId, NOON),
    ]);
    assert.equal(await catalog.integrity(), 'ok');
    await catalog.reclaimLost(NOON, () => true);
    const { status } = (await catalog.job(job.jobId))!;
    assert.ok(status === 'cancelled' || status === 'pending', status);
    assert.equal(
      (await catalog.leaseNext({ owner: 'w3', until }, NOON))?.jobId,
      status === 'pending' ? job.jobId : undefined,
    );
  });

  test('events of a job come in order and resume after any of them', async (t) => {
    const catalog = await open(t);
    const { job } = await leased(catalog);
    await catalog.publishRendition(job.jobId, 'w', rendition(), noCheck);
    await leased(catalog);
    await catalog.completeJob(job.jobId, 'w', DONE, NOON);
    const all = await catalog.eventsOf(job.jobId, 0, 10);
    assert.deepEqual(
      all.map((e) => e.eventType),
      ['upload.accepted', 'job.started', 'rendition.ready', 'job.completed'],
    );
    assert.ok(all.every((e, i) => i === 0 || e.id > all[i - 1]!.id));
    assert.deepEqual(await catalog.eventsOf(job.jobId, all[1]!.id, 10), all.slice(2));
    assert.deepEqual(await catalog.eventsOf(job.jobId, 0, 2), all.slice(0, 2));
    assert.deepEqual(await catalog.eventsOf(job.jobId, all[3]!.id, 10), []);
  });

  test('the outbox keeps what the relay has not taken', async (t) => {
    const catalog = await open(t);
    for (let i = 0; i < 5; i++) await catalog.acceptUpload(upload());
    const seen = await catalog.outbox(3);
    await catalog.acceptUpload(upload());
    await catalog.relayed(seen.map((row) => row.id));
    const rest = await catalog.outbox(10);
    assert.equal(rest.length, 3);
    assert.ok(rest.every((row) => !seen.some((s) => s.id === row.id)));
    await catalog.relayed([]);
    await catalog.relayed(Array.from({ length: 3_000 }, (_, i) => i));
    assert.deepEqual(await catalog.outbox(10), []);
  });

  test('results of a conversion are references until a day after its end', async (t) => {
    const catalog = await open(t);
    const job = conversion();
    const source = originalKey();
    await catalog.acceptConversion(job, { key: source, bytes: 1 }, noCheck);
    await catalog.leaseNext({ owner: 'w', until }, NOON);
    const wrong = rendition({ name: 'result' });
    const result = rendition({ name: 'result' });
    await catalog.publishRendition(job.jobId, 'w', wrong, noCheck);
    await catalog.publishRendition(job.jobId, 'w', result, noCheck);
    await catalog.publishRendition(job.jobId, 'w', result, noCheck);
    assert.equal(await catalog.blob(wrong.blobKey), undefined);
    assert.equal((await catalog.blob(result.blobKey))?.refs, 1);
    await catalog.completeJob(job.jobId, 'w', DONE, after(MINUTE));
    assert.deepEqual((await catalog.job(job.jobId))?.processedPaths, { 'result.webp': result.blobKey });
    await catalog.expire(after(24 * HOUR + MINUTE - 1));
    assert.ok(await catalog.job(job.jobId));
    await catalog.expire(after(24 * HOUR + MINUTE));
    assert.equal(await catalog.job(job.jobId), undefined);
    const removed: string[] = [];
    await catalog.deleteBlobs(10, async (key) => void removed.push(key));
    assert.deepEqual(removed.sort(), [source, result.blobKey, wrong.blobKey].sort());
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('a conversion whose result is its source has two references to it', async (t) => {
    const catalog = await open(t);
    const job = conversion();
    const key = renditionKey();
    await catalog.acceptConversion(job, { key, bytes: 1 }, noCheck);
    await catalog.leaseNext({ owner: 'w', until }, NOON);
    await catalog.publishRendition(job.jobId, 'w', rendition({ blobKey: key }), noCheck);
    assert.equal((await catalog.blob(key))?.refs, 2);
    await catalog.failJob(job.jobId, 'w', FAULT, { status: 'failed' }, NOON);
    await catalog.expire(after(25 * HOUR));
    assert.equal(await catalog.blob(key), undefined);
    assert.equal(await catalog.deleteBlobs(10, async () => {}), 1);
  });
}
