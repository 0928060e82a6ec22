import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { normalizePlan } from '../../../src/contract/plan-normal.ts';
import { openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { Pool } from '../../../src/engine/pool/pool.ts';
import type { Catalog, JobRow, NamedPlan } from '../../../src/ports/catalog.ts';
import { Problem } from '../../../src/problem.ts';
import { sweep } from '../../../src/services/sweep.ts';
import { startWorker, type WorkerOptions, type WorkerServices } from '../../../src/worker/loop.ts';
import { type Ending, endWithSuite, eventually } from '../../support/service.ts';
import {
  acceptConversion,
  acceptImage,
  damage,
  openServices,
  SMALL_AND_LARGE,
  type TestServices,
  webp,
} from '../../support/services.ts';
import { tempDir } from '../../support/temp.ts';

/** Noise, which no encoder is quick with. */
const noise = (width: number, height: number, sigma = 40): Promise<Buffer> =>
  sharp({
    create: { width, height, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma } },
  })
    .jpeg()
    .toBuffer();

/** Takes far longer than any test waits: it only ends by being called off. */
const ENDLESS: NamedPlan = {
  name: 'endless',
  plan: normalizePlan({ output: { format: 'avif', effort: 9, quality: 90, metadata: 'strip' } }),
};
const SMALL: NamedPlan = { name: 'thumbnail', plan: webp(40) };

const FAST: WorkerOptions = { concurrency: 2, pollMs: 20, watchMs: 20 };

