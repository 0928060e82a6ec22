/** The life of jobs over HTTP: state, result, events, retry, cancel; and conversions whose result is fetched later. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, it, type TestContext } from 'node:test';
import sharp from 'sharp';
import type { JobDocument, JobResult, TaskDocument } from '../../src/contract/jobs.ts';
import { normalizePlan } from '../../src/contract/plan-normal.ts';
import { newId } from '../../src/domain/ids.ts';
import { imageRow, jobRow } from '../../src/services/upload-rows.ts';
import { startWorker } from '../../src/worker/loop.ts';
import { allEvents, eventsIn, nextEvent } from '../support/event-source.ts';
import { type ImageService, type Seed, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { landscape } from '../support/pictures.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite, eventually } from '../support/service.ts';
import { acceptConversion } from '../support/services.ts';

/** Like no other one: what follows the end of a JPEG is not looked at. */
async function picture(width = 320, height = 240): Promise<Buffer> {
  const { data, ...raw } = landscape(width, height);
  return Buffer.concat([await sharp(data, { raw }).jpeg().toBuffer(), randomBytes(8)]);
}

/** Its second picture takes longer than any test waits. */
const SLOW = {
  name: 'slow',
  renditions: [
    { name: 'thumbnail', plan: { operations: [{ op: 'resize', width: 40 }], output: { format: 'webp' } } },
    { name: 'endless', plan: { output: { format: 'avif', effort: 9, quality: 95 } } },
  ],
} as const;

const CALLS = {
  get_job: exercise('get_job'),
  get_job_result: exercise('get_job_result'),
  stream_job_events: exercise('stream_job_events'),
  retry_job: exercise('retry_job'),
  cancel_job: exercise('cancel_job'),
  get_task: exercise('get_task'),
  get_task_result: exercise('get_task_result'),
};
type CallId = keyof typeof CALLS;

