/** What is done once and kept: single renders, shared renditions, bounds, and what must not be shown any more. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, test } from 'node:test';
import { signTransformUrl } from '../../src/domain/transform-signature.ts';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite, eventually } from '../support/service.ts';
import { tempDir } from '../support/temp.ts';
import { accepted, JWT_SECRET_KEY, startUploadService, tokenOf, upload } from '../support/uploads.ts';

const secret = 'a key that URLs are signed with: 32+';
/** Takes seconds. */
const LONG_WORK = 'w_1600,enlarge,f_avif,e_9,q_90';

describe('what URLs have rendered', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let web: Seeded;
  before(async () => {
    service = await startImageService(ending);
    web = await service.accept(await photo(1));
  });

  const pathOf = (plan: string, { imageId }: Pick<Seeded, 'imageId'> = web, ext = 'webp') =>
    signTransformUrl({ imageId, plan, ext }, { secret });
  const done = () => {
    const { completed, failed } = service.services.pool.stats();
    return { completed, failed };
  };
  async function bytesOf(path: string, from = service): Promise<Buffer> {
    const response = await from.get(path);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, String(bytes));
    return bytes;
  }
  const derivedRows = ({ imageId }: Seeded, from = service) =>
    from.rows('select * from derived_renditions where image_id = ? order by last_used_at', imageId);
  const isKept = (of: Seeded, count = 1) =>
    eventually('it is stored', () => derivedRows(of).length === count);
  const purge = async ({ imageId }: Seeded, who = 'anna') => {
    const { path, method } = exercise('purge_image');
    return service.get(path.replace('{image_id}', imageId), await service.token(who), { method });
  };

  it('is rendered once for a hundred who ask at the same time, and stored once', async () => {
    const image = await service.accept(await photo(10));
    const { completed } = done();
    const all = await Promise.all(Array.from({ length: 100 }, () => bytesOf(pathOf('w_111', image))));
    assert.ok(all.every((bytes) => bytes.equals(all[0]!)));
    assert.equal(done().completed, completed + 1);
    await isKept(image);
    assert.deepEqual(await bytesOf(pathOf('w_111', image)), all[0]);
    assert.equal(done().completed, completed + 1);
    assert.equal(await service.services.catalog.integrity(), 'ok');
  });

  it('is rendered on for those who stay when one leaves', async () => {
    const { completed, failed } = done();
    const path = pathOf('w_500,f_avif,e_5', web, 'avif');
    const leaving = new AbortController();
    const gone = service.get(path, undefined, { signal: leaving.signal });
    const stays = bytesOf(path);
    await eventually('it is being rendered', () => service.services.pool.stats().busy === 1);
    leaving.abort();
    await assert.rejects(gone);
    assert.ok((await stays).length > 0);
    assert.deepEqual(done(), { completed: completed + 1, failed });
  });

  it('is called off when the last one has left', async () => {
    const { completed, failed } = done();
    const leaving = new AbortController();
    const gone = [1, 2].map(() =>
      service.get(pathOf(LONG_WORK, web, 'avif'), undefined, { signal: leaving.signal }),
    );
    await eventually('it is being rendered', () => service.services.pool.stats().busy === 1);
    leaving.abort();
    for (const request of gone) await assert.rejects(request);
    await eventually('it has ended', () => done().failed === failed + 1);
    assert.equal(done().completed, completed);
  });

  it('is what a job has made by the same plan, and the other way round', async () => {
    await service.work();
    const first = await service.accept(await photo(11));
    const medium = await bytesOf(pathOf('w_600,h_600,q_85', first));
    await isKept(first);
    const byUrl = await service.accept(await photo(11), { owner: 'bert' });
    await service.work();
    const { reused, rendered } = (await service.services.catalog.job(first.jobId))!.processingMetadata;
    assert.deepEqual([reused, rendered], [1, 3]);
    const after = done().completed;
    for (const path of [pathOf('preset_web.medium', byUrl), pathOf('h_600,w_600,q_85', byUrl)]) {
      assert.deepEqual(await bytesOf(path), medium);
    }
    await bytesOf(pathOf('preset_web.thumbnail', byUrl));
    assert.equal(done().completed, after);
    assert.deepEqual(derivedRows(byUrl), []);
  });

  it('is forgotten when its owner asks, and rendered again', async () => {
    const image = await service.add(await photo(12));
    const bytes = await bytesOf(pathOf('w_99', image));
    await bytesOf(pathOf('w_98', image));
    await isKept(image, 2);
    const { completed } = done();
    const stored = service.services.stored().length;
    const response = await purge(image);
    const body = await response.json();
    assertPublished('purge_image', response, body);
    assert.deepEqual(body, { image_id: image.imageId, purged: 2 });
    assert.equal(service.services.stored().length, stored - 2);
    assert.deepEqual(await bytesOf(pathOf('w_99', image)), bytes);
    assert.equal(done().completed, completed + 1);
    // It was rendered a moment ago, and may not have been stored.
    assert.deepEqual(await (await purge(image)).json(), { image_id: image.imageId, purged: 1 });
    await bytesOf(pathOf('w_99', image));
    assert.equal(done().completed, completed + 2);
    assert.equal(await service.services.catalog.integrity(), 'ok');
  });

  it('is nobody else’s to forget', async () => {
    await assertProblem('purge_image', await purge(web, 'bert'), 'forbidden');
    const hidden = await service.accept(await photo(13), { bucket: 'vault' });
    await assertProblem('purge_image', await purge(hidden, 'bert'), 'not_found');
    const { path, method } = exercise('purge_image');
    const nobody = await service.get(path.replace('{image_id}', web.imageId), undefined, { method });
    await assertProblem('purge_image', nobody, 'unauthorized');
  });

  it('is gone with its image, at once, whoever deleted it', async () => {
    const image = await service.accept(await photo(14));
    await bytesOf(pathOf('w_97', image));
    await isKept(image);
    await bytesOf(pathOf('w_97', image));
    // Another process, as far as the server can tell.
    const other = await openSqliteCatalog(join(service.services.dir, 'catalog.sqlite'));
    try {
      await other.deleteImage(image.imageId, new Date());
    } finally {
      await other.close();
    }
    await assertProblem('read_transform', await service.get(pathOf('w_97', image)), 'not_found');
    const { catalog, blobs } = service.services;
    await catalog.deleteBlobs(10, (key) => blobs.delete(key));
    assert.equal(await catalog.integrity(), 'ok');
  });

  it('is not stored, and not shown, where the image was deleted while it was rendered', async (t) => {
    const image = await service.accept(await photo(15));
    const { pool, catalog } = service.services;
    const render = pool.render.bind(pool);
    const hook = t.mock.method(pool, 'render', async (...args: Parameters<typeof render>) => {
      const result = await render(...args);
      await catalog.deleteImage(image.imageId, new Date());
      return result;
    });
    await assertProblem('read_transform', await service.get(pathOf('w_96', image)), 'not_found');
    assert.equal(hook.mock.callCount(), 1);
    await eventually('nothing is held', () => service.services.staged().length === 0);
    assert.deepEqual(derivedRows(image), []);
    assert.equal(await catalog.integrity(), 'ok');
  });

  it('is removed where the image was deleted between the answer and the store', async () => {
    const image = await service.accept(await photo(16));
    const { catalog, blobs } = service.services;
    await bytesOf(pathOf('w_95', image));
    await catalog.deleteImage(image.imageId, new Date());
    await assertProblem('read_transform', await service.get(pathOf('w_95', image)), 'not_found');
    const others = service.services.stored().filter((key) => !key.includes(image.key.slice(13)));
    await eventually('nothing of it is left', async () => {
      await catalog.deleteBlobs(10, (key) => blobs.delete(key));
      const mine = service.services.stored().filter((key) => key.includes(image.key.slice(13)));
      return mine.length === 0 && service.services.staged().length === 0;
    });
    assert.ok(others.length > 0);
    assert.equal(await catalog.integrity(), 'ok');
  });

  it('is rendered again where its file is lost', async () => {
    const image = await service.accept(await photo(17));
    const cold = await startImageService(ending, [], { TRANSFORM_MEMORY_MB: '0' });
    const own = await cold.accept(await photo(17));
    const bytes = await bytesOf(pathOf('w_94', own), cold);
    // What is staged goes last: until then it is answered from what was just rendered.
    const isStored = () => derivedRows(own, cold).length === 1 && cold.services.staged().length === 0;
    await eventually('it is stored', isStored);
    const { blob_key } = derivedRows(own, cold)[0]!;
    assert.deepEqual(await bytesOf(pathOf('w_94', own), cold), bytes, 'read from the store');
    rmSync(join(cold.services.dir, 'blobs/objects', String(blob_key)));
    assert.deepEqual(await bytesOf(pathOf('w_94', own), cold), bytes);
    await eventually('it is there again', () => cold.services.stored().includes(String(blob_key)));
    assert.equal(await cold.services.catalog.integrity(), 'ok');
    assert.ok(image.imageId);
  });

  it('has no more room than it was given, and what was used longest ago goes', async () => {
    const small = await startImageService(ending, [], { TRANSFORM_CACHE_MB: '0.02' });
    const image = await small.accept(await photo(18));
    const total = () => Number(small.rows("select value from totals where name = 'derived_bytes'")[0]!.value);
    for (let width = 200; width < 230; width++) await bytesOf(pathOf(`w_${width}`, image), small);
    await bytesOf(pathOf('w_230', image), small);
    await small.stop();
    assert.ok(total() > 0 && total() <= 0.02 * 1024 * 1024, String(total()));
    const rows = derivedRows(image, small);
    assert.ok(rows.length > 1 && rows.length < 31);
    assert.equal(await small.services.catalog.integrity(), 'ok');
  });

  it('is kept nowhere where there is no room at all', async () => {
    const none = await startImageService(ending, [], { TRANSFORM_CACHE_MB: '0' });
    const image = await none.accept(await photo(19));
    await bytesOf(pathOf('w_93', image), none);
    await none.stop();
    assert.deepEqual(derivedRows(image, none), []);
    assert.deepEqual(none.services.scratch(), []);
    assert.deepEqual(none.services.staged(), []);
  });

  it('writes down when it was last used, not with every hit', async () => {
    const own = await startImageService(ending);
    const image = await own.accept(await photo(20));
    await bytesOf(pathOf('w_92', image), own);
    await eventually('it is stored', () => derivedRows(image, own).length === 1);
    const [{ last_used_at: first } = {}] = derivedRows(image, own);
    own.clock.aheadMs = 600_000;
    for (let n = 0; n < 20; n++) await bytesOf(pathOf('w_92', image), own);
    assert.equal(derivedRows(image, own)[0]!.last_used_at, first);
    await own.stop();
    const [{ last_used_at: last } = {}] = derivedRows(image, own);
    assert.ok(String(last) > String(first));
  });
});

