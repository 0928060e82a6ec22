import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EmbeddedQueue } from '../../src/drivers/queue/embedded.ts';
import { queueContract } from './queue.ts';

queueContract('embedded', async (t) => {
  const queue = new EmbeddedQueue();
  t.after(() => queue.close());
  return queue;
});

test('the embedded queue delivers in order, and an id that waits already only once', async (t) => {
  const queue = new EmbeddedQueue();
  t.after(() => queue.close());
  await queue.announce(['a', 'b', 'a', 'c']);
  await queue.announce(['b']);
  const got = [];
  for (let i = 0; i < 3; i++) got.push((await queue.receive(0))?.jobId);
  assert.deepEqual(got, ['a', 'b', 'c']);
  assert.equal(await queue.receive(0), undefined);
});

test('the embedded queue holds no more than it can keep', async (t) => {
  const queue = new EmbeddedQueue();
  t.after(() => queue.close());
  await queue.announce(Array.from({ length: 50_000 }, (_, i) => `job ${i}`));
  let delivered = 0;
  while (await queue.receive(0)) delivered++;
  assert.equal(delivered, 10_000);
});
