/** `kill -9`, again and again, while versions are asked for and made. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import type { BatchDocument } from '../../src/contract/jobs.ts';
import { account } from '../support/account.ts';
import { Installation } from '../support/installation.ts';
import { photo } from '../support/photos.ts';
import { seededRandom } from '../support/pictures.ts';
import { UploadClient } from '../support/upload-client.ts';

const IMAGES = 12;
const ROUNDS = 3;
const KILLS = 4;
const PATIENCE_MS = 90_000;

/** What the versions are like is told by their sizes. */
const PLANS = [
  { width: 300, plan: { operations: [{ op: 'resize', width: 300 }, { op: 'flop' }] } },
  { width: 240, plan: { operations: [{ op: 'resize', width: 240 }], output: { format: 'png' } } },
  { width: 180, plan: { operations: [{ op: 'resize', width: 180 }, { op: 'grayscale' }] } },
];

interface AcceptedBatch {
  batch_id: string;
  items: { job_id: string; image_id: string; version: number }[];
}

test('kill -9 of the server, while versions are asked for and made, loses, doubles and halves nothing', async (t) => {
  const random = seededRandom(31);
  const installation = new Installation(t, { WORKER_CONCURRENCY: '2' });
  await installation.start();
  const client = await UploadClient.of(installation);
  const files = await Promise.all(
    Array.from({ length: IMAGES }, async (_, i) => ({
      name: `${i}.jpg`,
      bytes: await photo(300 + i, 640, 480),
      size: { width: 640, height: 480 },
      hostile: false,
    })),
  );
  const sent = await client.sendAll(files, 4);
  await installation.settled();
  const images = sent.map(({ accepted }) => accepted!.image_id);

  /** As a client should: until there is an answer, under the same key. */
  async function startBatch(plan: object): Promise<AcceptedBatch> {
    const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID() };
    const body = JSON.stringify({ image_ids: images, plan: { ...plan } });
    const deadline = performance.now() + PATIENCE_MS;
    while (performance.now() < deadline) {
      try {
        const response = await client.call('/api/v1/images/batch/process', { method: 'POST', body, headers });
        if (response.status === 202) return (await response.json()) as AcceptedBatch;
        assert.ok([409, 503].includes(response.status), await response.text());
      } catch (error) {
        if (error instanceof assert.AssertionError && installation.address()) throw error;
      }
      await sleep(50);
    }
    throw new Error('the batch was not answered');
  }

  const asking = Promise.all(
    Array.from({ length: ROUNDS }, async (_, i) => {
      await sleep(400 * i);
      return startBatch(PLANS[i]!.plan);
    }),
  );
  let underWay = 0;
  let held = 0;
  for (let kills = 0; kills < KILLS; kills++) {
    await sleep(250 + 700 * random());
    await installation.server.kill();
    underWay += installation.rows("select 1 from processing_jobs where status = 'processing'").length;
    held += installation.rows(
      "select 1 from processing_jobs where kind = 'process' and status <> 'completed' and processed_paths <> '{}'",
    ).length;
    await installation.start();
  }
  const batches = await asking;
  await installation.settled();

  const [first] = batches;
  assert.equal(first!.items.length, IMAGES);
  for (const [round, { batch_id, items }] of batches.entries()) {
    const batch = (await (await client.call(`/api/v1/images/batch/${batch_id}`)).json()) as BatchDocument;
    assert.deepEqual([batch.status, batch.counts.completed], ['completed', IMAGES]);
    for (const { image_id, version } of items) {
      const query = `version=${version}`;
      const bytes = await client.call(`/api/v1/images/${image_id}/download?${query}`);
      const found = await sharp(Buffer.from(await bytes.arrayBuffer())).metadata();
      // Another round may have been quicker, and its version have been the source.
      assert.ok(found.width <= PLANS[round]!.width, `${found.width} px in round ${round}`);
      const thumbnail = await client.call(`/api/v1/images/${image_id}/direct?size=thumbnail&${query}`);
      assert.equal(thumbnail.status, 200);
      assert.equal((await sharp(Buffer.from(await thumbnail.arrayBuffer())).metadata()).width, 64);
    }
  }
  for (const [i, image_id] of images.entries()) {
    const numbers = installation.rows<{ version: number }>(
      'select version from image_versions where image_id = ? order by version',
      image_id,
    );
    assert.deepEqual(
      numbers.map(({ version }) => version),
      [1, 2, 3, 4],
    );
    const [row] = installation.rows<{ current_version: number }>(
      'select current_version from images where image_id = ?',
      image_id,
    );
    assert.equal(row?.current_version, 4);
    const upload = await client.call(`/api/v1/images/${image_id}/download?version=1`);
    assert.deepEqual(Buffer.from(await upload.arrayBuffer()), files[i]!.bytes);
  }
  const [jobs] = installation.rows<{ n: number }>(
    "select count(*) n from processing_jobs where kind = 'process'",
  );
  assert.equal(jobs?.n, IMAGES * ROUNDS, 'no batch was accepted twice');
  assert.ok(underWay > 0, 'jobs were under way when it was killed');
  // The pictures of later versions are others than the account would look for.
  const excused = new Set(images);
  await account(t, {
    installation,
    client,
    sent,
    excused,
    figures: { 'under way': underWay, 'half made': held },
  });
});
