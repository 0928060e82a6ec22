/** New versions over HTTP: made of a Plan, one by one and in batches, read and listed, and never half there. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, it, type TestContext } from 'node:test';
import sharp from 'sharp';
import type { BatchDocument, JobDocument, JobResult } from '../../src/contract/jobs.ts';
import type { OperationId } from '../../src/contract/operations.ts';
import type { Plan } from '../../src/contract/plan.ts';
import { startWorker } from '../../src/worker/loop.ts';
import { allEvents, eventsIn, nextEvent } from '../support/event-source.ts';
import { type ImageService, type Seed, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { landscape } from '../support/pictures.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite, eventually } from '../support/service.ts';
import { formOf } from '../support/uploads.ts';

interface Accepted {
  job_id: string;
  image_id: string;
  version: number;
  status_url: string;
}
interface Refused {
  image_id: string;
  problem: { code: string; instance: string; errors?: { path: string }[] };
}
interface AcceptedBatch {
  batch_id: string;
  status_url: string;
  items: (Accepted & Refused)[];
}
interface Versions {
  current_version: number;
  items: {
    version: number;
    current: boolean;
    width: number;
    height: number;
    format: string;
    mime_type: string;
    size_bytes: number;
    plan: Plan | null;
    url: string | null;
    urls: Record<string, string>;
  }[];
}

const CALLS = {
  process_image: exercise('process_image'),
  process_batch: exercise('process_batch'),
  get_batch: exercise('get_batch'),
  stream_batch_events: exercise('stream_batch_events'),
};

/** What is made of a version with it takes longer than any test waits. */
const SLOW = {
  name: 'slow',
  renditions: [{ name: 'endless', plan: { output: { format: 'avif', effort: 9, quality: 95 } } }],
} as const;

const TURNED: Plan = {
  operations: [
    { op: 'resize', width: 300 },
    { op: 'rotate', angle: 90 },
  ],
  output: { format: 'png' },
};
const GRAY: Plan = { operations: [{ op: 'grayscale' }] };
/** Of no picture in these tests. */
const BEYOND: Plan = { operations: [{ op: 'crop', left: 9_000, top: 0, width: 10, height: 10 }] };

