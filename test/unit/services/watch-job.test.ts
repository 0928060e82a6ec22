import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type JobUpdate, JobWatch } from '../../../src/services/watch-job.ts';
import { photo } from '../../support/photos.ts';
import { endWithSuite } from '../../support/service.ts';
import { acceptImage, openServices, type TestServices } from '../../support/services.ts';

const never = new AbortController().signal;

describe('watching a job', () => {
  const suite = endWithSuite();
  let services: TestServices;
  before(async () => {
    services = await openServices(suite);
  });

  const lease = { owner: 'worker/1', until: new Date(Date.now() + 60_000) };
  const fail = async (jobId: string) =>
    services.catalog.failJob(jobId, lease.owner, { code: 'internal' }, { status: 'failed' }, new Date());

  async function leased(): Promise<string> {
    const { jobId } = await acceptImage(services, await photo(1, 40, 30));
    await services.catalog.leaseNext(lease, new Date());
    return jobId;
  }

  const told = (updates: JobUpdate[]) =>
    updates.map((update) => {
      if (update.kind !== 'event') return update.kind;
      return `${update.event.eventType}${update.isLast ? '!' : ''}`;
    });

  async function all(jobId: string, watch = new JobWatch(services, { pollMs: 5 }), afterEventId = 0) {
    const updates: JobUpdate[] = [];
    for await (const update of watch.follow(jobId, { afterEventId, signal: never })) updates.push(update);
    return told(updates);
  }

  test('tells its end once, as the last thing, even if it ends between two reads', async () => {
    const jobId = await leased();
    const catalog = {
      ...services.catalog,
      // The row was read just before the job failed, its events after.
      eventsOf: async (...args: Parameters<typeof services.catalog.eventsOf>) => {
        await fail(jobId);
        return services.catalog.eventsOf(...args);
      },
    };
    const updates = await all(jobId, new JobWatch({ catalog }, { pollMs: 5 }));
    assert.deepEqual(updates, ['state', 'upload.accepted', 'job.started', 'state', 'job.failed!']);
  });

  test('takes a failure that was followed by another try for a step', async () => {
    const jobId = await leased();
    await fail(jobId);
    await services.catalog.retryJob(jobId, new Date());
    await services.catalog.cancelJob(jobId, new Date());
    assert.deepEqual((await all(jobId)).slice(3), ['job.failed', 'job.retried', 'job.cancelled!']);
  });

  test('begins behind what was seen, and knows when there will be nothing more', async () => {
    const jobId = await leased();
    await fail(jobId);
    const events = await services.catalog.eventsOf(jobId, 0, 10);
    const watch = new JobWatch(services, { pollMs: 5 });
    assert.deepEqual(await all(jobId, watch, events[1]!.id), ['state', 'job.failed!']);
    const job = (await services.catalog.job(jobId))!;
    assert.equal(await watch.isOver(job, events[1]!.id), false);
    assert.equal(await watch.isOver(job, events[2]!.id), true);
    assert.equal(await watch.isOver({ ...job, status: 'pending' }, events[2]!.id), false);
  });

  test('says where nothing happens that it is still there, and ends with its signal', async () => {
    const { jobId } = await acceptImage(services, await photo(1, 40, 30));
    const end = new AbortController();
    const watch = new JobWatch(services, { pollMs: 5, silenceMs: 20 });
    const updates: JobUpdate[] = [];
    for await (const update of watch.follow(jobId, { afterEventId: 0, signal: end.signal })) {
      updates.push(update);
      if (update.kind === 'silence') end.abort();
    }
    assert.deepEqual(told(updates), ['state', 'upload.accepted', 'silence']);
    await services.catalog.cancelJob(jobId, new Date());
  });

  test('of a job that is not there is over', async () => {
    assert.deepEqual(await all('no-such-job'), ['gone']);
  });
});
