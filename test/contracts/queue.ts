/** What every driver of `ports/queue.ts` promises. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { newId } from '../../src/domain/ids.ts';
import type { Queue } from '../../src/ports/queue.ts';
import { problem } from '../support/pool.ts';

/** Far more than a delivery takes: reached only by what never comes. */
const LONG_MS = 20_000;
const SHORT_MS = 20;

/** @param open an empty queue, closed when the test ends */
export function queueContract(name: string, open: (t: TestContext) => Promise<Queue>): void {
  describe(`queue: ${name}`, () => {
    async function received(queue: Queue): Promise<string | undefined> {
      const delivery = await queue.receive(LONG_MS);
      await delivery?.ack();
      return delivery?.jobId;
    }

    test('delivers each announced id, once', async (t) => {
      const queue = await open(t);
      const ids = Array.from({ length: 30 }, newId);
      await queue.announce(ids.slice(0, 20));
      await queue.announce(ids.slice(20));
      const got: (string | undefined)[] = [];
      for (const _ of ids) got.push(await received(queue));
      assert.deepEqual(got.toSorted(), ids.toSorted());
      assert.equal(await queue.receive(SHORT_MS), undefined);
    });

    test('hands each to one of those that wait', async (t) => {
      const queue = await open(t);
      const ids = Array.from({ length: 10 }, newId);
      const receivers = ids.map(() => received(queue));
      await queue.announce(ids);
      assert.deepEqual((await Promise.all(receivers)).toSorted(), ids.toSorted());
    });

    test('wakes a receiver at once', async (t) => {
      const queue = await open(t);
      const receiver = received(queue);
      const id = newId();
      await queue.announce([id]);
      assert.equal(await receiver, id);
    });

    test('gives up when the time is over, the signal aborts or has aborted', async (t) => {
      const queue = await open(t);
      assert.equal(await queue.receive(SHORT_MS), undefined);
      const abort = new AbortController();
      const receiver = queue.receive(LONG_MS, abort.signal);
      abort.abort();
      assert.equal(await receiver, undefined);
      await queue.announce([newId()]);
      assert.equal(await queue.receive(LONG_MS, abort.signal), undefined);
      assert.ok(await received(queue), 'who gave up took nothing');
    });

    test('delivers again what could not be worked on, and nothing that was acknowledged', async (t) => {
      const queue = await open(t);
      const id = newId();
      await queue.announce([id]);
      const first = await queue.receive(LONG_MS);
      await first?.nack(0);
      await first?.nack(0);
      await first?.ack();
      const second = await queue.receive(LONG_MS);
      assert.equal(second?.jobId, id);
      await second?.ack();
      await second?.nack(0);
      assert.equal(await queue.receive(SHORT_MS), undefined);
    });

    test('takes an id anew that was delivered before', async (t) => {
      const queue = await open(t);
      const id = newId();
      for (let i = 0; i < 3; i++) {
        await queue.announce([id]);
        assert.equal(await received(queue), id);
      }
    });

    test('announcing nothing is nothing', async (t) => {
      const queue = await open(t);
      await queue.announce([]);
      assert.equal(await queue.receive(SHORT_MS), undefined);
    });

    test('ends those that wait when it closes, and takes nothing afterwards', async (t) => {
      const queue = await open(t);
      await queue.check();
      const receiver = queue.receive(LONG_MS);
      await queue.close();
      assert.equal(await receiver, undefined);
      assert.equal(await queue.receive(LONG_MS), undefined);
      await assert.rejects(queue.announce([newId()]), problem('shutting_down'));
      await queue.close();
    });
  });
}