describe('processing', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let anna: string;
  let boris: string;
  let seed = 100;

  before(async () => {
    service = await startImageService(ending, [SLOW as never]);
    anna = await service.token('anna');
    boris = await service.token('boris');
  });

  const nextPhoto = () => photo(seed++);

  async function addPhoto(more: Seed = {}) {
    const bytes = await nextPhoto();
    return { bytes, ...(await service.add(bytes, more)) };
  }

  const post = (path: string, body: unknown, authorization: string | undefined = anna, headers = {}) =>
    service.get(path, authorization, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  const processPath = (imageId: string, query = '') =>
    CALLS.process_image.path.replace('{image_id}', imageId) + query;

  async function read<T>(id: OperationId, response: Response, status = 200): Promise<T> {
    const body = await response.json();
    assert.equal(response.status, status, JSON.stringify(body));
    assertPublished(id, response, body);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    return body as T;
  }

  /** Has a version made and waits for it. */
  async function make(imageId: string, plan: unknown, query = ''): Promise<Accepted> {
    const accepted = await accept(imageId, plan, query);
    assert.deepEqual(await service.work(), ['completed']);
    return accepted;
  }

  const accept = async (imageId: string, plan: unknown, query = '') =>
    read<Accepted>('process_image', await post(processPath(imageId, query), plan), 202);

  async function bytesOf(path: string, authorization?: string): Promise<Buffer> {
    const response = await service.get(path, authorization);
    assert.equal(response.status, 200, path);
    return Buffer.from(await response.arrayBuffer());
  }

  const versionsOf = async (imageId: string, authorization?: string) =>
    read<Versions>(
      'list_image_versions',
      await service.get(`/api/v1/images/${imageId}/versions`, authorization),
    );

  const jobOf = async (jobId: string) =>
    read<JobDocument>('get_job', await service.get(`/api/v1/images/jobs/${jobId}`, anna));

  /** Nothing of what was made but is not shown is left. */
  async function assertTidy(): Promise<void> {
    const { catalog, blobs } = service.services;
    while ((await catalog.deleteBlobs(100, (key) => blobs.delete(key))) > 0);
    const known = new Set((await catalog.storedBlobs('', 10_000)).map(({ key }) => key));
    assert.deepEqual(
      service.services.stored().filter((key) => !known.has(key)),
      [],
    );
    assert.equal(await catalog.integrity(), 'ok');
  }

  describe('a plan', () => {
    it('makes a version with all its sizes; the upload stays, byte by byte', async () => {
      const { imageId, bytes } = await addPhoto();
      const accepted = await accept(imageId, TURNED);
      assert.deepEqual(
        [accepted.image_id, accepted.version, accepted.status_url],
        [imageId, 2, `/api/v1/images/jobs/${accepted.job_id}`],
      );
      const waiting = await jobOf(accepted.job_id);
      assert.deepEqual([waiting.kind, waiting.version, waiting.status], ['process', 2, 'pending']);
      const before = await versionsOf(imageId, anna);
      assert.deepEqual([before.current_version, before.items.length], [1, 1]);
      await assertProblem('get_image', await service.get(`/api/v1/images/${imageId}?version=2`), 'not_found');
      const shownBefore = await bytesOf(`/api/v1/images/${imageId}/direct?size=large`);

      assert.deepEqual(await service.work(), ['completed']);
      const { current_version, items } = await versionsOf(imageId, anna);
      assert.equal(current_version, 2);
      const [first, second] = items;
      assert.deepEqual([first!.version, first!.current, first!.plan, first!.width], [1, false, null, 900]);
      assert.deepEqual(
        [second!.version, second!.current, second!.width, second!.height, second!.format, second!.mime_type],
        [2, true, 200, 300, 'png', 'image/png'],
      );
      assert.deepEqual(
        second!.plan?.operations?.map(({ op }) => op),
        ['resize', 'rotate'],
      );

      assert.deepEqual(await bytesOf(first!.url!, anna), bytes);
      assert.deepEqual(await bytesOf(`/api/v1/images/${imageId}/download?version=1`, anna), bytes);
      const made = await service.get(second!.url!, anna);
      assertPublished('download_image', made, undefined);
      assert.equal(made.headers.get('content-disposition'), 'attachment; filename="photo.png"');
      assert.equal(made.headers.get('repr-digest'), null);
      const picture = Buffer.from(await made.arrayBuffer());
      assert.equal(picture.length, second!.size_bytes);
      const { width, height, format } = await sharp(picture).metadata();
      assert.deepEqual([width, height, format], [200, 300, 'png']);
      // Turned clockwise, what was at the left is at the top.
      const upright = await sharp(bytes).resize(300).rotate(90).raw().toBuffer();
      const difference = (await sharp(picture).raw().toBuffer()).reduce(
        (sum, value, i) => sum + Math.abs(value - upright[i]!),
        0,
      );
      assert.ok(difference / upright.length < 2, `${difference / upright.length} levels`);

      assert.deepEqual(Object.keys(second!.urls).sort(), ['large', 'medium', 'original', 'thumbnail']);
      for (const [size, url] of Object.entries(second!.urls)) {
        const found = await sharp(await bytesOf(url)).metadata();
        const wanted = size === 'thumbnail' ? [100, 150] : [200, 300];
        assert.deepEqual([found.width, found.height, found.format], [...wanted, 'webp'], size);
      }
      assert.notDeepEqual(await bytesOf(`/api/v1/images/${imageId}/direct?size=large`), shownBefore);
      assert.deepEqual(await bytesOf(`/api/v1/images/${imageId}/direct?size=large&version=1`), shownBefore);
      await assertTidy();
    });

    it('is told of by its job: result and events are those of the version', async () => {
      const { imageId, jobId } = await addPhoto();
      const { job_id } = await make(imageId, TURNED);
      const result = async (id: string) =>
        read<JobResult>('get_job_result', await service.get(`/api/v1/images/jobs/${id}/result`));
      const [ofUpload, ofVersion] = [await result(jobId), await result(job_id)];
      assert.deepEqual([ofUpload.version, ofVersion.version], [1, 2]);
      assert.deepEqual(ofUpload.metadata.original_dimensions, { width: 900, height: 600 });
      assert.deepEqual(ofVersion.metadata.original_dimensions, { width: 200, height: 300 });
      assert.notEqual(ofUpload.metadata.thumbhash, ofVersion.metadata.thumbhash);
      for (const url of Object.values(ofVersion.urls)) assert.match(url, /version=2/);
      const { variants } = ofVersion.metadata;
      assert.deepEqual([variants.thumbnail!.width, variants.thumbnail!.height], [100, 150]);
      const events = await allEvents(await service.get(`/api/v1/images/jobs/${job_id}/events`));
      assert.deepEqual(
        events.map(({ event }) => event),
        ['progress', 'step', 'step', ...Array(4).fill('rendition'), 'completed'],
      );
      assert.equal(events[1]!.data.step, 'process.accepted');
      for (const { event, data } of events) {
        if (event === 'rendition') await bytesOf(String(data.url));
      }
    });

    it('works on the current version, or on the one that is named', async () => {
      const { imageId } = await addPhoto();
      await make(imageId, { operations: [{ op: 'resize', width: 300 }] });
      const third = await make(imageId, {
        operations: [{ op: 'crop', left: 0, top: 0, width: 100, height: 50 }],
      });
      const fourth = await make(imageId, { operations: [{ op: 'rotate', angle: 90 }] }, '?version=1');
      assert.deepEqual([third.version, fourth.version], [3, 4]);
      const { items, current_version } = await versionsOf(imageId);
      assert.equal(current_version, 4);
      assert.deepEqual(
        items.map(({ width, height, format }) => [width, height, format]),
        [
          [900, 600, 'jpeg'],
          [300, 200, 'jpeg'],
          [100, 50, 'jpeg'],
          [600, 900, 'jpeg'],
        ],
      );
      for (const version of [1, 2, 3, 4]) {
        const { width } = items[version - 1]!;
        const query = `size=large&version=${version}`;
        const one = await read<{ version: number; width: number; url: string }>(
          'get_image',
          await service.get(`/api/v1/images/${imageId}?${query}`),
        );
        assert.deepEqual([one.version, one.width], [version, width]);
        assert.equal((await sharp(await bytesOf(one.url)).metadata()).width, width);
        const all = await read<{ version: number; items: { size: string; width: number }[] }>(
          'get_image_sizes',
          await service.get(`/api/v1/images/${imageId}/all?version=${version}`),
        );
        assert.equal(all.version, version);
        assert.equal(all.items.find(({ size }) => size === 'large')?.width, width);
        const info = await read<{ version: number; width: number; orientation: number | null }>(
          'get_image_info',
          await service.get(`/api/v1/images/${imageId}/info?version=${version}`),
        );
        assert.deepEqual([info.version, info.width], [version, width]);
        if (version > 1) assert.equal(info.orientation, 1);
      }
      for (const [id, path] of [
        ['get_image', ''],
        ['get_image_sizes', '/all'],
        ['read_image', '/direct'],
        ['get_image_info', '/info'],
        ['download_image', '/download'],
      ] as const) {
        const unknown = await service.get(`/api/v1/images/${imageId}${path}?version=9`, anna);
        const { detail } = await assertProblem(id, unknown, 'not_found');
        assert.equal(detail, 'The image has no such version.', id);
      }
      await assertProblem('process_image', await post(processPath(imageId, '?version=9'), GRAY), 'not_found');
    });

    it('that names no format keeps that of its source', async () => {
      const { data, ...raw } = landscape(120, 80, 3);
      const png = await sharp(data, { raw }).png().toBuffer();
      const { imageId } = await service.add(png, { filename: 'drawing.png' });
      await make(imageId, { operations: [{ op: 'flip' }] });
      await make(imageId, { operations: [{ op: 'flip' }], output: { format: 'webp', lossless: true } });
      await make(imageId, {});
      const { items } = await versionsOf(imageId);
      assert.deepEqual(
        items.map(({ format }) => format),
        ['png', 'png', 'webp', 'webp'],
      );
      // What was turned over twice without a loss is what it was.
      const back = await sharp(await bytesOf(`/api/v1/images/${imageId}/download?version=3`, anna))
        .raw()
        .toBuffer();
      assert.deepEqual(back, Buffer.from(data));
    });

    it('keeps the names and places of a picture, and those are still only told to its owner', async () => {
      const { imageId } = await addPhoto({ bucket: 'vault' });
      await make(imageId, GRAY);
      for (const path of ['/versions', '?version=2', '/info?version=2']) {
        assert.equal((await service.get(`/api/v1/images/${imageId}${path}`)).status, 404, path);
        assert.equal((await service.get(`/api/v1/images/${imageId}${path}`, anna)).status, 200, path);
      }
      const { items } = await versionsOf(imageId, anna);
      const { large } = items[1]!.urls;
      assert.match(large!, /signature=/);
      await bytesOf(large!);
      const { status } = await service.get(large!.replace('version=2', 'version=1'));
      assert.equal(status, 403, 'signed for one version');
    });

    it('shows strangers of a public image what was made, and not how', async () => {
      const { imageId } = await addPhoto();
      await make(imageId, GRAY);
      for (const who of [undefined, boris]) {
        const { items } = await versionsOf(imageId, who);
        assert.deepEqual(
          items.map(({ plan, url }) => [plan, url]),
          [
            [null, null],
            [null, null],
          ],
        );
        await bytesOf(items[1]!.urls.medium!);
      }
    });

    it('leaves caches nothing that goes out of date', async () => {
      const { imageId } = await addPhoto();
      const cacheOf = async (query: string) => {
        const response = await service.get(`/api/v1/images/${imageId}/direct?size=medium${query}`);
        await response.arrayBuffer();
        return response.headers.get('cache-control');
      };
      const forever = 'public, max-age=31536000, immutable';
      assert.equal(await cacheOf(''), forever);
      await make(imageId, GRAY);
      assert.deepEqual([await cacheOf('&version=1'), await cacheOf('&version=2')], [forever, forever]);
      assert.match((await cacheOf(''))!, /must-revalidate/);
    });

    it('lays an image of the same owner over it, as that was when it was accepted', async () => {
      const flat = (width: number, height: number, background: string) =>
        sharp({ create: { width, height, channels: 3, background } })
          .png()
          .toBuffer();
      const { imageId } = await service.add(await flat(400, 300, '#808080'));
      const mark = await service.add(await flat(100, 100, '#ff0000'));
      const laid = { op: 'watermark', image: mark.imageId, opacity: 1, scale: 0.25, margin: 0 };
      const plan = { operations: [laid], output: { format: 'png' } };
      const colours = async (version: number) => {
        const bytes = await bytesOf(`/api/v1/images/${imageId}/download?version=${version}`, anna);
        const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
        const at = (x: number, y: number) => [
          ...data.subarray((y * info.width + x) * info.channels, (y * info.width + x) * info.channels + 3),
        ];
        return [at(10, 10), at(390, 290)];
      };
      const [gray, red] = [
        [128, 128, 128],
        [255, 0, 0],
      ];
      const first = await accept(imageId, plan);
      const ofMark = await accept(mark.imageId, {
        operations: [
          { op: 'resize', width: 20 },
          { op: 'adjust', hue: 240 },
        ],
      });
      assert.deepEqual(await service.work(), ['completed', 'completed']);
      assert.deepEqual([first.version, ofMark.version], [2, 2]);
      assert.deepEqual(await colours(2), [gray, red]);
      await make(imageId, plan, '?version=1');
      const [ground, other] = await colours(3);
      assert.deepEqual(ground, gray);
      assert.notDeepEqual(other, red, 'the mark is another picture by now');
      await assertTidy();
    });

    it('is worked on once for all who ask for the same', async () => {
      const { imageId, bytes } = await addPhoto();
      const again = await service.add(bytes);
      const plan = { operations: [{ op: 'resize', width: 111 }] };
      await make(imageId, plan);
      await make(again.imageId, plan);
      await make(imageId, plan, '?version=1');
      const keys = service.rows(
        'select distinct blob_key from image_versions where image_id in (?, ?) and version > 1',
        imageId,
        again.imageId,
      );
      assert.equal(keys.length, 1);
      await assertTidy();
    });
  });

  describe('a request', () => {
    it('is for the owner and admins, with a token that may write to the bucket', async () => {
      const { imageId } = await addPhoto();
      const { imageId: hidden } = await addPhoto({ bucket: 'vault' });
      const path = processPath(imageId);
      const withoutToken = await service.get(path, undefined, { method: 'POST' });
      await assertProblem('process_image', withoutToken, 'unauthorized');
      for (const token of [
        boris,
        await service.token('anna', { scope: 'read' }),
        await service.token('anna', { buckets: ['scans'] }),
      ]) {
        await assertProblem('process_image', await post(path, GRAY, token), 'forbidden');
      }
      await assertProblem('process_image', await post(processPath(hidden), GRAY, boris), 'not_found');
      await assertProblem('process_image', await post(processPath(randomUUID()), GRAY), 'not_found');
      await assertProblem('process_image', await post(processPath('x'), GRAY), 'not_found');
      const admin = await service.token('root', { scope: 'admin' });
      const { version } = await read<Accepted>('process_image', await post(path, GRAY, admin), 202);
      assert.equal(version, 2);
      assert.deepEqual(await service.work(), ['completed']);
    });

    it('with a wrong plan is refused by the name of the field', async () => {
      const { imageId } = await addPhoto();
      const { length: before } = service.rows('select 1 from processing_jobs');
      for (const [plan, path] of [
        [{ operations: [{ op: 'resize', width: 0 }] }, 'operations.0.width'],
        [{ operations: [{ op: 'explode' }] }, 'operations.0.op'],
        [{ operations: GRAY.operations, colour: 'red' }, 'colour'],
        [{ output: { format: 'exe' } }, 'output.format'],
        [[], 'plan'],
      ] as const) {
        const response = await post(processPath(imageId), plan);
        const { errors } = await assertProblem('process_image', response, 'invalid_plan');
        assert.equal((errors as { path: string }[])[0]!.path, path);
      }
      await assertProblem('process_image', await post(processPath(imageId), '{'), 'malformed_request');
      const query = await post(processPath(imageId, '?versoin=1'), GRAY);
      await assertProblem('process_image', query, 'invalid_field');
      assert.equal(service.rows('select 1 from processing_jobs').length, before);
    });

    it('for an image that is not ready, or has failed, is refused', async () => {
      const { imageId } = await service.accept(await nextPhoto());
      await assertProblem('process_image', await post(processPath(imageId), GRAY), 'not_finished');
      await service.work();
      const { imageId: broken } = await service.accept((await nextPhoto()).subarray(0, 3_000));
      assert.deepEqual(await service.work(), ['failed']);
      await assertProblem('process_image', await post(processPath(broken), GRAY), 'undecodable_image');
    });

    it('may name images of the same owner only, and that are ready', async () => {
      const [own, others, mark] = [await addPhoto(), await addPhoto({ owner: 'boris' }), await addPhoto()];
      const waiting = await service.accept(await nextPhoto(), { at: new Date() });
      const marked = (image: string) => ({ operations: [{ op: 'flip' }, { op: 'watermark', image }] });
      const path = processPath(own.imageId);
      for (const image of [others.imageId, randomUUID(), waiting.imageId]) {
        const { errors } = await assertProblem(
          'process_image',
          await post(path, marked(image)),
          'invalid_plan',
        );
        assert.equal((errors as { path: string }[])[0]!.path, 'operations.1.image');
      }
      await service.work();
      const { job_id } = await accept(own.imageId, marked(mark.imageId));
      const job = await service.services.catalog.job(job_id);
      assert.deepEqual(job?.making?.assets, { [mark.imageId]: mark.key });
      // What was accepted does not keep the bytes of what its owner deletes.
      const deleted = await service.get(`/api/v1/images/${mark.imageId}`, anna, { method: 'DELETE' });
      assert.equal(deleted.status, 204);
      assert.deepEqual(await service.work(), ['failed']);
      const { error } = await jobOf(job_id);
      assert.equal(error?.code, 'processing_failed');
      assert.match(error?.detail ?? '', /was deleted/);
      assert.equal((await versionsOf(own.imageId)).current_version, 1);
      await assertTidy();
    });

    it('that is sent again under its key gets the first answer again', async () => {
      const { imageId } = await addPhoto();
      const key = { 'idempotency-key': randomUUID() };
      const first = await read<Accepted>(
        'process_image',
        await post(processPath(imageId), GRAY, anna, key),
        202,
      );
      const again = await read<Accepted>(
        'process_image',
        await post(processPath(imageId), GRAY, anna, key),
        202,
      );
      assert.deepEqual(again, first);
      const other = await post(processPath(imageId), TURNED, anna, key);
      await assertProblem('process_image', other, 'conflict');
      assert.deepEqual(await service.work(), ['completed']);
      assert.equal((await versionsOf(imageId)).items.length, 2);
      const wrong = await post(processPath(imageId), GRAY, anna, { 'idempotency-key': 'a key' });
      await assertProblem('process_image', wrong, 'invalid_field');
    });

    it('beyond what one may have unfinished is told to come later', async () => {
      const { imageId } = await addPhoto({ owner: 'carla' });
      const carla = await service.token('carla');
      const most = service.services.maxPendingJobs;
      for (let i = 0; i < most; i++) {
        await read<Accepted>('process_image', await post(processPath(imageId), GRAY, carla), 202);
      }
      const refused = await post(processPath(imageId), GRAY, carla);
      assert.ok(Number(refused.headers.get('retry-after')) > 0);
      await assertProblem('process_image', refused, 'rate_limited');
      const batch = await post(CALLS.process_batch.path, { image_ids: [imageId], plan: GRAY }, carla);
      await assertProblem('process_batch', batch, 'rate_limited');
      assert.equal((await service.work()).length, most);
    });
  });

  describe('a job that does not complete', () => {
    /** A worker that goes on until the test is over. */
    function work(t: TestContext): void {
      const worker = startWorker(service.services, { concurrency: 2, pollMs: 20, watchMs: 20 });
      t.after(() => worker.stop({ graceMs: 0 }));
    }

    /** A job under way: the bytes of the version are stored, and its one size will not be finished. */
    async function underWay(t: TestContext) {
      const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
      const create = { width: 2_000, height: 2_000, channels: 3, background: '#888', noise } as const;
      const bytes = Buffer.concat([await sharp({ create }).jpeg().toBuffer(), randomBytes(8)]);
      const { imageId } = await service.add(bytes);
      // Its sizes are the preset's of today.
      const db = service.services.catalog;
      const image = (await db.image(imageId))!;
      t.mock.method(db, 'image', async () => ({ ...image, preset: 'slow' }));
      const accepted = await accept(imageId, { operations: [{ op: 'flip' }] });
      t.mock.restoreAll();
      work(t);
      t.after(async () => void (await db.deleteImage(imageId, new Date())));
      await eventually('the bytes of the version are stored', async () => {
        return Object.keys((await db.job(accepted.job_id))!.processedPaths).length === 1;
      });
      return { imageId, ...accepted };
    }

    it('because it fails leaves the image as it was', async () => {
      const { imageId } = await addPhoto();
      const { job_id, version } = await accept(imageId, BEYOND);
      assert.equal(version, 2);
      assert.deepEqual(await service.work(), ['failed']);
      const { status, error } = await jobOf(job_id);
      assert.deepEqual([status, error?.code], ['failed', 'invalid_plan']);
      const result = await service.get(`/api/v1/images/jobs/${job_id}/result`);
      await assertProblem('get_job_result', result, 'invalid_plan');
      const now = await read<{ status: string; version: number }>(
        'get_image',
        await service.get(`/api/v1/images/${imageId}`),
      );
      assert.deepEqual([now.status, now.version], ['ready', 1]);
      assert.equal((await versionsOf(imageId)).items.length, 1);
      assert.equal((await make(imageId, GRAY)).version, 3, 'a number is never used again');
      assert.deepEqual(
        (await versionsOf(imageId)).items.map(({ version }) => version),
        [1, 3],
      );
      await assertTidy();
    });

    it('because it is cancelled leaves the image as it was, and can be retried', async (t) => {
      const { imageId, job_id } = await underWay(t);
      const path = `/api/v1/images/jobs/${job_id}/cancel`;
      const cancel = (who: string) => service.get(path, who, { method: 'POST' });
      await assertProblem('cancel_job', await cancel(boris), 'forbidden');
      assert.equal((await cancel(anna)).status, 202);
      await eventually('it is cancelled', async () => (await jobOf(job_id)).status === 'cancelled');
      const { items, current_version } = await versionsOf(imageId);
      assert.deepEqual([items.length, current_version], [1, 1]);
      assert.equal((await service.services.catalog.image(imageId))?.status, 'ready');
      await eventually('its bytes are gone', () => assertTidy().then(() => true));
      const retried = await service.get(`/api/v1/images/jobs/${job_id}/retry`, anna, { method: 'POST' });
      assert.equal(retried.status, 202);
      await eventually('its bytes are there again', async () => {
        const job = await service.services.catalog.job(job_id);
        return Object.keys(job!.processedPaths).length === 1;
      });
    });

    it('because its image is deleted leaves nothing', async (t) => {
      const { imageId, job_id } = await underWay(t);
      const deleted = await service.get(`/api/v1/images/${imageId}`, anna, { method: 'DELETE' });
      assert.equal(deleted.status, 204);
      await assertProblem('get_job', await service.get(`/api/v1/images/jobs/${job_id}`), 'not_found');
      await eventually('the worker has stopped', () => service.services.scratch().length === 0);
      await assertTidy();
    });
  });

  describe('a batch', () => {
    const start = async (image_ids: string[], plan: unknown = GRAY) =>
      read<AcceptedBatch>('process_batch', await post(CALLS.process_batch.path, { image_ids, plan }), 202);
    const pathOf = (id: 'get_batch' | 'stream_batch_events', batchId: string) =>
      CALLS[id].path.replace('{batch_id}', batchId);
    const look = async (batchId: string, who = anna) =>
      read<BatchDocument>('get_batch', await service.get(pathOf('get_batch', batchId), who));
    const follow = (batchId: string, headers: Record<string, string> = {}) =>
      service.get(pathOf('stream_batch_events', batchId), anna, { headers });

    it('has one job for each image, and says what is wrong with the others', async () => {
      const [a, b] = [await addPhoto(), await addPhoto()];
      const [strangers, hidden] = [
        await addPhoto({ owner: 'boris' }),
        await addPhoto({ owner: 'boris', bucket: 'vault' }),
      ];
      const waiting = await service.accept(await nextPhoto());
      const unknown = randomUUID();
      const { imageId } = a;
      const ids = [imageId, strangers.imageId, hidden.imageId, unknown, waiting.imageId, b.imageId];
      const { batch_id, status_url, items } = await start([...ids, imageId.toUpperCase()]);
      assert.equal(status_url, pathOf('get_batch', batch_id));
      assert.deepEqual(
        items.map(({ image_id, version, problem }) => [image_id, version ?? problem.code]),
        [
          [a.imageId, 2],
          [strangers.imageId, 'forbidden'],
          [hidden.imageId, 'not_found'],
          [unknown, 'not_found'],
          [waiting.imageId, 'not_finished'],
          [b.imageId, 2],
        ],
      );
      assert.equal(items[3]!.problem.instance, processPath(unknown));
      const before = await look(batch_id);
      assert.deepEqual([before.status, before.progress, before.counts.pending], ['pending', 0, 2]);
      await service.work();
      const after = await look(batch_id.toUpperCase());
      assert.deepEqual([after.status, after.progress, after.counts.completed], ['completed', 100, 2]);
      assert.deepEqual(
        after.items.map((job) => [job.image_id, job.job_id, job.batch_id, job.version, job.status]),
        [items[0]!, items[5]!].map((one) => [one.image_id, one.job_id, batch_id, 2, 'completed']),
      );
      for (const one of [a, b]) assert.equal((await versionsOf(one.imageId)).current_version, 2);
      await assertTidy();
    });

    it('of which some fail is completed in part', async () => {
      const { data, ...raw } = landscape(1_200, 100, 7);
      const wide = await service.add(await sharp(data, { raw }).jpeg().toBuffer());
      const usual = await addPhoto();
      const plan = { operations: [{ op: 'crop', left: 1_000, top: 0, width: 10, height: 10 }] };
      const { batch_id } = await start([wide.imageId, usual.imageId], plan);
      await service.work();
      const { status, progress, counts, items } = await look(batch_id);
      assert.deepEqual(
        [status, progress, counts.completed, counts.failed],
        ['partially_completed', 100, 1, 1],
      );
      assert.deepEqual(
        items.map(({ error }) => error?.code),
        [undefined, 'invalid_plan'],
      );
    });

    it('is for whoever sent it and for admins, while it has images', async () => {
      const { imageId } = await addPhoto();
      const { batch_id } = await start([imageId]);
      for (const id of ['get_batch', 'stream_batch_events'] as const) {
        const path = pathOf(id, batch_id);
        await assertProblem(id, await service.get(path), 'unauthorized');
        await assertProblem(id, await service.get(path, boris), 'not_found');
        await assertProblem(id, await service.get(pathOf(id, randomUUID()), anna), 'not_found');
        await assertProblem(id, await service.get(pathOf(id, 'x'), anna), 'not_found');
      }
      await look(batch_id, await service.token('root', { scope: 'admin' }));
      await service.services.catalog.deleteImage(imageId, new Date());
      await assertProblem('get_batch', await service.get(pathOf('get_batch', batch_id), anna), 'not_found');
    });

    it('that is not well formed is refused whole, by the name of the field', async () => {
      const { imageId } = await addPhoto();
      const many = Array.from({ length: 101 }, () => randomUUID());
      for (const [body, code, path] of [
        [{ image_ids: [], plan: GRAY }, 'invalid_field', 'image_ids'],
        [{ image_ids: many, plan: GRAY }, 'invalid_field', 'image_ids'],
        [{ image_ids: ['x'], plan: GRAY }, 'invalid_field', 'image_ids.0'],
        [{ plan: GRAY }, 'invalid_field', 'image_ids'],
        [{ image_ids: [imageId] }, 'invalid_plan', 'plan'],
        [
          { image_ids: [imageId], plan: { operations: [{ op: 'blow' }] } },
          'invalid_plan',
          'plan.operations.0.op',
        ],
      ] as const) {
        const { errors } = await assertProblem(
          'process_batch',
          await post(CALLS.process_batch.path, body),
          code,
        );
        assert.equal((errors as { path: string }[])[0]!.path, path);
      }
    });

    it('names a field that is wrong for one image only as the request does', async () => {
      const { imageId } = await addPhoto();
      const others = await addPhoto({ owner: 'boris' });
      const plan = { operations: [{ op: 'watermark', image: others.imageId }] };
      const { items } = await start([imageId], plan);
      assert.equal(items[0]!.problem.code, 'invalid_plan');
      assert.equal(items[0]!.problem.errors?.[0]?.path, 'plan.operations.0.image');
    });

    it('that is sent again under its key gets the first answer again', async () => {
      const { imageId } = await addPhoto();
      const body = { image_ids: [imageId, randomUUID()], plan: GRAY };
      const key = { 'idempotency-key': randomUUID() };
      const send = async () =>
        read<AcceptedBatch>('process_batch', await post(CALLS.process_batch.path, body, anna, key), 202);
      const first = await send();
      const again = await send();
      const told = ({ batch_id, items }: AcceptedBatch) => [
        batch_id,
        items.map((item) => item.job_id ?? item.problem.code),
      ];
      assert.deepEqual(told(again), told(first));
      assert.deepEqual(await service.work(), ['completed']);
    });

    it('is followed by its events, to its end', async () => {
      const [a, b] = [await addPhoto(), await addPhoto()];
      const { batch_id, items } = await start([a.imageId, b.imageId], TURNED);
      const response = await follow(batch_id);
      assertPublished('stream_batch_events', response, undefined);
      assert.equal(response.headers.get('content-type'), 'text/event-stream');
      const events = eventsIn(response);
      const { value: first } = await events.next();
      assert.equal(first?.event, 'progress');
      assert.deepEqual([first?.data.status, first?.data.batch_id], ['pending', batch_id]);
      await service.work();
      const seen = [first!];
      for await (const event of events) seen.push(event);
      const last = seen.at(-1)!;
      assert.deepEqual(
        [
          last.event,
          last.data.status,
          last.data.progress,
          (last.data.counts as { completed: number }).completed,
        ],
        ['completed', 'completed', 100, 2],
      );
      const ids = seen.flatMap(({ id }) => id ?? []);
      assert.deepEqual(
        ids,
        [...new Set(ids)].sort((x, y) => x - y),
        'once each, in order',
      );
      for (const { job_id } of items) {
        const own = seen.filter(({ data }) => data.job_id === job_id);
        assert.equal(own.filter(({ event }) => event === 'rendition').length, 4);
        const end = own.at(-1)!;
        assert.deepEqual([end.event, end.data.status, end.data.version], ['job', 'completed', 2]);
        assert.equal((await service.get(String(end.data.result_url))).status, 200);
      }
      for (const { event, data } of seen) if (event === 'rendition') await bytesOf(String(data.url));

      // Behind the last that was seen, and behind any other, nothing is missed or told twice.
      const middle = ids[3]!;
      const rest = await allEvents(await follow(batch_id, { 'last-event-id': String(middle) }));
      assert.deepEqual(
        rest.flatMap(({ id }) => id ?? []),
        ids.filter((id) => id > middle),
      );
      assert.equal(rest.at(-1)!.event, 'completed');
      assert.equal((await follow(batch_id, { 'last-event-id': String(ids.at(-1)) })).status, 204);
      const beforeLast = await allEvents(await follow(batch_id, { 'last-event-id': String(ids.at(-2)) }));
      assert.equal(beforeLast.at(-1)!.event, 'completed');
      const wrong = await service.get(`${pathOf('stream_batch_events', batch_id)}?last_event_id=x`, anna);
      await assertProblem('stream_batch_events', wrong, 'invalid_field');
      await (await follow(batch_id)).body?.cancel();
    });

    it('tells of a job that fails, and ends where the rest is deleted', async () => {
      const [a, b] = [await addPhoto(), await addPhoto()];
      const { batch_id, items } = await start([a.imageId, b.imageId], BEYOND);
      const events = eventsIn(await follow(batch_id));
      await nextEvent(events, ({ event }) => event === 'progress');
      const first = await service.lease();
      const left = items.find(({ job_id }) => job_id !== first.jobId)!;
      await service.services.catalog.deleteImage(left.image_id, new Date());
      const failure = { code: 'invalid_plan', detail: 'It lies outside.' } as const;
      await service.services.catalog.failJob(
        first.jobId,
        first.leaseOwner!,
        failure,
        { status: 'failed' },
        new Date(),
      );
      const failed = await nextEvent(
        events,
        ({ event, data }) => event === 'job' && data.status === 'failed',
      );
      assert.equal((failed.data.error as { code: string }).code, 'invalid_plan');
      const last = await nextEvent(events, ({ event }) => event === 'completed');
      assert.deepEqual([last.data.status, (last.data.counts as { failed: number }).failed], ['failed', 1]);
      assert.ok((await events.next()).done);
    });

    it('is also what an upload of several files makes', async () => {
      const form = formOf([
        ['bucket', 'photos'],
        ['files', await nextPhoto(), 'a.jpg'],
        ['files', await nextPhoto(), 'b.jpg'],
      ]);
      const upload = await service.get(exercise('upload_images').path, anna, { method: 'POST', body: form });
      const { batch_id, items } = (await upload.json()) as AcceptedBatch;
      await service.work();
      const batch = await look(batch_id);
      assert.deepEqual(
        batch.items.map(({ job_id, kind, status }) => [job_id, kind, status]),
        items.map(({ job_id }) => [job_id, 'upload', 'completed']),
      );
      const events = await allEvents(await follow(batch_id));
      assert.equal(events.at(-1)?.event, 'completed');
    });
  });
});