describe('a worker', () => {
  const suite = endWithSuite();
  let services: TestServices;
  let large: Buffer;

  before(async () => {
    services = await openServices(suite, { retryDelayMs: 0 });
    await services.pool.start();
    large = await noise(2500, 2500);
  });

  function work(t: Ending, options: Partial<WorkerOptions> = {}, over: Partial<WorkerServices> = {}) {
    const worker = startWorker({ ...services, ...over }, { ...FAST, ...options });
    t.after(() => worker.stop({ graceMs: 0 }));
    return worker;
  }

  const jobOf = async (jobId: string): Promise<JobRow> => (await services.catalog.job(jobId))!;
  const eventsOf = async (jobId: string): Promise<string[]> =>
    (await services.catalog.eventsOf(jobId, 0, 1000)).map(({ eventType }) => eventType);
  const becomes = (jobId: string, status: JobRow['status']) =>
    eventually(
      `the job becomes ${status}`,
      async () => (await services.catalog.job(jobId))?.status === status,
    );

  /** Every object is one that a row knows, and nothing is left in staging or in the pool's folders. */
  async function assertTidy(): Promise<void> {
    await sweep(services);
    const known = await Promise.all(services.stored().map((key) => services.catalog.blob(key)));
    assert.deepEqual(
      services.stored().filter((_, i) => !known[i]),
      [],
      'orphans',
    );
    assert.deepEqual(services.staged(), []);
    assert.deepEqual(services.scratch(), []);
    assert.equal(await services.catalog.integrity(), 'ok');
  }

  /** A job under way: its thumbnail is published, and the rest never ends by itself. */
  async function underWay(t: Ending): Promise<{ jobId: string; imageId: string }> {
    // What follows the picture's end is not looked at, but makes it another upload.
    const bytes = Buffer.concat([large, randomBytes(8)]);
    const accepted = await acceptImage(services, bytes, { plans: [SMALL, ENDLESS] });
    t.after(async () => void (await services.catalog.deleteImage(accepted.imageId, new Date())));
    await eventually('the thumbnail is there', async () => {
      return (await services.catalog.renditions([accepted.imageId])).length === 1;
    });
    return accepted;
  }

  test('publishes small renditions first, then placeholders and metadata', async (t) => {
    work(t);
    const { jobId, imageId } = await acceptImage(services, await noise(300, 200), {
      plans: [...SMALL_AND_LARGE].reverse(),
    });
    await becomes(jobId, 'completed');
    const events = await services.catalog.eventsOf(jobId, 0, 100);
    const made = events.filter(({ eventType }) => eventType === 'rendition.ready');
    assert.deepEqual(
      made.map(({ metadata }) => [metadata.name, metadata.width, metadata.height]),
      [
        ['thumbnail', 40, 27],
        ['large', 120, 80],
      ],
    );
    const image = (await services.catalog.image(imageId))!;
    assert.equal(image.status, 'ready');
    assert.equal(image.info?.color_space, 'sRGB');
    assert.match(image.dominantColor ?? '', /^#[0-9a-f]{6}$/);
    assert.ok(image.thumbhash && image.blurhash);
    const job = await jobOf(jobId);
    assert.deepEqual([job.progress, job.step, job.attemptCount], [100, 'completed', 1]);
    assert.deepEqual(job.processingMetadata.source, { format: 'jpeg', width: 300, height: 200, pages: 1 });
    for (const { blobKey, bytes } of await services.catalog.renditions([imageId])) {
      assert.equal((await services.blobs.head(blobKey))?.bytes, bytes);
    }
    await assertTidy();
  });

  test('renders nothing that was rendered before, however many ask for it at once', async (t) => {
    const bytes = await noise(200, 200, 41);
    const accepted = [];
    for (let i = 0; i < 8; i++) accepted.push(await acceptImage(services, bytes));
    work(t);
    for (const { jobId } of accepted) await becomes(jobId, 'completed');
    const jobs = await Promise.all(accepted.map(({ jobId }) => jobOf(jobId)));
    const rendered = jobs.map(({ processingMetadata }) => Number(processingMetadata.rendered));
    assert.equal(
      rendered.reduce((a, b) => a + b),
      2,
      rendered.join(),
    );
    const images = await services.catalog.images(accepted.map(({ imageId }) => imageId));
    assert.ok(images.every(({ thumbhash, info }) => thumbhash && info));
    const rows = await services.catalog.renditions(accepted.map(({ imageId }) => imageId));
    assert.deepEqual([rows.length, new Set(rows.map(({ blobKey }) => blobKey)).size], [16, 2]);
    await assertTidy();
  });

  test('makes anew what was rendered before and has vanished from the store', async (t) => {
    const bytes = await noise(200, 200, 42);
    const first = await acceptImage(services, bytes);
    work(t);
    await becomes(first.jobId, 'completed');
    const [gone] = await services.catalog.renditions([first.imageId]);
    await services.blobs.delete(gone!.blobKey);
    const second = await acceptImage(services, bytes);
    await becomes(second.jobId, 'completed');
    assert.equal((await jobOf(second.jobId)).processingMetadata.rendered, 1);
    assert.ok(await services.blobs.head(gone!.blobKey));
  });

  test('gives one picture the names that ask for the same', async (t) => {
    const plans = ['one', 'two'].map((name) => ({ name, plan: webp(30) }));
    const { jobId, imageId } = await acceptImage(services, await noise(60, 60), { plans });
    work(t);
    await becomes(jobId, 'completed');
    const rows = await services.catalog.renditions([imageId]);
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['one', 'two'],
    );
    assert.equal(rows[0]!.blobKey, rows[1]!.blobKey);
    assert.equal((await jobOf(jobId)).processingMetadata.rendered, 1);
  });

  test('converts what belongs to no image, and only that', async (t) => {
    const plan = normalizePlan({ operations: [{ op: 'resize', width: 20 }], output: { format: 'png' } });
    const { jobId } = await acceptConversion(services, await noise(100, 50), plan);
    work(t);
    await becomes(jobId, 'completed');
    const { processedPaths, processingMetadata } = await jobOf(jobId);
    const blob = (await services.catalog.blob(processedPaths['result.png']!))!;
    assert.deepEqual([blob.width, blob.height], [20, 10]);
    assert.equal(processingMetadata.filename, 'holiday.jpg');
    await assertTidy();
  });

  test('runs a job once, with two workers on one catalog', async (t) => {
    const elsewhere = await openSqliteCatalog(join(services.dir, 'catalog.sqlite'));
    t.after(() => elsewhere.close());
    const accepted = [];
    for (let i = 0; i < 12; i++) accepted.push(await acceptImage(services, await noise(60, 60, 20 + i)));
    work(t);
    work(t, {}, { catalog: elsewhere });
    for (const { jobId } of accepted) await becomes(jobId, 'completed');
    for (const { jobId } of accepted) {
      const started = (await eventsOf(jobId)).filter((type) => type === 'job.started');
      assert.equal(started.length, 1);
      assert.equal((await jobOf(jobId)).attemptCount, 1);
    }
    await assertTidy();
  });

  test('ends the child of a job that is cancelled, and keeps nothing that no row knows', async (t) => {
    work(t);
    const { jobId, imageId } = await underWay(t);
    const { restarts } = services.pool.stats();
    const asked = await services.catalog.cancelJob(jobId, new Date());
    assert.deepEqual([asked.status, asked.cancelRequested], ['processing', true]);
    await becomes(jobId, 'cancelled');
    assert.equal(services.pool.stats().restarts, restarts + 1);
    assert.equal((await services.catalog.renditions([imageId])).length, 1);
    await assertTidy();
  });

  test('ends the work on an image that is deleted, and nothing of it is left', async (t) => {
    const worker = work(t);
    const { jobId, imageId } = await underWay(t);
    const before = services.stored().length;
    assert.ok(await services.catalog.deleteImage(imageId, new Date()));
    await eventually('the work ends', () => worker.stats().running === 0);
    assert.equal(await services.catalog.job(jobId), undefined);
    await assertTidy();
    assert.ok(services.stored().length < before);
    assert.deepEqual(await services.catalog.renditions([imageId]), []);
  });

  test('tries again where the child was killed from outside, but not for ever', async (t) => {
    work(t, { concurrency: 1 });
    const bytes = Buffer.concat([large, randomBytes(8)]);
    const { jobId, imageId } = await acceptImage(services, bytes, { plans: [ENDLESS], maxRetries: 1 });
    t.after(async () => void (await services.catalog.deleteImage(imageId, new Date())));
    const { pool } = services;
    let killedAtMs = 0;
    await eventually('it has failed', async () => {
      const { status, step } = await jobOf(jobId);
      // Again after a while: a child that had not begun yet takes nothing with it.
      const isTime = step === 'decoding' && pool.stats().busy === 1 && performance.now() - killedAtMs > 500;
      if (isTime) {
        killedAtMs = performance.now();
        for (const pid of Object.keys(pool.stats().rssBytes)) process.kill(Number(pid), 'SIGKILL');
      }
      return status === 'failed';
    });
    const { lastError, attemptCount } = await jobOf(jobId);
    assert.deepEqual([lastError?.code, attemptCount], ['decoder_crashed', 2]);
    await assertTidy();
  });

  test('leaves jobs alone while no child of the engine comes up', async (t) => {
    // No child is up in a millisecond.
    const pool = new Pool({ workDir: tempDir(t), size: 1, startTimeoutMs: 1 });
    t.after(() => pool.close({ graceMs: 0 }));
    await assert.rejects(pool.start(), { code: 'dependency_down' });
    const { jobId } = await acceptImage(services, Buffer.concat([large, randomBytes(8)]));
    const idle = work(t, {}, { pool });
    await sleep(200);
    assert.equal((await jobOf(jobId)).attemptCount, 0);
    await idle.stop({ graceMs: 0 });
    const worker = work(t);
    await becomes(jobId, 'completed');
    assert.equal((await jobOf(jobId)).attemptCount, 1);
    await worker.stop({ graceMs: 0 });
    await assertTidy();
  });

  test('runs a failed job again when it is asked to, and fails it again', async (t) => {
    const size = { width: 10, height: 10 };
    const { jobId, imageId } = await acceptImage(
      services,
      Buffer.from('\xff\xd8\xff\xe0 no picture', 'latin1'),
      { size },
    );
    work(t);
    await becomes(jobId, 'failed');
    assert.equal((await jobOf(jobId)).attemptCount, 1, 'the input will not get better');
    const { code, detail } = (await jobOf(jobId)).lastError!;
    assert.ok(code === 'undecodable_image' || code === 'unsupported_media_type', code);
    assert.doesNotMatch(detail ?? '', /tmp|\.ts/);
    assert.equal((await services.catalog.image(imageId))?.status, 'failed');
    await services.catalog.retryJob(jobId, new Date());
    await eventually('it failed twice', async () => {
      return (await eventsOf(jobId)).filter((type) => type === 'job.failed').length === 2;
    });
    await assertTidy();
  });

  test('does not blame the input for bytes that are missing or not those that were accepted', async (t) => {
    const upload = async (sigma: number) =>
      acceptImage(services, await noise(80, 80, sigma), { maxRetries: 1 });
    const [missing, longer, other] = [await upload(31), await upload(32), await upload(33)];
    await services.blobs.delete(missing.key);
    damage(services, longer.key);
    const path = join(services.dir, 'blobs/objects', other.key);
    const { bytes } = (await services.catalog.blob(other.key))!;
    rmSync(path);
    writeFileSync(path, Buffer.alloc(bytes, 'x'));
    work(t);
    for (const [{ jobId }, detail] of [
      [missing, 'The stored bytes of this image are missing.'],
      [longer, 'The stored bytes of this image are damaged.'],
      [other, 'The stored bytes of this image are damaged.'],
    ] as const) {
      await becomes(jobId, 'failed');
      const { lastError, attemptCount } = await jobOf(jobId);
      assert.deepEqual(lastError, { code: 'internal', detail });
      assert.equal(attemptCount, 2, 'a disk that was away may have come back');
    }
    for (const { imageId } of [missing, longer, other])
      await services.catalog.deleteImage(imageId, new Date());
  });

  test('publishes nothing after another worker has taken the job over', async (t) => {
    // Never looks after its lease, as if its process had been stopped for a while.
    const late = work(t, { watchMs: 3_600_000, concurrency: 1 });
    const bytes = await noise(1200, 1200, 51);
    const { jobId, imageId } = await acceptImage(services, bytes, {
      plans: [{ name: 'all', plan: webp(1200) }],
    });
    await becomes(jobId, 'processing');
    const inAnHour = new Date(Date.now() + 3_600_000);
    assert.equal(await services.catalog.reclaimLost(inAnHour, () => false), 1);
    const lease = { owner: 'another/1', until: new Date(inAnHour.getTime() + 60_000) };
    assert.equal((await services.catalog.leaseNext(lease, new Date()))?.jobId, jobId);
    await eventually('the late one ends', () => late.stats().running === 0);
    assert.deepEqual(await services.catalog.renditions([imageId]), []);
    assert.equal((await jobOf(jobId)).leaseOwner, 'another/1');
    assert.equal((await eventsOf(jobId)).includes('rendition.ready'), false);
    await assertTidy();
    await services.catalog.releaseJob(jobId, 'another/1');
    await becomes(jobId, 'completed');
  });

  test('stops when it sees that another worker has taken the job over', async (t) => {
    const worker = work(t);
    const { jobId } = await underWay(t);
    await services.catalog.reclaimLost(new Date(Date.now() + 3_600_000), () => false);
    const lease = { owner: 'another/2', until: new Date(Date.now() + 60_000) };
    // Either this one, or the worker itself, which has another slot, is quicker; the first attempt ends in any case.
    const taken = await services.catalog.leaseNext(lease, new Date());
    await eventually('the first attempt ends', async () => {
      const ended = services.logged.filter(
        ({ message, fields }) => message === 'job ended' && fields.job_id === jobId,
      );
      return ended.length > 0;
    });
    if (taken) assert.equal((await jobOf(jobId)).leaseOwner, 'another/2');
    await services.catalog.cancelJob(jobId, new Date());
    await services.catalog.confirmCancelled(jobId, 'another/2', new Date());
    await eventually('nothing runs', () => worker.stats().running === 0);
  });

  test('keeps its lease, and tells its progress, while it works', async (t) => {
    work(t, { leaseMs: 300 });
    const { jobId } = await underWay(t);
    await eventually('the progress is told', async () => (await jobOf(jobId)).progress === 45);
    assert.equal((await jobOf(jobId)).step, 'rendering');
    for (let i = 0; i < 20; i++) {
      assert.equal(await services.catalog.reclaimLost(new Date(), () => false), 0);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    await services.catalog.cancelJob(jobId, new Date());
    await becomes(jobId, 'cancelled');
  });

  test('gives back what it cannot finish in time when it stops, as if it had not been tried', async (t) => {
    const worker = work(t);
    const { jobId } = await underWay(t);
    await worker.stop({ graceMs: 10 });
    const job = await jobOf(jobId);
    assert.deepEqual([job.status, job.attemptCount, job.leaseOwner], ['pending', 0, null]);
    assert.equal(worker.stats().running, 0);
    assert.ok((await eventsOf(jobId)).includes('job.released'));
    await assertTidy();
    await services.catalog.cancelJob(jobId, new Date());
  });

  test('finishes what it has begun when it stops, and begins nothing more', async (t) => {
    const worker = work(t, { concurrency: 1 });
    const first = await acceptImage(services, await noise(300, 300, 61));
    const second = await acceptImage(services, await noise(300, 300, 62));
    await becomes(first.jobId, 'processing');
    await worker.stop({ graceMs: 10_000 });
    assert.equal((await jobOf(first.jobId)).status, 'completed');
    assert.equal((await jobOf(second.jobId)).status, 'pending');
    work(t);
    await becomes(second.jobId, 'completed');
  });

  test('goes on after the catalog was away, whatever it was asked then', async (t) => {
    let failures = 0;
    const down = (name: keyof Catalog, times: number): Partial<Catalog> => {
      const method = services.catalog[name] as (...args: unknown[]) => Promise<unknown>;
      let left = times;
      const flaky = async (...args: unknown[]) => {
        if (left-- <= 0) return method.apply(services.catalog, args);
        failures++;
        throw new Problem('dependency_down');
      };
      return { [name]: flaky };
    };
    const catalog: Catalog = {
      ...services.catalog,
      ...down('leaseNext', 2),
      ...down('completeJob', 1),
      ...down('failJob', 1),
      ...down('confirmCancelled', 2),
      ...down('job', 2),
    };
    const { jobId } = await acceptImage(services, await noise(100, 100, 71));
    work(t, {}, { catalog });
    await becomes(jobId, 'completed');
    assert.ok(failures >= 6, `${failures}`);
    assert.equal((await jobOf(jobId)).attemptCount, 1, 'given back, and not counted');
    await assertTidy();
  });

  test('leaves the children to those who wait for an answer', async (t) => {
    await using scratch = await services.pool.scratch();
    const source = join(scratch.dir, 'source.jpg');
    writeFileSync(source, large);
    const end = new AbortController();
    const requests = [1, 2].map((i) =>
      services.pool
        .render(
          {
            sourcePath: source,
            plans: [{ ...ENDLESS.plan, output: { ...ENDLESS.plan.output, quality: 90 - i } }],
            limits: DEFAULT_LIMITS,
            outDir: scratch.dir,
          },
          { signal: end.signal },
        )
        .catch(() => {}),
    );
    await eventually('both children are busy', () => services.pool.stats().busy === 2);
    const worker = work(t);
    const { jobId } = await acceptImage(services, await noise(50, 50, 81));
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal((await jobOf(jobId)).status, 'pending');
    // Not for ever, though: then it stands in line with them.
    await becomes(jobId, 'processing');
    assert.equal(worker.stats().running, 1);
    end.abort();
    await Promise.all(requests);
    await becomes(jobId, 'completed');
  });
});
