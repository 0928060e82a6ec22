import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import { NOON, upload } from '../../contracts/catalog-rows.ts';
import { tempDir } from '../../support/temp.ts';

describe('a backup of the catalog', () => {
  test('taken while uploads come in is consistent, and has all that were accepted before', async (t) => {
    const dir = tempDir(t);
    const catalog = await openSqliteCatalog(join(dir, 'catalog.db'));
    t.after(() => catalog.close());
    // Another connection: what it writes makes a backup in steps start anew, for ever.
    const other = await openSqliteCatalog(join(dir, 'catalog.db'));
    t.after(() => other.close());
    const before = Array.from({ length: 50 }, () => upload());
    for (const row of before) await catalog.acceptUpload(row);
    let writing = true;
    let meanwhile = 0;
    const writers = [catalog, other].map(async (writer) => {
      while (writing) {
        await writer.acceptUpload(upload());
        meanwhile++;
        await new Promise(setImmediate);
      }
    });
    const copies = ['one.db', 'two.db', 'three.db'].map((name) => join(dir, name));
    for (const copy of copies) await catalog.backup(copy);
    writing = false;
    await Promise.all(writers);
    assert.ok(meanwhile > 0);
    for (const path of copies) {
      const copy = await openSqliteCatalog(path);
      t.after(() => copy.close());
      assert.equal(await copy.integrity(), 'ok');
      assert.equal((await copy.images(before.map((row) => row.image.imageId))).length, 50);
      const { images, jobs } = await copy.stats(NOON);
      assert.equal(images, jobs.pending);
    }
  });
});
