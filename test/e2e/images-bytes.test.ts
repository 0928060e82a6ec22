/** The bytes of a size: conditional requests, ranges, negotiation, and what happens when something is wrong. */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { normalizePlan } from '../../src/contract/plan-normal.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite, eventually } from '../support/service.ts';

const OBJECTS = 'blobs/objects';
const { operations: _, ...RAW_PIXELS } = normalizePlan({ output: { format: 'bmp' } });

describe('bytes of an image', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let web: Seeded;
  let gallery: Seeded;
  before(async () => {
    // Uncompressed, and so larger than what fits between server and client.
    service = await startImageService(ending, [
      { name: 'plain', renditions: [{ name: 'full', plan: { ...RAW_PIXELS, operations: [] } }] },
    ]);
    web = await service.add(await photo(1), { filename: 'Blåtind.jpeg' });
    gallery = await service.add(await photo(2), { preset: 'gallery' });
  });

  const direct = ({ imageId }: Pick<Seeded, 'imageId'>, query = 'size=large') =>
    `${exercise('read_image').path.replace('{image_id}', imageId)}?${query}`;
  const fileOf = async ({ imageId }: Seeded, name: string, format = 'webp') => {
    const rows = await service.services.catalog.renditions([imageId]);
    const row = rows.find((one) => one.name === name && one.format === format)!;
    return join(service.services.dir, OBJECTS, row.blobKey);
  };
  /** The answer, held against what is published, and its bytes. */
  async function read(path: string, headers: Record<string, string> = {}, method = 'GET') {
    const response = await service.get(path, undefined, { headers, method });
    assertPublished('read_image', response, undefined);
    return {
      response,
      status: response.status,
      headers: response.headers,
      bytes: Buffer.from(await response.arrayBuffer()),
    };
  }

  it('come whole, with headers that let caches keep them for ever and browsers run nothing', async () => {
    const { status, headers, bytes } = await read(direct(web));
    assert.equal(status, 200);
    assert.deepEqual(bytes, readFileSync(await fileOf(web, 'large')));
    const expected = {
      'content-type': 'image/webp',
      'content-length': String(bytes.length),
      'accept-ranges': 'bytes',
      'cache-control': 'public, max-age=31536000, immutable',
      'content-disposition': 'inline; filename="Bl_tind.webp"; filename*=UTF-8\'\'Bl%C3%A5tind.webp',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(headers.get(name), value, name);
    assert.equal(headers.get('vary'), null);
    assert.match(headers.get('etag')!, /^"[\w-]{27}"$/);
  });

  it('are the medium size where none is named', async () => {
    assert.deepEqual((await read(direct(web, ''))).bytes, readFileSync(await fileOf(web, 'medium')));
  });

  it('of the size that is called original are what the preset makes, not the upload', async () => {
    const { headers, bytes } = await read(direct(web, 'size=original'));
    assert.equal(headers.get('content-type'), 'image/webp');
    assert.deepEqual(bytes, readFileSync(await fileOf(web, 'original')));
  });

  it('are not sent to whoever has them', async () => {
    const { headers } = await read(direct(web));
    const etag = headers.get('etag')!;
    for (const value of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await read(direct(web), { 'if-none-match': value, range: 'bytes=0-1' });
      assert.deepEqual([again.status, again.bytes.length], [304, 0], value);
      assert.equal(again.headers.get('etag'), etag);
      assert.equal(again.headers.get('cache-control'), headers.get('cache-control'));
      assert.equal(again.headers.get('content-length'), null);
    }
    const other = await read(direct(web, 'size=medium'));
    assert.notEqual(other.headers.get('etag'), etag);
    assert.equal((await read(direct(web), { 'if-none-match': other.headers.get('etag')! })).status, 200);
  });

  it('can be asked about without being sent', async () => {
    const whole = await read(direct(web));
    const head = await read(direct(web), {}, 'HEAD');
    assert.deepEqual([head.status, head.bytes.length], [200, 0]);
    for (const name of ['content-length', 'content-type', 'etag', 'cache-control', 'accept-ranges']) {
      assert.equal(head.headers.get(name), whole.headers.get(name), name);
    }
    const etag = whole.headers.get('etag')!;
    const known = await read(direct(web), { 'if-none-match': etag }, 'HEAD');
    assert.deepEqual([known.status, known.headers.get('content-length')], [304, null]);
    const partly = await read(direct(web), { range: 'bytes=5-9' }, 'HEAD');
    assert.deepEqual([partly.status, partly.headers.get('content-length')], [206, '5']);
  });

  it('come in part where one range is asked for', async () => {
    const { bytes: all, headers } = await read(direct(web));
    const n = all.length;
    const cases: [range: string, start: number, end: number][] = [
      ['bytes=0-0', 0, 0],
      ['bytes=0-', 0, n - 1],
      ['bytes=100-199', 100, 199],
      [`bytes=${n - 5}-${n + 500}`, n - 5, n - 1],
      ['bytes=-7', n - 7, n - 1],
      [`bytes=-${n * 2}`, 0, n - 1],
    ];
    for (const [range, start, end] of cases) {
      const part = await read(direct(web), { range });
      assert.equal(part.status, 206, range);
      assert.equal(part.headers.get('content-range'), `bytes ${start}-${end}/${n}`);
      assert.equal(part.headers.get('content-length'), String(end - start + 1));
      assert.equal(part.headers.get('etag'), headers.get('etag'));
      assert.deepEqual(part.bytes, all.subarray(start, end + 1));
    }
    for (const range of ['bytes=0-1,5-6', 'bytes=9-5', 'bytes=x', 'bytes=-', 'items=0-1', 'bytes=0-1;']) {
      const whole = await read(direct(web), { range });
      assert.deepEqual([whole.status, whole.bytes.length], [200, n], range);
    }
    for (const range of [`bytes=${n}-`, `bytes=${n * 2}-${n * 3}`, 'bytes=-0']) {
      const response = await service.get(direct(web), undefined, { headers: { range } });
      assert.equal(response.headers.get('content-range'), `bytes */${n}`);
      const body = await assertProblem('read_image', response, 'range_not_satisfiable');
      assert.equal(body.size_bytes, n);
    }
  });

  it('come whole where the range belongs to other bytes', async () => {
    const etag = (await read(direct(web))).headers.get('etag')!;
    const status = async (ifRange: string) =>
      (await read(direct(web), { range: 'bytes=0-9', 'if-range': ifRange })).status;
    assert.equal(await status(etag), 206);
    for (const other of ['"other"', `W/${etag}`, new Date().toUTCString()])
      assert.equal(await status(other), 200, other);
    // A range that could not be satisfied is not looked at then.
    const beyond = await read(direct(web), { range: 'bytes=99999999-', 'if-range': '"other"' });
    assert.equal(beyond.status, 200);
  });

  it('of a size in several formats are what Accept prefers, and say so', async () => {
    const formatFor = async (accept: string | undefined, query = 'size=optimized') => {
      // fetch would send */* by itself.
      const text = await rawGet(direct(gallery, query), accept === undefined ? '' : `Accept: ${accept}\r\n`);
      return [/^content-type: image\/(\w+)\r$/im.exec(text)?.[1], /^vary: (.*)\r$/im.exec(text)?.[1]];
    };
    const cases: [accept: string | undefined, format: string][] = [
      [undefined, 'jpeg'],
      ['*/*', 'jpeg'],
      ['image/*', 'jpeg'],
      ['text/html', 'jpeg'],
      ['image/webp', 'webp'],
      ['image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8', 'webp'],
      ['image/webp,image/png,image/*;q=0.8,*/*;q=0.5', 'webp'],
      ['image/webp;q=0.2, image/jpeg', 'jpeg'],
      ['image/jpeg;q=0.2, image/webp;q=0.3', 'webp'],
      ['image/webp;q=0, */*', 'jpeg'],
      ['IMAGE/WEBP', 'webp'],
      ['image/webp;q=nonsense', 'jpeg'],
      [',;/', 'jpeg'],
    ];
    for (const [accept, format] of cases)
      assert.deepEqual(await formatFor(accept), [format, 'Accept'], String(accept));
    assert.deepEqual(await formatFor('image/jpeg', 'size=optimized&format=webp'), ['webp', undefined]);
    const { status, headers } = await read(direct(gallery, 'size=optimized'), {
      accept: 'image/webp',
      'if-none-match': '*',
    });
    assert.deepEqual([status, headers.get('vary')], [304, 'Accept']);
    const tags = await Promise.all(
      ['webp', 'jpeg'].map((f) => read(direct(gallery, `size=optimized&format=${f}`))),
    );
    assert.notEqual(tags[0]!.headers.get('etag'), tags[1]!.headers.get('etag'));
    await assertProblem(
      'read_image',
      await service.get(direct(gallery, 'size=optimized&format=png')),
      'invalid_field',
    );
  });

  it('of a size that has not come in all its formats are not kept by caches', async () => {
    const { imageId, jobId } = await service.accept(await photo(5, 90, 60), { preset: 'gallery' });
    const job = await service.lease();
    assert.equal(job.jobId, jobId);
    const [row] = await service.services.catalog.renditions([gallery.imageId]);
    const { width, height, bytes, blobKey } = row!;
    const published = { name: 'optimized', format: 'webp', width, height, bytes, blobKey };
    await service.services.catalog.publishRendition(jobId, job.leaseOwner!, published, () => {});
    const early = await read(direct({ imageId }, 'size=optimized'));
    assert.deepEqual(
      [early.headers.get('content-type'), early.headers.get('vary'), early.headers.get('cache-control')],
      ['image/webp', 'Accept', 'private, max-age=0, must-revalidate'],
    );
    const named = await read(direct({ imageId }, 'size=optimized&format=webp'));
    assert.equal(named.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    const twin = await service.get(direct({ imageId }, 'size=optimized&format=jpeg'));
    await assertProblem('read_image', twin, 'not_finished');
    await service.services.catalog.deleteImage(imageId, new Date());
  });

  it('are those of the version that is named', async () => {
    assert.equal((await read(direct(web, 'size=large&version=1'))).status, 200);
    await assertProblem('read_image', await service.get(direct(web, 'size=large&version=2')), 'not_found');
  });

  it('that are missing or damaged are our fault, and nothing of them is sent', async () => {
    const image = await service.add(await photo(3, 90, 60));
    appendFileSync(await fileOf(image, 'large'), 'x');
    const body = await assertProblem('read_image', await service.get(direct(image)), 'internal');
    assert.match(String(body.detail), /damaged/);
    rmSync(await fileOf(image, 'medium'));
    const missing = await service.get(direct(image, 'size=medium'));
    assert.match(String((await assertProblem('read_image', missing, 'internal')).detail), /missing/);
    const line = await logLine(
      (entry) => entry.code === 'internal' && /found none/.test(JSON.stringify(entry)),
    );
    assert.match(JSON.stringify(line), /renditions\//);
  });

  it('are read no faster than the client takes them, and the file is closed when it goes', async (t) => {
    if (process.platform !== 'linux') return t.skip('needs /proc to count open files');
    const image = await service.add(await photo(4, 3000, 2000), { preset: 'plain' });
    const file = await fileOf(image, 'full', 'bmp');
    assert.ok(readFileSync(file).length > 17_000_000);
    const before = process.memoryUsage().rss;
    const { port } = new URL(service.address);
    const sockets = Array.from({ length: 16 }, () => connect(Number(port), '127.0.0.1'));
    for (const socket of sockets) {
      socket.on('error', () => {});
      socket.write(`GET ${direct(image, 'size=full')} HTTP/1.1\r\nHost: x\r\n\r\n`);
      socket.pause();
    }
    await eventually('the files are open', () => openFiles(file) === sockets.length);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(process.memoryUsage().rss - before < 120_000_000, 'not all 16 of it are in memory');
    for (const socket of sockets) socket.destroy();
    await eventually('the files are closed', () => openFiles(file) === 0);
    const whole = await read(direct(image, 'size=full'));
    assert.equal(whole.bytes.length, readFileSync(file).length);
    await eventually('the file is closed', () => openFiles(file) === 0);
  });

  const openFiles = (file: string): number =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === file;
      } catch {
        return false;
      }
    }).length;

  async function logLine(fits: (entry: Record<string, unknown>) => boolean) {
    let found: Record<string, unknown> | undefined;
    await eventually('the log line', () => {
      found = service.logged.find(fits);
      return found !== undefined;
    });
    return found;
  }

  /** @returns the head of the answer */
  async function rawGet(path: string, headers: string): Promise<string> {
    const socket = connect(Number(new URL(service.address).port), '127.0.0.1');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    return `${Buffer.concat(chunks).toString('latin1').split('\r\n\r\n', 1)[0]}\r\n`;
  }
});
