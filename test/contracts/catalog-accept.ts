import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ABANDONED_CLAIM_MS } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import {
  after,
  conversion,
  DAY,
  HOUR,
  MINUTE,
  NOON,
  noCheck,
  originalKey,
  problem,
  upload,
} from './catalog-rows.ts';

const LIMIT = { max: 10, windowMs: HOUR };

export function acceptContract(open: OpenCatalog): void {
  test('an accepted upload is there whole: image, version, job, event, wake-up and reference', async (t) => {
    const catalog = await open(t);
    const accepted = upload({ image: { project: 'harbour', context: { a: [1, { b: null }] } } });
    assert.equal(await catalog.acceptUpload(accepted), undefined);
    const { image, original, job } = accepted;
    assert.deepEqual(await catalog.image(image.imageId), image);
    assert.deepEqual(await catalog.versions(image.imageId), [original]);
    assert.deepEqual(await catalog.job(job.jobId), { ...job, version: 1 });
    assert.deepEqual(
      (await catalog.eventsOf(job.jobId, 0, 10)).map((e) => [e.eventType, e.imageId, e.metadata]),
      [['upload.accepted', image.imageId, { bytes: 2_000_000, format: 'jpeg' }]],
    );
    assert.deepEqual(
      (await catalog.outbox(10)).map((row) => row.jobId),
      [job.jobId],
    );
    assert.deepEqual(await catalog.blob(original.blobKey), {
      key: original.blobKey,
      bytes: 2_000_000,
      refs: 1,
      width: 4000,
      height: 3000,
    });
  });

  test('an upload whose blob is not in place leaves nothing behind', async (t) => {
    const catalog = await open(t);
    const accepted = upload();
    const gone = new Error('the blob has gone');
    await assert.rejects(
      catalog.acceptUpload({ ...accepted, rateLimit: LIMIT, ensureBlob: () => Promise.reject(gone) }),
      gone,
    );
    assert.equal(await catalog.image(accepted.image.imageId), undefined);
    assert.equal(await catalog.job(accepted.job.jobId), undefined);
    assert.equal(await catalog.blob(accepted.original.blobKey), undefined);
    assert.deepEqual(await catalog.outbox(10), []);
    assert.deepEqual(await catalog.eventsOf(accepted.job.jobId, 0, 10), []);
    assert.equal((await catalog.rateState('ann', LIMIT, NOON)).remaining, 10, 'and is not counted');
  });

  test('the same ids again are a conflict and change nothing', async (t) => {
    const catalog = await open(t);
    const accepted = upload();
    await catalog.acceptUpload(accepted);
    await assert.rejects(catalog.acceptUpload(accepted), problem('conflict'));
    assert.equal((await catalog.blob(accepted.original.blobKey))?.refs, 1);
    assert.equal((await catalog.outbox(10)).length, 1);
  });

  test('the same bytes twice are one blob with two references', async (t) => {
    const catalog = await open(t);
    const key = originalKey();
    await Promise.all([catalog.acceptUpload(upload({ key })), catalog.acceptUpload(upload({ key }))]);
    assert.equal((await catalog.blob(key))?.refs, 2);
    assert.equal((await catalog.stats(NOON)).bytes, 2_000_000);
  });

  test('an upload of bytes that are queued for deletion calls the deletion off', async (t) => {
    const catalog = await open(t);
    const first = upload();
    await catalog.acceptUpload(first);
    await catalog.deleteImage(first.image.imageId, NOON);
    await catalog.acceptUpload(upload({ key: first.original.blobKey }));
    const removed: string[] = [];
    assert.equal(await catalog.deleteBlobs(10, async (key) => void removed.push(key)), 0);
    assert.deepEqual(removed, []);
  });

  test('the blob is looked for while no deletion can come between', async (t) => {
    const catalog = await open(t);
    const first = upload();
    await catalog.acceptUpload(first);
    await catalog.deleteImage(first.image.imageId, NOON);
    const order: string[] = [];
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([
      catalog.deleteBlobs(10, async () => {
        order.push('removing');
        await pause();
        order.push('removed');
      }),
      // Comes while the deletion is under way, and finds the bytes gone.
      pause().then(() =>
        catalog.acceptUpload({
          ...upload({ key: first.original.blobKey }),
          ensureBlob: () => void order.push('looked'),
        }),
      ),
    ]);
    assert.deepEqual(order, ['removing', 'removed', 'looked']);
  });

  test('a conversion has a reference to its source and no image', async (t) => {
    const catalog = await open(t);
    const job = conversion();
    const key = originalKey();
    await catalog.acceptConversion(job, { key, bytes: 77 }, noCheck);
    const stored = await catalog.job(job.jobId);
    assert.equal(stored?.stagingPath, key);
    assert.equal(stored?.imageId, null);
    assert.equal((await catalog.blob(key))?.refs, 1);
    assert.equal((await catalog.leaseNext({ owner: 'w', until: after(MINUTE) }, NOON))?.jobId, job.jobId);
  });

  test('of 50 uploads at once exactly as many as the limit are accepted', async (t) => {
    const catalog = await open(t);
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, () => catalog.acceptUpload({ ...upload(), rateLimit: LIMIT })),
    );
    const accepted = results.filter((r) => r.status === 'fulfilled');
    assert.equal(accepted.length, 10);
    assert.deepEqual(
      accepted.map((r) => r.value?.remaining).sort((a, b) => a! - b!),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      assert.equal(result.reason.code, 'rate_limited');
      assert.equal(result.reason.retryAfterSeconds, 3600);
    }
    assert.equal((await catalog.stats(NOON)).images, 10);
    const state = await catalog.rateState('ann', LIMIT, NOON);
    assert.deepEqual(state, { limit: 10, remaining: 0, resetAt: after(HOUR) });
  });

  test('of several uploads of one request those that the limit has room for are accepted, from the first on', async (t) => {
    const catalog = await open(t);
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    const uploads = Array.from({ length: 4 }, () => upload());
    const batch = {
      uploads,
      rateLimit: { max: 3, windowMs: HOUR },
      idempotency: { key: 'k', answer: (n: number) => ({ n }) },
    };
    const { accepted, rate } = await catalog.acceptUploads(batch);
    assert.equal(accepted, 3);
    assert.equal(rate?.remaining, 0);
    const there = await Promise.all(uploads.map(({ image }) => catalog.image(image.imageId)));
    assert.deepEqual(
      there.map((image) => image !== undefined),
      [true, true, true, false],
    );
    assert.equal((await catalog.job(uploads[2]!.job.jobId))?.priority, 2);
    assert.deepEqual(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), { n: 3 });
    const { idempotency: _, ...again } = batch;
    await assert.rejects(
      catalog.acceptUploads({ ...again, uploads: uploads.slice(3) }),
      problem('rate_limited'),
    );
    assert.equal((await catalog.rateState('ann', batch.rateLimit, NOON)).remaining, 0);
    assert.deepEqual(await catalog.acceptUploads({ uploads: [] }), { accepted: 0, rate: undefined });
  });

  test('several uploads of one request are all there or none', async (t) => {
    const catalog = await open(t);
    const lost = new Error('lost');
    const uploads = [upload(), { ...upload(), ensureBlob: () => Promise.reject(lost) }];
    await assert.rejects(catalog.acceptUploads({ uploads, rateLimit: LIMIT }), lost);
    assert.equal(await catalog.image(uploads[0]!.image.imageId), undefined);
    assert.equal((await catalog.rateState('ann', LIMIT, NOON)).remaining, 10);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('a full window stops its own user only, and only until it ends', async (t) => {
    const catalog = await open(t);
    const rateLimit = { max: 1, windowMs: HOUR };
    await catalog.acceptUpload({ ...upload(), rateLimit });
    await assert.rejects(catalog.acceptUpload({ ...upload(), rateLimit }), problem('rate_limited'));
    await catalog.acceptUpload({ ...upload({ owner: 'ben' }), rateLimit });
    await catalog.acceptUpload({ ...upload({ at: after(HOUR) }), rateLimit });
  });

  test('an idempotency key gives its first answer again', async (t) => {
    const catalog = await open(t);
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), undefined);
    await assert.rejects(catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), problem('conflict'));
    await catalog.settleIdempotencyKey('ann', 'k', { items: [1, null] });
    assert.deepEqual(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), { items: [1, null] });
    await assert.rejects(catalog.claimIdempotencyKey('ann', 'k', 'other', NOON), problem('conflict'));
    assert.equal(await catalog.claimIdempotencyKey('ben', 'k', 'other', NOON), undefined, 'another owner');
  });

  test('of 20 claims of one key at once exactly one gets it', async (t) => {
    const catalog = await open(t);
    const claims = await Promise.allSettled(
      Array.from({ length: 20 }, () => catalog.claimIdempotencyKey('ann', 'k', 'print', NOON)),
    );
    assert.equal(claims.filter((c) => c.status === 'fulfilled').length, 1);
  });

  test('a failed request gives its idempotency key free, and never an answer', async (t) => {
    const catalog = await open(t);
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    await catalog.settleIdempotencyKey('ann', 'k', undefined);
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), undefined);
    await catalog.settleIdempotencyKey('ann', 'k', 'done');
    await catalog.settleIdempotencyKey('ann', 'k', undefined);
    await catalog.settleIdempotencyKey('ann', 'k', 'late');
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), 'done');
  });

  test('a claim that a crash left behind is taken over after a minute', async (t) => {
    const catalog = await open(t);
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    const inTime = after(ABANDONED_CLAIM_MS);
    await assert.rejects(catalog.claimIdempotencyKey('ann', 'k', 'print', inTime), problem('conflict'));
    const late = after(ABANDONED_CLAIM_MS + 1);
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', late), undefined);
    await assert.rejects(catalog.claimIdempotencyKey('ann', 'k', 'print', late), problem('conflict'));
  });

  test('a claim of a process that is gone is taken over at once, whatever the clock says', async (t) => {
    const catalog = await open(t);
    const by = (process: string, ...gone: string[]) => ({ process, isGone: (p: string) => gone.includes(p) });
    const claim = (now: Date, claimant: ReturnType<typeof by>) =>
      catalog.claimIdempotencyKey('ann', 'k', 'print', now, claimant);
    await claim(after(DAY), by('first'));
    await assert.rejects(claim(NOON, by('second')), problem('conflict'));
    assert.equal(await claim(NOON, by('second', 'first')), undefined);
    await assert.rejects(claim(NOON, by('third', 'first')), problem('conflict'));
    await catalog.settleIdempotencyKey('ann', 'k', 'done');
    assert.equal(await claim(NOON, by('third', 'second')), 'done');
  });

  test('of two requests that run under one key only one is accepted, with its answer', async (t) => {
    const catalog = await open(t);
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    await catalog.claimIdempotencyKey('ann', 'k', 'print', after(2 * MINUTE));
    const slow = upload();
    const quick = upload();
    await catalog.acceptUpload({ ...quick, idempotency: { key: 'k', answer: quick.job.jobId } });
    await assert.rejects(
      catalog.acceptUpload({ ...slow, idempotency: { key: 'k', answer: slow.job.jobId } }),
      problem('conflict'),
    );
    assert.equal(await catalog.image(slow.image.imageId), undefined);
    assert.equal(await catalog.blob(slow.original.blobKey), undefined);
    assert.equal(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), quick.job.jobId);
  });

  test('several uploads are accepted together, as many as the rate limit has room for', async (t) => {
    const catalog = await open(t);
    await catalog.acceptUpload({ ...upload(), rateLimit: { max: 4, windowMs: HOUR } });
    const uploads = [upload(), upload(), upload(), upload()];
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    const { accepted, rate } = await catalog.acceptUploads({
      uploads,
      rateLimit: { max: 4, windowMs: HOUR },
      idempotency: { key: 'k', answer: (n) => ({ n }) },
    });
    assert.deepEqual([accepted, rate?.remaining], [3, 0]);
    const found = await catalog.images(uploads.map(({ image }) => image.imageId));
    assert.deepEqual(
      found.map(({ imageId }) => imageId).sort(),
      uploads
        .slice(0, 3)
        .map(({ image }) => image.imageId)
        .sort(),
    );
    assert.deepEqual(await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON), { n: 3 });
    assert.equal((await catalog.outbox(10)).length, 4);
    const more = { uploads: [upload()], rateLimit: { max: 4, windowMs: HOUR } };
    await assert.rejects(catalog.acceptUploads(more), problem('rate_limited'));
    const wider = { max: 6, windowMs: HOUR };
    assert.equal((await catalog.rateState('ann', wider, NOON)).remaining, 2);
  });

  test('of several uploads all are accepted or none', async (t) => {
    const catalog = await open(t);
    const [good, bad] = [upload(), upload()];
    const ensureBlob = () => Promise.reject(new Error('the blob is gone'));
    const rateLimit = { max: 4, windowMs: HOUR };
    await assert.rejects(
      catalog.acceptUploads({ uploads: [good, { ...bad, ensureBlob }], rateLimit }),
      /the blob is gone/,
    );
    assert.deepEqual(await catalog.images([good.image.imageId, bad.image.imageId]), []);
    assert.equal(await catalog.blob(good.original.blobKey), undefined);
    assert.deepEqual(await catalog.outbox(10), []);
    assert.equal((await catalog.rateState('ann', rateLimit, NOON)).remaining, 4);
    assert.deepEqual(await catalog.acceptUploads({ uploads: [] }), { accepted: 0, rate: undefined });
  });
}
