import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { renditionKey } from '../../src/domain/keys.ts';
import { openFsBlobs } from '../../src/drivers/blobs/fs.ts';
import { processOwner } from '../../src/ports/process-owner.ts';
import { filesIn } from '../support/files.ts';
import { problem } from '../support/pool.ts';
import { tempDir } from '../support/temp.ts';
import { blobsContract, bytesOf, keyOf, read, sha256, store } from './blobs.ts';

const PLAN_HASH = '0123456789abcdef0123456789abcdef';
const FUTURE = new Date('2999-01-01');
const onLinux = process.platform === 'linux' ? false : 'needs /proc of Linux';

blobsContract('local files', (t) => openFsBlobs(tempDir(t)));

const openFiles = (root: string): string[] =>
  readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ''; // the folder's own, closed by now
      }
    })
    .filter((path) => path.startsWith(root));

describe('blobs on local files', () => {
  test('the layout is objects by key, and nothing in staging afterwards', async (t) => {
    const root = tempDir(t);
    const blobs = await openFsBlobs(root);
    const original = await store(blobs, bytesOf('a'));
    const rendition = renditionKey(sha256(bytesOf('a')), PLAN_HASH, 'webp');
    await store(blobs, bytesOf('b'), rendition);
    assert.deepEqual(filesIn(root), [`objects/${original}`, `objects/${rendition}`]);
    await blobs.delete(rendition);
    assert.deepEqual(filesIn(root), [`objects/${original}`]);
    assert.throws(() => statSync(join(root, 'objects', dirname(rendition))), { code: 'ENOENT' });
  });

  test('only the owner of the process can read what is stored', async (t) => {
    const root = tempDir(t);
    const blobs = await openFsBlobs(root);
    const from = join(tempDir(t), 'rendition');
    await writeFile(from, 'rendered', { mode: 0o644 });
    await using taken = await blobs.stage(from);
    await blobs.put(keyOf(bytesOf('x')), taken.path);
    await store(blobs, bytesOf('a'));
    for (const file of filesIn(root)) assert.equal(statSync(join(root, file)).mode & 0o777, 0o600, file);
    assert.equal(statSync(join(root, 'objects')).mode & 0o777, 0o700);
  });

  test('what is stored is there after opening the folder again', async (t) => {
    const root = tempDir(t);
    const key = await store(await openFsBlobs(root), bytesOf('kept'));
    assert.equal(String(await read(await openFsBlobs(root), key)), 'kept');
  });

  test('takes a file over from another file system', async (t) => {
    const other = '/dev/shm';
    const root = tempDir(t);
    if (!isFolder(other) || statSync(other).dev === statSync(root).dev) {
      return t.skip('needs /dev/shm as a file system of its own');
    }
    const from = join(other, `tintype-test-${process.pid}`);
    t.after(() => rm(from, { force: true }));
    const bytes = Buffer.alloc(3 * 2 ** 20 + 1, 'across');
    await writeFile(from, bytes);
    const blobs = await openFsBlobs(root);
    await using staged = await blobs.stage(from);
    await blobs.put(keyOf(bytes), staged.path);
    assert.ok((await read(blobs, keyOf(bytes))).equals(bytes));
    assert.throws(() => statSync(from), { code: 'ENOENT' });
  });

  test('a stream that is destroyed, refused or read to its end leaves no file open', {
    skip: onLinux,
  }, async (t) => {
    const root = tempDir(t);
    const blobs = await openFsBlobs(root);
    const key = await store(blobs, Buffer.alloc(2 ** 20));
    for (let i = 0; i < 20; i++) {
      await assert.rejects(
        blobs.get(key, { start: 2 ** 20, end: 2 ** 21 }),
        problem('range_not_satisfiable'),
      );
      await buffer(await blobs.get(key, { start: 5, end: 50 }));
      const unread = await blobs.get(key);
      const closed = once(unread, 'close');
      unread.destroy();
      await closed;
    }
    const unfinished = await blobs.stage();
    await unfinished.write(bytesOf('x'));
    await unfinished.discard();
    await assert.rejects(blobs.stage(join(root, 'missing')), problem('internal'));
    assert.deepEqual(openFiles(root), []);
  });

  describe('links are not followed', () => {
    const secret = (t: TestContext): string => {
      const path = join(tempDir(t), 'secret');
      writeFileSync(path, 'secret');
      return path;
    };

    test('in the place of an object', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      const [bytes, target] = [bytesOf('planted'), secret(t)];
      const path = join(root, 'objects', keyOf(bytes));
      await mkdir(dirname(path), { recursive: true });
      await symlink(target, path);
      await assert.rejects(blobs.get(keyOf(bytes)), problem('internal'));
      await assert.rejects(blobs.head(keyOf(bytes)), problem('internal'));
      await assert.rejects(blobs.localPath(keyOf(bytes)), problem('internal'));
      await assert.rejects(store(blobs, bytes), problem('internal'));
      await blobs.delete(keyOf(bytes));
      assert.equal(readFileSync(target, 'utf8'), 'secret');
      await store(blobs, bytes);
      assert.deepEqual(await read(blobs, keyOf(bytes)), bytes);
    });

    for (const depth of [1, 2, 3]) {
      test(`in the place of a folder, ${depth} below the objects`, async (t) => {
        const [root, outside] = [tempDir(t), tempDir(t)];
        const blobs = await openFsBlobs(root);
        const bytes = bytesOf('planted');
        const key = renditionKey(sha256(bytes), PLAN_HASH, 'png');
        const parts = key.split('/');
        const path = join(root, 'objects', ...parts.slice(0, depth));
        mkdirSync(dirname(path), { recursive: true });
        symlinkSync(outside, path);
        const target = join(outside, ...parts.slice(depth));
        mkdirSync(dirname(target), { recursive: true });
        writeFileSync(target, bytes);
        await assert.rejects(blobs.get(key), problem('internal'));
        await assert.rejects(blobs.head(key), problem('internal'));
        await assert.rejects(blobs.localPath(key), problem('internal'));
        await assert.rejects(blobs.delete(key), problem('internal'));
        await assert.rejects(store(blobs, bytes, key), problem('internal'));
        assert.deepEqual(filesIn(outside), [relative(outside, target)]);
      });
    }

    test('in the place of a file to take over, nor is a folder or a FIFO', async (t) => {
      const dir = tempDir(t);
      const blobs = await openFsBlobs(tempDir(t));
      const target = secret(t);
      symlinkSync(target, join(dir, 'link'));
      mkdirSync(join(dir, 'folder'));
      const planted = ['link', 'folder'];
      if (spawnSync('mkfifo', [join(dir, 'fifo')]).status === 0) planted.push('fifo');
      for (const name of planted)
        await assert.rejects(blobs.stage(join(dir, name)), problem('internal'), name);
      assert.deepEqual(readdirSync(dir).sort(), planted.sort());
      assert.equal(readFileSync(target, 'utf8'), 'secret');
    });
  });

  describe('leftovers in staging', () => {
    const UUID = '01a1fc30-255b-7c44-bb87-f856b6cbf744';
    const [host, , start, boot] = processOwner().split(':');
    const plant = (root: string, owner: string, names: string[]): string => {
      const dir = join(root, 'staging', owner.replaceAll(':', '_'));
      mkdirSync(dir, { recursive: true });
      for (const name of names) writeFileSync(join(dir, name), 'left');
      return dir;
    };

    test('of a process of this host that is gone are found at once, with the keys they were put under', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      const key = renditionKey(sha256(bytesOf('s')), PLAN_HASH, 'jpeg');
      // A process id that is in use, by a process that was born at another time.
      const owner = `${host}:${process.pid}:${Number(start) + 1}:${boot}`;
      const dir = plant(root, owner, [UUID, `${UUID}~${key.replaceAll('/', '+')}`]);
      const stale = await blobs.staleStaged(new Date(0));
      assert.deepEqual(stale.map((file) => file.key).sort(), [key, undefined]);
      for (const file of [...stale, ...stale]) await file.discard();
      assert.throws(() => statSync(dir), { code: 'ENOENT' });
    });

    test('from before the machine was started anew are found, whatever process has the id now', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      plant(root, `${host}:${process.pid}:${start}:00000000-0000-4000-8000-000000000000`, [UUID]);
      assert.equal((await blobs.staleStaged(new Date(0))).length, 1);
    });

    test('of another host are found when nothing was written to them for long', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      const dir = plant(root, `elsewhere.01234567:1:1:${boot}`, [UUID]);
      assert.deepEqual(await blobs.staleStaged(new Date(Date.now() - 3_600_000)), []);
      const old = new Date(Date.now() - 7_200_000);
      await utimes(join(dir, UUID), old, old);
      assert.equal((await blobs.staleStaged(new Date(Date.now() - 3_600_000))).length, 1);
    });

    test('that are not of our making are left alone', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      plant(root, 'lost+found', [UUID]);
      plant(root, `${host}:${process.pid}:${Number(start) + 1}:${boot}`, ['notes.txt', `${UUID}~..+..+etc`]);
      writeFileSync(join(root, 'staging', 'README'), 'x');
      assert.deepEqual(await blobs.staleStaged(FUTURE), []);
      assert.equal(filesIn(join(root, 'staging')).length, 4);
    });

    test('an empty folder of a dead process goes', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      const dir = plant(root, `${host}:${process.pid}:${Number(start) + 1}:${boot}`, []);
      await blobs.staleStaged(new Date(0));
      assert.throws(() => statSync(dir), { code: 'ENOENT' });
    });

    test('staging goes on after its folder was removed under it', async (t) => {
      const root = tempDir(t);
      const blobs = await openFsBlobs(root);
      await store(blobs, bytesOf('a'));
      await rm(join(root, 'staging'), { recursive: true });
      await store(blobs, bytesOf('b'));
    });
  });
});

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
