import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { sign, signingKey } from '../../src/domain/signature.ts';
import type { ProblemCode } from '../../src/problem.ts';
import { exercise } from '../support/operations.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { convert, endWithSuite, eventually, type FetchBody, rawConnection } from '../support/service.ts';
import { tempDir } from '../support/temp.ts';
import {
  nothingStaged,
  padded,
  photo,
  rateOf,
  startUploadService,
  tokenOf,
  type UploadService,
  unchangedBy,
} from '../support/uploads.ts';

const presignPath = exercise('generate_presigned_url').path;
const direct = exercise('upload_direct');
const URL_SIGNING_KEY = 'what the tests sign URLs with, 32 characters';
const MIB = 2 ** 20;

interface Presigned {
  upload_url: string;
  method: string;
  headers: Record<string, string>;
  image_id: string;
  job_id: string;
  expires_at: string;
}

const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('a direct upload', () => {
  const ending = endWithSuite();
  let service: UploadService;
  let token: string;
  let jpeg: Buffer;

  before(async () => {
    const bucketsFile = join(tempDir(ending), 'buckets.json');
    writeFileSync(bucketsFile, JSON.stringify({ pngs: { allowed_mime_types: ['image/png'] } }));
    service = await startUploadService(ending, {
      URL_SIGNING_KEY,
      MAX_UPLOAD_SIZE_MB: '1',
      BUCKETS_FILE: bucketsFile,
    });
    token = await tokenOf('anna');
    jpeg = await photo();
  });

  const BODY = { filename: 'a/harbour.jpg', content_type: 'image/jpeg', bucket: 'photos' };
  const ask = async (body: object, more: Record<string, string> = {}) =>
    fetch(`${service.address}${presignPath}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...more },
    });
  async function presign(more: object = {}): Promise<Presigned> {
    const response = await ask({ ...BODY, ...more });
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    assertPublished('generate_presigned_url', response, body);
    return body as Presigned;
  }
  const put = (
    { upload_url, method, headers }: Presigned,
    body: Uint8Array,
    more: Record<string, string> = {},
  ) => fetch(upload_url, { method, headers: { ...headers, ...more }, body: body as FetchBody });
  const refused = async (response: Response, code: ProblemCode) =>
    assertProblem('upload_direct', response, code);
  async function taken(response: Response): Promise<{ job_id: string; image_id: string }> {
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    assertPublished('upload_direct', response, body);
    return body as { job_id: string; image_id: string };
  }
  const imageOf = (id: string) => service.rows(`select * from images where image_id = '${id}'`)[0];
  const jobOf = (id: string) => service.rows(`select * from processing_jobs where job_id = '${id}'`)[0];

  it('is allowed first, comes later, and is processed as any upload', async () => {
    const picture = await photo(1);
    const given = await presign({
      size: picture.length,
      sha256: sha256Of(picture).toUpperCase(),
      preset: 'gallery',
      project: 'boats',
      metadata: { a: [1] },
    });
    const { upload_url, method, headers, image_id, job_id, expires_at } = given;
    assert.equal(new URL(upload_url).origin, service.address);
    assert.equal(new URL(upload_url).pathname, direct.path.replace('{image_id}', image_id));
    assert.deepEqual([method, headers], ['PUT', { 'Content-Type': 'image/jpeg' }]);
    assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - 900_000) < 60_000);
    assert.equal(jobOf(job_id)!.status, 'expected');
    assert.partialDeepStrictEqual(imageOf(image_id), { status: 'expected', filename: 'harbour.jpg' });

    assert.partialDeepStrictEqual(await taken(await put(given, picture)), { image_id, job_id });
    assert.partialDeepStrictEqual(imageOf(image_id), {
      owner: 'anna',
      preset: 'gallery',
      project: 'boats',
      context: '{"a":[1]}',
    });
    const key = `originals/${sha256Of(picture).slice(0, 2)}/${sha256Of(picture)}`;
    assert.ok(service.originals().includes(key));
    await eventually('it is processed', () => jobOf(job_id)!.status === 'completed');
    await nothingStaged(service);
  });

  it('counts against the rate limit when it is allowed', async () => {
    const [limit, remaining] = rateOf(await ask(BODY));
    assert.equal(limit, 100_000);
    assert.equal(rateOf(await ask(BODY))[1], remaining! - 1);
    const tight = await startUploadService(ending, {
      RATE_LIMIT_MAX_UPLOADS: '2',
      RATE_LIMIT_WINDOW_MINUTES: '44640',
    });
    const answers = await Promise.all(
      Array.from({ length: 5 }, () =>
        fetch(`${tight.address}${presignPath}`, {
          method: 'POST',
          body: JSON.stringify(BODY),
          headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        }),
      ),
    );
    const late = answers.filter(({ status }) => status !== 200);
    assert.equal(late.length, 3);
    for (const response of late) {
      assert.equal(rateOf(response)[1], 0);
      await assertProblem('generate_presigned_url', response, 'rate_limited');
    }
  });

  it('names the address that clients know', async () => {
    const elsewhere = await startUploadService(ending, { PUBLIC_URL: 'https://images.example.org/t/' });
    const response = await fetch(`${elsewhere.address}${presignPath}`, {
      method: 'POST',
      body: JSON.stringify(BODY),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    });
    const { upload_url } = (await response.json()) as Presigned;
    assert.match(upload_url, /^https:\/\/images\.example\.org\/t\/api\/v1\/uploads\/direct\//);
  });

  const wrong: [title: string, body: object, code: ProblemCode, field?: string][] = [
    ['no bucket', { filename: 'a', content_type: 'image/png' }, 'invalid_field', 'bucket'],
    ['no file name', { ...BODY, filename: '' }, 'invalid_field', 'filename'],
    ['a type that is no picture', { ...BODY, content_type: 'text/html' }, 'invalid_field', 'content_type'],
    ['a size that is none', { ...BODY, size: 0 }, 'invalid_field', 'size'],
    ['a checksum that is none', { ...BODY, sha256: 'abc' }, 'invalid_field', 'sha256'],
    ['an unknown preset', { ...BODY, preset: 'x' }, 'invalid_field', 'preset'],
    ['metadata that is a list', { ...BODY, metadata: [] }, 'invalid_field', 'metadata'],
    ['too much metadata', { ...BODY, metadata: { a: 'x'.repeat(17_000) } }, 'invalid_field', 'metadata'],
    ['a field that nobody knows', { ...BODY, buckett: 'x' }, 'invalid_field', 'buckett'],
    ['more bytes than allowed', { ...BODY, size: MIB + 1 }, 'upload_too_large'],
  ];
  for (const [title, body, code, field] of wrong) {
    it(`is not allowed with ${title}`, async () => {
      const problem = await assertProblem('generate_presigned_url', await ask(body), code);
      const [first] = (problem.errors ?? []) as { path: string }[];
      assert.equal(first?.path, field);
    });
  }

  it('is allowed to whoever may write to the bucket', async () => {
    const as = async (options: object) => ({ authorization: `Bearer ${await tokenOf('anna', options)}` });
    const refused = (response: Response, code: ProblemCode) =>
      assertProblem('generate_presigned_url', response, code);
    await refused(await ask(BODY, { authorization: 'Bearer x' }), 'unauthorized');
    await refused(await ask(BODY, await as({ scope: 'read' })), 'forbidden');
    await refused(await ask(BODY, await as({ buckets: ['other'] })), 'forbidden');
  });

  it('is taken once', async () => {
    const given = await presign();
    await taken(await put(given, jpeg));
    await refused(await put(given, jpeg), 'conflict');
    await nothingStaged(service);
  });

  it('is taken once of many at the same time, whatever each brings', async () => {
    const given = await presign();
    const pictures = await Promise.all(Array.from({ length: 10 }, (_, n) => photo(100 + n)));
    const before = service.counts();
    const answers = await Promise.all(pictures.map((picture) => put(given, picture)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)]);
    assert.equal(service.counts().blobs, before.blobs + 1);
    await nothingStaged(service);
    const mine = pictures.map(sha256Of).filter((sha) => service.originals().some((key) => key.endsWith(sha)));
    assert.equal(mine.length, 1);
  });

  it('is refused with another type, size or checksum, and can be sent rightly after', async () => {
    const picture = await photo(2);
    const given = await presign({ size: picture.length, sha256: sha256Of(picture) });
    const other = Buffer.from(picture);
    other[other.length - 10]! ^= 1;
    await unchangedBy(service, async () => {
      await refused(await put(given, picture, { 'Content-Type': 'image/png' }), 'forbidden');
      await refused(await put(given, picture.subarray(1)), 'invalid_field');
      await refused(await put(given, padded(picture, picture.length + 1)), 'upload_too_large');
      assert.match(
        String((await refused(await put(given, other), 'invalid_field')).detail),
        /sha256|expected/,
      );
    });
    await taken(await put(given, picture));
  });

  it('is refused where its bytes are not what the service or the bucket takes', async () => {
    const given = await presign();
    const png = await presign({ bucket: 'pngs', content_type: 'image/png' });
    await unchangedBy(service, async () => {
      await refused(await put(given, Buffer.from('%PDF-1.7')), 'unsupported_media_type');
      await refused(await put(given, jpeg.subarray(0, 30)), 'undecodable_image');
      await refused(await put(given, Buffer.alloc(0)), 'malformed_request');
      await refused(await put(given, padded(jpeg, MIB + 1)), 'upload_too_large');
      await refused(await put(png, jpeg), 'unsupported_media_type');
    });
    await taken(await put(given, jpeg));
  });

  it('is refused with a URL that was changed, or made up', async () => {
    const given = await presign();
    const other = await presign({ content_type: 'image/png' });
    const url = new URL(given.upload_url);
    const queried = (change: (query: URLSearchParams) => void) => {
      const copy = new URL(url);
      change(copy.searchParams);
      return { ...given, upload_url: copy.href };
    };
    const sentTo = (imageId: string) => ({
      ...given,
      upload_url: new URL(`${direct.path.replace('{image_id}', imageId)}${url.search}`, url).href,
    });
    const later = String(Number(url.searchParams.get('expires')) + 1);
    const urls = [
      queried((query) => query.set('expires', later)),
      queried((query) => query.set('signature', 'A'.repeat(43))),
      queried((query) => query.delete('signature')),
      sentTo(other.image_id),
      sentTo('0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10'),
    ];
    await unchangedBy(service, async () => {
      for (const bad of urls) await refused(await put(bad, jpeg), 'forbidden');
      await refused(await put(sentTo('x'), jpeg), 'not_found');
    });
    await taken(await put(sentTo(given.image_id.toUpperCase()), jpeg));
  });

  it('is refused after its time, though its signature is ours', async () => {
    const given = await presign();
    const url = new URL(given.upload_url);
    const key = signingKey(Buffer.from(URL_SIGNING_KEY), 'presigned-upload');
    const parts = ['PUT', given.image_id, 'image/jpeg', '', ''];
    const signedUntil = (at: Date) => {
      const { expires, signature } = sign(key, parts, at);
      url.search = String(new URLSearchParams({ expires, signature }));
      return { ...given, upload_url: url.href };
    };
    const problem = await refused(await put(signedUntil(new Date(Date.now() - 1000)), jpeg), 'forbidden');
    assert.match(String(problem.detail), /time is over/);
    await taken(await put(signedUntil(new Date(given.expires_at)), jpeg));
  });

  it('needs Content-Length where the size was said, and else takes chunks', async () => {
    const sendChunks = async ({ upload_url, headers }: Presigned) => {
      const { pathname, search } = new URL(upload_url);
      const { socket, answer } = await rawConnection(service);
      socket.write(
        `PUT ${pathname}${search} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n`,
      );
      socket.write(`Content-Type: ${headers['Content-Type']}\r\n\r\n${jpeg.length.toString(16)}\r\n`);
      socket.write(Buffer.concat([jpeg, Buffer.from('\r\n0\r\n\r\n')]));
      return answer;
    };
    assert.match(
      await sendChunks(await presign({ size: jpeg.length })),
      /^HTTP\/1\.1 411 [\s\S]*length_required/,
    );
    assert.match(await sendChunks(await presign()), /^HTTP\/1\.1 200 /);
  });

  it('leaves nothing of a client that goes away in the middle, and can be sent again', async () => {
    const picture = padded(await photo(3), 300_000);
    const given = await presign({ size: picture.length });
    await unchangedBy(service, async () => {
      const { pathname, search } = new URL(given.upload_url);
      const { socket } = await rawConnection(service);
      socket.write(`PUT ${pathname}${search} HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\n`);
      socket.write(`Content-Length: ${picture.length}\r\n\r\n`);
      socket.write(picture.subarray(0, 200_000));
      await eventually('it is being staged', () => service.staged().length > 0);
      socket.destroy();
    });
    await taken(await put(given, picture));
  });
});

describe('POST /convert?async', () => {
  const ending = endWithSuite();
  let service: UploadService;
  let jpeg: Buffer;

  before(async () => {
    service = await startUploadService(ending, { MAX_CONVERT_SIZE_MB: '1' });
    jpeg = await photo();
  });

  it('accepts a conversion and names where it is followed', async () => {
    const { path } = exercise('convert');
    for (const [query, n] of [
      ['async=true&format=png&width=10', 1],
      ['format=png&async', 2],
      ['async=1', 3],
    ] as const) {
      const picture = await photo(200 + n);
      const response = await convert(service, picture, { query, filename: 'a.jpg' });
      const body = (await response.json()) as { task_id: string; status_url: string };
      assert.equal(response.status, 202, path);
      assertPublished('convert', response, body);
      assert.equal(body.status_url, `/status/${body.task_id}`);
      const [job] = service.rows(`select * from processing_jobs where job_id = '${body.task_id}'`);
      assert.partialDeepStrictEqual(job, { kind: 'convert', image_id: null });
      const [{ name, plan }] = JSON.parse(job!.plans as string);
      assert.deepEqual([name, plan.output.format], ['result', n === 3 ? 'jpeg' : 'png']);
      assert.equal(job!.staging_path, `originals/${sha256Of(picture).slice(0, 2)}/${sha256Of(picture)}`);
      const status = () =>
        service.rows(`select status from processing_jobs where job_id = '${body.task_id}'`);
      await eventually('it is converted', () => status()[0]!.status === 'completed');
    }
    const bare = await fetch(`${service.address}${path}?async=true`, {
      method: 'POST',
      body: jpeg as FetchBody,
      headers: { 'content-type': 'image/jpeg' },
    });
    assert.equal(bare.status, 202);
    await nothingStaged(service);
  });

  it('refuses at once what cannot be converted, and keeps nothing of it', () =>
    unchangedBy(service, async () => {
      const refused = async (bytes: Buffer, query: string, code: ProblemCode) =>
        assertProblem('convert', await convert(service, bytes, { query }), code);
      await refused(Buffer.from('text'), 'async=true', 'unsupported_media_type');
      await refused(jpeg.subarray(0, 30), 'async=true', 'undecodable_image');
      await refused(padded(jpeg, MIB + 1), 'async=true', 'upload_too_large');
      await refused(jpeg, 'async=maybe', 'invalid_field');
      await refused(jpeg, 'async=true&format=exe', 'invalid_plan');
    }));

  it('answers with the picture itself where async is off', async () => {
    const response = await convert(service, jpeg, { query: 'async=false&format=png' });
    assert.equal(response.headers.get('content-type'), 'image/png');
  });
});
