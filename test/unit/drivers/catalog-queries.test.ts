/** Every statement that the catalog runs is served by an index, however much there is. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import { type ImageFilter, VERSION_NAME } from '../../../src/ports/catalog.ts';
import { making } from '../../contracts/catalog-making.ts';
import {
  after,
  conversion,
  DAY,
  HOUR,
  info,
  NOON,
  noCheck,
  originalKey,
  placeholders,
  rendition,
  renditionKey,
  upload,
} from '../../contracts/catalog-rows.ts';
import { tempDir } from '../../support/temp.ts';

const LEASE = { owner: 'w', until: after(HOUR) };

/** What is read whole because it is small or because that is its purpose. */
const ALLOWED = [
  // Ten rows.
  /^SCAN totals$/,
  // From its end, until a page is full.
  /^SCAN images USING INDEX images_by_time$/,
  // From its beginning, until there are enough.
  /^SCAN outbox$/,
  /^SCAN blob_deletions USING COVERING INDEX blob_deletions_by_age$/,
  // Jobs in one state: the first that wait, those being worked on, the last that failed.
  /^SCAN processing_jobs USING (COVERING )?INDEX jobs_(waiting|leased|failed)$/,
  // From what was used longest ago, until there is room.
  /^SCAN derived_renditions USING INDEX derived_renditions_by_use$/,
  // The jobs of an owner, no more than a thousand.
  /^SCAN unfinished$/,
  // The renditions of one image, in order of their size.
  /^USE TEMP B-TREE FOR LAST /,
  // The hours of one day.
  /^USE TEMP B-TREE FOR GROUP BY$/,
  // Ids begin with the time.
  /^SCAN processing_jobs USING INDEX sqlite_autoindex_processing_jobs_1$/,
];

async function open(t: TestContext) {
  const path = join(tempDir(t), 'catalog.db');
  const seen = new Set<string>();
  const { prepare } = DatabaseSync.prototype;
  t.mock.method(DatabaseSync.prototype, 'prepare', function (this: DatabaseSync, sql: string) {
    seen.add(sql);
    return prepare.call(this, sql);
  });
  const catalog = await openSqliteCatalog(path);
  seen.clear();
  t.after(() => catalog.close());
  return { catalog, path, seen };
}

