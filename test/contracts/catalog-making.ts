import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { newIds } from '../../src/domain/ids.ts';
import { type AcceptedProcessing, type Catalog, VERSION_NAME } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import {
  after,
  DAY,
  HOUR,
  jobRow,
  MINUTE,
  NOON,
  noCheck,
  placeholders,
  problem,
  rendition,
  renditionKey,
  type UploadOptions,
  upload,
} from './catalog-rows.ts';

const until = after(HOUR);
const DONE = { processingMetadata: {} };
const FAULT = { code: 'undecodable_image', detail: 'It ends too soon.' } as const;
const FAILED = { status: 'failed' } as const;
const PLAN = { operations: [{ op: 'flip' }], output: { format: 'png', metadata: 'keep' } } as const;
const SIZE = { operations: [], output: { format: 'webp', quality: 85, metadata: 'strip' } } as const;

type Job = AcceptedProcessing['jobs'][number];

/** A job that makes a version with one size, `thumbnail`. */
export function making(imageId: string, more: Partial<Job> = {}): Job {
  return {
    ...jobRow({ kind: 'process', plans: [{ name: 'thumbnail', plan: SIZE as never }] }),
    imageId,
    making: { plan: PLAN as never, sourceVersion: 1, assets: {} },
    ...more,
  };
}

/** An image that is ready. */
async function ready(catalog: Catalog, options?: UploadOptions) {
  const row = upload(options);
  await catalog.acceptUpload(row);
  await catalog.leaseNext({ owner: 'w', until }, NOON);
  assert.equal(await catalog.completeJob(row.job.jobId, 'w', { placeholders, ...DONE }, NOON), true);
  return row;
}

async function accept(catalog: Catalog, imageId: string, more?: Partial<Job>) {
  const job = making(imageId, more);
  const [version] = await catalog.acceptProcessing({ owner: 'ann', jobs: [job] });
  return { job, version };
}

async function lease(catalog: Catalog, owner = 'w') {
  return catalog.leaseNext({ owner, until }, NOON);
}

const ownBytes = (blobKey = renditionKey()) =>
  rendition({ name: VERSION_NAME, format: 'png', blobKey, width: 800, height: 600, bytes: 9_000 });

/** Publishes all that the job should make. */
async function publishAll(catalog: Catalog, jobId: string, owner = 'w') {
  const [own, size] = [ownBytes(), rendition()];
  assert.equal(await catalog.publishRendition(jobId, owner, own, noCheck), true);
  assert.equal(await catalog.publishRendition(jobId, owner, size, noCheck), true);
  return { own, size };
}

const refsOf = async (catalog: Catalog, key: string) => (await catalog.blob(key))?.refs;

