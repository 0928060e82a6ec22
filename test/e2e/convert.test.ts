import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { before, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { hostileNames } from '../support/corpus.ts';
import { exercise } from '../support/operations.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import {
  convert,
  endWithSuite,
  eventually,
  type FetchBody,
  multipartParts,
  rawConnection,
  startService,
  type TestService,
} from '../support/service.ts';

const { path } = exercise('convert');
const FILE_HEAD = 'Content-Disposition: form-data; name="file"; filename="a.jpg"';

const NAMES = [
  '../../../../etc/passwd',
  '..\\..\\windows\\win.ini',
  'photo.jpg\u0000.png',
  'photo\r\nX-Injected: 1.jpg',
  '"; filename="evil.exe',
  '"><script>alert(1)</script>.jpg',
  'photo\u202egpj.exe',
  '日本語.heic',
  '-rf',
  '.htaccess',
  '%2e%2e%2f.jpg',
  `${'a'.repeat(400)}.jpg`,
  ' ',
];

/** Noise, which no encoder finishes quickly. */
const noise = (width: number, height: number) =>
  sharp({
    create: {
      width,
      height,
      channels: 3,
      background: '#808080',
      noise: { type: 'gaussian', mean: 128, sigma: 50 },
    },
  });

describe('POST /convert', () => {
  const ending = endWithSuite();
  let service: TestService;
  let photo: Buffer;
  let slowPhoto: Buffer;
  const SLOW = 'format=avif&effort=9&lossless=true';

  before(async () => {
    service = await startService(ending, { MAX_CONVERT_SIZE_MB: '8', MAX_IMAGE_MEGAPIXELS: '20' });
    photo = await noise(300, 200)
      .withExif({
        IFD0: { Make: 'Testcam', Model: 'T-1' },
        IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 0/1' },
      })
      .jpeg()
      .toBuffer();
    slowPhoto = await noise(2400, 1600).jpeg({ quality: 70 }).toBuffer();
  });

  const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());
  const released = () => eventually('the scratch folder is empty', () => service.scratch().length === 0);

  it('answers with the picture in the format that was asked for', async () => {
    for (const [format, type] of [
      ['webp', 'image/webp'],
      ['png', 'image/png'],
      ['jpeg', 'image/jpeg'],
      ['tiff', 'image/tiff'],
      ['gif', 'image/gif'],
    ]) {
      const response = await convert(service, photo, { query: `format=${format}`, filename: 'my photo.JPG' });
      assert.equal(response.status, 200);
      const body = await bytesOf(response);
      assertPublished('convert', response, undefined);
      const { headers } = response;
      assert.equal(headers.get('content-type'), type);
      assert.equal(Number(headers.get('content-length')), body.length);
      assert.equal((await sharp(body).metadata()).format, format);
      assert.match(headers.get('content-disposition')!, /^attachment; filename="my photo\.[a-z]{3,4}"$/);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('content-security-policy'), "default-src 'none'; sandbox");
      assert.match(
        headers.get('server-timing')!,
        /^receive;dur=[\d.]+, probe;dur=[\d.]+, render;dur=[\d.]+$/,
      );
    }
    await released();
  });

  it('makes a JPEG when nothing is asked for, and states its size upright', async () => {
    const turned = await sharp(photo).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    const response = await convert(service, turned);
    const { width, height, format, orientation } = await sharp(await bytesOf(response)).metadata();
    assert.deepEqual([format, width, height, orientation ?? 1], ['jpeg', 200, 300, 1]);
    assert.equal(response.headers.get('x-image-width'), '200');
    assert.equal(response.headers.get('x-image-height'), '300');
  });

  it('does the operations of the query, in their order', async () => {
    const response = await convert(service, photo, {
      query: 'crop=0,0,100,50&rotate=90&width=25&format=png',
    });
    const { width, height } = await sharp(await bytesOf(response)).metadata();
    assert.deepEqual([width, height], [25, 50]);
  });

  it('keeps metadata, and strips it when told to', async () => {
    const kept = await sharp(await bytesOf(await convert(service, photo))).metadata();
    assert.match(kept.exif!.toString('latin1'), /Testcam/);
    const stripped = await bytesOf(await convert(service, photo, { query: 'metadata=strip' }));
    assert.doesNotMatch(stripped.toString('latin1'), /Testcam/);
  });

  it('takes the picture as a bare body', async () => {
    const response = await fetch(`${service.address}${path}?format=png`, {
      method: 'POST',
      body: photo as unknown as FetchBody,
      headers: { 'content-type': 'image/whatever' },
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-disposition'), 'attachment; filename="image.png"');
    await response.arrayBuffer();
  });

  it('takes a chunked body without a Content-Length', async () => {
    const form = multipartParts('B', [[FILE_HEAD, photo]]);
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < form.length; i += 1000) controller.enqueue(form.subarray(i, i + 1000));
        controller.close();
      },
    });
    const headers = { 'content-type': 'multipart/form-data; boundary=B' };
    const init = { method: 'POST', body, headers, duplex: 'half' } as RequestInit;
    const response = await fetch(`${service.address}${path}`, init);
    assert.equal(response.status, 200);
    await response.arrayBuffer();
  });

  it('makes hostile file names harmless', async () => {
    for (const filename of [...NAMES, ...hostileNames]) {
      const response = await convert(service, photo, { filename, query: 'width=8' });
      const disposition = response.headers.get('content-disposition') ?? '';
      assert.equal(response.status, 200, filename);
      assert.match(
        disposition,
        /^attachment; filename="[\x20-\x21\x23-\x5b\x5d-\x7e]{1,210}\.jpg"(; filename\*=UTF-8''[\w.%!#&+^`|~-]+)?$/,
      );
      assert.doesNotMatch(disposition, /[/\\<>]|filename="[.-]/);
      assert.equal(response.headers.get('x-injected'), null);
      await response.arrayBuffer();
    }
  });

  describe('refuses', () => {
    const refusals: [
      title: string,
      code: Parameters<typeof assertProblem>[2],
      send: () => Promise<Response>,
    ][] = [
      [
        'a parameter that nobody knows',
        'invalid_plan',
        () => convert(service, photo, { query: 'formt=png' }),
      ],
      ['a format that nobody knows', 'invalid_plan', () => convert(service, photo, { query: 'format=exe' })],
      ['a quality out of range', 'invalid_plan', () => convert(service, photo, { query: 'quality=101' })],
      [
        'a file that is no image',
        'unsupported_media_type',
        () => convert(service, Buffer.from('%PDF-1.7 nothing')),
      ],
      ['an empty file', 'malformed_request', () => convert(service, Buffer.alloc(0))],
      [
        'a truncated picture',
        'undecodable_image',
        () => convert(service, photo.subarray(0, 5000), { query: 'format=png' }),
      ],
      [
        'a picture of too many pixels',
        'image_too_large',
        async () => convert(service, pngHeader(30_000, 30_000)),
      ],
      [
        'a crop outside of the picture',
        'invalid_plan',
        () => convert(service, photo, { query: 'crop=900,900,10,10' }),
      ],
      [
        'a preview of a file that has none',
        'preview_not_found',
        () => convert(service, photo, { query: 'preview=embedded' }),
      ],
      [
        'a file of too many bytes',
        'upload_too_large',
        () => convert(service, Buffer.alloc(8 * 1024 * 1024 + 1, photo)),
      ],
      [
        'a form field',
        'invalid_field',
        () =>
          send(
            multipartParts('B', [
              [FILE_HEAD, photo],
              ['Content-Disposition: form-data; name="format"', 'png'],
            ]),
          ),
      ],
      [
        'two files',
        'malformed_request',
        () =>
          send(
            multipartParts('B', [
              [FILE_HEAD, photo],
              [FILE_HEAD, photo],
            ]),
          ),
      ],
      ['no file', 'malformed_request', () => send(Buffer.from('--B--\r\n'))],
      [
        'a body that is cut off',
        'malformed_request',
        () => send(multipartParts('B', [[FILE_HEAD, photo]]).subarray(0, -20)),
      ],
      ['JSON', 'malformed_request', () => send(Buffer.from('{}'), 'application/json')],
    ];
    const send = (body: Buffer, type = 'multipart/form-data; boundary=B') =>
      fetch(`${service.address}${path}`, {
        method: 'POST',
        body: body as unknown as FetchBody,
        headers: { 'content-type': type },
      });
    for (const [title, code, request] of refusals) {
      it(title, async () => {
        await assertProblem('convert', await request(), code);
        await released();
      });
    }

    it('names the parameter that is wrong', async () => {
      const body = await assertProblem(
        'convert',
        await convert(service, photo, { query: 'qualty=9&w=8' }),
        'invalid_plan',
      );
      assert.deepEqual(body.errors, [{ path: 'qualty', message: 'unknown key; did you mean quality?' }]);
    });
  });

  describe('answers 413 to a client that is still sending', () => {
    const head = (length: number, more = '') =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n${more}` +
      (length > 0 ? `Content-Length: ${length}\r\n\r\n` : 'Transfer-Encoding: chunked\r\n\r\n');
    const start = Buffer.from(`--B\r\n${FILE_HEAD}\r\n\r\n`);

    /** Writes until the server closes or 60 MB are gone, and never reads on purpose. */
    async function flood(socket: Socket, frame: (chunk: Buffer) => Buffer): Promise<number> {
      const chunk = frame(Buffer.alloc(65_536, 1));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      let sent = 0;
      while (socket.writable && sent < 60e6) {
        sent += chunk.length;
        if (!socket.write(chunk)) {
          await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
        }
      }
      return sent;
    }

    it('before it reads the body, where Content-Length says that it is too large', async () => {
      const { socket, answer } = await rawConnection(service);
      socket.write(head(60e6));
      await flood(socket, (chunk) => chunk);
      const text = await answer;
      assert.match(text, /^HTTP\/1\.1 413 [\s\S]*connection: close[\s\S]*"code":"upload_too_large"/);
      assert.match(text, /announces 57\.2 MB/);
    });

    it('without letting it begin, where it waits for 100 Continue', async () => {
      const { socket, answer } = await rawConnection(service);
      socket.write(head(60e6, 'Expect: 100-continue\r\n'));
      assert.match(await answer, /^HTTP\/1\.1 413 /);
    });

    it('as soon as the limit is passed, where nothing announced it', async () => {
      const { socket, answer } = await rawConnection(service);
      const frame = (chunk: Buffer) =>
        Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);
      socket.write(head(0));
      socket.write(frame(Buffer.concat([start, photo])));
      const sent = await flood(socket, frame);
      assert.match(await answer, /^HTTP\/1\.1 413 [\s\S]*"code":"upload_too_large"/);
      assert.ok(sent < 55e6, `${sent} bytes went through`);
    });

    it('as soon as the limit is passed, where Content-Length leaves room for a form and the file takes it', async () => {
      const { socket, answer } = await rawConnection(service);
      const limit = 8 * 1024 * 1024;
      socket.write(head(limit + 100_000));
      socket.write(start);
      socket.write(Buffer.concat([photo, Buffer.alloc(limit - photo.length + 10)]));
      assert.match(await answer, /^HTTP\/1\.1 413 /);
      await released();
    });

    it('and says 415 after the first bytes to what is no image', async () => {
      const { socket, answer } = await rawConnection(service);
      socket.write(head(7e6));
      socket.write(start);
      socket.write(Buffer.alloc(200_000, 'no image '));
      assert.match(await answer, /^HTTP\/1\.1 415 /);
    });
  });

  it('gives leave to send to a client that asks for it', async () => {
    const { socket, answer, until } = await rawConnection(service);
    const form = multipartParts('B', [[FILE_HEAD, photo]]);
    const headers = [
      'Host: x',
      'Expect: 100-continue',
      'Content-Type: multipart/form-data; boundary=B',
      `Content-Length: ${form.length}`,
      'Connection: close',
    ];
    socket.write(`POST ${path}?format=png HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
    await until(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    socket.write(form);
    assert.match(await answer, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*image\/png/);
  });

  it('answers 400 to a client that stops in the middle', async () => {
    const { socket, answer } = await rawConnection(service);
    socket.end(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 5000\r\n\r\n--B\r\n${FILE_HEAD}\r\n\r\nxyz`,
    );
    assert.match(
      await answer,
      /^HTTP\/1\.1 400 [\s\S]*application\/problem\+json[\s\S]*"code":"malformed_request"/,
    );
    await released();
  });

  it('calls the work off when the client leaves while it sends', async () => {
    const { socket } = await rawConnection(service);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 500000\r\n\r\n--B\r\n${FILE_HEAD}\r\n\r\n`,
    );
    socket.write(photo);
    await eventually('the upload has a scratch folder', () => service.scratch().length === 1);
    socket.resetAndDestroy();
    await released();
  });

  it('kills the work when the client leaves while it waits', async () => {
    const leaving = new AbortController();
    const kills = () =>
      service.log.filter(({ msg, reason }) => msg === 'child_exited' && reason === 'cancelled').length;
    const killed = kills();
    const answer = convert(service, slowPhoto, { query: SLOW, signal: leaving.signal });
    await eventually('a child is busy', async () => (await busyChildren(service)) === 1);
    leaving.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    await eventually('the child is killed', () => kills() === killed + 1);
    await released();
    await eventually('the log says so', () =>
      service.log.some(({ status, code }) => status === 499 && code === 'cancelled'),
    );
    assert.equal((await convert(service, photo)).status, 200);
  });

  it('cleans up when the client leaves in the middle of the answer', async () => {
    const large = await noise(2400, 1600)
      .png({ compressionLevel: 0 })
      .toBuffer()
      .then((png) => sharp(png).jpeg({ quality: 60 }).toBuffer());
    const form = multipartParts('B', [[FILE_HEAD, large]]);
    const { socket, until } = await rawConnection(service);
    socket.write(
      `POST ${path}?format=bmp HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: ${form.length}\r\n\r\n`,
    );
    socket.write(form);
    await until(/^HTTP\/1\.1 200 OK\r\n/);
    socket.resetAndDestroy();
    await released();
  });

  it('converts twenty pictures at a time, and a hostile one among them disturbs none', async () => {
    const files = Array.from({ length: 20 }, (_, i) => (i === 7 ? photo.subarray(0, 5000) : photo));
    const answers = await Promise.all(
      files.map((file, i) => convert(service, file, { query: `width=${20 + i}` })),
    );
    for (const [i, answer] of answers.entries()) {
      if (i === 7) {
        await assertProblem('convert', answer, 'undecodable_image');
        continue;
      }
      assert.equal(answer.status, 200);
      assert.equal((await sharp(await bytesOf(answer)).metadata()).width, 20 + i);
    }
    await released();
  });

  it('says overloaded, and when to come back, where too many wait', async (t) => {
    const small = await startService(t, { WORKER_CONCURRENCY: '1', CONVERT_QUEUE_LIMIT: '0' });
    const leaving = new AbortController();
    const slow = convert(small, slowPhoto, { query: SLOW, signal: leaving.signal });
    await eventually('the child is busy', async () => (await busyChildren(small)) === 1);
    const answer = await convert(small, photo);
    assert.match(answer.headers.get('retry-after')!, /^\d+$/);
    await assertProblem('convert', answer, 'overloaded');
    leaving.abort();
    await assert.rejects(slow);
  });

  it('stops the work that takes too long', async (t) => {
    const hasty = await startService(t, { WORKER_CONCURRENCY: '1', PROCESSING_TIMEOUT: '0.5' });
    await assertProblem('convert', await convert(hasty, slowPhoto, { query: SLOW }), 'processing_timeout');
  });
});

async function busyChildren({ address }: TestService): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text();
  return Number(/^tintype_pool_children\{state="busy"\} (\d+)$/m.exec(text)?.[1]);
}

/** A PNG of one chunk, which promises a picture and has none. */
function pngHeader(width: number, height: number): Buffer {
  const ihdr = Buffer.alloc(17);
  ihdr.write('IHDR', 0, 'latin1');
  ihdr.writeUInt32BE(width, 4);
  ihdr.writeUInt32BE(height, 8);
  ihdr.set([8, 2, 0, 0, 0], 12);
  const length = Buffer.from([0, 0, 0, 13]);
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(ihdr));
  const iend = Buffer.from([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), length, ihdr, crc, iend]);
}