/** Calls everything that runs a statement, with every filter. */
async function exercise(catalog: Awaited<ReturnType<typeof openSqliteCatalog>>): Promise<void> {
  const rateLimit = { max: 100, windowMs: HOUR };
  const first = upload();
  const { jobId } = first.job;
  const { imageId } = first.image;
  await catalog.claimIdempotencyKey('ann', 'k', 'print', NOON);
  await catalog.acceptUpload({ ...first, rateLimit, idempotency: { key: 'k', answer: 1 } });
  await catalog.claimIdempotencyKey('ann', 'l', 'print', NOON);
  await catalog.settleIdempotencyKey('ann', 'l', undefined);
  await catalog.claimIdempotencyKey('ann', 'm', 'print', NOON);
  await catalog.claimIdempotencyKey('ann', 'm', 'print', after(HOUR));
  await catalog.leaseNext(LEASE, NOON);
  await catalog.heartbeat(jobId, 'w', after(HOUR), { percent: 1, step: 'decoding' });
  await catalog.publishRendition(jobId, 'w', rendition(), noCheck);
  await catalog.publishRendition(jobId, 'w', rendition(), noCheck);
  await catalog.failJob(jobId, 'w', { code: 'internal' }, { status: 'retrying', nextAttemptAt: NOON }, NOON);
  await catalog.leaseNext(LEASE, NOON);
  await catalog.releaseJob(jobId, 'w', NOON);
  await catalog.leaseNext(LEASE, NOON);
  await catalog.reclaimLost(NOON, () => true);
  await catalog.leaseNext(LEASE, NOON);
  await catalog.cancelJob(jobId, NOON);
  await catalog.confirmCancelled(jobId, 'w', NOON);
  await catalog.retryJob(jobId, NOON);
  await catalog.leaseNext(LEASE, NOON);
  const result = { info: info(), placeholders, processingMetadata: {} };
  await catalog.completeJob(jobId, 'w', result, NOON);

  const batchId = randomUUID();
  const made = making(imageId, { batchId });
  await catalog.claimIdempotencyKey('ann', 'n', 'print', NOON);
  await catalog.acceptProcessing({
    owner: 'ann',
    jobs: [made],
    maxUnfinished: 10,
    idempotency: { key: 'n', answer: () => 1 },
  });
  await catalog.batch(batchId);
  await catalog.batchEvents(batchId, 0, 10);
  await catalog.leaseNext(LEASE, NOON);
  await catalog.publishRendition(made.jobId, 'w', rendition({ name: VERSION_NAME, format: 'png' }), noCheck);
  await catalog.publishRendition(made.jobId, 'w', rendition(), noCheck);
  await catalog.completeJob(made.jobId, 'w', { placeholders, processingMetadata: {} }, NOON);

  const used = upload();
  const unused = upload();
  const expected = { contentType: 'image/jpeg', expiresAt: after(HOUR) };
  await catalog.expectUpload(used.image, used.job, expected, rateLimit);
  await catalog.expectUpload(unused.image, unused.job, expected);
  await catalog.expectedUpload(unused.image.imageId);
  await catalog.fulfilUpload(used.image.imageId, used.original, NOON, noCheck);

  const convert = conversion();
  await catalog.acceptConversion(convert, { key: originalKey(), bytes: 1 }, noCheck);
  await catalog.cancelJob(convert.jobId, NOON);

  await catalog.relayed((await catalog.outbox(2)).map((row) => row.id));
  await catalog.eventsOf(jobId, 0, 10);
  await catalog.failedJobs(10);
  await catalog.rateState('ann', rateLimit, NOON);
  await catalog.images([imageId, used.image.imageId]);
  await catalog.renditions([imageId]);
  await catalog.renditions([imageId], 1);
  await catalog.renditions([imageId, used.image.imageId]);
  await catalog.versions(imageId);
  await catalog.currentVersions([imageId, used.image.imageId]);
  await catalog.latestJob(imageId, 1);
  await catalog.recentJobs(10);
  await catalog.imageSource(imageId);
  await catalog.imageSource(imageId, 1);
  const kept = {
    ...{ imageId, version: 1, sourceKey: first.original.blobKey, blobKey: renditionKey() },
    ...{ width: 1, height: 1, bytes: 100, ensureBlob: noCheck },
  };
  await catalog.keepDerived([kept], 1_000, NOON);
  await catalog.keepDerived([kept], 50, NOON);
  await catalog.keepDerived([kept], 1_000, NOON);
  await catalog.touchDerived([kept.blobKey], after(HOUR));
  await catalog.dropDerived(imageId, NOON);
  await catalog.storedBlobs('', 10);
  await catalog.holdDeletions('a backup', after(HOUR));
  await catalog.releaseDeletions('a backup', NOON);
  await catalog.activity(NOON);
  const cursor = (await catalog.listImages({ limit: 1 })).nextCursor!;
  const filters: Omit<ImageFilter, 'limit'>[] = [
    { owner: 'ann' },
    { bucket: 'photos' },
    { owner: 'ann', bucket: 'photos' },
    { owner: 'ann', buckets: ['photos', 'scans'] },
    { project: 'p' },
    { owner: 'ann', project: 'p' },
    { owner: 'ann', status: 'ready' },
    { owner: 'ann', camera: 'x100' },
    { owner: 'ann', takenFrom: '2025', takenTo: '2026' },
  ];
  for (const filter of [{}, ...filters]) {
    await catalog.listImages({ ...filter, limit: 10 });
    await catalog.listImages({ ...filter, limit: 10, cursor });
  }
  await catalog.stats(NOON);
  await catalog.check();
  await catalog.deleteImage(imageId, NOON);
  await catalog.storedBlobs('', 10);
  await catalog.holdDeletions('a backup', NOON);
  await catalog.releaseDeletions('a backup', NOON);
  await catalog.deleteBlobs(10, async () => {});
  await catalog.removeIfUnknown('x', async () => {});
  await catalog.expire(after(2 * DAY));
}