describe('jobs', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let large: Buffer;
  let anna: string;
  let boris: string;

  before(async () => {
    service = await startImageService(ending, [SLOW as never]);
    anna = await service.token('anna', { scope: 'write' });
    boris = await service.token('boris', { scope: 'write' });
    const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
    const create = { width: 2500, height: 2500, channels: 3, background: '#888', noise } as const;
    large = await sharp({ create }).jpeg().toBuffer();
  });

  const pathOf = (id: CallId, jobId: string) =>
    CALLS[id].path.replace('{job_id}', jobId).replace('{task_id}', jobId);

  function call(id: CallId, jobId: string, authorization?: string, init: RequestInit = {}) {
    return service.get(pathOf(id, jobId), authorization, { method: CALLS[id].method, ...init });
  }

  /** Asks, and holds the answer against what is published. */
  async function ask<T>(id: CallId, jobId: string, authorization?: string, status = 200): Promise<T> {
    const response = await call(id, jobId, authorization);
    const body = await response.json();
    assert.equal(response.status, status, JSON.stringify(body));
    assertPublished(id, response, body);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    return body as T;
  }

  /** A worker that goes on until the test is over. */
  function work(t: TestContext): void {
    const worker = startWorker(service.services, { concurrency: 2, pollMs: 20, watchMs: 20 });
    t.after(() => worker.stop({ graceMs: 0 }));
  }

  /** A job under way: its thumbnail is published, and the rest never ends by itself. */
  async function underWay(t: TestContext, seed: Seed = {}) {
    work(t);
    const seeded = await service.accept(Buffer.concat([large, randomBytes(8)]), { preset: 'slow', ...seed });
    t.after(async () => void (await service.services.catalog.deleteImage(seeded.imageId, new Date())));
    await eventually('the thumbnail is there', async () => {
      return (await service.services.catalog.renditions([seeded.imageId])).length === 1;
    });
    return seeded;
  }

  it('are told from acceptance to completion', async () => {
    const { jobId, imageId } = await service.accept(await picture());
    const { created_at, ...accepted } = await ask<JobDocument>('get_job', jobId);
    assert.ok(Date.parse(created_at) <= Date.now());
    assert.deepEqual(accepted, {
      job_id: jobId,
      image_id: imageId,
      kind: 'upload',
      version: 1,
      batch_id: null,
      status: 'pending',
      progress: 0,
      step: null,
      started_at: null,
      completed_at: null,
      error: null,
      attempts: 0,
      max_retries: 0,
    });
    await assertProblem('get_job_result', await call('get_job_result', jobId), 'not_finished');
    await service.work();
    const completed = await ask<JobDocument>('get_job', jobId.toUpperCase());
    assert.deepEqual(
      [completed.status, completed.progress, completed.attempts, completed.error],
      ['completed', 100, 1, null],
    );
    assert.ok(completed.started_at! <= completed.completed_at!);
  });

  it('have a result whose every URL gives what is said of it', async () => {
    const { jobId, imageId } = await service.add(await picture(), {
      preset: 'gallery',
    });
    const result = await ask<JobResult>('get_job_result', jobId);
    assert.deepEqual([result.image_id, result.status], [imageId, 'completed']);
    const names = ['optimized', 'optimized.jpeg', 'thumbnail', 'thumbnail.jpeg'];
    assert.deepEqual(Object.keys(result.urls).sort(), names);
    const { variants, ...metadata } = result.metadata;
    assert.deepEqual(Object.keys(variants).sort(), names);
    assert.deepEqual(metadata.original_dimensions, { width: 320, height: 240 });
    assert.match(metadata.dominant_color!, /^#[0-9a-f]{6}$/);
    assert.ok(metadata.thumbhash && metadata.blurhash);
    for (const name of names) {
      const response = await service.get(result.urls[name]!, undefined, {
        headers: { accept: 'image/webp' },
      });
      const bytes = Buffer.from(await response.arrayBuffer());
      const { width, height, format } = await sharp(bytes).metadata();
      const aspect_ratio = Number((width / height).toFixed(4));
      assert.deepEqual(variants[name], { width, height, aspect_ratio, format, size_bytes: bytes.length });
    }
    assert.equal(variants['thumbnail.jpeg']!.format, 'jpeg');
  });

  it('give whoever may see a private image URLs that need no token, and are not there for others', async () => {
    const { jobId } = await service.add(await picture(), { bucket: 'vault' });
    const result = await ask<JobResult>('get_job_result', jobId, anna);
    const url = result.urls.thumbnail!;
    assert.match(url, /signature=/);
    assert.equal((await service.get(url)).status, 200);
    const operations: CallId[] = [
      'get_job',
      'get_job_result',
      'stream_job_events',
      'retry_job',
      'cancel_job',
    ];
    for (const id of operations) {
      await assertProblem(id, await call(id, jobId, boris), 'not_found');
      const isOpen = CALLS[id].method === 'GET';
      await assertProblem(id, await call(id, jobId), isOpen ? 'not_found' : 'unauthorized');
      for (const unknown of [randomUUID(), 'x']) {
        await assertProblem(id, await call(id, unknown, anna), 'not_found');
      }
    }
  });

  it('whose bytes have not come wait for them', async () => {
    const now = new Date();
    const policy = { owner: 'anna', bucket: 'photos' };
    const image = imageRow(
      { ...policy, project: null, preset: 'web', visibility: 'public', context: {}, filename: 'a.jpg' },
      now,
    );
    const job = jobRow({ ...policy, imageId: image.imageId, kind: 'upload', plans: [], maxRetries: 3 }, now);
    const expiresAt = new Date(now.getTime() + 60_000);
    await service.services.catalog.expectUpload(image, job, { contentType: 'image/jpeg', expiresAt });
    const { status, step } = await ask<JobDocument>('get_job', job.jobId);
    assert.deepEqual([status, step], ['pending', 'awaiting upload']);
  });

  describe('that fail', () => {
    /** A picture whose stored bytes are gone. */
    async function failed() {
      const seeded = await service.accept(await picture());
      await service.services.blobs.delete(seeded.key);
      await service.work();
      return seeded;
    }

    it('say why, in the job, in its result and to those who follow it', async () => {
      const { jobId } = await failed();
      const { status, error } = await ask<JobDocument>('get_job', jobId);
      assert.equal(status, 'failed');
      const detail = 'The stored bytes of this image are missing.';
      assert.deepEqual(error, { code: 'internal', title: 'An unexpected fault on our side', detail });
      const problem = await assertProblem(
        'get_job_result',
        await call('get_job_result', jobId),
        'processing_failed',
      );
      assert.deepEqual([problem.failure_code, problem.detail], ['internal', detail]);
      const last = (await allEvents(await call('stream_job_events', jobId))).at(-1)!;
      assert.deepEqual([last.event, last.data.status, last.data.error], ['failed', 'failed', error]);
    });

    it('run again where their owner asks for it', async () => {
      const bytes = await picture();
      const { jobId, key } = await service.accept(bytes);
      await service.services.blobs.delete(key);
      await service.work();
      await assertProblem('retry_job', await call('retry_job', jobId), 'unauthorized');
      await assertProblem('retry_job', await call('retry_job', jobId, boris), 'forbidden');
      const reader = await service.token('anna', { scope: 'read' });
      await assertProblem('retry_job', await call('retry_job', jobId, reader), 'forbidden');
      await using staged = await service.services.blobs.stage();
      await staged.write(bytes);
      await staged.finish();
      await service.services.blobs.put(key, staged.path);
      const again = await ask<JobDocument>('retry_job', jobId, anna, 202);
      assert.deepEqual([again.status, again.attempts, again.error], ['pending', 0, null]);
      await assertProblem('retry_job', await call('retry_job', jobId, anna), 'conflict');
      await service.work();
      assert.equal((await ask<JobDocument>('get_job', jobId)).status, 'completed');
      await assertProblem('cancel_job', await call('cancel_job', jobId, anna), 'conflict');

      const events = await allEvents(await call('stream_job_events', jobId));
      assert.deepEqual(
        events.filter(({ event }) => event === 'failed' || event === 'completed').map(({ event }) => event),
        ['completed'],
        'the failure that was got over is a step, and does not end the stream',
      );
      assert.ok(events.some(({ event, data }) => event === 'step' && data.step === 'job.failed'));
    });
  });

  describe('that are cancelled', () => {
    it('end, waiting or under way, and say so', async (t) => {
      const waiting = await service.accept(await picture());
      await assertProblem('cancel_job', await call('cancel_job', waiting.jobId, boris), 'forbidden');
      const cancelled = await ask<JobDocument>('cancel_job', waiting.jobId, anna, 202);
      assert.equal(cancelled.status, 'cancelled');

      const { jobId } = await underWay(t);
      const events = eventsIn(await call('stream_job_events', jobId));
      await nextEvent(events, ({ event }) => event === 'rendition');
      const asked = await ask<JobDocument>('cancel_job', jobId, anna, 202);
      assert.ok(asked.status === 'cancelled' || asked.step === 'cancelling', JSON.stringify(asked));
      const last = await nextEvent(events, ({ event }) => event === 'cancelled');
      assert.equal(last.data.status, 'cancelled');
      assert.ok((await events.next()).done);
      assert.equal((await ask<JobDocument>('cancel_job', jobId, anna, 202)).status, 'cancelled');
      const problem = await assertProblem(
        'get_job_result',
        await call('get_job_result', jobId),
        'processing_failed',
      );
      assert.equal(problem.failure_code, 'cancelled');
    });
  });

  describe('events', () => {
    it('begin with the state, tell what has been, and end with the job', async () => {
      const { jobId, imageId } = await service.add(await picture());
      const response = await call('stream_job_events', jobId);
      assertPublished('stream_job_events', response, undefined);
      for (const [header, value] of [
        ['content-type', 'text/event-stream'],
        ['cache-control', 'no-cache'],
        ['x-accel-buffering', 'no'],
      ] as const) {
        assert.equal(response.headers.get(header), value);
      }
      const events = await allEvents(response);
      assert.deepEqual(
        events.map(({ event }) => event),
        ['progress', 'step', 'step', ...Array(4).fill('rendition'), 'completed'],
      );
      const [state] = events;
      const attempt = { status: 'completed', progress: 100, step: 'completed', attempts: 1 };
      assert.deepEqual(state, {
        id: undefined,
        event: 'progress',
        data: { job_id: jobId, image_id: imageId, ...attempt },
      });
      const ids = events.slice(1).map(({ id }) => id!);
      assert.deepEqual(
        ids,
        ids.toSorted((a, b) => a - b),
      );
      const renditions = events.filter(({ event }) => event === 'rendition');
      assert.equal(renditions[0]!.data.name, 'thumbnail');
      for (const { data } of renditions) {
        const bytes = Buffer.from(await (await service.get(String(data.url))).arrayBuffer());
        const { width, height, format } = await sharp(bytes).metadata();
        assert.deepEqual(
          [data.width, data.height, data.format, data.size_bytes],
          [width, height, format, bytes.length],
        );
      }
      const { result_url } = events.at(-1)!.data;
      assert.equal((await service.get(String(result_url))).status, 200);
    });

    it('come while the job runs, and go on behind the last that was seen', async (t) => {
      const { jobId, imageId } = await service.accept(await picture());
      const first = eventsIn(await call('stream_job_events', jobId));
      const { value: state } = await first.next();
      assert.equal(state?.data.status, 'pending');
      work(t);
      const { id } = await nextEvent(first, ({ event }) => event === 'rendition');
      await first.return();

      const seen = (await allEvents(await call('stream_job_events', jobId))).map((event) => event.id);
      const headers = { 'last-event-id': String(id) };
      const rest = await allEvents(await call('stream_job_events', jobId, undefined, { headers }));
      assert.equal(rest[0]!.event, 'progress');
      assert.deepEqual(
        rest.flatMap((event) => event.id ?? []),
        seen.flatMap((other) => (other !== undefined && other > id! ? other : [])),
      );
      const path = `${pathOf('stream_job_events', jobId)}?last_event_id=`;
      const same = await allEvents(await service.get(`${path}${id}`));
      assert.deepEqual(same.at(-1), rest.at(-1));

      const ended = await service.get(`${path}${rest.at(-1)!.id}`);
      assertPublished('stream_job_events', ended, undefined);
      assert.equal(ended.status, 204, 'a browser asks no more');
      await assertProblem('stream_job_events', await service.get(`${path}x`), 'invalid_field');
      const strange = { headers: { 'last-event-id': 'x' } };
      const all = await allEvents(await call('stream_job_events', jobId, undefined, strange));
      assert.equal(all.at(-1)!.event, 'completed');
      assert.equal((await call('stream_job_events', jobId, undefined, { method: 'HEAD' })).status, 200);
      await service.services.catalog.deleteImage(imageId, new Date());
    });

    it('end when the image is deleted', async () => {
      const { jobId, imageId } = await service.accept(await picture());
      const events = eventsIn(await call('stream_job_events', jobId));
      await events.next();
      await service.services.catalog.deleteImage(imageId, new Date());
      const last = await nextEvent(events, ({ event }) => event === 'cancelled');
      assert.equal(last.data.reason, 'The image was deleted.');
      assert.ok((await events.next()).done);
      await assertProblem('stream_job_events', await call('stream_job_events', jobId), 'not_found');
    });

    it('may be followed by many, who leave nothing behind', async () => {
      const { jobId } = await service.accept(await picture());
      const polls = countReads(service);
      const clients = Array.from({ length: 50 }, () => new AbortController());
      const streams = await Promise.all(
        clients.map(async ({ signal }) =>
          eventsIn(await call('stream_job_events', jobId, undefined, { signal })),
        ),
      );
      for (const stream of streams) assert.equal((await stream.next()).value?.data.status, 'pending');
      assert.ok(polls.count > 0);
      for (const client of clients) client.abort();
      await eventually('nobody asks the catalog any more', async () => {
        const before = polls.count;
        await new Promise((resolve) => setTimeout(resolve, 450));
        return polls.count === before;
      });
      polls.restore();
      await service.services.catalog.cancelJob(jobId, new Date());
    });
  });

  describe('of conversions', () => {
    const toPng = normalizePlan({ operations: [{ op: 'resize', width: 32 }], output: { format: 'png' } });

    it('give their result for download', async () => {
      const { jobId } = await acceptConversion(service.services, await picture(), toPng);
      assert.deepEqual(await ask<TaskDocument>('get_task', jobId), {
        task_id: jobId,
        status: 'pending',
        progress: 0,
        result_url: null,
        error: null,
      });
      await assertProblem('get_task_result', await call('get_task_result', jobId), 'not_finished');
      await service.work();
      const done = await ask<TaskDocument>('get_task', jobId);
      assert.deepEqual([done.status, done.progress], ['completed', 100]);
      assert.equal(done.result_url, `${service.address}${pathOf('get_task_result', jobId)}`);

      const response = await service.get(done.result_url!);
      const { headers } = response;
      const bytes = Buffer.from(await response.arrayBuffer());
      assertPublished('get_task_result', response, undefined);
      assert.equal(headers.get('content-type'), 'image/png');
      assert.equal(headers.get('content-disposition'), 'attachment; filename="holiday.png"');
      assert.deepEqual([headers.get('x-image-width'), headers.get('x-image-height')], ['32', '24']);
      const { width, height, format } = await sharp(bytes).metadata();
      assert.deepEqual([width, height, format], [32, 24, 'png']);

      const part = await service.get(done.result_url!, undefined, { headers: { range: 'bytes=1-3' } });
      assert.deepEqual([part.status, await part.text()], [206, 'PNG']);
      const etag = { 'if-none-match': headers.get('etag')! };
      assert.equal((await service.get(done.result_url!, undefined, { headers: etag })).status, 304);
    });

    it('say why they failed', async () => {
      const crop = normalizePlan({
        operations: [{ op: 'crop', left: 9_000, top: 0, width: 10, height: 10 }],
      });
      const { jobId } = await acceptConversion(service.services, await picture(), crop);
      await service.work();
      const { status, error, result_url } = await ask<TaskDocument>('get_task', jobId);
      assert.deepEqual([status, error?.code, result_url], ['failed', 'invalid_plan', null]);
      const problem = await assertProblem(
        'get_task_result',
        await call('get_task_result', jobId),
        'invalid_plan',
      );
      assert.equal(problem.detail, error?.detail);
    });

    it('are not there where there are none, and are no jobs of images', async () => {
      const { jobId } = await acceptConversion(service.services, await picture(), toPng);
      await assertProblem('get_job', await call('get_job', jobId, anna), 'not_found');
      await assertProblem('cancel_job', await call('cancel_job', jobId, anna), 'not_found');
      const { jobId: ofImage } = await service.accept(await picture());
      for (const id of [ofImage, newId(), 'x']) {
        await assertProblem('get_task', await call('get_task', id), 'not_found');
        await assertProblem('get_task_result', await call('get_task_result', id), 'not_found');
      }
      await service.work();
    });
  });
});

/** Counts the reads of jobs. */
function countReads({ services }: ImageService): { count: number; restore(): void } {
  const { catalog } = services;
  const read = catalog.job;
  const counter = {
    count: 0,
    restore: () => {
      catalog.job = read;
    },
  };
  catalog.job = (jobId) => {
    counter.count++;
    return read(jobId);
  };
  return counter;
}
