import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { newIds } from '../../../src/domain/ids.ts';
import { type BatchUpdate, BatchWatch } from '../../../src/services/watch-batch.ts';
import { NOON, upload } from '../../contracts/catalog-rows.ts';
import { endWithSuite } from '../../support/service.ts';
import { openServices, type TestServices } from '../../support/services.ts';

const never = new AbortController().signal;
const LEASE = { owner: 'worker/1', until: new Date(NOON.getTime() + 60_000) };

describe('watching a batch', () => {
  const suite = endWithSuite();
  let services: TestServices;
  before(async () => {
    services = await openServices(suite);
  });

  const fail = (jobId: string) =>
    services.catalog.failJob(jobId, LEASE.owner, { code: 'internal' }, { status: 'failed' }, NOON);

  /** Jobs of one request, the first ones leased. */
  async function batch(jobs: number, leased: number): Promise<{ batchId: string; ids: string[] }> {
    const batchId = randomUUID();
    const ids = newIds(jobs);
    const uploads = ids.map((jobId) => upload({ job: { jobId, batchId } }));
    await services.catalog.acceptUploads({ uploads });
    for (let i = 0; i < leased; i++) await services.catalog.leaseNext(LEASE, NOON);
    return { batchId, ids };
  }

  const told = (updates: BatchUpdate[], ids: readonly string[]) =>
    updates.map((update) => {
      if (update.kind === 'job') return `${ids.indexOf(update.job.jobId)} ${update.job.status}`;
      if (update.kind !== 'event') return update.kind;
      const { event, isEnd, isLast } = update;
      return `${ids.indexOf(event.jobId!)} ${event.eventType}${isEnd ? '!' : ''}${isLast ? '!' : ''}`;
    });

  async function all(batchId: string, watch = new BatchWatch(services, { pollMs: 5 }), afterEventId = 0) {
    const updates: BatchUpdate[] = [];
    for await (const update of watch.follow(batchId, { afterEventId, signal: never })) updates.push(update);
    return updates;
  }

  test('tells how it stands, what each job has gone through, and its end as the last thing', async () => {
    const { batchId, ids } = await batch(2, 1);
    const watch = new BatchWatch(services, { pollMs: 5 });
    const updates: BatchUpdate[] = [];
    for await (const update of watch.follow(batchId, { afterEventId: 0, signal: never })) {
      updates.push(update);
      if (updates.length === 6) {
        await fail(ids[0]!);
        await services.catalog.cancelJob(ids[1]!, NOON);
      }
    }
    assert.deepEqual(told(updates, ids), [
      'state',
      '0 processing',
      '1 pending',
      '0 upload.accepted',
      '1 upload.accepted',
      '0 job.started',
      'state',
      '0 job.failed!',
      '1 job.cancelled!!',
      'over',
    ]);
    const last = updates.at(-1)!;
    const events = await services.catalog.batchEvents(batchId, 0, 10);
    assert.equal(last.kind === 'over' && last.eventId, events.at(-1)!.id);
  });

  test('tells an end only of a job that was read as ended', async () => {
    const { batchId, ids } = await batch(1, 1);
    const catalog = {
      ...services.catalog,
      // The row was read just before the job failed, its events after.
      batchEvents: async (...args: Parameters<typeof services.catalog.batchEvents>) => {
        await fail(ids[0]!);
        return services.catalog.batchEvents(...args);
      },
    };
    const updates = await all(batchId, new BatchWatch({ catalog }, { pollMs: 5 }));
    assert.deepEqual(told(updates, ids), [
      'state',
      '0 processing',
      '0 upload.accepted',
      '0 job.started',
      'state',
      '0 job.failed!!',
      'over',
    ]);
  });

  test('takes a failure that was followed by another try for a step', async () => {
    const { batchId, ids } = await batch(1, 1);
    await fail(ids[0]!);
    await services.catalog.retryJob(ids[0]!, NOON);
    await services.catalog.cancelJob(ids[0]!, NOON);
    assert.deepEqual(told(await all(batchId), ids).slice(3), [
      '0 job.failed',
      '0 job.retried',
      '0 job.cancelled!!',
      'over',
    ]);
  });

  test('begins behind what was seen, and knows when there will be nothing more', async () => {
    const { batchId, ids } = await batch(1, 1);
    await fail(ids[0]!);
    const events = await services.catalog.batchEvents(batchId, 0, 10);
    const watch = new BatchWatch(services, { pollMs: 5 });
    const [before, last] = events.slice(-2).map(({ id }) => id);
    assert.deepEqual(told(await all(batchId, watch, before), ids), ['state', '0 job.failed!!', 'over']);
    const jobs = await services.catalog.batch(batchId);
    assert.equal(await watch.isOver(batchId, jobs, before!), false);
    assert.equal(await watch.isOver(batchId, jobs, last!), true);
    await services.catalog.retryJob(ids[0]!, NOON);
    assert.equal(await watch.isOver(batchId, await services.catalog.batch(batchId), last!), false);
  });

  test('says where nothing happens that it is still there, and ends with its signal', async () => {
    const { batchId, ids } = await batch(1, 0);
    const end = new AbortController();
    const watch = new BatchWatch(services, { pollMs: 5, silenceMs: 20 });
    const updates: BatchUpdate[] = [];
    for await (const update of watch.follow(batchId, { afterEventId: 0, signal: end.signal })) {
      updates.push(update);
      if (update.kind === 'silence') end.abort();
    }
    assert.deepEqual(told(updates, ids), ['state', '0 pending', '0 upload.accepted', 'silence']);
  });

  test('whose images were all deleted is over', async () => {
    assert.deepEqual(told(await all(randomUUID()), []), ['gone']);
  });
});
