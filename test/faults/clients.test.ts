/** What clients do to a service: go away in the middle, send the same again and again, delete what is being made. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { account } from '../support/account.ts';
import { Installation } from '../support/installation.ts';
import { type MixedFile, mixedFiles } from '../support/mixed-files.ts';
import { seededRandom } from '../support/pictures.ts';
import { UploadClient } from '../support/upload-client.ts';
import { tokenOf } from '../support/uploads.ts';

const AT_ONCE = 8;

test('clients that go away in the middle of an upload leave nothing, and hold up nobody', async (t) => {
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' });
  await installation.start();
  const client = await UploadClient.of(installation);
  const files = await mixedFiles(300, 21);
  const broken = files.filter((file, i) => i % 2 === 0 && !file.hostile);
  const whole = files.filter((file, i) => i % 2 === 1 || file.hostile);
  const token = await tokenOf('anna');
  const leaving = (async () => {
    for (const file of broken) await sendHalf(installation, token, file);
  })();
  const sent = await client.sendAll(whole, AT_ONCE);
  await leaving;
  await account(t, { installation, client, sent, figures: { 'broken off': broken.length } });
});

/** Resolves when the connection is gone. */
function sendHalf(installation: Installation, token: string, file: MixedFile): Promise<void> {
  const boundary = 'a-boundary';
  const head =
    `--${boundary}\r\nContent-Disposition: form-data; name="bucket"\r\n\r\nphotos\r\n` +
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="half.jpg"\r\n\r\n`;
  return new Promise((resolve) => {
    const upload = request(`${installation.address()}/api/v1/images/upload`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': `multipart/form-data; boundary=${boundary}`,
        'content-length': Buffer.byteLength(head) + file.bytes.length + 100,
      },
    });
    upload.on('error', () => {}); // our own doing
    upload.on('close', () => resolve());
    upload.write(head);
    upload.write(file.bytes.subarray(0, file.bytes.length / 2), () => upload.destroy());
  });
}

test('300 uploads of few files, many times at once, are one image a key and one copy of the bytes', async (t) => {
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' });
  await installation.start();
  const client = await UploadClient.of(installation);
  const [one, two] = (await mixedFiles(40, 22)).filter(
    (file) => !file.hostile && file.bytes.length < 500_000,
  );
  const groups = [
    { file: one!, key: 'the-same-request' },
    { file: two!, key: 'another-request' },
    { file: one! }, // a new request each time
    { file: two! },
  ];
  const sent = (
    await Promise.all(
      groups.map(({ file, ...options }) =>
        client.sendAll(
          Array.from({ length: 75 }, () => file),
          75,
          options,
        ),
      ),
    )
  ).flat();
  assert.deepEqual(
    sent
      .filter(({ accepted }) => !accepted)
      .map(({ file, status, problem }) => `${file.name}: ${status} ${problem?.code}`),
    [],
  );
  const images = new Set(sent.map((upload) => upload.accepted?.image_id));
  assert.equal(images.size, 2 + 2 * 75);
  const originals = installation.rows("select refs from blobs where key like 'originals/%'");
  assert.deepEqual(
    originals.map(({ refs }) => refs),
    [76, 76],
  );
  await account(t, {
    installation,
    client,
    sent,
    figures: { images: images.size, originals: originals.length },
  });
});

test('images deleted while they are processed go whole, and take nothing of others with them', async (t) => {
  const random = seededRandom(23);
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' });
  await installation.start();
  const client = await UploadClient.of(installation);
  const files = (await mixedFiles(300, 23)).values();
  const sent: Awaited<ReturnType<UploadClient['send']>>[] = [];
  const deleted = new Set<string>();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const file of files) {
        const upload = await client.send(file);
        sent.push(upload);
        if (!upload.accepted || random() < 0.5) continue;
        const { image_id } = upload.accepted;
        if (random() < 0.7) await new Promise((resolve) => setTimeout(resolve, 400 * random()));
        const answer = await client.call(`/api/v1/images/${image_id}`, { method: 'DELETE' });
        assert.equal(answer.status, 204);
        deleted.add(image_id);
      }
    }),
  );
  assert.ok(deleted.size > 50, `${deleted.size} deleted`);
  for (const id of deleted) assert.equal((await client.call(`/api/v1/images/${id}/all`)).status, 404);
  await account(t, { installation, client, sent, excused: deleted, figures: { deleted: deleted.size } });
});

test('a server and a worker that lease side by side do each job once', async (t) => {
  const installation = new Installation(t, { WORKER_CONCURRENCY: '1' });
  await installation.start();
  const worker = await installation.startWorker();
  const client = await UploadClient.of(installation);
  const sent = await client.sendAll(await mixedFiles(300, 24), AT_ONCE);
  await installation.settled();
  await worker.close();
  const again = installation.rows('select job_id from processing_jobs where attempt_count <> 1');
  assert.deepEqual(again, []);
  const doubled = installation.rows(
    "select job_id from image_upload_events where event_type = 'rendition.ready' group by job_id, json_extract(metadata, '$.name') having count(*) > 1",
  );
  assert.deepEqual(doubled, []);
  const owners = installation.rows(
    "select count(*) n from image_upload_events where event_type = 'job.started'",
  );
  await account(t, { installation, client, sent, figures: { leases: Number(owners[0]?.n) } });
});