test('what URLs have rendered is there after a restart, by URLs that the command prints', async (t) => {
  const dataDir = tempDir(t);
  const env = { DATA_DIR: dataDir, URL_SIGNING_KEY: secret };
  const first = await startUploadService(t, env);
  const parts = [['bucket', 'photos'] as const, ['file', await photo(21)] as const];
  const response = await upload(first, parts as never, { token: await tokenOf('anna') });
  const { image_id } = await accepted(response);
  const main = new URL('../../src/main.ts', import.meta.url).pathname;
  const args = ['sign', image_id, '--width', '123', '--format', 'webp', '--expires', '1h', '--base'];
  const urlAt = (address: string) =>
    execFileSync(process.execPath, [main, ...args, address], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, JWT_SECRET_KEY, ...env },
    }).trim();
  const bytes = await (await fetch(urlAt(first.address))).bytes();
  await eventually(
    'the upload is worked on',
    () => first.rows("select 1 from processing_jobs where status = 'completed'").length === 1,
  );
  await first.close();
  const again = await startUploadService(t, env);
  const found = await fetch(urlAt(again.address));
  assert.equal(found.status, 200);
  assert.deepEqual(await found.bytes(), bytes);
  const metrics = await (await fetch(`${again.address}/metrics`)).text();
  assert.doesNotMatch(metrics, /tintype_task_duration_seconds_count\{kind="render"/);
});

