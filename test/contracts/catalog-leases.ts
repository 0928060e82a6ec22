import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_LOST_LEASES } from '../../src/domain/job.ts';
import type { Catalog } from '../../src/ports/catalog.ts';
import type { OpenCatalog } from './catalog.ts';
import { after, HOUR, MINUTE, NOON, noCheck, problem, rendition, upload } from './catalog-rows.ts';

const until = after(MINUTE);
const alive = () => false;
const FAULT = { code: 'dependency_down', detail: 'The store does not answer.' } as const;

async function accepted(catalog: Catalog, options?: Parameters<typeof upload>[0]) {
  const row = upload(options);
  await catalog.acceptUpload(row);
  return row;
}

export function leaseContract(open: OpenCatalog): void {
  test('a lease takes the next job with one attempt more, and nobody else gets it', async (t) => {
    const catalog = await open(t);
    const { job } = await accepted(catalog);
    const leased = await catalog.leaseNext({ owner: 'w1', until }, after(1));
    assert.equal(leased?.jobId, job.jobId);
    assert.equal(leased?.status, 'processing');
    assert.equal(leased?.attemptCount, 1);
    assert.equal(leased?.leaseOwner, 'w1');
    assert.equal(leased?.startedAt, after(1).toISOString());
    assert.deepEqual(leased?.plans, job.plans);
    assert.equal(await catalog.leaseNext({ owner: 'w2', until }, after(1)), undefined);
    assert.deepEqual(await catalog.job(job.jobId), leased);
  });

  test('many workers at once never get the same job, and get all', async (t) => {
    const catalog = await open(t);
    for (let i = 0; i < 12; i++) await accepted(catalog, { owner: `user ${i % 4}` });
    const leases = await Promise.all(
      Array.from({ length: 20 }, (_, i) => catalog.leaseNext({ owner: `w${i}`, until }, NOON)),
    );
    const ids = leases.filter((job) => job !== undefined).map((job) => job.jobId);
    assert.equal(ids.length, 12);
    assert.equal(new Set(ids).size, 12);
  });

  test('a user with 100 jobs waiting does not hold up another user', async (t) => {
    const catalog = await open(t);
    for (let i = 0; i < 100; i++) await accepted(catalog, { owner: 'ann' });
    for (let i = 0; i < 5; i++) await catalog.leaseNext({ owner: 'w', until }, NOON);
    const bens = await accepted(catalog, { owner: 'ben', at: after(MINUTE) });
    const next = await catalog.leaseNext({ owner: 'w', until }, after(MINUTE));
    assert.equal(next?.jobId, bens.job.jobId);
  });

  test('jobs of one user run in the order in which they came', async (t) => {
    const catalog = await open(t);
    const ids = [];
    for (let i = 0; i < 4; i++) ids.push((await accepted(catalog, { at: after(i) })).job.jobId);
    const order = [];
    for (let i = 0; i < 4; i++) order.push((await catalog.leaseNext({ owner: 'w', until }, after(9)))?.jobId);
    assert.deepEqual(order, ids);
  });

  test('only the holder of the lease can go on with a job', async (t) => {
    const catalog = await open(t);
    const { job, image } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w1', until }, NOON);
    const step = { percent: 41.7, step: 'encoding' };
    assert.equal(await catalog.heartbeat(job.jobId, 'w2', until, step), false);
    assert.equal(await catalog.publishRendition(job.jobId, 'w2', rendition(), noCheck), false);
    assert.equal(await catalog.completeJob(job.jobId, 'w2', { processingMetadata: {} }, NOON), false);
    assert.equal(await catalog.failJob(job.jobId, 'w2', FAULT, { status: 'failed' }, NOON), false);
    assert.equal(await catalog.releaseJob(job.jobId, 'w2'), false);
    assert.equal(await catalog.heartbeat(job.jobId, 'w1', until, step), true);
    const now = await catalog.job(job.jobId);
    assert.equal(now?.progress, 42);
    assert.equal(now?.step, 'encoding');
    assert.equal(now?.status, 'processing');
    assert.deepEqual(await catalog.renditions([image.imageId]), []);
  });

  test('a released job is as if it had not been tried, and the queue hears of it', async (t) => {
    const catalog = await open(t);
    const { job } = await accepted(catalog);
    await catalog.relayed((await catalog.outbox(10)).map((row) => row.id));
    await catalog.leaseNext({ owner: 'w1', until }, NOON);
    assert.equal(await catalog.releaseJob(job.jobId, 'w1'), true);
    assert.deepEqual(await catalog.job(job.jobId), { ...job, version: 1 });
    assert.deepEqual(
      (await catalog.outbox(10)).map((row) => row.jobId),
      [job.jobId],
    );
    assert.equal((await catalog.leaseNext({ owner: 'w2', until }, NOON))?.attemptCount, 1);
  });

  test('a job whose lease ran out, or whose owner is gone, is taken back', async (t) => {
    const catalog = await open(t);
    for (const owner of ['late', 'dead', 'well']) {
      await accepted(catalog, { owner });
      const lease = { owner, until: owner === 'late' ? after(1000) : after(HOUR) };
      await catalog.leaseNext(lease, NOON);
    }
    assert.equal(await catalog.reclaimLost(after(999), alive), 0);
    assert.equal(await catalog.reclaimLost(after(1001), (owner) => owner === 'dead'), 2);
    assert.equal((await catalog.stats(NOON)).jobs.processing, 1);
    const again = await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, after(1001));
    assert.equal(again?.attemptCount, 1, 'the attempt is not counted');
    assert.equal(again?.lostLeases, 1);
  });

  test('a heartbeat keeps the lease', async (t) => {
    const catalog = await open(t);
    const { job } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w', until: after(1000) }, NOON);
    await catalog.heartbeat(job.jobId, 'w', after(5000), { percent: 1, step: 'decoding' });
    assert.equal(await catalog.reclaimLost(after(2000), alive), 0);
  });

  test('a job that was taken back does not listen to its former worker', async (t) => {
    const catalog = await open(t);
    const { job, image } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w1', until }, NOON);
    await catalog.reclaimLost(after(HOUR), alive);
    await catalog.leaseNext({ owner: 'w2', until: after(2 * HOUR) }, after(HOUR));
    assert.equal(await catalog.publishRendition(job.jobId, 'w1', rendition(), noCheck), false);
    assert.equal(await catalog.completeJob(job.jobId, 'w1', { processingMetadata: {} }, NOON), false);
    assert.equal((await catalog.image(image.imageId))?.status, 'pending');
    assert.equal(await catalog.completeJob(job.jobId, 'w2', { processingMetadata: {} }, NOON), true);
  });

  test('a job whose worker dies each time fails in the end', async (t) => {
    const catalog = await open(t);
    const { job, image } = await accepted(catalog);
    for (let i = 0; i < MAX_LOST_LEASES; i++) {
      assert.equal((await catalog.leaseNext({ owner: `w${i}`, until }, NOON))?.jobId, job.jobId);
      assert.equal(await catalog.reclaimLost(NOON, () => true), 1);
    }
    assert.equal(await catalog.leaseNext({ owner: 'w', until }, NOON), undefined);
    const failed = await catalog.job(job.jobId);
    assert.equal(failed?.status, 'failed');
    assert.equal(failed?.lastError?.code, 'decoder_crashed');
    assert.equal((await catalog.image(image.imageId))?.status, 'failed');
  });

  test('a failed attempt with others to come waits until it is due, in its turn', async (t) => {
    const catalog = await open(t);
    const { job } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w', until }, NOON);
    const outcome = { status: 'retrying', nextAttemptAt: after(10_000) } as const;
    assert.equal(await catalog.failJob(job.jobId, 'w', FAULT, outcome, NOON), true);
    await catalog.relayed((await catalog.outbox(10)).map((row) => row.id));
    const waiting = await catalog.job(job.jobId);
    assert.equal(waiting?.status, 'retrying');
    assert.deepEqual(waiting?.lastError, FAULT);
    assert.equal(waiting?.leaseOwner, null);
    assert.equal(await catalog.leaseNext({ owner: 'w', until }, after(9_999)), undefined);
    const again = await catalog.leaseNext({ owner: 'w', until }, after(10_000));
    assert.equal(again?.jobId, job.jobId);
    assert.equal(again?.attemptCount, 2);
    assert.equal(again?.startedAt, after(10_000).toISOString());
    assert.deepEqual(
      (await catalog.outbox(10)).map((row) => row.jobId),
      [job.jobId],
      'a job that becomes ready is announced',
    );
  });

  test('a cancelled job that runs stops at its next word, and then is cancelled', async (t) => {
    const catalog = await open(t);
    const { job, image } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w', until }, NOON);
    assert.equal(await catalog.confirmCancelled(job.jobId, 'w', NOON), false, 'nobody asked yet');
    const asked = await catalog.cancelJob(job.jobId, NOON);
    assert.equal(asked.status, 'processing');
    assert.equal(asked.cancelRequested, true);
    assert.equal(await catalog.heartbeat(job.jobId, 'w', until, { percent: 1, step: 'x' }), false);
    assert.equal(await catalog.publishRendition(job.jobId, 'w', rendition(), noCheck), false);
    assert.equal(await catalog.completeJob(job.jobId, 'w', { processingMetadata: {} }, NOON), false);
    assert.equal(await catalog.failJob(job.jobId, 'w', FAULT, { status: 'failed' }, NOON), false);
    await assert.rejects(catalog.retryJob(job.jobId, NOON), problem('conflict'));
    assert.equal(await catalog.confirmCancelled(job.jobId, 'other', NOON), false);
    assert.equal(await catalog.confirmCancelled(job.jobId, 'w', NOON), true);
    assert.equal((await catalog.job(job.jobId))?.status, 'cancelled');
    assert.equal((await catalog.image(image.imageId))?.status, 'failed', 'it has nothing to show');
    assert.equal(await catalog.confirmCancelled(job.jobId, 'w', NOON), false);
  });

  for (const [how, letGo] of [
    ['shuts down', (c: Catalog, jobId: string) => c.releaseJob(jobId, 'w')],
    ['dies', (c: Catalog) => c.reclaimLost(NOON, () => true)],
  ] as const) {
    test(`a job whose worker ${how} after it was cancelled is cancelled, not run again`, async (t) => {
      const catalog = await open(t);
      const { job } = await accepted(catalog);
      await catalog.leaseNext({ owner: 'w', until }, NOON);
      await catalog.cancelJob(job.jobId, NOON);
      await letGo(catalog, job.jobId);
      assert.equal((await catalog.job(job.jobId))?.status, 'cancelled');
      assert.equal(await catalog.leaseNext({ owner: 'w', until }, NOON), undefined);
    });
  }

  test('the worker of a job whose image is deleted is told so at every word', async (t) => {
    const catalog = await open(t);
    const { job, image } = await accepted(catalog);
    await catalog.leaseNext({ owner: 'w', until }, NOON);
    await catalog.publishRendition(job.jobId, 'w', rendition(), noCheck);
    assert.equal(await catalog.deleteImage(image.imageId, NOON), true);
    let looked = false;
    const look = () => {
      looked = true;
    };
    assert.equal(await catalog.heartbeat(job.jobId, 'w', until, { percent: 1, step: 'x' }), false);
    assert.equal(await catalog.publishRendition(job.jobId, 'w', rendition(), look), false);
    assert.equal(await catalog.completeJob(job.jobId, 'w', { processingMetadata: {} }, NOON), false);
    assert.equal(await catalog.failJob(job.jobId, 'w', FAULT, { status: 'failed' }, NOON), false);
    assert.equal(await catalog.confirmCancelled(job.jobId, 'w', NOON), false);
    assert.equal(await catalog.releaseJob(job.jobId, 'w'), false);
    assert.equal(await catalog.reclaimLost(after(HOUR), () => true), 0);
    assert.equal(looked, false);
    assert.equal(await catalog.integrity(), 'ok');
  });
}
