/** Looking images up: sizes, lists, batches, info, versions, downloads. */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import sharp from 'sharp';
import type { OperationId } from '../../src/contract/operations.ts';
import { fixture } from '../support/fixtures.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite } from '../support/service.ts';

interface Described {
  size: string;
  url: string;
  width: number;
  height: number;
  format: string;
  size_bytes: number;
}

describe('images', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let anna: string;
  let admin: string;
  before(async () => {
    service = await startImageService(ending);
    anna = await service.token('anna');
    admin = await service.token('root', { scope: 'admin' });
  });

  const pathOf = (id: OperationId, imageId = '') => exercise(id).path.replace('{image_id}', imageId);

  /** Asks, and holds the answer against what is published. */
  async function ask<T>(id: OperationId, path: string, authorization?: string, status = 200): Promise<T> {
    const response = await service.get(path, authorization);
    const body = await response.json();
    assert.equal(response.status, status, JSON.stringify(body));
    assertPublished(id, response, body);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    return body as T;
  }

  /** A URL gives the very picture that is described beside it. */
  async function assertDescribes({ url, width, height, format, size_bytes }: Described) {
    const response = await service.get(url);
    assert.equal(response.headers.get('content-type'), `image/${format}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    const found = await sharp(bytes).metadata();
    assert.deepEqual(
      [found.width, found.height, found.format, bytes.length],
      [width, height, format, size_bytes],
    );
    assert.deepEqual([found.exif, found.xmp, found.icc], [undefined, undefined, undefined]);
  }

  describe('sizes', () => {
    let web: Seeded;
    before(async () => {
      web = await service.add(await photo(1));
    });

    it('are looked up by name, the medium one by default', async () => {
      exercise('get_image');
      const medium = await ask<Described>('get_image', pathOf('get_image', web.imageId));
      assert.deepEqual(
        [medium.size, medium.width, medium.height, medium.format],
        ['medium', 600, 400, 'webp'],
      );
      await assertDescribes(medium);
      for (const [size, width] of [
        ['thumbnail', 150],
        ['large', 900],
        ['original', 900],
      ] as const) {
        const found = await ask<Described>('get_image', `${pathOf('get_image', web.imageId)}?size=${size}`);
        assert.deepEqual([found.size, found.width], [size, width]);
        await assertDescribes(found);
      }
    });

    it('are given all at once, smallest first', async () => {
      exercise('get_image_sizes');
      const { items, ...rest } = await ask<{ items: Described[] }>(
        'get_image_sizes',
        pathOf('get_image_sizes', web.imageId),
      );
      assert.deepEqual(rest, { image_id: web.imageId, version: 1, status: 'ready' });
      assert.deepEqual(items.map(({ size }) => size).sort(), ['large', 'medium', 'original', 'thumbnail']);
      assert.equal(items[0]!.size, 'thumbnail');
      for (const item of items) await assertDescribes(item);
    });

    it('in several formats are listed once for each, and picked by format', async () => {
      const { imageId } = await service.add(await photo(2, 640, 480), { preset: 'gallery' });
      const { items } = await ask<{ items: Described[] }>(
        'get_image_sizes',
        pathOf('get_image_sizes', imageId),
      );
      assert.deepEqual(
        items.map(({ size, format, width, height }) => [size, format, width, height]),
        [
          ['thumbnail', 'webp', 200, 200],
          ['thumbnail', 'jpeg', 200, 200],
          ['optimized', 'webp', 640, 480],
          ['optimized', 'jpeg', 640, 480],
        ],
      );
      for (const item of items) await assertDescribes(item);
      const byDefault = await ask<Described>('get_image', pathOf('get_image', imageId));
      assert.deepEqual([byDefault.size, byDefault.format], ['thumbnail', 'webp'], 'the first of the preset');
      const twin = await ask<Described>(
        'get_image',
        `${pathOf('get_image', imageId)}?size=optimized&format=jpeg`,
      );
      assert.deepEqual([twin.size, twin.format], ['optimized', 'jpeg']);
      await assertDescribes(twin);
    });

    it('that the preset does not have are refused, naming those that it has', async () => {
      const response = await service.get(`${pathOf('get_image', web.imageId)}?size=huge`);
      const { errors } = await assertProblem('get_image', response, 'invalid_field');
      assert.deepEqual(errors, [
        { path: 'size', message: 'expected one of thumbnail, medium, large, original' },
      ]);
      const format = await service.get(`${pathOf('get_image', web.imageId)}?format=png`);
      assert.deepEqual((await assertProblem('get_image', format, 'invalid_field')).errors, [
        { path: 'format', message: 'expected webp' },
      ]);
      for (const query of ['format=exe', 'colour=red', 'size=medium&size=large', 'size=']) {
        const refused = await service.get(`${pathOf('get_image', web.imageId)}?${query}`);
        await assertProblem('get_image', refused, 'invalid_field');
      }
    });

    it('appear before the image is ready, and are called unfinished until then', async () => {
      const { imageId, jobId } = await service.accept(await photo(3));
      const path = pathOf('get_image', imageId);
      await assertProblem('get_image', await service.get(path), 'not_finished');
      await assertProblem(
        'get_image_info',
        await service.get(pathOf('get_image_info', imageId)),
        'not_finished',
      );
      const job = await service.lease();
      assert.equal(job.jobId, jobId);
      const [thumbnail] = await service.services.catalog.renditions([web.imageId]);
      const { width, height, bytes, blobKey, format } = thumbnail!;
      const published = { name: 'thumbnail', width, height, bytes, blobKey, format };
      await service.services.catalog.publishRendition(jobId, job.leaseOwner!, published, () => {});
      const found = await ask<Described & { status: string }>('get_image', `${path}?size=thumbnail`);
      assert.equal(found.status, 'pending');
      await assertDescribes(found);
      await assertProblem('get_image', await service.get(`${path}?size=large`), 'not_finished');
      await service.services.catalog.deleteImage(imageId, new Date());
    });

    it('of a failed image are answered with its code, always as 422', async () => {
      const broken = (await photo(4)).subarray(0, 3_000);
      const { imageId } = await service.accept(broken);
      assert.deepEqual(await service.work(), ['failed']);
      for (const id of ['get_image', 'read_image', 'get_image_info'] as const) {
        await assertProblem(id, await service.get(pathOf(id, imageId)), 'undecodable_image');
      }
      const { imageId: large } = await service.accept(await photo(5));
      const { jobId, leaseOwner } = await service.lease();
      const problem = { code: 'image_too_large', detail: 'It has 200 megapixels.' } as const;
      await service.services.catalog.failJob(jobId, leaseOwner!, problem, { status: 'failed' }, new Date());
      const body = await assertProblem(
        'get_image',
        await service.get(pathOf('get_image', large)),
        'processing_failed',
      );
      assert.deepEqual([body.failure_code, body.detail], ['image_too_large', 'It has 200 megapixels.']);
    });

    it('of what does not exist, or has no address, are not found', async () => {
      for (const id of [
        'get_image',
        'get_image_sizes',
        'read_image',
        'get_image_info',
        'list_image_versions',
      ] as const) {
        await assertProblem(id, await service.get(pathOf(id, randomUUID())), 'not_found');
        await assertProblem(id, await service.get(pathOf(id, 'no-uuid')), 'not_found');
      }
    });

    it('have an id that may be written in capitals', async () => {
      await ask('get_image', pathOf('get_image', web.imageId.toUpperCase()));
    });

    it('whose upload has not come are unfinished', async () => {
      const { services } = service;
      const at = new Date().toISOString();
      const row = (await services.catalog.image(web.imageId))!;
      const job = (await services.catalog.job(web.jobId))!;
      const imageId = randomUUID();
      await services.catalog.expectUpload(
        { ...row, imageId, status: 'expected', createdAt: at },
        { ...job, jobId: randomUUID(), imageId, status: 'expected' },
        { contentType: 'image/jpeg', expiresAt: new Date(Date.now() + 60_000) },
      );
      await assertProblem('get_image', await service.get(pathOf('get_image', imageId)), 'not_finished');
      const download = await service.get(pathOf('download_image', imageId), anna);
      await assertProblem('download_image', download, 'not_finished');
    });
  });

  describe('info', () => {
    let imageId: string;
    before(async () => {
      const bytes = readFileSync(fixture('jpeg-metadata.jpg'));
      ({ imageId } = await service.add(bytes, { filename: 'Håfen 1.JPG' }));
    });

    it('is told to anybody, and the place to the owner and admins alone', async () => {
      exercise('get_image_info');
      type Info = Record<string, unknown> & { gps: { latitude: number } | null };
      const path = pathOf('get_image_info', imageId);
      const told = await ask<Info>('get_image_info', path, anna);
      const { width, height } = await sharp(fixture('jpeg-metadata.jpg')).metadata();
      assert.deepEqual(
        [told.width, told.height, told.format, told.mime],
        [width, height, 'jpeg', 'image/jpeg'],
      );
      assert.equal(told.size_bytes, readFileSync(fixture('jpeg-metadata.jpg')).length);
      assert.equal(typeof told.camera_make, 'string');
      assert.equal(typeof told.gps?.latitude, 'number');
      assert.deepEqual(await ask('get_image_info', path, admin), told);
      for (const stranger of [
        undefined,
        await service.token('ben'),
        await service.token('anna', { buckets: ['other'] }),
      ]) {
        assert.deepEqual(await ask('get_image_info', path, stranger), { ...told, gps: null });
      }
    });

    it('is listed with the image, and found by camera and date', async () => {
      const { items } = await ask<{ items: Record<string, string>[] }>(
        'list_images',
        `${pathOf('list_images')}?limit=1`,
        anna,
      );
      const { camera, taken_at = '' } = items[0]!;
      assert.equal(items[0]!.image_id, imageId);
      const find = async (query: string) =>
        (
          await ask<{ items: { image_id: string }[] }>(
            'list_images',
            `${pathOf('list_images')}?${query}`,
            anna,
          )
        ).items.map((i) => i.image_id);
      assert.deepEqual(await find(`camera=${encodeURIComponent(camera!.toUpperCase())}`), [imageId]);
      const day = taken_at.slice(0, 10);
      for (const query of [
        `taken_from=${day}`,
        `taken_to=${day}`,
        `taken_from=${day}T00:00:00Z&taken_to=${day}T23:59%2B02:00`,
        `taken_from=${day.slice(0, 4)}&taken_to=${day.slice(0, 7)}`,
      ]) {
        assert.deepEqual(await find(query), [imageId], query);
      }
      assert.deepEqual(await find('taken_from=2100'), []);
      assert.deepEqual(await find('taken_to=1900-01-01'), []);
    });
  });

  describe('downloads', () => {
    it('give the owner the uploaded bytes, unchanged, under the name that they had', async () => {
      exercise('download_image');
      const bytes = readFileSync(fixture('jpeg-metadata.jpg'));
      const { imageId, key } = await service.add(bytes, { filename: '..\\Häfen "1".JPEG' });
      const response = await service.get(pathOf('download_image', imageId), anna);
      assertPublished('download_image', response, undefined);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
      const { headers } = response;
      const sha256 = createHash('sha256').update(bytes).digest('base64');
      assert.equal(headers.get('repr-digest'), `sha-256=:${sha256}:`);
      assert.equal(
        headers.get('content-disposition'),
        `attachment; filename="H_fen _1_.JPEG"; filename*=UTF-8''H%C3%A4fen%20_1_.JPEG`,
      );
      assert.equal(headers.get('content-type'), 'image/jpeg');
      assert.equal(headers.get('cache-control'), 'private, max-age=0, must-revalidate');
      assert.equal(headers.get('content-security-policy'), "default-src 'none'; sandbox");
      assert.ok(!headers.get('etag')!.includes(key.slice(-64)));
      const range = await service.get(pathOf('download_image', imageId), anna, {
        headers: { range: 'bytes=10-19' },
      });
      assert.equal(range.status, 206);
      assert.deepEqual(Buffer.from(await range.arrayBuffer()), bytes.subarray(10, 20));
      const again = await service.get(pathOf('download_image', imageId), anna, {
        headers: { 'if-none-match': headers.get('etag')! },
      });
      assert.equal(again.status, 304);
      const version = (n: number) => service.get(`${pathOf('download_image', imageId)}?version=${n}`, anna);
      assert.equal((await version(1)).status, 200);
      await assertProblem('download_image', await version(2), 'not_found');
      await assertProblem('download_image', await version(0), 'invalid_field');
    });

    it('have no name that a computer would run', async () => {
      const { imageId } = await service.accept(await photo(6), { filename: 'holiday.exe' });
      const response = await service.get(pathOf('download_image', imageId), anna);
      await response.arrayBuffer();
      assert.equal(response.headers.get('content-disposition'), 'attachment; filename="holiday.jpg"');
      await service.services.catalog.deleteImage(imageId, new Date());
    });
  });

  it('have versions, the first of them the upload', async () => {
    exercise('list_image_versions');
    const bytes = await photo(7);
    const { imageId } = await service.add(bytes);
    const list = (by?: string) =>
      ask<{ current_version: number; items: Record<string, unknown>[] }>(
        'list_image_versions',
        pathOf('list_image_versions', imageId),
        by,
      );
    const { items, current_version } = await list(anna);
    assert.equal(current_version, 1);
    const [{ created_at, url, urls, ...first }] = items as [Record<string, unknown>];
    assert.ok(Date.parse(String(created_at)));
    assert.deepEqual(items.length, 1);
    assert.deepEqual(first, {
      version: 1,
      current: true,
      width: 900,
      height: 600,
      format: 'jpeg',
      size_bytes: bytes.length,
      mime_type: 'image/jpeg',
      plan: null,
    });
    const download = await service.get(String(url), anna);
    assert.deepEqual(Buffer.from(await download.arrayBuffer()), bytes);
    assert.deepEqual(Object.keys(urls as object).sort(), ['large', 'medium', 'original', 'thumbnail']);
    for (const one of Object.values(urls as Record<string, string>)) {
      assert.equal((await service.get(one)).status, 200);
    }
    assert.deepEqual(await list(), { ...(await list(anna)), items: [{ ...items[0], url: null }] });
  });

  describe('a batch', () => {
    type Batch = { items: Record<string, Described & { problem?: { code: string } }> };
    const batch = (ids: string[], more = '') =>
      `${exercise('get_image_batch').path}?image_ids=${ids.join(',')}${more}`;

    it('answers each id by itself', async () => {
      const [a, b] = [
        await service.add(await photo(8)),
        await service.add(await photo(9), { preset: 'gallery' }),
      ];
      const pending = await service.accept(await photo(10));
      const secret = await service.accept(await photo(11), { bucket: 'vault', owner: 'ben' });
      const unknown = randomUUID();
      const ids = [
        a.imageId,
        b.imageId,
        a.imageId,
        pending.imageId,
        secret.imageId,
        unknown,
        'x',
        a.imageId.toUpperCase(),
        '__proto__',
      ];
      const { items } = await ask<Batch>('get_image_batch', batch(ids, '&size=thumbnail'), anna);
      assert.deepEqual(Object.keys(items).sort(), [...new Set(ids)].sort());
      const codes = Object.fromEntries(Object.entries(items).map(([id, item]) => [id, item.problem?.code]));
      assert.deepEqual(codes, {
        [a.imageId]: undefined,
        [a.imageId.toUpperCase()]: undefined,
        [b.imageId]: undefined,
        [pending.imageId]: 'not_finished',
        [secret.imageId]: 'not_found',
        [unknown]: 'not_found',
        x: 'not_found',
        ['__proto__']: 'not_found',
      });
      assert.deepEqual([items[a.imageId]!.width, items[b.imageId]!.width], [150, 200]);
      await assertDescribes(items[a.imageId]!);
      await service.work();
    });

    it('has 50 ids at most, the same one counted once', async () => {
      const ids = Array.from({ length: 50 }, () => randomUUID());
      await ask('get_image_batch', batch([...ids, ...ids]));
      for (const wrong of [[...ids, randomUUID()], [','], []]) {
        await assertProblem('get_image_batch', await service.get(batch(wrong)), 'invalid_field');
      }
      await assertProblem(
        'get_image_batch',
        await service.get(exercise('get_image_batch').path),
        'invalid_field',
      );
    });
  });

  describe('a list', () => {
    type List = {
      items: { image_id: string; owner?: string; urls: Record<string, string> }[];
      next_cursor: string | null;
    };
    const list = (query = '') => `${exercise('list_images').path}?${query}`;
    const idsOf = ({ items }: List) => items.map((item) => item.image_id);

    it('holds what is the caller’s own; everything for admins, with the owners', async () => {
      const mine = await service.add(await photo(20, 90, 60), {
        owner: 'cleo',
        bucket: 'album',
        project: 'p1',
        filename: 'a.jpg',
      });
      const other = await service.accept(await photo(21, 90, 60), { owner: 'dora', bucket: 'album' });
      const cleo = await service.token('cleo', { scope: 'read' });
      const own = await ask<List>('list_images', list(), cleo);
      assert.deepEqual(idsOf(own), [mine.imageId]);
      const { urls, ...item } = own.items[0] as unknown as Record<string, unknown>;
      assert.deepEqual(Object.keys(urls as object).sort(), ['large', 'medium', 'original', 'thumbnail']);
      assert.equal((await service.get((urls as Record<string, string>).medium!)).status, 200);
      const { created_at, dominant_color, thumbhash, blurhash, ...known } = item;
      assert.ok(created_at && dominant_color && thumbhash && blurhash);
      assert.deepEqual(known, {
        image_id: mine.imageId,
        bucket: 'album',
        project: 'p1',
        status: 'ready',
        filename: 'a.jpg',
        camera: null,
        taken_at: null,
        width: 90,
        height: 60,
      });
      const everybodys = await ask<List>('list_images', list('bucket=album'), admin);
      assert.deepEqual(
        everybodys.items.map(({ image_id, owner }) => [image_id, owner]),
        [
          [other.imageId, 'dora'],
          [mine.imageId, 'cleo'],
        ],
      );
      for (const [query, found] of [
        ['project=p1', [mine.imageId]],
        ['project=p2', []],
        ['bucket=photos', []],
        ['status=ready', [mine.imageId]],
        ['status=completed', [mine.imageId]],
        ['status=failed', []],
      ] as const) {
        assert.deepEqual(idsOf(await ask<List>('list_images', list(query), cleo)), found, query);
      }
    });

    it('holds only the buckets that the token is for', async () => {
      for (const bucket of ['one-bucket', 'two-bucket', 'new-bucket']) {
        await service.accept(await photo(22, 90, 60), { owner: 'eve', bucket });
      }
      const bucketsOf = async (token: string, query = '') =>
        (await ask<{ items: { bucket: string }[] }>('list_images', list(query), token)).items
          .map((i) => i.bucket)
          .sort();
      const some = await service.token('eve', { buckets: ['one-bucket', 'two-bucket'] });
      assert.deepEqual(await bucketsOf(some), ['one-bucket', 'two-bucket']);
      assert.deepEqual(await bucketsOf(some, 'bucket=one-bucket'), ['one-bucket']);
      assert.deepEqual(await bucketsOf(await service.token('eve', { buckets: [] })), []);
      const restricted = await service.token('root', { scope: 'admin', buckets: ['new-bucket'] });
      assert.deepEqual(await bucketsOf(restricted), ['new-bucket']);
      await assertProblem('list_images', await service.get(list('bucket=new-bucket'), some), 'forbidden');
    });

    it('needs a token that may read', async () => {
      const response = await service.get(list());
      assert.equal(response.headers.get('www-authenticate'), 'Bearer');
      await assertProblem('list_images', response, 'unauthorized');
      const noScope = await service.token('anna', { scope: '' });
      await assertProblem('list_images', await service.get(list(), noScope), 'forbidden');
    });

    it('refuses what is wrong in the question, by name', async () => {
      const wrong = {
        limit: ['0', '201', 'x', '1.5', ''],
        taken_from: ['yesterday', '2024-13', '2024-02-30', '2024-05-01T25:00', '24'],
        taken_to: ['2024-05-01 10:00', '2024-5-1'],
        status: ['done'],
        bucket: ['A', 'x'],
        cursor: ['abc', '%00'],
        camera: [''],
      };
      for (const [name, values] of Object.entries(wrong)) {
        for (const value of values) {
          const { errors } = await assertProblem(
            'list_images',
            await service.get(list(`${name}=${value}`), anna),
            'invalid_field',
          );
          assert.equal((errors as { path: string }[])[0]!.path, name, value);
        }
      }
    });

    it('goes on page by page without gaps or repeats while images are added', async () => {
      const bytes = await photo(23, 90, 60);
      const at = (i: number) => new Date(Date.parse('2026-03-01T12:00:00.000Z') + Math.floor(i / 7));
      const expected: string[] = [];
      for (let i = 0; i < 120; i++) {
        expected.push((await service.accept(bytes, { owner: 'finn', at: at(i) })).imageId);
      }
      const finn = await service.token('finn');
      const seen: string[] = [];
      let cursor: string | null = '';
      for (let page = 0; cursor !== null; page++) {
        const answer: List = await ask<List>(
          'list_images',
          list(`limit=17${cursor && `&cursor=${cursor}`}`),
          finn,
        );
        seen.push(...idsOf(answer));
        cursor = answer.next_cursor;
        await service.accept(bytes, { owner: 'finn', at: new Date(Date.parse('2026-03-02') + page) });
      }
      assert.equal(new Set(seen).size, 120);
      assert.deepEqual([...seen].sort(), [...expected].sort());
      const all = await ask<List>('list_images', list('limit=200'), finn);
      assert.deepEqual([all.items.length, all.next_cursor], [128, null]);
    });
  });
});