test('more requests than may wait are told when to come back, and jobs go on', async (t) => {
  const service = await startUploadService(t, {
    URL_SIGNING_KEY: secret,
    WORKER_CONCURRENCY: '1',
    CONVERT_QUEUE_LIMIT: '2',
  });
  const token = await tokenOf('anna');
  const send = async (seed: number) => {
    const parts = [['bucket', 'photos'] as const, ['file', await photo(seed)] as const];
    return accepted(await upload(service, parts as never, { token }));
  };
  const { image_id } = await send(22);
  await eventually(
    'the upload is worked on',
    () => service.rows("select 1 from processing_jobs where status = 'completed'").length === 1,
  );
  const ask = (plan: string, ext: string, signal?: AbortSignal) =>
    fetch(service.address + signTransformUrl({ imageId: image_id, plan, ext }, { secret }), {
      ...(signal && { signal }),
    });
  const gauge = async (name: string) => {
    const text = await (await fetch(`${service.address}/metrics`)).text();
    return Number(new RegExp(`^tintype_pool_${name} (\\d+)`, 'm').exec(text)?.[1]);
  };
  const leaving = new AbortController();
  const waiting = Array.from({ length: 3 }, (_, i) =>
    ask(`${LONG_WORK},crop_0_0_${1500 - i}_900`, 'avif', leaving.signal),
  );
  await eventually('nobody more may wait', async () => (await gauge('waiting_tasks')) === 2);
  const refused = await ask('w_200', 'webp');
  assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  await assertProblem('read_transform', refused, 'overloaded');
  leaving.abort();
  for (const request of waiting) await assert.rejects(request);
  await eventually('there is room again', async () => (await gauge('waiting_tasks')) === 0);
  assert.equal((await ask('w_200', 'webp')).status, 200);

  // One child, never without a request that waits for it: a job is done all the same.
  let isOver = false;
  let width = 300;
  const load = Array.from({ length: 3 }, async () => {
    while (!isOver) await (await ask(`w_${width++}`, 'webp')).bytes();
  });
  await send(23);
  await eventually(
    'the job is done',
    () => service.rows("select 1 from processing_jobs where status = 'completed'").length === 2,
  );
  isOver = true;
  await Promise.all(load);
});
