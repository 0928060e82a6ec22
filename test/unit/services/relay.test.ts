import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { newId } from '../../../src/domain/ids.ts';
import { openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import { EmbeddedQueue } from '../../../src/drivers/queue/embedded.ts';
import type { Catalog } from '../../../src/ports/catalog.ts';
import type { Queue } from '../../../src/ports/queue.ts';
import { Problem } from '../../../src/problem.ts';
import { createRelay, relayOnce } from '../../../src/services/relay.ts';
import { keyOf } from '../../contracts/blobs.ts';
import { conversionJob } from '../../support/conversion.ts';
import { silentLog } from '../../support/log.ts';
import { until } from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';

const KEY = keyOf(Buffer.from('source'));
const LONG_MS = 20_000;

async function opened(t: TestContext) {
  const dir = tempDir(t);
  const catalog = await openSqliteCatalog(join(dir, 'catalog.db'));
  const queue = new EmbeddedQueue();
  t.after(async () => {
    await queue.close();
    await catalog.close();
  });
  return { catalog, queue, log: silentLog };
}

async function accept(catalog: Catalog, count = 1): Promise<string[]> {
  const ids = Array.from({ length: count }, newId);
  for (const id of ids)
    await catalog.acceptConversion(conversionJob(id, KEY), { key: KEY, bytes: 6 }, () => {});
  return ids;
}

/** A queue that cannot be reached for a while. */
function failing(queue: Queue, times: number, log: { attempts: number }): Queue {
  return {
    announce: async (ids) => {
      if (log.attempts++ < times) throw new Problem('dependency_down');
      await queue.announce(ids);
    },
    receive: (...args) => queue.receive(...args),
    check: () => queue.check(),
    close: () => queue.close(),
  };
}

async function running(t: TestContext, relay: ReturnType<typeof createRelay>): Promise<() => Promise<void>> {
  const abort = new AbortController();
  const run = relay.run(abort.signal);
  const stop = async () => {
    abort.abort();
    await run;
  };
  t.after(stop);
  return stop;
}

const drained = async (queue: Queue, count: number): Promise<string[]> => {
  const ids: string[] = [];
  while (ids.length < count) ids.push((await queue.receive(LONG_MS))?.jobId ?? assert.fail('nothing came'));
  return ids;
};

describe('the relay', () => {
  test('announces what was accepted, and forgets it', async (t) => {
    const services = await opened(t);
    const ids = await accept(services.catalog, 3);
    assert.equal(await relayOnce(services), 3);
    assert.deepEqual(await drained(services.queue, 3), ids);
    assert.equal(await relayOnce(services), 0);
    assert.equal(await services.queue.receive(0), undefined);
  });

  test('what the queue did not take stays in the outbox', async (t) => {
    const services = await opened(t);
    const [id] = await accept(services.catalog);
    const queue = failing(services.queue, 1, { attempts: 0 });
    await assert.rejects(relayOnce({ ...services, queue }), { code: 'dependency_down' });
    assert.equal(await relayOnce({ ...services, queue }), 1);
    assert.deepEqual(await drained(services.queue, 1), [id]);
  });

  test('a crash after the queue was told announces again, and the catalog leases once', async (t) => {
    const services = await opened(t);
    const { catalog, queue } = services;
    const [id] = await accept(catalog);
    const crashing = { ...catalog, relayed: async () => assert.fail('the process died') };
    await assert.rejects(relayOnce({ queue, catalog: crashing }));
    assert.equal((await queue.receive(0))?.jobId, id);
    await relayOnce(services);
    assert.equal((await queue.receive(0))?.jobId, id);
    const lease = { owner: 'w', until: new Date(Date.now() + 60_000) };
    assert.equal((await catalog.leaseNext(lease, new Date()))?.jobId, id);
    assert.equal(await catalog.leaseNext(lease, new Date()), undefined);
  });

  test('two relays at once lose nothing', async (t) => {
    const services = await opened(t);
    const ids = await accept(services.catalog, 20);
    await Promise.all([relayOnce(services), relayOnce(services)]);
    assert.deepEqual((await drained(services.queue, 20)).toSorted(), ids.toSorted());
    assert.deepEqual(await services.catalog.outbox(10), []);
  });

  test('goes to work when it starts, and at once when it is kicked', async (t) => {
    const services = await opened(t);
    const [first] = await accept(services.catalog);
    // It would look again only after an hour.
    const relay = createRelay(services, { idleMs: 3_600_000 });
    await running(t, relay);
    assert.deepEqual(await drained(services.queue, 1), [first]);
    for (let i = 0; i < 5; i++) {
      const ids = await accept(services.catalog, 2);
      relay.kick();
      assert.deepEqual(await drained(services.queue, 2), ids);
    }
  });

  test('finds what nobody told it of', async (t) => {
    const services = await opened(t);
    await running(t, createRelay(services, { idleMs: 10 }));
    const ids = await accept(services.catalog, 2);
    assert.deepEqual(await drained(services.queue, 2), ids);
  });

  test('goes through a failing queue with growing pauses, and loses nothing', async (t) => {
    const services = await opened(t);
    const log = { attempts: 0 };
    const queue = failing(services.queue, 4, log);
    const waits: unknown[] = [];
    const relay = createRelay(
      { ...services, queue, log: { ...silentLog, warn: (fields) => waits.push(fields.waitMs) } },
      { idleMs: 3_600_000, firstBackoffMs: 5 },
    );
    const ids = await accept(services.catalog, 2);
    await running(t, relay);
    const kicking = setInterval(relay.kick, 1);
    t.after(() => clearInterval(kicking));
    assert.deepEqual(await drained(services.queue, 2), ids);
    assert.deepEqual(waits, [5, 10, 20, 40]);
    assert.equal(log.attempts, 5);
  });

  test('ends when it is told to, idle or in a pause', async (t) => {
    const services = await opened(t);
    const stopIdle = await running(t, createRelay(services, { idleMs: 3_600_000 }));
    await stopIdle();
    await accept(services.catalog);
    const log = { attempts: 0 };
    const queue = failing(services.queue, 100, log);
    const stopPausing = await running(t, createRelay({ ...services, queue }, { firstBackoffMs: 3_600_000 }));
    await until('it has tried', () => log.attempts === 1);
    await stopPausing();
    await createRelay(services).run(AbortSignal.abort());
  });
});
