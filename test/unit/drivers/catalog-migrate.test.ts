import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { migrate } from '../../../src/drivers/catalog/migrate.ts';
import { migrateSqliteCatalog, openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import { making } from '../../contracts/catalog-making.ts';
import { NOON, problem, upload } from '../../contracts/catalog-rows.ts';
import { tempDir } from '../../support/temp.ts';

describe('migrations', () => {
  test('each is applied once', async (t) => {
    const path = join(tempDir(t), 'data', 'catalog.db');
    const applied = await migrateSqliteCatalog(path);
    assert.equal(applied[0], '001-initial.sql');
    assert.deepEqual(applied, applied.toSorted());
    assert.deepEqual(await migrateSqliteCatalog(path), []);
  });

  test('starts at the same moment are safe', async (t) => {
    const path = join(tempDir(t), 'catalog.db');
    const catalogs = await Promise.all(Array.from({ length: 8 }, () => openSqliteCatalog(path)));
    await Promise.all(catalogs.map((catalog) => catalog.acceptUpload(upload())));
    assert.equal((await catalogs[0]!.stats(NOON)).images, 8);
    await Promise.all(catalogs.map((catalog) => catalog.close()));
  });

  test('a catalog of a later release is refused by the name of what is not known', async (t) => {
    const path = join(tempDir(t), 'catalog.db');
    await migrateSqliteCatalog(path);
    const db = new DatabaseSync(path);
    db.exec("insert into migrations values ('900-faces.sql', '2030-01-01T00:00:00.000Z')");
    db.close();
    await assert.rejects(openSqliteCatalog(path), (error: Error) => {
      assert.match(error.message, /900-faces\.sql/);
      return problem('invalid_configuration').code === (error as Error & { code: string }).code;
    });
  });

  test('one that fails leaves what was before, and can be repaired', async (t) => {
    const dir = tempDir(t);
    const folder = pathToFileURL(`${dir}/`);
    writeFileSync(join(dir, '001-a.sql'), 'create table a (x);');
    writeFileSync(join(dir, '002-b.sql'), 'create table b (x); create table a (x);');
    const db = new DatabaseSync(':memory:');
    t.after(() => db.close());
    assert.throws(() => migrate(db, folder), /already exists/);
    const tables = () =>
      db
        .prepare("select name from sqlite_master where type = 'table' order by name")
        .all()
        .map((r) => r.name);
    assert.deepEqual(tables(), ['a', 'migrations']);
    writeFileSync(join(dir, '002-b.sql'), 'create table b (x);');
    assert.deepEqual(migrate(db, folder), ['002-b.sql']);
  });

  test('jobs and pictures of a catalog that knows no processing stay as they are', async (t) => {
    const dir = tempDir(t);
    const own = new URL('../../../src/drivers/catalog/migrations/sqlite/', import.meta.url);
    for (const name of readdirSync(own).filter((file) => file < '004')) {
      copyFileSync(new URL(name, own), join(dir, name));
    }
    const path = join(dir, 'catalog.db');
    const db = new DatabaseSync(path);
    migrate(db, pathToFileURL(`${dir}/`));
    const at = NOON.toISOString();
    db.exec(`
      insert into images (image_id, owner, bucket, preset, visibility, status, filename, dominant_color, thumbhash, blurhash, created_at, updated_at)
        values ('i', 'ann', 'photos', 'web', 'public', 'ready', 'a.jpg', '#336699', 'AAAA', 'L00000', '${at}', '${at}');
      insert into blobs values ('k', 9, 1, 4, 3, '${at}');
      insert into image_versions values ('i', 1, 'k', 'image/jpeg', 'jpeg', 4, 3, null, '${at}');
      insert into processing_jobs (job_id, image_id, kind, status, owner, storage_bucket, max_retries, created_at, queued_at)
        values ('j', 'i', 'upload', 'completed', 'ann', 'photos', 3, '${at}', '${at}'),
          ('c', null, 'convert', 'pending', 'ann', '', 3, '${at}', '${at}');`);
    db.close();
    const catalog = await openSqliteCatalog(path);
    t.after(() => catalog.close());
    const [upload, conversion] = [await catalog.job('j'), await catalog.job('c')];
    assert.deepEqual(
      [upload?.kind, upload?.status, upload?.version, upload?.making, upload?.batchId],
      ['upload', 'completed', 1, undefined, undefined],
    );
    assert.deepEqual([conversion?.kind, conversion?.status], ['convert', 'pending']);
    const [version] = await catalog.versions('i');
    assert.deepEqual(version?.placeholders, {
      dominantColor: '#336699',
      thumbhash: 'AAAA',
      blurhash: 'L00000',
    });
    assert.deepEqual(await catalog.acceptProcessing({ owner: 'ann', jobs: [making('i')] }), [2]);
    const { jobs } = await catalog.stats(NOON);
    assert.deepEqual([jobs.completed, jobs.pending], [1, 2]);
    assert.equal(await catalog.integrity(), 'ok');
  });

  test('operators find the columns that they know', async (t) => {
    const path = join(tempDir(t), 'catalog.db');
    await migrateSqliteCatalog(path);
    const db = new DatabaseSync(path);
    t.after(() => db.close());
    for (const [table, columns] of Object.entries({
      processing_jobs:
        'job_id image_id status storage_bucket staging_path processed_paths processing_metadata attempt_count max_retries last_error created_at started_at completed_at',
      image_upload_events: 'id event_type image_id job_id metadata created_at',
      upload_rate_limits: 'user_id window_start upload_count',
    })) {
      db.prepare(`select ${columns.split(' ').join()} from ${table}`).all();
    }
  });
});
