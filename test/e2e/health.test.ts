/** What operators look at: figures, dead letters, the dashboard's data, metrics. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { OperationId } from '../../src/contract/operations.ts';
import type { FailedJob, Stats } from '../../src/contract/overview.ts';
import { Problem } from '../../src/problem.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite } from '../support/service.ts';
import { acceptConversion, webp } from '../support/services.ts';

/** Figures are up to two seconds old, what takes longer up to ten. */
const FIGURES_AGE_MS = 2_000;

describe('health', () => {
  const ending = endWithSuite();
  let service: ImageService;
  const made: Record<'ready' | 'broken' | 'secret' | 'waiting', Seeded> = {} as never;
  let conversion: string;
  before(async () => {
    service = await startImageService(ending);
    const { services } = service;
    made.ready = await service.add(await photo(1, 300, 200));
    made.broken = await service.accept((await photo(2)).subarray(0, 3_000), { filename: 'My diary.jpg' });
    assert.deepEqual(await service.work(), ['failed']);
    made.secret = await service.accept((await photo(3)).subarray(0, 3_000), {
      bucket: 'vault',
      owner: 'ben',
    });
    assert.deepEqual(await service.work(), ['failed']);
    conversion = (await acceptConversion(services, await photo(4, 90, 60), webp(20))).jobId;
    const job = await service.lease();
    const problem = { code: 'internal', detail: 'The stored bytes of this image are missing.' } as const;
    await services.catalog.failJob(conversion, job.leaseOwner!, problem, { status: 'failed' }, new Date());
    made.waiting = await service.accept(await photo(5, 90, 60), { at: new Date(Date.now() - 5_000) });
  });

  async function ask<T>(id: OperationId, query = '', token?: string): Promise<T> {
    const response = await service.get(exercise(id).path + query, token);
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    assertPublished(id, response, body);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    return body as T;
  }

  it('says that the process lives', async () => {
    exercise('service_health');
    const { status, version } = await ask<{ status: string; version: string }>('service_health');
    assert.deepEqual([status, version], ['ok', '1.2.3']);
  });

  it('counts jobs, images and bytes, and tells nothing else', async () => {
    exercise('stats');
    const stats = await ask<Stats>('stats');
    assert.deepEqual(stats.status_breakdown, {
      pending: 1,
      processing: 0,
      retrying: 0,
      completed: 1,
      failed: 3,
      cancelled: 0,
    });
    const stored = service.rows('select sum(bytes) as bytes from blobs')[0]!.bytes;
    assert.deepEqual(stats.storage, { total_images: 4, total_jobs: 5, bytes: stored });
    const { completed_24h, avg_processing_time_seconds } = stats.performance_24h;
    assert.equal(completed_24h, 1);
    assert.ok(avg_processing_time_seconds! > 0 && avg_processing_time_seconds! < 60);
    const { oldest_seconds, ...queue } = stats.queue;
    assert.deepEqual(queue, { depth: 1, outbox: 5, expected_uploads: 0 });
    assert.ok(oldest_seconds! >= 5 && oldest_seconds! < 60, String(oldest_seconds));
    assert.deepEqual([stats.workers.children, stats.workers.busy, stats.workers.idle], [2, 0, 2]);
    assert.ok(stats.workers.completed >= 1);
    for (const word of ['anna', 'ben', 'vault', 'photos', made.ready.imageId]) {
      assert.ok(!JSON.stringify(stats).includes(word), word);
    }
    await assertProblem('stats', await service.get('/api/v1/health/stats?x=1'), 'invalid_field');
  });

  describe('dead letters', () => {
    type Failed = { items: FailedJob[] };
    const idsOf = ({ items }: Failed) => items.map((item) => [item.job_id, item.image_id]);

    it('are listed, latest first, without what is personal or private', async () => {
      exercise('failed_jobs');
      const answer = await ask<Failed>('failed_jobs');
      assert.deepEqual(idsOf(answer), [
        [null, null],
        [null, null],
        [made.broken.jobId, made.broken.imageId],
      ]);
      const { created_at, started_at, completed_at, ...broken } = answer.items[2]!;
      assert.ok(created_at && started_at && completed_at);
      assert.deepEqual(broken, {
        job_id: made.broken.jobId,
        image_id: made.broken.imageId,
        kind: 'upload',
        status: 'failed',
        error: { code: 'undecodable_image', title: 'The image cannot be decoded', detail: null },
        attempts: 1,
        max_retries: 0,
      });
      assert.deepEqual(
        answer.items.map(({ kind, error }) => [kind, error.code]),
        [
          ['convert', 'internal'],
          ['upload', 'undecodable_image'],
          ['upload', 'undecodable_image'],
        ],
      );
      assert.doesNotMatch(JSON.stringify(answer), /anna|ben|vault|diary|missing/);
    });

    it('show the caller’s own ids', async () => {
      const { items } = await ask<Failed>('failed_jobs', '', await service.token('ben'));
      assert.deepEqual(
        items.map((item) => item.image_id),
        [null, made.secret.imageId, made.broken.imageId],
      );
      assert.ok(items.every((item) => !('owner' in item) && item.error.detail === null));
    });

    it('are complete for admins, within the buckets of the token', async () => {
      const answer = await ask<Failed>('failed_jobs', '', await service.token('root', { scope: 'admin' }));
      assert.deepEqual(
        answer.items.map(({ job_id, owner, bucket, filename }) => [job_id, owner, bucket, filename]),
        [
          [conversion, 'anna', 'photos', null],
          [made.secret.jobId, 'ben', 'vault', 'photo.jpg'],
          [made.broken.jobId, 'anna', 'photos', 'My diary.jpg'],
        ],
      );
      assert.equal(answer.items[0]!.error.detail, 'The stored bytes of this image are missing.');
      const narrow = await service.token('root', { scope: 'admin', buckets: ['photos'] });
      const { items } = await ask<Failed>('failed_jobs', '', narrow);
      assert.deepEqual(
        items.map(({ owner }) => owner),
        ['anna', undefined, 'anna'],
      );
    });

    it('are as many as are asked for, 500 at most', async () => {
      assert.equal((await ask<Failed>('failed_jobs', '?limit=1')).items.length, 1);
      for (const limit of ['0', '501', 'x']) {
        await assertProblem(
          'failed_jobs',
          await service.get(`/api/v1/health/failed?limit=${limit}`),
          'invalid_field',
        );
      }
      await assertProblem(
        'failed_jobs',
        await service.get('/api/v1/health/failed', 'Bearer a.b.c'),
        'unauthorized',
      );
    });
  });

  describe('the dashboard', () => {
    interface Dashboard {
      stats: Stats;
      hours: {
        hour: string;
        completed: number;
        failed: number;
        avg_processing_time_seconds: number | null;
      }[];
      children: { pid: number; resident_memory_bytes: number }[];
      recent_failed: FailedJob[];
      recent_jobs: { job_id: string | null; image_id: string | null; status: string }[];
    }

    it('gets the figures, the last day by hours, the children and what came last', async () => {
      exercise('dashboard_data');
      const data = await ask<Dashboard>('dashboard_data');
      assert.equal(data.stats.storage.total_images, 4);
      assert.equal(data.hours.length, 24);
      const times = data.hours.map(({ hour }) => Date.parse(hour));
      assert.ok(times.every((time, i) => i === 0 || time - times[i - 1]! === 3_600_000));
      const sum = (what: 'completed' | 'failed') => data.hours.reduce((n, hour) => n + hour[what], 0);
      assert.deepEqual([sum('completed'), sum('failed')], [1, 3]);
      assert.ok(data.hours.some((hour) => (hour.avg_processing_time_seconds ?? 0) > 0));
      assert.equal(data.recent_failed.length, 3);
      assert.deepEqual(data.recent_jobs.map(({ status }) => status).sort(), [
        'completed',
        'failed',
        'failed',
        'failed',
        'pending',
      ]);
      assert.ok(data.recent_jobs.every(({ job_id, image_id }) => job_id === null && image_id === null));
      assert.doesNotMatch(JSON.stringify(data), /anna|ben|vault|diary/);
    });

    it('gets the ids of all jobs for admins, and of their own for others', async () => {
      const ids = async (token: string) =>
        (await ask<Dashboard>('dashboard_data', '', token)).recent_jobs
          .flatMap(({ job_id }) => job_id ?? [])
          .sort();
      const jobs = Object.values(made).map(({ jobId }) => jobId);
      assert.deepEqual(
        await ids(await service.token('root', { scope: 'admin' })),
        [...jobs, conversion].sort(),
      );
      assert.deepEqual(await ids(await service.token('ben')), [made.secret.jobId]);
    });
  });

  describe('metrics', () => {
    const metrics = async () => (await service.get(exercise('metrics').path)).text();

    it('tell of jobs, queue, bytes, children and stages, in base units', async () => {
      service.services.metrics!.observeStage('upload', 'receive', 0.02);
      const text = await metrics();
      const stored = service.rows('select sum(bytes) as bytes from blobs')[0]!.bytes;
      for (const line of [
        'tintype_images 4',
        `tintype_stored_bytes ${stored}`,
        'tintype_queue_jobs 1',
        'tintype_outbox_jobs 5',
        'tintype_jobs{state="completed"} 1',
        'tintype_jobs{state="failed"} 3',
        'tintype_jobs{state="pending"} 1',
        'tintype_pool_children{state="idle"} 2',
        'tintype_stage_duration_seconds_count{work="upload",stage="receive"} 1',
        'tintype_stage_duration_seconds_bucket{le="0.025",work="upload",stage="receive"} 1',
      ]) {
        assert.ok(text.includes(`\n${line}\n`), line);
      }
      assert.ok(Number(/^tintype_queue_oldest_job_age_seconds ([\d.]+)$/m.exec(text)?.[1]) >= 5);
      assert.match(
        text,
        /^tintype_http_request_duration_seconds_count\{method="GET",route="\/api\/v1\/health\/stats",status="200"\} \d+$/m,
      );
    });

    it('go on without the catalog while it does not answer', async (t) => {
      await new Promise((resolve) => setTimeout(resolve, FIGURES_AGE_MS));
      t.mock.method(service.services.catalog, 'stats', async () => {
        throw new Problem('dependency_down', { detail: 'The catalog does not answer.' });
      });
      const text = await metrics();
      assert.doesNotMatch(text, /^tintype_(images|stored_bytes|queue_jobs|jobs)[ {]/m);
      assert.match(text, /^tintype_pool_children\{state="idle"\} 2$/m);
      await assertProblem('stats', await service.get(exercise('stats').path), 'dependency_down');
      t.mock.restoreAll();
      assert.match(await metrics(), /^tintype_images 4$/m);
    });

    it('ask the catalog once, however many look', async (t) => {
      await new Promise((resolve) => setTimeout(resolve, FIGURES_AGE_MS));
      const asked = t.mock.method(service.services.catalog, 'stats');
      await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? metrics() : ask('stats'))));
      assert.equal(asked.mock.callCount(), 1);
    });
  });
});
