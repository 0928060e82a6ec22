import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { ProblemCode } from '../../src/problem.ts';
import { endWithSuite, eventually, type FetchBody, multipartParts } from '../support/service.ts';
import { tempDir } from '../support/temp.ts';
import {
  accepted,
  type Batch,
  bombOf,
  FILE_HEAD,
  nothingStaged,
  type Part,
  padded,
  photo,
  rateOf,
  refused,
  startUploadService,
  tokenOf,
  type UploadInit,
  type UploadService,
  unchangedBy,
  upload,
} from '../support/uploads.ts';

const MIB = 2 ** 20;
const BUCKET: Part = ['bucket', 'photos'];

const BUCKETS = {
  small: { max_size_mb: 0.01 },
  pngs: { allowed_mime_types: ['image/png'] },
  secret: { visibility: 'private', preset: 'gallery' },
};

describe('POST /api/v1/images/upload', () => {
  const ending = endWithSuite();
  let service: UploadService;
  let token: string;
  let jpeg: Buffer;

  before(async () => {
    const bucketsFile = join(tempDir(ending), 'buckets.json');
    writeFileSync(bucketsFile, JSON.stringify(BUCKETS));
    service = await startUploadService(ending, {
      MAX_UPLOAD_SIZE_MB: '1',
      MAX_IMAGE_MEGAPIXELS: '20',
      BUCKETS_FILE: bucketsFile,
    });
    token = await tokenOf('anna');
    jpeg = await photo();
  });

  const send = (parts: readonly Part[], init: UploadInit = {}) => upload(service, parts, { token, ...init });
  const noneStaged = () => nothingStaged(service);
  const unchanged = (work: () => Promise<void>) => unchangedBy(service, work);

  it('accepts an image: what it answers is stored, and its job says how it is to be made', async () => {
    const picture = await photo(1);
    const response = await send([
      BUCKET,
      ['file', picture, 'harbour.jpg'],
      ['project', 'boats ⛵'],
      ['metadata', '{"album":{"n":[1,null]},"__proto__":1}'],
      ['preset', 'gallery'],
    ]);
    const { job_id, image_id, status_url, message } = await accepted(response);
    assert.equal(status_url, `/api/v1/images/jobs/${job_id}`);
    assert.match(message, /accepted/);
    const [limit, remaining, reset] = rateOf(response);
    assert.equal(limit, 100_000);
    assert.ok(remaining! < limit! && remaining! > 99_000);
    assert.ok(reset! * 1000 > Date.now() && reset! * 1000 <= Date.now() + 3_601_000);

    const sha256 = createHash('sha256').update(picture).digest('hex');
    const [image] = service.rows(`select * from images where image_id = '${image_id}'`);
    assert.partialDeepStrictEqual(image, {
      owner: 'anna',
      bucket: 'photos',
      project: 'boats ⛵',
      preset: 'gallery',
      visibility: 'public',
      filename: 'harbour.jpg',
      context: '{"album":{"n":[1,null]},"__proto__":1}',
    });
    const [version] = service.rows(`select * from image_versions where image_id = '${image_id}'`);
    assert.partialDeepStrictEqual(version, {
      version: 1,
      blob_key: `originals/${sha256.slice(0, 2)}/${sha256}`,
      mime: 'image/jpeg',
      width: 24,
      height: 24,
    });
    const [job] = service.rows(`select * from processing_jobs where job_id = '${job_id}'`);
    const names = (JSON.parse(job!.plans as string) as { name: string }[]).map(({ name }) => name);
    assert.deepEqual(names, ['thumbnail', 'thumbnail', 'optimized', 'optimized']);
    assert.equal(job!.image_id, image_id);
    assert.ok(service.originals().includes(version!.blob_key as string));
    await noneStaged();
  });

  it("takes the bucket's preset and visibility where none is named", async () => {
    const { image_id } = await accepted(
      await send([
        ['bucket', 'secret'],
        ['file', jpeg],
      ]),
    );
    const [image] = service.rows(`select preset, visibility from images where image_id = '${image_id}'`);
    assert.deepEqual({ ...image }, { preset: 'gallery', visibility: 'private' });
  });

  it('has the image processed', async () => {
    const { job_id } = await accepted(await send([BUCKET, ['file', await photo(2)]]));
    const status = () =>
      service.rows(`select status from processing_jobs where job_id = '${job_id}'`)[0]?.status;
    await eventually('the job is completed', () => status() === 'completed');
  });

  const wrongFields: [title: string, parts: Part[], path: string, message: RegExp][] = [
    ['no bucket', [], 'bucket', /expected text, got nothing/],
    ['a bucket that is no name', [['bucket', 'Photos/..']], 'bucket', /3 to 63 lower-case/],
    ['a bucket of two letters', [['bucket', 'ab']], 'bucket', /3 to 63/],
    ['an unknown preset', [BUCKET, ['preset', 'webb']], 'preset', /one of web, gallery/],
    ['too long a project', [BUCKET, ['project', 'x'.repeat(101)]], 'project', /at most 100/],
    ['a project with a line break', [BUCKET, ['project', 'a\nb']], 'project', /control/],
    ['metadata that is no JSON', [BUCKET, ['metadata', '{album:1}']], 'metadata', /no JSON/],
    ['metadata that is a list', [BUCKET, ['metadata', '[1]']], 'metadata', /a list/],
    ['metadata that is null', [BUCKET, ['metadata', 'null']], 'metadata', /null/],
    [
      'too much metadata',
      [BUCKET, ['metadata', JSON.stringify({ a: 'x'.repeat(16_384) })]],
      'metadata',
      /16384/,
    ],
    ['far too much metadata', [BUCKET, ['metadata', 'x'.repeat(70_000)]], 'metadata', /64 KB/],
    [
      'bottomless metadata',
      [BUCKET, ['metadata', `{"a":${'['.repeat(40)}${']'.repeat(40)}}`]],
      'metadata',
      /32/,
    ],
    ['a field that nobody knows', [BUCKET, ['buckett', 'x']], 'buckett', /unknown part/],
    ['a field twice', [BUCKET, BUCKET], 'bucket', /more than once/],
  ];
  for (const [title, fields, field, message] of wrongFields) {
    it(`refuses ${title}, before and after the file`, () =>
      unchanged(async () => {
        const file: Part = ['file', await photo(3)];
        for (const parts of [
          [...fields, file],
          [file, ...fields],
        ]) {
          const { errors } = await refused(await send(parts), 'invalid_field');
          assert.deepEqual([(errors as { path: string }[])[0]!.path], [field]);
          assert.match((errors as { message: string }[])[0]!.message, message);
        }
      }));
  }

  const whole = (...parts: [string, Uint8Array | string][]) => ({
    body: multipartParts('B', parts) as FetchBody,
    headers: { 'content-type': 'multipart/form-data; boundary=B' },
  });
  const problems: [title: string, code: ProblemCode, send: () => Promise<Response>][] = [
    [
      'no multipart',
      'malformed_request',
      () => send([], { body: '{}', headers: { 'content-type': 'application/json' } }),
    ],
    ['no file', 'malformed_request', () => send([BUCKET])],
    ['an empty file', 'malformed_request', () => send([BUCKET, ['file', Buffer.alloc(0)]])],
    ['file twice', 'malformed_request', () => send([BUCKET, ['file', jpeg], ['file', jpeg]])],
    ['file and files', 'malformed_request', () => send([BUCKET, ['file', jpeg], ['files', jpeg]])],
    ['eleven files', 'malformed_request', () => send([BUCKET, ...Array<Part>(11).fill(['files', jpeg])])],
    ['a file in another part', 'malformed_request', () => send([BUCKET, ['image', jpeg]])],
    [
      'a body that ends early',
      'malformed_request',
      () => {
        const { body, headers } = whole([FILE_HEAD, jpeg]);
        return send([], { body: (body as unknown as Buffer).subarray(0, -20) as FetchBody, headers });
      },
    ],
    ['no token', 'unauthorized', () => upload(service, [BUCKET, ['file', jpeg]])],
    ['a token that is none', 'unauthorized', () => send([BUCKET, ['file', jpeg]], { token: 'x.y.z' })],
    [
      'a token that may only read',
      'forbidden',
      async () => send([BUCKET, ['file', jpeg]], { token: await tokenOf('anna', { scope: 'read' }) }),
    ],
    [
      'a token for another bucket',
      'forbidden',
      async () => send([BUCKET, ['file', jpeg]], { token: await tokenOf('anna', { buckets: ['other'] }) }),
    ],
    [
      'a token for another bucket that comes last',
      'forbidden',
      async () => send([['file', jpeg], BUCKET], { token: await tokenOf('anna', { buckets: ['other'] }) }),
    ],
    ['more bytes than allowed', 'upload_too_large', () => send([BUCKET, ['file', padded(jpeg, MIB + 1)]])],
    [
      'more than the bucket allows',
      'upload_too_large',
      () =>
        send([
          ['bucket', 'small'],
          ['file', padded(jpeg, 11_000)],
        ]),
    ],
    [
      'more than the bucket allows, which comes last',
      'upload_too_large',
      () =>
        send([
          ['file', padded(jpeg, 11_000)],
          ['bucket', 'small'],
        ]),
    ],
    ['more pixels than allowed', 'image_too_large', () => send([BUCKET, ['file', bombOf(5000)]])],
    [
      'text under the name of a picture',
      'unsupported_media_type',
      () => send([BUCKET, ['file', Buffer.from('hello'), 'a.jpg']]),
    ],
    [
      'a page that calls itself a picture',
      'unsupported_media_type',
      () =>
        send(
          [],
          whole(
            [`${FILE_HEAD}\r\nContent-Type: image/jpeg`, '<!doctype html><script>1</script>'],
            ['Content-Disposition: form-data; name="bucket"', 'photos'],
          ),
        ),
    ],
    [
      'a type that the bucket does not take',
      'unsupported_media_type',
      () =>
        send([
          ['bucket', 'pngs'],
          ['file', jpeg],
        ]),
    ],
    [
      'a type that the bucket does not take, which comes last',
      'unsupported_media_type',
      () =>
        send([
          ['file', jpeg],
          ['bucket', 'pngs'],
        ]),
    ],
    ['a picture without its rest', 'undecodable_image', () => send([BUCKET, ['file', jpeg.subarray(0, 30)]])],
    [
      'an idempotency key with a space',
      'invalid_field',
      () => send([BUCKET, ['file', jpeg]], { headers: { 'idempotency-key': 'a b' } }),
    ],
    [
      'too long an idempotency key',
      'invalid_field',
      () => send([BUCKET, ['file', jpeg]], { headers: { 'idempotency-key': 'a'.repeat(256) } }),
    ],
  ];
  for (const [title, code, request] of problems) {
    it(`refuses ${title}: ${code}`, () =>
      unchanged(async () => {
        await refused(await request(), code);
      }));
  }

  it('keeps the names of files harmless', async () => {
    const names: [sent: string, shown: string][] = [
      ['../../../etc/passwd', 'passwd'],
      ['..\\..\\win.ini', 'win.ini'],
      ['photo\u202egpj.exe', 'photogpj.exe'],
      ['日本語 😀.heic', '日本語 😀.heic'],
      ['<script>alert(1)</script>', 'script>'],
      [`${'é'.repeat(400)}.jpg`, 'é'.repeat(255)],
      ['   ', 'image'],
      ['%2e%2e%2fa.jpg', '%2e%2e%2fa.jpg'],
      ["'; drop table images; --", "'; drop table images; --"],
    ];
    for (const [sent, shown] of names) {
      const { image_id } = await accepted(await send([BUCKET, ['file', jpeg, sent]]));
      const [image] = service.rows(`select filename from images where image_id = '${image_id}'`);
      assert.equal(image!.filename, shown);
    }
    const raw = whole(
      [`Content-Disposition: form-data; name="file"; filename="a\u0000b\u007f.jpg"`, jpeg],
      ['Content-Disposition: form-data; name="bucket"', 'photos'],
    );
    const { image_id } = await accepted(await send([], raw));
    const [image] = service.rows(`select filename from images where image_id = '${image_id}'`);
    assert.equal(image!.filename, 'ab.jpg');
  });

  describe('of several files', () => {
    it('accepts each by itself, in their order', async () => {
      const [one, two] = [await photo(10), await photo(11)];
      const response = await send([
        ['files', one, 'one.jpg'],
        ['files', Buffer.from('%PDF-1.7'), 'two.pdf'],
        ['files', padded(jpeg, MIB + 1), 'three.jpg'],
        ['files', jpeg.subarray(0, 30), 'four.jpg'],
        ['files', Buffer.alloc(0), 'five.jpg'],
        ['files', two, 'six.jpg'],
        BUCKET,
      ]);
      const { items } = await accepted<Batch>(response);
      assert.deepEqual(
        items.map(({ filename, job_id, problem }) => [filename, problem?.code ?? typeof job_id]),
        [
          ['one.jpg', 'string'],
          ['two.pdf', 'unsupported_media_type'],
          ['three.jpg', 'upload_too_large'],
          ['four.jpg', 'undecodable_image'],
          ['five.jpg', 'malformed_request'],
          ['six.jpg', 'string'],
        ],
      );
      const found = service.rows(
        `select image_id from images where image_id in ('${items[0]!.image_id}', '${items[5]!.image_id}')`,
      );
      assert.equal(found.length, 2);
      await noneStaged();
    });

    it('takes ten, and the same one ten times as ten images of one blob', async () => {
      const picture = await photo(12);
      const { items } = await accepted<Batch>(
        await send([BUCKET, ...Array<Part>(10).fill(['files', picture])]),
      );
      assert.equal(new Set(items.map(({ image_id }) => image_id)).size, 10);
      const sha256 = createHash('sha256').update(picture).digest('hex');
      assert.equal(service.rows(`select refs from blobs where key like '%/${sha256}'`)[0]!.refs, 10);
    });

    it('answers one in the part files as one in the part file', async () => {
      const { job_id } = await accepted(await send([BUCKET, ['files', jpeg]]));
      assert.equal(typeof job_id, 'string');
      await refused(await send([BUCKET, ['files', Buffer.from('no')]]), 'unsupported_media_type');
    });

    it('says what is wrong with each where none can be accepted', () =>
      unchanged(async () => {
        const bad: Part = ['files', Buffer.from('text')];
        const { items } = await accepted<Batch>(await send([BUCKET, bad, bad]));
        assert.deepEqual(
          items.map(({ problem }) => problem?.code),
          ['unsupported_media_type', 'unsupported_media_type'],
        );
      }));

    it('refuses all where something is wrong with the request', () =>
      unchanged(async () => {
        const files: Part[] = [
          ['files', await photo(13)],
          ['files', await photo(14)],
        ];
        await refused(await send([...files, ['bucket', 'NO']]), 'invalid_field');
      }));
  });
});
