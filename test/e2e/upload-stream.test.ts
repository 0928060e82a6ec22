import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { exercise } from '../support/operations.ts';
import {
  endWithSuite,
  eventually,
  type FetchBody,
  multipartParts,
  type RawConnection,
  rawConnection,
} from '../support/service.ts';
import {
  FILE_HEAD,
  nothingStaged,
  type Part,
  photo,
  refused,
  startUploadService,
  tokenOf,
  type UploadInit,
  type UploadService,
  unchangedBy,
  upload,
} from '../support/uploads.ts';

const { path } = exercise('upload_images');
const MIB = 2 ** 20;

describe('an upload, while its body comes', () => {
  const ending = endWithSuite();
  let service: UploadService;
  let token: string;
  let jpeg: Buffer;

  before(async () => {
    service = await startUploadService(ending, { MAX_UPLOAD_SIZE_MB: '1', MAX_IMAGE_MEGAPIXELS: '20' });
    token = await tokenOf('anna');
    jpeg = await photo();
  });

  const send = (parts: readonly Part[], init: UploadInit = {}) => upload(service, parts, { token, ...init });
  const noneStaged = () => nothingStaged(service);
  const unchanged = (work: () => Promise<void>) => unchangedBy(service, work);

  const head = (more: string) =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nContent-Type: multipart/form-data; boundary=B\r\n${more}\r\n\r\n`;
  /** What is answered while the connection is open. */
  const firstAnswer = async ({ socket, until }: RawConnection) => {
    const text = await until(/\r\n\r\n[\s\S]*\}$/);
    socket.destroy();
    return text;
  };
  const bodyOf = (file: Uint8Array) =>
    multipartParts('B', [
      ['Content-Disposition: form-data; name="bucket"', 'photos'],
      [FILE_HEAD, file],
    ]);

  it('refuses what is no image by its first bytes', async () => {
    const connection = await rawConnection(service);
    const { socket } = connection;
    // Not more than the first 64 KB of the megabyte that is announced.
    socket.write(head(`Content-Length: ${MIB}`));
    socket.write(bodyOf(Buffer.alloc(70_000, 'x')).subarray(0, 68_000));
    assert.match(await firstAnswer(connection), /^HTTP\/1\.1 415 [\s\S]*unsupported_media_type/);
    await noneStaged();
  });

  it('refuses what Content-Length says is too large', async () => {
    const connection = await rawConnection(service);
    const { socket } = connection;
    socket.write(head(`Content-Length: ${20 * MIB}`));
    assert.match(await firstAnswer(connection), /^HTTP\/1\.1 413 [\s\S]*upload_too_large/);
    const one = await rawConnection(service);
    one.socket.write(head(`Content-Length: ${2 * MIB}`));
    one.socket.write(bodyOf(jpeg).subarray(0, 300));
    assert.match(await firstAnswer(one), /^HTTP\/1\.1 413 /);
    await noneStaged();
  });

  it('refuses a wrong field before the file that follows', async () => {
    const connection = await rawConnection(service);
    const { socket } = connection;
    socket.write(head(`Content-Length: ${MIB}`));
    socket.write(
      multipartParts('B', [
        ['Content-Disposition: form-data; name="bucket"', 'NO'],
        [FILE_HEAD, 'x'],
      ]).subarray(0, -10),
    );
    assert.match(await firstAnswer(connection), /^HTTP\/1\.1 422 /);
  });

  it('asks who it is before anything else', async () => {
    const connection = await rawConnection(service);
    const { socket } = connection;
    socket.write(head(`Content-Length: ${MIB}\r\nExpect: 100-continue`).replace(token, 'nobody'));
    const text = await firstAnswer(connection);
    assert.match(text, /^HTTP\/1\.1 401 /);
    assert.doesNotMatch(text, /100 Continue/i);
  });

  it('takes a body in chunks, however small', async () => {
    const { socket, answer } = await rawConnection(service);
    socket.write(head('Transfer-Encoding: chunked\r\nConnection: close'));
    for (const byte of bodyOf(jpeg)) socket.write(`1\r\n${String.fromCharCode(byte)}\r\n`, 'latin1');
    socket.write('0\r\n\r\n');
    assert.match(await answer, /^HTTP\/1\.1 202 /);
  });

  it('stops a body in chunks at the limit', async () => {
    const endless = new ReadableStream({
      start: (controller) => controller.enqueue(bodyOf(jpeg).subarray(0, -9)),
      pull: (controller) => controller.enqueue(Buffer.alloc(65_536)),
    });
    const headers = { 'content-type': 'multipart/form-data; boundary=B' };
    const response = await send([], { body: endless as FetchBody, headers }).catch(() => undefined);
    if (response) await refused(response, 'upload_too_large');
    await noneStaged();
  });

  for (const [what, length] of [
    ['more', 5000],
    ['less', -200],
  ] as const) {
    it(`accepts nothing where Content-Length promises ${what} than comes`, () =>
      unchanged(async () => {
        const body = bodyOf(await photo(20));
        const { socket, answer } = await rawConnection(service);
        socket.write(head(`Content-Length: ${body.length + length}\r\nConnection: close`));
        socket.write(body);
        socket.end();
        assert.doesNotMatch(await answer, /^HTTP\/1\.1 2/);
      }));
  }

  it('keeps nothing of clients that go away in the middle', () =>
    unchanged(async () => {
      const body = bodyOf(await photo(21, 400));
      for (const part of [0.2, 0.6, 0.95, 0.999]) {
        const { socket } = await rawConnection(service);
        socket.write(head(`Content-Length: ${body.length}`));
        socket.write(body.subarray(0, Math.floor(body.length * part)));
        await eventually('it is being staged', () => service.staged().length > 0);
        socket.destroy();
        await noneStaged();
      }
    }));
});
