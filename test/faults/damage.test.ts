/** What happens to the machine: it is told to stop, its disk is full, rows and files are spoiled. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { account } from '../support/account.ts';
import { Installation } from '../support/installation.ts';
import { mixedFiles } from '../support/mixed-files.ts';
import { UploadClient } from '../support/upload-client.ts';

const AT_ONCE = 8;

test('SIGTERM in the middle of jobs ends in good order, and the next start goes on', async (t) => {
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2', SHUTDOWN_TIMEOUT_SECONDS: '1' });
  await installation.start();
  const client = await UploadClient.of(installation);
  let isSending = true;
  const sending = client.sendAll(await mixedFiles(300, 31), AT_ONCE).finally(() => {
    isSending = false;
  });
  let stops = 0;
  for (; stops < 4; stops++) {
    await sleep(700);
    await installation.server.close(); // fails where it does not end with status 0
    await installation.start();
  }
  assert.ok(stops === 4 || !isSending);
  await account(t, { installation, client, sent: await sending, figures: { stops } });
});

test('a damaged row and missing bytes fail their own jobs, and no other', async (t) => {
  const installation = new Installation(t, { WORKER_CONCURRENCY: '1', MAX_RETRIES: '1' });
  await installation.start();
  const client = await UploadClient.of(installation);
  const sent = await client.sendAll(await mixedFiles(300, 32), AT_ONCE);
  await installation.server.close();
  const waiting = installation.rows<{ job_id: string; image_id: string; key: string }>(
    `select job_id, image_id, blob_key as key from processing_jobs join image_versions using (image_id)
     where status = 'pending' and blob_key in (select key from blobs where key like 'originals/%' and refs = 1)
     order by processing_jobs.created_at desc limit 3`,
  );
  assert.equal(waiting.length, 3, 'jobs are left to be spoiled');
  const [row, gone, cut] = waiting as [(typeof waiting)[0], (typeof waiting)[0], (typeof waiting)[0]];
  installation.change("update processing_jobs set plans = '{broken' where job_id = ?", row.job_id);
  rmSync(installation.objectPath(gone.key));
  assert.equal(spawnSync('truncate', ['-s', '10', installation.objectPath(cut.key)]).status, 0);
  await installation.start();
  await installation.settled();
  for (const { job_id } of waiting) {
    const answer = await client.call(`/api/v1/images/jobs/${job_id}`);
    const job = (await answer.json()) as { status: string; error: { code: string } };
    assert.deepEqual([job.status, job.error.code], ['failed', 'internal'], job_id);
  }
  await account(t, {
    installation,
    client,
    sent,
    excused: new Set(waiting.map(({ image_id }) => image_id)),
    spoiled: [gone.key, cut.key],
  });
});

test('a full disk refuses uploads cleanly and loses none; when there is room again all goes on', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tintype-test-'));
  // One hook: the folder can be removed only after it is unmounted.
  t.after(() => {
    spawnSync('umount', ['-l', dataDir]);
    rmSync(dataDir, { recursive: true, force: true });
  });
  const mount = (...options: string[]) => spawnSync('mount', [...options, dataDir]).status === 0;
  if (!mount('-t', 'tmpfs', '-o', 'size=30m', 'tmpfs')) return t.skip('needs the right to mount a tmpfs');
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' }, dataDir);
  await installation.start();
  const client = await UploadClient.of(installation);
  const files = await mixedFiles(300, 33);
  const first = await client.sendAll(files, AT_ONCE, { takesNo: true });
  const refused = first.filter(({ status }) => status === 503 || status === 507);
  assert.ok(refused.length > 20, `${refused.length} were refused for want of room`);
  assert.ok(mount('-o', 'remount,size=600m'), 'the disk grows');
  const second = await client.sendAll(
    refused.map(({ file }) => file),
    AT_ONCE,
  );
  const sent = [...first.filter((one) => !refused.includes(one)), ...second];
  await account(t, { installation, client, sent, figures: { 'refused for want of room': refused.length } });
});