export function makingContract(open: OpenCatalog): void {
  test('a version has the next number, and no number comes twice, whatever becomes of its job', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const first = await accept(catalog, image.imageId);
    const second = await accept(catalog, image.imageId);
    assert.deepEqual([first.version, second.version], [2, 3]);
    await catalog.cancelJob(second.job.jobId, NOON);
    assert.equal((await accept(catalog, image.imageId)).version, 4);
    const stored = await catalog.job(first.job.jobId);
    assert.deepEqual(
      [stored?.kind, stored?.version, stored?.making, stored?.status],
      ['process', 2, first.job.making, 'pending'],
    );
    const [event] = await catalog.eventsOf(first.job.jobId, 0, 10);
    assert.deepEqual(
      [event?.eventType, event?.metadata],
      ['process.accepted', { version: 2, source_version: 1 }],
    );
    assert.ok((await catalog.outbox(10)).some(({ jobId }) => jobId === first.job.jobId));
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('what is not there, not ready or lacks the version is not accepted; the others are', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const waiting = upload();
    await catalog.acceptUpload(waiting);
    const lacking = making(image.imageId, {
      making: { plan: PLAN as never, sourceVersion: 7, assets: {} },
    });
    const jobs = [making(randomUUID()), making(waiting.image.imageId), lacking, making(image.imageId)];
    const versions = await catalog.acceptProcessing({ owner: 'ann', jobs });
    assert.deepEqual(versions, [undefined, undefined, undefined, 2]);
    for (const { jobId } of jobs.slice(0, 3)) assert.equal(await catalog.job(jobId), undefined);
    assert.equal((await catalog.job(jobs[3]!.jobId))?.status, 'pending');
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('an owner with too many unfinished jobs is refused whole, and another one is not', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const ask = (owner: string, n: number) =>
      catalog.acceptProcessing({
        owner,
        jobs: Array.from({ length: n }, () => making(image.imageId)),
        maxUnfinished: 3,
      });
    assert.equal((await ask('ann', 2)).length, 2);
    await assert.rejects(
      ask('ann', 2),
      (error: Error & { code: string; retryAfterSeconds: number }) =>
        error.code === 'rate_limited' && error.retryAfterSeconds > 0,
    );
    assert.deepEqual(await ask('ann', 1), [4], 'the refused ones have taken no number');
    assert.equal((await ask('ben', 3)).length, 3);
  });

  test('an idempotency key is settled together with the jobs', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const answer = (versions: readonly unknown[]) => ({ versions });
    const idempotency = { key: 'k', answer };
    const request = () => ({ owner: 'ann', jobs: [making(image.imageId)], idempotency });
    await assert.rejects(catalog.acceptProcessing(request()), problem('conflict'));
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), undefined);
    assert.deepEqual(await catalog.acceptProcessing(request()), [2], 'the refused one has taken no number');
    assert.deepEqual(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), { versions: [2] });
  });

  test('nothing of a version is seen before its job completes; then all of it is', async (t) => {
    const catalog = await open(t);
    const { image, original } = await ready(catalog);
    const { imageId } = image;
    const { job } = await accept(catalog, imageId);
    await lease(catalog);
    const { own, size } = await publishAll(catalog, job.jobId);
    const before = await catalog.image(imageId);
    assert.deepEqual([before?.status, before?.currentVersion], ['ready', 1]);
    assert.equal((await catalog.versions(imageId)).length, 1);
    assert.deepEqual(await catalog.renditions([imageId]), []);
    const types = async () => (await catalog.eventsOf(job.jobId, 0, 20)).map((event) => event.eventType);
    assert.deepEqual(await types(), ['process.accepted', 'job.started']);
    assert.deepEqual([await refsOf(catalog, own.blobKey), await refsOf(catalog, size.blobKey)], [1, 1]);
    assert.equal(await catalog.integrity(), 'ok');

    const shown = { dominantColor: '#112233', thumbhash: 'AAAA', blurhash: 'L00000' };
    const at = after(MINUTE);
    assert.equal(await catalog.completeJob(job.jobId, 'w', { placeholders: shown, ...DONE }, at), true);
    const [first, second] = await catalog.versions(imageId);
    assert.deepEqual(first, { ...original, placeholders });
    assert.deepEqual(second, {
      imageId,
      version: 2,
      blobKey: own.blobKey,
      bytes: 9_000,
      mime: 'image/png',
      format: 'png',
      width: 800,
      height: 600,
      plan: PLAN,
      placeholders: shown,
      createdAt: at.toISOString(),
    });
    assert.deepEqual(await catalog.renditions([imageId]), [
      { imageId, version: 2, ...size, createdAt: at.toISOString() },
    ]);
    assert.deepEqual(await catalog.renditions([imageId], 1), []);
    assert.equal((await catalog.renditions([imageId], 2)).length, 1);
    const now = await catalog.image(imageId);
    assert.deepEqual(
      [now?.status, now?.currentVersion, now?.dominantColor, now?.thumbhash, now?.blurhash],
      ['ready', 2, '#112233', 'AAAA', 'L00000'],
    );
    assert.deepEqual((await catalog.currentVersions([imageId]))[0]?.version, 2);
    assert.deepEqual((await types()).slice(2), ['rendition.ready', 'job.completed']);
    assert.deepEqual([await refsOf(catalog, own.blobKey), await refsOf(catalog, size.blobKey)], [1, 1]);
    assert.equal(await catalog.completeJob(job.jobId, 'w', DONE, at), false, 'once only');
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('what was published is kept for the next attempt, and the same again changes nothing', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const { job } = await accept(catalog, image.imageId);
    await lease(catalog);
    const { own, size } = await publishAll(catalog, job.jobId);
    assert.equal(await catalog.reclaimLost(NOON, () => true), 1);
    assert.equal((await lease(catalog, 'w2'))?.jobId, job.jobId);
    assert.equal(await catalog.publishRendition(job.jobId, 'w', size, noCheck), false, 'its lease is lost');
    for (const one of [own, size]) {
      assert.equal(await catalog.publishRendition(job.jobId, 'w2', one, noCheck), true);
      assert.equal(await refsOf(catalog, one.blobKey), 1);
    }
    const another = ownBytes();
    assert.equal(await catalog.publishRendition(job.jobId, 'w2', another, noCheck), true);
    assert.equal(await refsOf(catalog, own.blobKey), undefined, 'another one has taken its place');
    assert.equal(await catalog.completeJob(job.jobId, 'w2', DONE, NOON), true);
    assert.equal((await catalog.versions(image.imageId))[1]?.blobKey, another.blobKey);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('a job whose version was not published does not complete', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const { job } = await accept(catalog, image.imageId);
    await lease(catalog);
    await assert.rejects(catalog.completeJob(job.jobId, 'w', DONE, NOON), problem('internal'));
    await catalog.publishRendition(job.jobId, 'w', ownBytes(), noCheck);
    await assert.rejects(catalog.completeJob(job.jobId, 'w', DONE, NOON), problem('internal'));
    assert.equal((await catalog.versions(image.imageId)).length, 1);
    assert.equal((await catalog.job(job.jobId))?.status, 'processing');
    assert.equal(await catalog.integrity(), 'ok');
  });

  for (const [how, end] of Object.entries({
    fails: (catalog: Catalog, jobId: string) => catalog.failJob(jobId, 'w', FAULT, FAILED, NOON),
    'is cancelled': async (catalog: Catalog, jobId: string) => {
      await catalog.cancelJob(jobId, NOON);
      return catalog.confirmCancelled(jobId, 'w', NOON);
    },
    'is cancelled while its worker dies': async (catalog: Catalog, jobId: string) => {
      await catalog.cancelJob(jobId, NOON);
      return (await catalog.reclaimLost(NOON, () => true)) === 1;
    },
    'is cancelled while it waits to be retried': async (catalog: Catalog, jobId: string) => {
      await catalog.failJob(jobId, 'w', FAULT, { status: 'retrying', nextAttemptAt: until }, NOON);
      assert.equal(Object.keys((await catalog.job(jobId))!.processedPaths).length, 2);
      return (await catalog.cancelJob(jobId, NOON)).status === 'cancelled';
    },
  })) {
    test(`a job that ${how} leaves its image as it was, and no bytes; retried, it makes them again`, async (t) => {
      const catalog = await open(t);
      const { image } = await ready(catalog);
      const before = await catalog.image(image.imageId);
      const { job } = await accept(catalog, image.imageId);
      await lease(catalog);
      const { own, size } = await publishAll(catalog, job.jobId);
      assert.equal(await end(catalog, job.jobId), true);
      assert.deepEqual(await catalog.image(image.imageId), before);
      assert.equal((await catalog.versions(image.imageId)).length, 1);
      assert.deepEqual((await catalog.job(job.jobId))?.processedPaths, {});
      const deleted: string[] = [];
      await catalog.deleteBlobs(10, async (key) => void deleted.push(key));
      assert.deepEqual(deleted.sort(), [own.blobKey, size.blobKey].sort());
      assert.equal(await catalog.integrity(), 'ok');

      assert.equal((await catalog.retryJob(job.jobId, NOON)).version, 2);
      assert.equal((await catalog.image(image.imageId))?.status, 'ready');
      await lease(catalog);
      await publishAll(catalog, job.jobId);
      assert.equal(await catalog.completeJob(job.jobId, 'w', DONE, NOON), true);
      assert.equal((await catalog.image(image.imageId))?.currentVersion, 2);
      assert.equal(await catalog.integrity(), 'ok');
    });
  }

  test('a later version that completes first stays the current one', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const jobs = [await accept(catalog, image.imageId), await accept(catalog, image.imageId)];
    for (const _ of jobs) await lease(catalog);
    for (const { job } of jobs.toReversed()) {
      await publishAll(catalog, job.jobId);
      const shown = { ...placeholders, dominantColor: `#00000${(await catalog.job(job.jobId))?.version}` };
      assert.equal(await catalog.completeJob(job.jobId, 'w', { placeholders: shown, ...DONE }, NOON), true);
    }
    const now = await catalog.image(image.imageId);
    assert.deepEqual([now?.currentVersion, now?.dominantColor], [3, '#000003']);
    const versions = await catalog.versions(image.imageId);
    assert.deepEqual(
      versions.map((row) => [row.version, row.placeholders?.dominantColor]),
      [
        [1, placeholders.dominantColor],
        [2, '#000002'],
        [3, '#000003'],
      ],
    );
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('an image that is deleted takes its versions along, also one that is being made', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const done = await accept(catalog, image.imageId);
    await lease(catalog);
    await publishAll(catalog, done.job.jobId);
    await catalog.completeJob(done.job.jobId, 'w', DONE, NOON);
    const { job } = await accept(catalog, image.imageId, {
      making: { plan: PLAN as never, sourceVersion: 2, assets: {} },
    });
    assert.equal((await lease(catalog))?.jobId, job.jobId);
    await publishAll(catalog, job.jobId);
    assert.equal(await catalog.deleteImage(image.imageId, NOON), true);
    assert.equal(await catalog.publishRendition(job.jobId, 'w', rendition(), noCheck), false);
    assert.equal(await catalog.completeJob(job.jobId, 'w', DONE, NOON), false);
    let deleted = 0;
    await catalog.deleteBlobs(100, async () => void deleted++);
    assert.equal(deleted, 5, 'the upload, and of both versions the bytes and the size');
    assert.deepEqual(await catalog.storedBlobs('', 10), []);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('jobs of images do not expire, whenever they ended', async (t) => {
    const catalog = await open(t);
    const { image } = await ready(catalog);
    const { job } = await accept(catalog, image.imageId);
    await catalog.cancelJob(job.jobId, NOON);
    await catalog.expire(after(2 * DAY));
    assert.equal((await catalog.job(job.jobId))?.status, 'cancelled');
  });

  test('a batch is its jobs in their order, and their events in the order that they came in', async (t) => {
    const catalog = await open(t);
    const images = [await ready(catalog), await ready(catalog), await ready(catalog)];
    const batchId = randomUUID();
    const ids = newIds(3);
    const jobs = images.map(({ image }, i) => making(image.imageId, { batchId, jobId: ids[i]! }));
    await catalog.acceptProcessing({ owner: 'ann', jobs });
    await accept(catalog, images[0]!.image.imageId);
    const found = await catalog.batch(batchId);
    assert.deepEqual(
      found.map((job) => [job.jobId, job.batchId]),
      ids.map((id) => [id, batchId]),
    );
    await lease(catalog);
    const events = await catalog.batchEvents(batchId, 0, 10);
    assert.deepEqual(
      events.map((event) => [event.jobId, event.eventType]),
      [...ids.map((id) => [id, 'process.accepted']), [ids[0], 'job.started']],
    );
    assert.deepEqual(await catalog.batchEvents(batchId, events[1]!.id, 1), [events[2]]);
    await catalog.deleteImage(images[1]!.image.imageId, NOON);
    assert.deepEqual(
      (await catalog.batch(batchId)).map((job) => job.jobId),
      [ids[0], ids[2]],
    );
    assert.deepEqual(await catalog.batch(randomUUID()), []);
    assert.deepEqual(await catalog.batchEvents(randomUUID(), 0, 10), []);
  });

  test('uploads of one request are a batch as well', async (t) => {
    const catalog = await open(t);
    const batchId = randomUUID();
    const uploads = [upload({ job: { batchId } }), upload({ job: { batchId } })];
    await catalog.acceptUploads({ uploads });
    assert.equal((await catalog.batch(batchId)).length, 2);
  });
}