describe('statements of the catalog', () => {
  test('none scans a table and none sorts', async (t) => {
    const { catalog, path, seen } = await open(t);
    await exercise(catalog);
    const statements = [...seen];
    assert.ok(statements.length > 60, `${statements.length} statements were seen`);
    const db = new DatabaseSync(path, { timeout: 5000 });
    t.after(() => db.close());
    const bad: string[] = [];
    for (const sql of statements.filter((s) => !s.startsWith('pragma'))) {
      const steps = db.prepare(`explain query plan ${sql}`).all() as { detail: string }[];
      for (const { detail } of steps) {
        if (!/^SCAN|TEMP B-TREE/.test(detail) || ALLOWED.some((allowed) => allowed.test(detail))) continue;
        // Sorting is no harm among the jobs of one image.
        if (/ORDER BY$/.test(detail) && /jobs_by_image \(image_id=\?\)$/.test(steps[0]!.detail)) continue;
        // Nor among the events of one batch.
        if (/ORDER BY$/.test(detail) && steps.some((step) => /jobs_by_batch/.test(step.detail))) continue;
        bad.push(`${detail}\n    ${sql}`);
      }
    }
    assert.deepEqual(bad, []);
  });

  test('lists and sweeps read the entries of the index that is narrowest', async (t) => {
    const { catalog, path, seen } = await open(t);
    await exercise(catalog);
    const db = new DatabaseSync(path, { timeout: 5000 });
    t.after(() => db.close());
    const planOf = (...parts: string[]) => {
      const [sql] = [...seen].filter((s) => parts.every((part) => s.includes(part)));
      assert.ok(sql, `no statement has ${parts.join(' and ')}`);
      const steps = db.prepare(`explain query plan ${sql}`).all() as { detail: string }[];
      return steps.map((step) => step.detail).join('; ');
    };
    assert.match(
      planOf('"owner" = ?', "bucket || '' = ?"),
      /^SEARCH images USING INDEX images_by_owner \(owner=/,
    );
    assert.match(planOf('"status" != ? and "bucket" = ?'), /INDEX images_by_bucket \(bucket=/);
    assert.match(planOf('"image_id" is null'), /INDEX jobs_without_image \(completed_at</);
    assert.match(planOf('avg("duration_ms")'), /COVERING INDEX jobs_completed \(completed_at>/);
  });

  test('the lease query takes the first entry of its index', async (t) => {
    const { catalog, path, seen } = await open(t);
    await catalog.acceptUpload(upload());
    seen.clear();
    await catalog.leaseNext(LEASE, NOON);
    const [sql] = [...seen].filter((s) => s.includes('"lease_owner" ='));
    const db = new DatabaseSync(path, { timeout: 5000 });
    t.after(() => db.close());
    const steps = db.prepare(`explain query plan ${sql}`).all() as { detail: string }[];
    assert.deepEqual(
      steps.map((step) => step.detail),
      [
        'SEARCH processing_jobs USING INDEX sqlite_autoindex_processing_jobs_1 (job_id=?)',
        'SCALAR SUBQUERY 1',
        'SCAN processing_jobs USING COVERING INDEX jobs_waiting',
      ],
    );
  });

  test('one upload of a second user is next, though the first has a thousand waiting', async (t) => {
    const { catalog, path } = await open(t);
    await catalog.acceptUpload(upload({ owner: 'ann' }));
    const db = new DatabaseSync(path, { timeout: 5000 });
    t.after(() => db.close());
    const columns = (db.prepare('pragma table_info(processing_jobs)').all() as { name: string }[])
      .map((c) => c.name)
      .filter((c) => c !== 'job_id' && c !== 'priority');
    db.exec(`
      with recursive n (i) as (select 1 union all select i + 1 from n where i < 1000)
      insert into processing_jobs (job_id, priority, ${columns.join()})
        select 'job ' || i, i, ${columns.join()} from n, processing_jobs`);
    for (let i = 0; i < 10; i++) await catalog.leaseNext(LEASE, NOON);
    const another = upload({ owner: 'ben', at: after(HOUR) });
    await catalog.acceptUpload(another);
    assert.equal((await catalog.leaseNext(LEASE, after(HOUR)))?.jobId, another.job.jobId);
    const last = upload({ owner: 'ann', at: after(HOUR) });
    await catalog.acceptUpload(last);
    assert.equal((await catalog.job(last.job.jobId))?.priority, 1000);
  });
});
