import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { publish } from '../../../src/cli/publish.ts';
import { tempDir } from '../../support/temp.ts';

const modified = new Date('2020-02-03T04:05:06Z');
const never = new AbortController().signal;

describe('publishing a result', () => {
  it('makes the folders, gives the source’s time and leaves nothing beside', async (t) => {
    const root = tempDir(t);
    writeFileSync(join(root, 'from'), 'picture', { mode: 0o600 });
    const target = join(root, 'a', 'b', 'out.jpg');
    await publish(join(root, 'from'), target, { overwrite: false, modified, signal: never });
    assert.equal(readFileSync(target, 'utf8'), 'picture');
    assert.equal(statSync(target).mtimeMs, modified.getTime());
    assert.equal(statSync(target).mode & 0o777, 0o666 & ~process.umask(), 'permissions follow the umask');
    assert.deepEqual(readdirSync(join(root, 'a', 'b')), ['out.jpg']);
  });

  it('never replaces a file, or a link that leads nowhere, unless told to', async (t) => {
    const root = tempDir(t);
    const [from, target, link] = ['from', 'out.jpg', 'link.jpg'].map((name) => join(root, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(from, 'new');
    writeFileSync(target, 'old');
    symlinkSync('nowhere', link);
    for (const path of [target, link]) {
      await assert.rejects(publish(from, path, { overwrite: false, modified, signal: never }), {
        code: 'EEXIST',
      });
    }
    assert.equal(readFileSync(target, 'utf8'), 'old');
    assert.equal(existsSync(join(root, 'nowhere')), false);
    await publish(from, target, { overwrite: true, modified, signal: never });
    assert.equal(readFileSync(target, 'utf8'), 'new');
    assert.deepEqual(readdirSync(root).sort(), ['from', 'link.jpg', 'out.jpg']);
  });

  it('lets exactly one of many publishers of one name win', async (t) => {
    const root = tempDir(t);
    const target = join(root, 'out.jpg');
    const tries = Array.from({ length: 8 }, async (_, i) => {
      const from = join(root, `from${i}`);
      writeFileSync(from, String(i));
      await publish(from, target, { overwrite: false, modified, signal: never });
    });
    const outcomes = await Promise.allSettled(tries);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  it('leaves neither a part nor a result when it is called off', async (t) => {
    const root = tempDir(t);
    writeFileSync(join(root, 'from'), Buffer.alloc(8 << 20));
    const stop = new AbortController();
    const publishing = publish(join(root, 'from'), join(root, 'out.jpg'), {
      overwrite: false,
      modified,
      signal: stop.signal,
    });
    stop.abort();
    await assert.rejects(publishing, { name: 'AbortError' });
    assert.deepEqual(readdirSync(root), ['from']);
  });

  it('takes names as long as the file system does', async (t) => {
    const root = tempDir(t);
    writeFileSync(join(root, 'from'), 'x');
    for (const name of [`${'a'.repeat(251)}.jpg`, `${'語'.repeat(83)}.jpg`]) {
      await publish(join(root, 'from'), join(root, name), { overwrite: false, modified, signal: never });
      assert.ok(existsSync(join(root, name)));
    }
  });
});
