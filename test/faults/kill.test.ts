/** `kill -9`, again and again, of everything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { account } from '../support/account.ts';
import { Installation } from '../support/installation.ts';
import { mixedFiles } from '../support/mixed-files.ts';
import { seededRandom } from '../support/pictures.ts';
import { descendants, processesHidden } from '../support/processes.ts';
import { UploadClient } from '../support/upload-client.ts';

const KILLS_WHILE_SENDING = 4;
const KILLS_WHILE_PROCESSING = 3;
const FAR_AWAY = '2199-01-01T00:00:00.000Z';

test('kill -9 of the server, while uploads come and while they are worked on, loses and doubles nothing', async (t) => {
  const random = seededRandom(9);
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' });
  await installation.start();
  const client = await UploadClient.of(installation);
  const files = await mixedFiles(300, 9);
  let isSending = true;
  const sending = client.sendAll(files, 8).finally(() => {
    isSending = false;
  });
  let reclaimed = 0;

  async function killAndRestart(): Promise<void> {
    await installation.server.kill();
    reclaimed += installation.rows("select 1 from processing_jobs where status = 'processing'").length;
    // As if the clock had been put back: nothing that waits for a time to come would be seen again.
    installation.change("update processing_jobs set lease_until = ? where status = 'processing'", FAR_AWAY);
    installation.change("update idempotency_keys set created_at = ? where answer = ''", FAR_AWAY);
    await installation.start();
  }

  let kills = 0;
  for (; isSending && kills < KILLS_WHILE_SENDING; kills++) {
    await sleep(300 + 1_500 * random());
    await killAndRestart();
  }
  const sent = await sending;
  for (let n = 0; n < KILLS_WHILE_PROCESSING && installation.unfinished() > 0; n++, kills++) {
    await sleep(200 + 1_000 * random());
    await killAndRestart();
  }
  assert.ok(kills >= KILLS_WHILE_PROCESSING, `${kills} kills`);
  assert.ok(reclaimed > 0, 'jobs were under way when it was killed');
  const again = sent.filter(({ tries }) => tries > 1).length;
  assert.ok(again > 0, 'uploads were under way when it was killed');
  await account(t, { installation, client, sent, figures: { kills, reclaimed, 'sent again': again } });
});

test('kill -9 of the processes that decode costs attempts, and nothing else', {
  skip: processesHidden,
}, async (t) => {
  const random = seededRandom(10);
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' });
  const server = await installation.start();
  const client = await UploadClient.of(installation);
  const files = await mixedFiles(300, 10);
  const sending = client.sendAll(files, 8);
  let kills = 0;
  let isOver = false;
  const ended = () =>
    installation.rows<{ n: number }>(
      'select count(*) n from processing_jobs where completed_at is not null',
    )[0]!.n;
  const killing = (async () => {
    for (let last = 0; !isOver; await sleep(50)) {
      // However slow the machine is, something comes to its end between two kills.
      if (ended() === last) continue;
      await sleep(500 * random());
      last = ended();
      const children = descendants(server.pid).filter(({ parent }) => parent === server.pid);
      const child = children[Math.floor(random() * children.length)];
      if (!child) continue;
      process.kill(child.pid, 'SIGKILL');
      kills++;
    }
  })();
  const sent = await sending;
  while (installation.unfinished() > 100) await sleep(50);
  isOver = true;
  await killing;
  assert.ok(kills > 5, `${kills} kills`);
  const [row] = installation.rows<{ n: number }>(
    'select count(*) n from processing_jobs where attempt_count > 1',
  );
  await account(t, { installation, client, sent, figures: { kills, 'tried again': row!.n } });
});
