/** Workers as processes of their own, beside or without a server: what is killed, stopped or told to end loses nothing. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import sharp from 'sharp';
import { normalizePlan } from '../../src/contract/plan-normal.ts';
import { openFsBlobs } from '../../src/drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import type { Blobs } from '../../src/ports/blobs.ts';
import type { Catalog, JobRow } from '../../src/ports/catalog.ts';
import { MAIN } from '../support/desk.ts';
import { photo } from '../support/photos.ts';
import { descendants, processesHidden } from '../support/processes.ts';
import { type Ending, endWithSuite, eventually } from '../support/service.ts';
import { acceptImage, filesBelow, webp } from '../support/services.ts';
import { tempDir } from '../support/temp.ts';
import { JWT_SECRET_KEY, startUploadService, tokenOf } from '../support/uploads.ts';

/** A second or more of work, after a thumbnail. */
const LONG = [
  { name: 'thumbnail', plan: webp(40) },
  {
    name: 'long',
    plan: normalizePlan({
      operations: [{ op: 'resize', width: 250 }],
      output: { format: 'avif', effort: 5, quality: 80, metadata: 'strip' },
    }),
  },
];

describe('tintype worker', { skip: processesHidden }, () => {
  const ending = endWithSuite();
  const dataDir = tempDir(ending);
  let catalog: Catalog;
  let blobs: Blobs;
  let large: Buffer;

  before(async () => {
    catalog = await openSqliteCatalog(join(dataDir, 'tintype.sqlite'));
    ending.after(() => catalog.close());
    blobs = await openFsBlobs(join(dataDir, 'blobs'));
    const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
    const create = { width: 1500, height: 1500, channels: 3, background: '#888', noise } as const;
    large = await sharp({ create }).jpeg().toBuffer();
  });

  const jobOf = async (jobId: string): Promise<JobRow> => (await catalog.job(jobId))!;
  const becomes = (jobId: string, status: JobRow['status']) =>
    eventually(`the job becomes ${status}`, async () => (await jobOf(jobId)).status === status);

  async function start(t: Ending, env: Record<string, string> = {}) {
    const child: ChildProcess = spawn(process.execPath, [MAIN, 'worker'], {
      cwd: dataDir,
      env: { ...process.env, DATA_DIR: dataDir, WORKER_CONCURRENCY: '1', NODE_ENV: 'test', ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.after(() => void child.kill('SIGKILL'));
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    await eventually('the worker works', () => /works on 1 image/.test(said) || child.exitCode !== null);
    assert.equal(child.exitCode, null, said);
    return { child, ended };
  }

  /** A job that a worker is in the middle of. */
  async function underWay(t: Ending) {
    const bytes = Buffer.concat([large, randomBytes(8)]);
    const accepted = await acceptImage({ catalog, blobs }, bytes, { plans: LONG });
    t.after(async () => void (await catalog.deleteImage(accepted.imageId, new Date())));
    await eventually('the thumbnail is there', async () => {
      return (await catalog.renditions([accepted.imageId])).length === 1;
    });
    assert.equal((await jobOf(accepted.jobId)).status, 'processing');
    return accepted;
  }

  async function assertTidy(): Promise<void> {
    const objects = filesBelow(join(dataDir, 'blobs/objects'));
    const known = await Promise.all(objects.map((key) => catalog.blob(key)));
    assert.deepEqual(
      objects.filter((_, i) => !known[i]),
      [],
    );
    assert.deepEqual(filesBelow(join(dataDir, 'blobs/staging')), []);
    assert.equal(await catalog.integrity(), 'ok');
  }

  it('does what was accepted, and ends in good order', async (t) => {
    const { jobId } = await acceptImage({ catalog, blobs }, await photo(1, 300, 200));
    const { child, ended } = await start(t);
    await becomes(jobId, 'completed');
    const later = await acceptImage({ catalog, blobs }, await photo(2, 300, 200));
    await becomes(later.jobId, 'completed');
    const children = descendants(child.pid!).map(({ pid }) => pid);
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
    assert.ok(children.length > 0);
    await eventually('its children are gone', () => descendants(child.pid!).length === 0);
    await assertTidy();
  });

  it('gives back what it cannot finish when it is told to end', async (t) => {
    const { child, ended } = await start(t, { SHUTDOWN_TIMEOUT_SECONDS: '0.1' });
    const { jobId } = await underWay(t);
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
    const { status, attemptCount, lostLeases } = await jobOf(jobId);
    assert.deepEqual([status, attemptCount, lostLeases], ['pending', 0, 0]);
    await assertTidy();
    await catalog.cancelJob(jobId, new Date());
  });

  it('goes on at once with what one that was killed had in hand', async (t) => {
    const killed = await start(t);
    const { jobId, imageId } = await underWay(t);
    killed.child.kill('SIGKILL');
    await killed.ended;
    await start(t);
    await eventually('it is taken up again', async () => {
      const { status, lostLeases } = await jobOf(jobId);
      return lostLeases === 1 && status !== 'pending';
    });
    assert.equal((await jobOf(jobId)).attemptCount, 1, 'nobody blames the image');
    await becomes(jobId, 'completed');
    const { rendered, reused } = (await jobOf(jobId)).processingMetadata;
    assert.deepEqual([rendered, reused], [1, 1], 'the thumbnail is not made again');
    assert.equal((await catalog.renditions([imageId])).length, 2);
    await assertTidy();
  });

  it('publishes nothing of a job that another one took while it was stopped', async (t) => {
    const { child, ended } = await start(t);
    const { jobId, imageId } = await underWay(t);
    for (const { pid } of descendants(child.pid!)) process.kill(pid, 'SIGSTOP');
    child.kill('SIGSTOP');
    const anHourLater = new Date(Date.now() + 3_600_000);
    assert.equal(await catalog.reclaimLost(anHourLater, () => false), 1);
    const lease = { owner: 'another', until: anHourLater };
    assert.equal((await catalog.leaseNext(lease, new Date()))?.jobId, jobId);
    child.kill('SIGCONT');
    for (const { pid } of descendants(child.pid!)) process.kill(pid, 'SIGCONT');
    // Told to end, it first comes to an end with what it has in hand.
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
    const { status, leaseOwner, attemptCount } = await jobOf(jobId);
    assert.deepEqual([status, leaseOwner, attemptCount], ['processing', 'another', 1]);
    assert.equal((await catalog.renditions([imageId])).length, 1);
    await assertTidy();
    await catalog.releaseJob(jobId, 'another');
    await catalog.cancelJob(jobId, new Date());
  });

  it('works beside a server, whose clients see what it does', async (t) => {
    // The server's own worker has its hands full, and more is waiting.
    const service = await startUploadService(t as Ending, { DATA_DIR: dataDir, WORKER_CONCURRENCY: '1' });
    await underWay(t);
    await start(t);
    const { jobId } = await acceptImage({ catalog, blobs }, await photo(3, 300, 200), { owner: 'boris' });
    await becomes(jobId, 'completed');
    const answer = await fetch(`${service.address}/api/v1/images/jobs/${jobId}/result`);
    const { urls } = (await answer.json()) as { urls: Record<string, string> };
    assert.equal((await fetch(urls.thumbnail!)).status, 200);
  });
});

describe('a server that is told to end', () => {
  it('sends those who follow a job elsewhere, at once', async (t) => {
    const service = await startUploadService(t as Ending, { JWT_SECRET_KEY });
    const answer = await fetch(`${service.address}/generate-presigned-url`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await tokenOf('anna')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ filename: 'a.jpg', content_type: 'image/jpeg', bucket: 'photos' }),
    });
    const { job_id } = (await answer.json()) as { job_id: string };
    const stream = await fetch(`${service.address}/api/v1/images/jobs/${job_id}/events`);
    const text = stream.text();
    const begun = performance.now();
    await service.close();
    assert.ok(performance.now() - begun < 5_000, 'it did not wait for its patience to end');
    assert.match(await text, /awaiting upload/);
  });
});
