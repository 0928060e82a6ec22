/** Rows that cannot be read, and what must not be written. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import type { Damage } from '../../../src/drivers/catalog/sql/rows.ts';
import { openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import { Problem } from '../../../src/problem.ts';
import { making } from '../../contracts/catalog-making.ts';
import {
  after,
  conversion,
  DAY,
  HOUR,
  NOON,
  noCheck,
  originalKey,
  problem,
  rendition,
  upload,
} from '../../contracts/catalog-rows.ts';
import { tempDir } from '../../support/temp.ts';

const LEASE = { owner: 'w', until: after(HOUR) };

async function open(t: TestContext) {
  const path = join(tempDir(t), 'catalog.db');
  const damages: Damage[] = [];
  const catalog = await openSqliteCatalog(path, { onDamage: (damage) => damages.push(damage) });
  const db = new DatabaseSync(path, { timeout: 5000 });
  t.after(async () => {
    db.close();
    await catalog.close();
  });
  return { catalog, db, damages, path };
}

describe('a damaged catalog', () => {
  for (const [column, value] of [
    ['plans', '[{"name":"thumb'],
    ['plans', '{}'],
    ['plans', 'null'],
    ['processed_paths', '[]'],
    ['processing_metadata', ''],
  ] as const) {
    test(`a waiting job whose ${column} is ${value || 'empty'} fails with internal; the next one runs`, async (t) => {
      const { catalog, db, damages } = await open(t);
      const broken = upload();
      const sound = upload();
      await catalog.acceptUpload(broken);
      await catalog.acceptUpload(sound);
      db.prepare(`update processing_jobs set ${column} = ? where job_id = ?`).run(value, broken.job.jobId);
      assert.equal((await catalog.leaseNext(LEASE, NOON))?.jobId, sound.job.jobId);
      assert.equal(await catalog.leaseNext(LEASE, NOON), undefined);
      assert.ok(damages.length > 0);
      assert.ok(damages.every((d) => d.id === broken.job.jobId && d.column === column));
      const failed = await catalog.job(broken.job.jobId);
      assert.equal(failed?.status, 'failed');
      assert.equal(failed?.lastError?.code, 'internal');
      assert.equal((await catalog.image(broken.image.imageId))?.status, 'failed');
      assert.equal((await catalog.failedJobs(10)).length, 1);
      await catalog.retryJob(broken.job.jobId, NOON);
      assert.equal(await catalog.leaseNext(LEASE, NOON), undefined, 'and fails again');
      assert.equal(await catalog.deleteImage(broken.image.imageId, NOON), true);
      assert.equal(await catalog.integrity(), 'ok');
    });
  }

  test('a thousand damaged jobs do not keep a sound one from being leased', async (t) => {
    const { catalog, db } = await open(t);
    const broken = upload();
    await catalog.acceptUpload(broken);
    const columns = (db.prepare('pragma table_info(processing_jobs)').all() as { name: string }[])
      .map((c) => c.name)
      .filter((c) => c !== 'job_id' && c !== 'plans');
    db.exec(`
      with recursive n (i) as (select 1 union all select i + 1 from n where i < 1000)
      insert into processing_jobs (job_id, plans, ${columns.join()})
        select 'job ' || i, '[', ${columns.join()} from n, processing_jobs where job_id = '${broken.job.jobId}'`);
    const sound = upload({ at: after(1), owner: 'ben' });
    await catalog.acceptUpload(sound);
    const leased = [await catalog.leaseNext(LEASE, NOON), await catalog.leaseNext(LEASE, NOON)];
    assert.deepEqual(leased.map((job) => job?.jobId).sort(), [broken.job.jobId, sound.job.jobId].sort());
    assert.equal((await catalog.stats(NOON)).jobs.failed, 1000);
  });

  test('a damaged image is listed and shown without what cannot be read', async (t) => {
    const { catalog, db, damages } = await open(t);
    const [first, second, third] = [upload(), upload({ at: after(1) }), upload({ at: after(2) })];
    for (const row of [first, second, third]) await catalog.acceptUpload(row);
    db.prepare("update images set info = '{', context = '7' where image_id = ?").run(second.image.imageId);
    db.prepare("update image_versions set plan = 'x' where image_id = ?").run(second.image.imageId);
    const { items, nextCursor } = await catalog.listImages({ limit: 2 });
    assert.deepEqual(
      items.map((i) => i.imageId),
      [third.image.imageId, second.image.imageId],
    );
    assert.deepEqual(items[1]?.context, {});
    assert.equal(items[1]?.info, null);
    assert.equal((await catalog.listImages({ limit: 2, cursor: nextCursor! })).items.length, 1);
    assert.equal((await catalog.versions(second.image.imageId)).length, 1);
    assert.deepEqual(
      new Set(damages.map((d) => `${d.table}.${d.column}`)),
      new Set(['images.info', 'images.context', 'image_versions.plan']),
    );
  });

  test('a damaged job does not keep sweeps and reclaims from the others', async (t) => {
    const { catalog, db } = await open(t);
    const jobs = [conversion(), conversion()];
    const keys = jobs.map(() => originalKey());
    for (const [i, job] of jobs.entries()) {
      await catalog.acceptConversion(job, { key: keys[i]!, bytes: 1 }, noCheck);
      await catalog.leaseNext({ owner: `w${i}`, until: after(HOUR) }, NOON);
      await catalog.publishRendition(job.jobId, `w${i}`, rendition(), noCheck);
    }
    db.exec(`update processing_jobs set processing_metadata = 'x' where job_id = '${jobs[0]!.jobId}'`);
    assert.equal(await catalog.reclaimLost(NOON, () => true), 2);
    assert.equal((await catalog.leaseNext(LEASE, NOON))?.jobId, jobs[1]!.jobId);
    await catalog.failJob(jobs[1]!.jobId, 'w', { code: 'internal' }, { status: 'failed' }, NOON);
    await catalog.expire(after(DAY));
    for (const [i, job] of jobs.entries()) {
      assert.equal(await catalog.job(job.jobId), undefined);
      assert.equal(await catalog.blob(keys[i]!), undefined);
    }
  });

  test('a version whose making cannot be read is not made, and its image stays as it is', async (t) => {
    const { catalog, db, damages } = await open(t);
    const row = upload();
    await catalog.acceptUpload(row);
    await catalog.leaseNext(LEASE, NOON);
    await catalog.completeJob(row.job.jobId, 'w', { processingMetadata: {} }, NOON);
    const job = making(row.image.imageId);
    await catalog.acceptProcessing({ owner: 'ann', jobs: [job] });
    db.prepare("update processing_jobs set making = '{' where job_id = ?").run(job.jobId);
    assert.equal(await catalog.leaseNext(LEASE, NOON), undefined);
    assert.ok(damages.some(({ column }) => column === 'making'));
    const failed = await catalog.job(job.jobId);
    assert.deepEqual([failed?.status, failed?.lastError?.code], ['failed', 'internal']);
    assert.equal((await catalog.image(row.image.imageId))?.status, 'ready');
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('a last error that cannot be read is internal, and stops nothing', async (t) => {
    const { catalog, db } = await open(t);
    const row = upload();
    await catalog.acceptUpload(row);
    db.exec("update processing_jobs set last_error = '{'");
    assert.equal((await catalog.leaseNext(LEASE, NOON))?.lastError?.code, 'internal');
    assert.equal((await catalog.eventsOf(row.job.jobId, 0, 10)).length, 2);
  });

  test('a damaged answer of an idempotency key does not let the request run again', async (t) => {
    const { catalog, db } = await open(t);
    await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
    db.exec("update idempotency_keys set answer = '{'");
    await assert.rejects(catalog.claimIdempotencyKey('ann', 'k', 'print', after(DAY)), problem('internal'));
  });

  test('the audit trail can be added to only', async (t) => {
    const { catalog, db } = await open(t);
    await catalog.acceptUpload(upload());
    assert.throws(() => db.exec("update image_upload_events set event_type = 'x'"), /append-only/);
    assert.throws(() => db.exec('delete from image_upload_events'), /append-only/);
    assert.throws(
      () => db.exec('replace into image_upload_events select * from image_upload_events'),
      /append-only/,
    );
  });

  test('integrity names what is wrong', async (t) => {
    const { catalog, db } = await open(t);
    const row = upload();
    await catalog.acceptUpload(row);
    db.exec('update blobs set refs = 3');
    assert.match(await catalog.integrity(), /^1 blobs whose reference count is wrong$/);
    db.exec("update blobs set refs = 1; update totals set value = 9 where name = 'jobs.pending'");
    assert.match(await catalog.integrity(), /totals/);
    db.exec('update image_versions set version = 5');
    assert.match(await catalog.integrity(), /1 versions that were never given out/);
    db.exec('update image_versions set version = 1');
    db.exec("update totals set value = 1 where name = 'jobs.pending'");
    db.exec('pragma foreign_keys = off; delete from blobs');
    assert.match(await catalog.integrity(), /dangling/);
  });

  test('a file that is no database is dependency_down, without its path', async (t) => {
    const path = join(tempDir(t), 'catalog.db');
    writeFileSync(path, 'not a database, but long enough to be read as the header of one'.repeat(10));
    await assert.rejects(openSqliteCatalog(path), (error: Error) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'dependency_down');
      assert.doesNotMatch(error.message, /catalog\.db/);
      return true;
    });
  });
});
