/** A file system that fills up under the catalog; only root can mount one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { Problem } from '../../src/problem.ts';
import { after, HOUR, NOON, problem, upload } from './catalog-rows.ts';

function smallDisk(t: TestContext, options: string): string | undefined {
  const root = mkdtempSync(join(tmpdir(), 'tintype-test-'));
  t.after(() => {
    spawnSync('umount', ['-l', root]);
    rmdirSync(root);
  });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]).status === 0) return root;
  t.skip('needs the right to mount a tmpfs');
  return undefined;
}

/** Takes all room but some pages. */
function fill(path: string, root: string): void {
  const fd = openSync(path, 'w');
  try {
    const { bavail, bsize } = statfsSync(root);
    for (let left = bavail - 20; left > 0; left--) writeSync(fd, Buffer.alloc(bsize));
  } finally {
    closeSync(fd);
  }
}

describe('a catalog on a disk that is full', () => {
  test('refuses uploads as storage_full, by half writes none, reads on, and goes on when there is room', async (t) => {
    const root = smallDisk(t, 'size=6m');
    if (!root) return;
    const catalog = await openSqliteCatalog(join(root, 'catalog.db'));
    t.after(() => catalog.close());
    const accepted = [];
    for (let i = 0; i < 20; i++) {
      const row = upload();
      await catalog.acceptUpload(row);
      accepted.push(row);
    }
    const ballast = join(root, 'ballast');
    fill(ballast, root);
    const refused = [];
    while (refused.length < 10) {
      const row = upload();
      try {
        await catalog.acceptUpload(row);
        accepted.push(row);
      } catch (error) {
        assert.ok(error instanceof Problem);
        assert.equal(error.code, 'storage_full');
        refused.push(row);
      }
    }
    assert.ok((await catalog.image(accepted[0]!.image.imageId)) !== undefined);
    await assert.rejects(
      (async () => {
        for (;;) await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON);
      })(),
      problem('storage_full'),
    );
    rmSync(ballast);
    for (const row of refused) {
      assert.equal(await catalog.image(row.image.imageId), undefined);
      assert.equal(await catalog.job(row.job.jobId), undefined);
      assert.equal(await catalog.blob(row.original.blobKey), undefined);
    }
    assert.equal(await catalog.integrity(), 'ok');
    for (const row of refused) await catalog.acceptUpload(row);
    const found = await catalog.images([...accepted, ...refused].map((row) => row.image.imageId));
    assert.equal(found.length, accepted.length + refused.length);
    await catalog.close();
    const again = await openSqliteCatalog(join(root, 'catalog.db'));
    t.after(() => again.close());
    assert.equal(await again.integrity(), 'ok');
    assert.equal((await again.stats(NOON)).images, found.length);
  });

  test('a backup that does not fit says so and harms nothing', async (t) => {
    const root = smallDisk(t, 'size=3m');
    if (!root) return;
    const small = smallDisk(t, 'size=64k');
    if (!small) return;
    const catalog = await openSqliteCatalog(join(root, 'catalog.db'));
    t.after(() => catalog.close());
    for (let i = 0; i < 20; i++) await catalog.acceptUpload(upload());
    await assert.rejects(catalog.backup(join(small, 'copy.db')), problem('storage_full'));
    await catalog.acceptUpload(upload());
    assert.equal(await catalog.integrity(), 'ok');
  });
});
