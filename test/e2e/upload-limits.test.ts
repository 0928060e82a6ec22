import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { before, describe, it } from 'node:test';
import { exercise } from '../support/operations.ts';
import { endWithSuite, eventually, rawConnection } from '../support/service.ts';
import {
  accepted,
  type Batch,
  type Part,
  photo,
  rateOf,
  refused,
  startUploadService,
  tokenOf,
  upload,
} from '../support/uploads.ts';

const { path } = exercise('upload_images');
const MIB = 2 ** 20;
const BUCKET: Part = ['bucket', 'photos'];

describe('uploads within limits', () => {
  const ending = endWithSuite();
  let token: string;
  let jpeg: Buffer;

  before(async () => {
    token = await tokenOf('anna');
    jpeg = await photo();
  });

  const limited = () =>
    startUploadService(ending, {
      RATE_LIMIT_MAX_UPLOADS: '20',
      // No window ends while the test runs, or once in a month.
      RATE_LIMIT_WINDOW_MINUTES: '44640',
    });

  it('lets exactly as many through as it allows, however many come at once', async () => {
    const tight = await limited();
    const parts: Part[] = [BUCKET, ['file', jpeg]];
    const responses = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        upload(tight, parts, { token, headers: i % 2 ? { 'idempotency-key': `r${i}` } : {} }),
      ),
    );
    const passed = responses.filter(({ status }) => status === 202);
    assert.deepEqual(
      passed.map((response) => rateOf(response)[1]).sort((a, b) => a! - b!),
      Array.from({ length: 20 }, (_, i) => i),
    );
    assert.equal(tight.counts().images, 20);
    for (const response of responses.filter(({ status }) => status !== 202)) {
      const [limit, remaining, reset] = rateOf(response);
      assert.deepEqual([limit, remaining], [20, 0]);
      const wait = Number(response.headers.get('retry-after'));
      assert.ok(Math.abs(reset! - Date.now() / 1000 - wait) < 10, `${reset} ${wait}`);
      await refused(response, 'rate_limited');
    }
    await eventually('nothing is staged', () => tight.staged().length === 0);
    const other = await upload(tight, parts, { token: await tokenOf('berta') });
    assert.equal(rateOf(other)[1], 19);
  });

  it('counts each file, gives what was accepted again, and tells a full window before it reads', async () => {
    const tight = await limited();
    const files = (n: number) => Array.from({ length: n }, (): Part => ['files', jpeg]);
    const send = (parts: Part[], key?: string) =>
      upload(tight, parts, { token, headers: key ? { 'idempotency-key': key } : {} });
    assert.equal(rateOf(await send([BUCKET, ...files(10)], 'ten'))[1], 10);
    assert.equal(rateOf(await send([BUCKET, ...files(8)]))[1], 2);
    const response = await send([BUCKET, ...files(5)], 'last');
    assert.equal(rateOf(response)[1], 0);
    const { items } = await accepted<Batch>(response);
    const codes = items.map(({ problem }) => problem?.code);
    assert.deepEqual(codes, [undefined, undefined, 'rate_limited', 'rate_limited', 'rate_limited']);
    assert.equal(tight.counts().images, 20);
    const again = await accepted<Batch>(await send([BUCKET, ...files(5)], 'last'));
    assert.deepEqual(
      again.items.map(({ image_id }) => image_id),
      items.map(({ image_id }) => image_id),
    );
    await refused(await send([BUCKET, ...files(2)], 'more'), 'rate_limited');
    const { socket, until } = await rawConnection(tight);
    socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n`);
    socket.write('Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 900000\r\n\r\n');
    await until(/^HTTP\/1\.1 429 [\s\S]*x-ratelimit-remaining: 0/i);
    socket.destroy();
    await eventually('nothing is staged', () => tight.staged().length === 0);
  });
  it('answers storage_full on a full disk, loses nothing and goes on when there is room again', async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'tintype-test-'));
    t.after(() => {
      spawnSync('umount', ['-l', root]);
      rmSync(root, { recursive: true, force: true });
    });
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', root]).status !== 0) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    const small = await startUploadService({ after: (end) => t.after(end) }, { DATA_DIR: root });
    const large = async (n: number) => Buffer.concat([await photo(n), Buffer.alloc(3 * MIB, n)]);
    const [full, ids]: [number[], string[]] = [[], []];
    for (let n = 0; n < 12; n++) {
      const response = await upload(small, [BUCKET, ['file', await large(n)]], { token });
      if (response.status === 202) ids.push((await accepted(response)).image_id);
      else {
        await refused(response, 'storage_full');
        full.push(n);
      }
    }
    assert.ok(full.length > 0 && ids.length > 0, `${full.length} refused, ${ids.length} accepted`);
    assert.equal(small.counts().images, ids.length);
    assert.deepEqual(small.staged(), []);
    const originals = small.originals();
    assert.equal(originals.length, ids.length);
    spawnSync('mount', ['-o', 'remount,size=64m', root]);
    await accepted(await upload(small, [BUCKET, ['file', await large(99)]], { token }));
  });

  it('answers dependency_down while the catalog cannot take it, and leaves nothing', async () => {
    const broken = await startUploadService(ending);
    const catalog = new DatabaseSync(join(broken.dataDir, 'tintype.sqlite'));
    const parts: Part[] = [BUCKET, ['file', jpeg]];
    const rename = (from: string, to: string) => catalog.exec(`alter table ${from} rename to ${to}`);
    // Before the body is read, and when the bytes are in the store already.
    for (const table of ['upload_rate_limits', 'outbox']) {
      rename(table, 'gone');
      const response = await upload(broken, parts, { token, headers: { 'idempotency-key': table } });
      assert.ok(Number(response.headers.get('retry-after')) > 0);
      await refused(response, 'dependency_down');
      assert.deepEqual([broken.staged(), broken.originals(), broken.counts().images], [[], [], 0]);
      rename('gone', table);
    }
    catalog.close();
    await accepted(await upload(broken, parts, { token, headers: { 'idempotency-key': 'outbox' } }));
  });
});
