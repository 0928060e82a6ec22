import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import Fastify from 'fastify';
import { Exchanges } from '../../../src/http/exchange.ts';
import {
  type FormOptions,
  type ReceivedFile,
  type ReceiveOptions,
  receiveFile,
  receiveForm,
} from '../../../src/http/multipart.ts';
import { sendProblem, toProblem } from '../../../src/http/problems.ts';
import { Problem } from '../../../src/problem.ts';
import { type FetchBody, multipartParts } from '../../support/service.ts';
import { tempDir } from '../../support/temp.ts';

const MAX_BYTES = 100_000;
const TYPE = 'multipart/form-data; boundary=B';

describe('receiveFile', () => {
  const app = Fastify();
  const exchanges = new Exchanges((error) => assert.ifError(error));
  let port: number;
  let dir: string;
  let options: Partial<ReceiveOptions>;
  let received: ReceivedFile | undefined;

  before(async () => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    app.setErrorHandler((error, request, reply) => {
      sendProblem(toProblem(error), request, reply);
    });
    app.post('/', async (request, reply) => {
      const { signal } = exchanges.open(request.raw, reply.raw, () => {});
      received = await receiveFile(request, { dir, maxBytes: MAX_BYTES, signal, ...options });
      return { bytes: received.bytes };
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    port = (app.server.address() as { port: number }).port;
  });
  after(() => app.close());
  beforeEach((t) => {
    dir = tempDir(t as never);
    options = {};
    received = undefined;
  });

  const post = async (body: FetchBody | ReadableStream, type?: string) => {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      body,
      headers,
      duplex: 'half',
    } as RequestInit);
    return { status: response.status, ...((await response.json()) as { code?: string; detail?: string }) };
  };
  const form = (...parts: [name: string, value: Blob | string, filename?: string][]) => {
    const data = new FormData();
    for (const [name, value, filename] of parts) {
      if (typeof value === 'string') data.append(name, value);
      else data.append(name, value, filename);
    }
    return data;
  };
  const blob = (bytes: number) => new Blob([Buffer.alloc(bytes, 'x')]);

  it('stores the bytes under a name of its own, and passes the client’s name on unused', async () => {
    const { status } = await post(form(['file', blob(70_000), '../../up.jpg']));
    assert.equal(status, 200);
    assert.deepEqual(readdirSync(dir), ['source']);
    assert.equal(readFileSync(received!.path).length, 70_000);
    assert.equal(received!.filename, '../../up.jpg');
  });

  it('takes a file of exactly the limit, and none of a byte more', async () => {
    assert.equal((await post(form(['file', blob(MAX_BYTES), 'a']))).status, 200);
    dir = tempDir({ after });
    const refused = await post(form(['file', blob(MAX_BYTES + 1), 'a']));
    assert.deepEqual([refused.status, refused.code], [413, 'upload_too_large']);
    assert.match(refused.detail!, /at most 98 KB/);
  });

  it('stops a body of unknown length at the limit', async () => {
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 65_536;
        if (sent > 50_000_000) controller.close();
        else controller.enqueue(Buffer.alloc(65_536));
      },
    });
    options.bare = ['image/*'];
    const refused = await post(endless, 'image/png').catch(() => undefined);
    // The client may see its upload broken off in place of the answer; it must not get far either way.
    if (refused) assert.equal(refused.code, 'upload_too_large');
    assert.equal(received, undefined);
  });

  it('gives the fields that were asked for, before and after the file', async () => {
    options.fields = new Set(['bucket', 'preset']);
    await post(form(['bucket', 'holiday ☀'], ['file', blob(3), 'a'], ['preset', 'web']));
    assert.deepEqual(
      [...received!.fields],
      [
        ['bucket', 'holiday ☀'],
        ['preset', 'web'],
      ],
    );
  });

  it('names a field that nobody asked for, or that comes twice', async () => {
    options.fields = new Set(['bucket']);
    const unknown = await post(form(['file', blob(3), 'a'], ['buckett', 'x']));
    assert.deepEqual([unknown.status, unknown.code], [422, 'invalid_field']);
    assert.match(unknown.detail!, /buckett/);
    dir = tempDir({ after });
    const twice = await post(form(['bucket', 'x'], ['bucket', 'y'], ['file', blob(3), 'a']));
    assert.match(twice.detail!, /more than once/);
  });

  it('shows the first bytes before it takes more, and a short file whole', async () => {
    const heads: number[] = [];
    options.inspect = { bytes: 1000, look: (head) => heads.push(head.length) };
    await post(form(['file', blob(90_000), 'a']));
    dir = tempDir({ after });
    await post(form(['file', blob(7), 'a']));
    assert.deepEqual(heads, [1000, 7]);
  });

  it('answers with what the look at the first bytes throws', async () => {
    options.inspect = {
      bytes: 16,
      look: () => {
        throw new Problem('unsupported_media_type', { detail: 'No.' });
      },
    };
    assert.equal((await post(form(['file', blob(90_000), 'a']))).code, 'unsupported_media_type');
  });

  const malformed: [title: string, type: string | undefined, body: string | Buffer, detail: RegExp][] = [
    ['no multipart at all', 'application/json', '{}', /multipart\/form-data.*"application\/json"/],
    ['an empty Content-Type', '', 'x', /Content-Type is malformed/],
    ['no boundary', 'multipart/form-data', 'x', /no boundary/],
    [
      'another boundary than it says',
      TYPE,
      multipartParts('C', [['Content-Disposition: form-data; name="file"', 'x']]),
      /boundary/,
    ],
    ['no parts', TYPE, '--B--\r\n', /found none/],
    ['an empty body', TYPE, '', /ends early|found none/],
    ['a part without a name', TYPE, multipartParts('B', [['Content-Type: image/png', 'x']]), /found none/],
    [
      'a file in another part',
      TYPE,
      multipartParts('B', [['Content-Disposition: form-data; name="image"; filename="a"', 'x']]),
      /found one in "image"/,
    ],
    [
      'two files',
      TYPE,
      multipartParts('B', [
        ['Content-Disposition: form-data; name="file"; filename="a"', 'x'],
        ['Content-Disposition: form-data; name="file"; filename="b"', 'y'],
      ]),
      /found more/,
    ],
    [
      'an empty file',
      TYPE,
      multipartParts('B', [['Content-Disposition: form-data; name="file"; filename="a"', '']]),
      /empty/,
    ],
    [
      'no end',
      TYPE,
      multipartParts('B', [['Content-Disposition: form-data; name="file"; filename="a"', 'xyz']]).subarray(
        0,
        -12,
      ),
      /ends early/,
    ],
    ['an end within a part’s headers', TYPE, '--B\r\nContent-Disposition: form-da', /ends early|found none/],
  ];
  for (const [title, type, body, detail] of malformed) {
    it(`refuses a request with ${title}`, async () => {
      const refused = await post(body as FetchBody, type);
      assert.deepEqual([refused.status, refused.code], [400, 'malformed_request']);
      assert.match(refused.detail!, detail);
    });
  }

  it('takes a part named file as the file even without a file name', async () => {
    await post(
      multipartParts('B', [['Content-Disposition: form-data; name="file"', 'xyz']]) as FetchBody,
      TYPE,
    );
    assert.deepEqual([received!.bytes, received!.filename], [3, undefined]);
  });

  it('ignores what stands before and after the parts', async () => {
    const parts = multipartParts('B', [['Content-Disposition: form-data; name="file"; filename="a"', 'xyz']]);
    const { status } = await post(
      Buffer.concat([Buffer.from('preamble\r\n'), parts, Buffer.from('epilogue')]) as FetchBody,
      TYPE,
    );
    assert.equal(status, 200);
    assert.equal(received!.bytes, 3);
  });

  it('decodes file names in UTF-8', async () => {
    await post(form(['file', blob(3), '日本語 😀.heic']));
    assert.equal(received!.filename, '日本語 😀.heic');
  });

  it('gives up on a client that stalls', async () => {
    options.stallWindowMs = 50;
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: ${TYPE}\r\nContent-Length: 90000\r\n\r\n--B\r\n`,
    );
    let answer = '';
    for await (const chunk of socket.setEncoding('latin1')) answer += chunk;
    assert.match(answer, /^HTTP\/1\.1 408 [\s\S]*"code":"request_timeout"/);
  });

  it('reports a full disk or a missing folder as ours, and says no path', async () => {
    dir = `${dir}/missing`;
    const refused = await post(form(['file', blob(10), 'a']));
    assert.equal(refused.code, 'internal');
    assert.doesNotMatch(JSON.stringify(refused), /missing/);
  });

  it('takes a bare body of a type that is asked for, and no other', async () => {
    options.bare = ['image/*', 'application/octet-stream'];
    assert.equal((await post(blob(50), 'IMAGE/x-any; q=1')).status, 200);
    dir = tempDir({ after });
    assert.equal((await post(blob(50), 'application/octet-stream')).status, 200);
    assert.equal((await post(blob(50), 'imagery/png')).status, 400);
    assert.equal((await post(blob(MAX_BYTES + 1), 'image/png')).status, 413);
  });
});

describe('receiveForm', () => {
  const app = Fastify();
  const exchanges = new Exchanges((error) => assert.ifError(error));
  const address = async () => `http://127.0.0.1:${(app.server.address() as { port: number }).port}/`;
  /** What happened, in its order. */
  let said: string[];
  let options: Partial<FormOptions>;

  before(async () => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    app.setErrorHandler((error, request, reply) => {
      sendProblem(toProblem(error), request, reply);
    });
    app.post('/', async (request, reply) => {
      const { signal } = exchanges.open(request.raw, reply.raw, () => {});
      const fields = await receiveForm(request, {
        signal,
        files: { file: 1, files: 3 },
        maxBytes: MAX_BYTES,
        fields: new Set(['a', 'b']),
        onField: (name, value) => said.push(`${name}=${value}`),
        open: async (filename, field) => {
          let bytes = 0;
          said.push(`${field}:${filename}`);
          return {
            write: async (chunk) => {
              bytes += chunk.length;
              await new Promise((resolve) => setImmediate(resolve));
            },
            finish: () => said.push(`${bytes}`),
          };
        },
        ...options,
      });
      return { fields: [...fields] };
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
  });
  after(() => app.close());
  beforeEach(() => {
    [said, options] = [[], {}];
  });

  async function post(...parts: [name: string, value: string | number, filename?: string][]) {
    const form = new FormData();
    for (const [name, value, filename = 'x'] of parts) {
      if (typeof value === 'string') form.append(name, value);
      else form.append(name, new Blob([Buffer.alloc(value)]), filename);
    }
    const response = await fetch(await address(), { method: 'POST', body: form });
    return (await response.json()) as { code?: string; detail?: string; fields?: [string, string][] };
  }

  it('takes files one after the other, and fields wherever they stand', async () => {
    const { fields } = await post(['a', '1'], ['files', 90_000, 'one'], ['b', '2'], ['files', 70_000, 'two']);
    assert.deepEqual(fields, [
      ['a', '1'],
      ['b', '2'],
    ]);
    assert.equal(said[0], 'a=1');
    const ofFiles = said.filter((text) => !text.includes('='));
    assert.deepEqual(ofFiles, ['files:one', '90000', 'files:two', '70000']);
  });

  it('refuses more files than may come, and files under two names', async () => {
    assert.match((await post(['files', 1], ['files', 1], ['files', 1], ['files', 1])).detail!, /at most 3/);
    assert.match((await post(['file', 1], ['file', 1])).detail!, /found more/);
    assert.match((await post(['file', 1], ['files', 1])).detail!, /one part of "file" or "files"/);
  });

  it('refuses by Content-Length what one file could not be, as soon as it is known to be one', async () => {
    const large = MAX_BYTES + 300_000;
    assert.equal((await post(['file', large])).code, 'upload_too_large');
    assert.deepEqual(said, []);
    assert.equal((await post(['files', large])).code, undefined);
    assert.equal((await post(['files', 4 * large])).code, 'upload_too_large');
  });

  it('answers with what a field, a place or a sink throws, and opens nothing more', async () => {
    const no = new Problem('invalid_field', { detail: 'No.' });
    const fail = () => {
      throw no;
    };
    options = { onField: fail };
    assert.equal((await post(['a', '1'], ['files', 9])).detail, 'No.');
    options = { open: async () => fail() };
    assert.equal((await post(['files', 9], ['files', 9])).detail, 'No.');
    options = { open: async () => ({ write: async () => fail(), finish: () => said.push('finished') }) };
    assert.equal((await post(['files', 90_000], ['files', 9])).detail, 'No.');
    options = { open: async () => ({ write: async () => {}, finish: fail }) };
    assert.equal((await post(['files', 9], ['files', 9])).detail, 'No.');
    assert.deepEqual(said, []);
  });
});
