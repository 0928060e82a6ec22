/** A small file system of its own, which only root can mount. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openFsBlobs } from '../../src/drivers/blobs/fs.ts';
import { filesIn } from '../support/files.ts';
import { problem } from '../support/pool.ts';
import { tempDir } from '../support/temp.ts';
import { bytesOf, keyOf, read, stageBytes, store } from './blobs.ts';

const MIB = 2 ** 20;

/** A mounted tmpfs, gone when the test ends; undefined, and the test skipped, where mounting is not allowed. */
function smallDisk(t: TestContext, options = 'size=2m'): string | undefined {
  const root = mkdtempSync(join(tmpdir(), 'tintype-test-'));
  // One hook: the folder can be removed only after it is unmounted. Lazily, whatever a failed test has left open.
  t.after(() => {
    spawnSync('umount', ['-l', root]);
    rmdirSync(root);
  });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]).status === 0) return root;
  t.skip('needs the right to mount a tmpfs');
  return undefined;
}

describe('blobs on a disk that is full', () => {
  test('an upload that does not fit is storage_full, leaves nothing, and harms nothing', async (t) => {
    const root = smallDisk(t);
    if (!root) return;
    const blobs = await openFsBlobs(root, { reserveBytes: 64 * 1024 });
    const kept = await store(blobs, Buffer.alloc(MIB, 'kept'));
    const free = statfsSync(root).bavail;
    for (let i = 0; i < 3; i++) {
      const staged = await blobs.stage();
      await assert.rejects(async () => {
        for (let chunk = 0; chunk < 40; chunk++) await staged.write(Buffer.alloc(64 * 1024));
        await staged.finish();
      }, problem('storage_full'));
      await staged.discard();
    }
    assert.equal(statfsSync(root).bavail, free);
    assert.deepEqual(await read(blobs, kept), Buffer.alloc(MIB, 'kept'));
    await store(blobs, bytesOf('fits'));
    assert.equal(filesIn(root).length, 2);
  });

  test('a file to take over that does not fit stays where it was', async (t) => {
    const root = smallDisk(t);
    if (!root) return;
    const blobs = await openFsBlobs(root, { reserveBytes: 64 * 1024 });
    const from = join(tempDir(t), 'rendition');
    writeFileSync(from, Buffer.alloc(3 * MIB));
    await assert.rejects(blobs.stage(from), problem('storage_full'));
    assert.deepEqual(filesIn(root), []);
    await assert.rejects(blobs.stage(from), problem('storage_full'));
  });

  test('below the reserve nothing new is staged; what is there is read, put and deleted', async (t) => {
    const root = smallDisk(t);
    if (!root) return;
    const blobs = await openFsBlobs(root, { reserveBytes: 64 * 1024 });
    const big = await store(blobs, Buffer.alloc(MIB));
    await using waiting = await stageBytes(blobs, bytesOf('staged before'));
    writeFileSync(join(root, 'other data'), Buffer.alloc(statfsSync(root).bavail * 4096 - 32 * 1024));
    await assert.rejects(blobs.stage(), problem('storage_full'));
    await assert.rejects(blobs.check(), problem('storage_full'));
    await blobs.put(keyOf(bytesOf('staged before')), waiting.path);
    assert.equal(String(await read(blobs, keyOf(bytesOf('staged before')))), 'staged before');
    const reopened = await openFsBlobs(root, { reserveBytes: 64 * 1024 });
    await reopened.delete(big);
    await blobs.check();
    await store(blobs, bytesOf('room again'));
  });

  test('without a free inode it is storage_full as well', async (t) => {
    const root = smallDisk(t, 'size=2m,nr_inodes=20');
    if (!root) return;
    const blobs = await openFsBlobs(root, { reserveBytes: 0 });
    const key = await store(blobs, bytesOf('kept'));
    const { ffree } = statfsSync(root);
    for (let i = 0; i < ffree; i++) writeFileSync(join(root, `other ${i}`), '');
    await assert.rejects(blobs.stage(), problem('storage_full'));
    await blobs.delete(key);
    assert.equal(await blobs.head(key), undefined);
  });

  test('a disk that became read-only is dependency_down for writers and readable for readers', async (t) => {
    const root = smallDisk(t);
    if (!root) return;
    const blobs = await openFsBlobs(root, { reserveBytes: 0 });
    const key = await store(blobs, bytesOf('kept'));
    assert.equal(spawnSync('mount', ['-o', 'remount,ro', root]).status, 0);
    await assert.rejects(blobs.stage(), problem('dependency_down'));
    await assert.rejects(blobs.check(), problem('dependency_down'));
    await assert.rejects(blobs.delete(key), problem('dependency_down'));
    await assert.rejects(openFsBlobs(root, { reserveBytes: 0 }), problem('dependency_down'));
    assert.equal(String(await read(blobs, key)), 'kept');
  });
});
