/** `tintype backup`, `restore` and `migrate`, as processes of their own beside the real server. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { MAIN, type Outcome } from '../support/desk.ts';
import { filesIn } from '../support/files.ts';
import { Installation } from '../support/installation.ts';
import { endWithSuite, eventually } from '../support/service.ts';
import { tempDir } from '../support/temp.ts';
import { type Sent, UploadClient } from '../support/upload-client.ts';
import { photo } from '../support/uploads.ts';

function start({ env }: Pick<Installation, 'env'>, ...args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, NODE_ENV: 'test', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const outcome = new Promise<Outcome>((resolve) =>
    child.on('close', (status) => resolve({ status, stdout, stderr })),
  );
  return { child, outcome };
}

const run = (of: Pick<Installation, 'env'>, ...args: string[]): Promise<Outcome> =>
  start(of, ...args).outcome;

async function done(outcome: Promise<Outcome>): Promise<Outcome> {
  const { status, stdout, stderr } = await outcome;
  assert.equal(status, 0, `${stderr}${stdout}`);
  return { status, stdout, stderr };
}

async function refused(outcome: Promise<Outcome>, status: number, why: RegExp): Promise<void> {
  const { stderr, ...result } = await outcome;
  assert.match(stderr, why);
  assert.equal(result.status, status);
  assert.doesNotMatch(stderr, /^ {4}at /m, 'no stack');
}

const small = async (n: number, side = 80) => ({
  name: `${n}.jpg`,
  bytes: await photo(n, side),
  hostile: false,
});

const sound = { integrity: 'ok', unfinished: 0, staged: [], orphans: [], missing: [] };

/** What was uploaded comes back, byte for byte, and its renditions are what they should be. */
async function expectServed(client: UploadClient, sent: readonly Sent[]): Promise<void> {
  for (const one of sent) {
    assert.equal((await client.complaintAbout(one))?.why, undefined);
    const bytes = await client.call(`/api/v1/images/${one.accepted!.image_id}/download`);
    assert.ok(one.file.bytes.equals(Buffer.from(await bytes.arrayBuffer())), one.file.name);
  }
}

async function expectSound(installation: Installation): Promise<void> {
  await installation.server.close();
  const { integrity, unfinished, staged, orphans, missing } = installation.audit();
  assert.deepEqual({ integrity, unfinished, staged, orphans, missing }, sound);
}

/** A backup of a few images whose service runs no more. */
async function smallBackup(
  t: (Parameters<typeof tempDir>[0] & TestContext) | ReturnType<typeof endWithSuite>,
) {
  const installation = new Installation(t);
  await installation.start();
  const client = await UploadClient.of(installation);
  const sent = await client.sendAll(await Promise.all([1, 2, 3, 4].map((n) => small(n))), 2);
  await installation.settled();
  const folder = join(tempDir(t), 'backup');
  await done(run(installation, 'backup', folder));
  await installation.server.close();
  return { installation, folder, sent };
}

describe('a backup taken while uploads come and go', () => {
  it('restores to a service that serves every image of its moment', async (t) => {
    const source = new Installation(t);
    await source.start();
    const client = await UploadClient.of(source);
    const lasting = await client.sendAll(
      await Promise.all(Array.from({ length: 20 }, (_, n) => small(n))),
      4,
    );
    let isWriting = true;
    let deletions = 0;
    const writer = (async () => {
      // Many of the same bytes: the last reference goes, and the key comes again.
      for (let n = 1_000; isWriting; n++) {
        const sent = await client.send(await small(1_000 + (n % 7)));
        const { status } = await client.call(`/api/v1/images/${sent.accepted!.image_id}`, {
          method: 'DELETE',
        });
        assert.equal(status, 204);
        deletions++;
      }
    })();
    const folder = join(tempDir(t), 'backup');
    const figures = [];
    for (let i = 0; i < 4; i++) {
      const { stdout, stderr } = await done(run(source, 'backup', '--json', folder));
      assert.equal(stderr, '');
      figures.push(JSON.parse(stdout));
    }
    isWriting = false;
    await writer;
    assert.ok(deletions > 4, `${deletions} deletions`);
    assert.ok(figures.at(-1).kept >= 20, JSON.stringify(figures));
    await source.settled();
    await expectSound(source);
    assert.equal(source.audit().undeleted, 0);
    // One catalog, one manifest, and nothing that the catalog does not know.
    assert.deepEqual(
      readdirSync(folder)
        .map((name) => name.replace(/-[^.]+/, ''))
        .sort(),
      ['backup.json', 'catalog.sqlite', 'objects'],
    );

    const restored = new Installation(t);
    const { stdout } = await done(run(restored, 'restore', '--verify', '--json', folder));
    assert.equal(JSON.parse(stdout).restored, figures.at(-1).objects);
    await restored.start();
    await restored.settled();
    const images = restored.rows<{ image_id: string }>('select image_id from images');
    assert.ok(images.length >= lasting.length);
    const anna = await UploadClient.of(restored);
    for (const { image_id } of images) {
      const bytes = await anna.call(`/api/v1/images/${image_id}/download`);
      assert.equal(bytes.status, 200);
      const [row] = restored.rows<{ blob_key: string }>(
        'select blob_key from image_versions where image_id = ?',
        image_id,
      );
      const digest = createHash('sha256')
        .update(Buffer.from(await bytes.arrayBuffer()))
        .digest('hex');
      assert.ok(row?.blob_key.endsWith(digest));
    }
    await expectServed(anna, lasting);
    await expectSound(restored);
  });

  it('takes up the jobs that were under way', async (t) => {
    const source = new Installation(t, { WORKER_CONCURRENCY: '1' });
    await source.start();
    const client = await UploadClient.of(source);
    const sent = await client.sendAll(await Promise.all([1, 2, 3, 4, 5, 6].map((n) => small(n, 1_500))), 6);
    const folder = join(tempDir(t), 'backup');
    await done(run(source, 'backup', folder));
    await source.server.close();
    const restored = new Installation(t);
    await done(run(restored, 'restore', folder));
    assert.deepEqual(restored.rows("select job_id from processing_jobs where status = 'processing'"), []);
    await restored.start();
    await restored.settled();
    await expectServed(await UploadClient.of(restored), sent);
    await expectSound(restored);
  });

  it('that was killed leaves no backup and nothing locked; the next one goes on', async (t) => {
    const source = new Installation(t);
    await source.start();
    const client = await UploadClient.of(source);
    const sent = await client.sendAll(await Promise.all(Array.from({ length: 40 }, (_, n) => small(n))), 4);
    await source.settled();
    const folder = join(tempDir(t), 'backup');
    const { child, outcome } = start(source, 'backup', folder);
    await eventually('something was copied', () => existsSync(folder) && filesIn(folder).length > 12);
    child.kill('SIGKILL');
    await outcome;
    assert.ok(!existsSync(join(folder, 'backup.json')), 'it was killed before its end');
    const empty = new Installation(t);
    await refused(run(empty, 'restore', folder), 1, /interrupted/);
    assert.deepEqual(readdirSync(empty.dataDir), []);

    // Its hold on deletions is still there, and does not keep images from being deleted.
    const [first, ...others] = sent;
    assert.equal(
      (await client.call(`/api/v1/images/${first!.accepted!.image_id}`, { method: 'DELETE' })).status,
      204,
    );
    const { stdout } = await done(run(source, 'backup', '--json', folder));
    assert.ok(JSON.parse(stdout).kept > 0);
    await done(run(empty, 'restore', folder));
    await empty.start();
    await expectServed(await UploadClient.of(empty), others);
    await expectSound(empty);
  });
});

describe('a backup', () => {
  const ending = endWithSuite();
  let source: Installation;
  let good: string;
  let sent: Sent[];

  before(async () => {
    ({ installation: source, folder: good, sent } = await smallBackup(ending));
  });

  async function damaged(t: TestContext, change: (folder: string) => void): Promise<string> {
    const folder = join(tempDir(t), 'backup');
    await cp(good, folder, { recursive: true });
    change(folder);
    return folder;
  }

  const originalIn = (folder: string) =>
    join(folder, 'objects', filesIn(join(folder, 'objects')).find((key) => key.startsWith('originals/'))!);
  const catalogIn = (folder: string) =>
    join(folder, readdirSync(folder).find((name) => name.startsWith('catalog-'))!);

  for (const [what, change, why] of [
    [
      'an object is cut short',
      (folder) => truncateSync(originalIn(folder), 10),
      /other bytes than were stored: originals\//,
    ],
    [
      'the catalog is another one',
      (folder) => appendFileSync(catalogIn(folder), 'x'),
      /catalog is not the one/,
    ],
    [
      'the manifest is damaged',
      (folder) => truncateSync(join(folder, 'backup.json'), 40),
      /expected the manifest/,
    ],
    [
      'the manifest tells of more',
      (folder) => {
        const path = join(folder, 'backup.json');
        writeFileSync(path, readFileSync(path, 'utf8').replace(/"count": \d+/, '"count": 1000'));
      },
      /tells of 1000 objects/,
    ],
  ] as [string, (folder: string) => void, RegExp][]) {
    it(`is refused where ${what}, and nothing is restored`, async (t) => {
      const folder = await damaged(t, change);
      const target = new Installation(t);
      await refused(run(target, 'restore', folder), 1, why);
      assert.deepEqual(filesIn(target.dataDir), []);
    });
  }

  it('is refused by --verify where an original has other bytes of the same length', async (t) => {
    const folder = await damaged(t, (copy) => {
      const path = originalIn(copy);
      const bytes = readFileSync(path);
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(path, bytes);
    });
    const target = new Installation(t);
    await refused(run(target, 'restore', '--verify', folder), 1, /other bytes than were stored: originals\//);
    assert.deepEqual(filesIn(target.dataDir), []);
  });

  it('is refused where it is none', async (t) => {
    await refused(run(new Installation(t), 'restore', tempDir(t)), 1, /found no manifest/);
  });

  it('is not made in a folder that holds something else', async (t) => {
    const folder = tempDir(t);
    writeFileSync(join(folder, 'notes.txt'), '');
    await refused(run(source, 'backup', folder), 1, /Expected an empty folder/);
    assert.deepEqual(readdirSync(folder), ['notes.txt']);
  });

  it('is not made of an object that the store has lost, unless that is allowed', async (t) => {
    const broken = new Installation(t, {}, join(tempDir(t), 'data'));
    await done(run(broken, 'restore', good));
    const [lost] = broken.rows<{ key: string }>("select key from blobs where key like 'renditions/%'");
    await rm(broken.objectPath(lost!.key));
    const folder = await damaged(t, () => {});
    await rm(join(folder, 'objects', lost!.key));
    const before = readFileSync(join(folder, 'backup.json'), 'utf8');
    await refused(run(broken, 'backup', folder), 1, new RegExp(`lost.*${lost!.key}`, 's'));
    assert.equal(readFileSync(join(folder, 'backup.json'), 'utf8'), before);
    const { stdout } = await done(run(broken, 'backup', '--allow-damaged', '--json', folder));
    assert.deepEqual(JSON.parse(stdout).damaged, [lost!.key]);
    const restored = new Installation(t);
    const { stderr } = await done(run(restored, 'restore', folder));
    assert.match(stderr, new RegExp(`not in the backup: ${lost!.key}`));
  });

  it('is restored only where nothing is, and with --force moves aside what is there', async (t) => {
    const target = new Installation(t);
    await target.start();
    const client = await UploadClient.of(target);
    await client.send(await small(99));
    await target.settled();
    await refused(run(target, 'restore', good), 2, /found a catalog; --force/);
    await refused(run(target, 'restore', '--force', good), 2, /works with the catalog; stop it first/);
    await target.server.close();
    const had = filesIn(join(target.dataDir, 'blobs/objects'));
    await refused(run(target, 'restore', good), 2, /--force/);
    await done(run(target, 'restore', '--force', good));
    const store = readdirSync(join(target.dataDir, 'blobs'));
    const aside = store.find((name) => name.startsWith('objects.replaced-'));
    assert.deepEqual(filesIn(join(target.dataDir, 'blobs', aside!)), had);
    await target.start();
    await expectServed(client, sent);
    await expectSound(target);
  });

  it('whose restoration was killed: nothing serves what is half there, and the next one ends it', async (t) => {
    const target = new Installation(t);
    const { child, outcome } = start(target, 'restore', good);
    await eventually('something was restored', () =>
      filesIn(target.dataDir).some((name) => name.includes('objects/')),
    );
    child.kill('SIGKILL');
    await outcome;
    assert.ok(!existsSync(join(target.dataDir, 'tintype.sqlite')), 'it was killed before its end');
    await assert.rejects(target.start(), /being restored here and that came to no end/);
    await refused(run(target, 'backup', tempDir(t)), 2, /no catalog yet/);
    await done(run(target, 'restore', good));
    await target.start();
    await expectServed(await UploadClient.of(target), sent);
    await expectSound(target);
  });

  it('is not made by two at once', async (t) => {
    const folder = tempDir(t);
    const restored = new Installation(t);
    await done(run(restored, 'restore', good));
    const outcomes = await Promise.all([1, 2, 3].map(() => run(restored, 'backup', folder)));
    const statuses = outcomes.map(({ status }) => status);
    assert.ok(statuses.includes(0), JSON.stringify(outcomes));
    for (const { status, stderr } of outcomes) if (status !== 0) assert.match(stderr, /is under way/);
    await done(run(new Installation(t), 'restore', '--verify', folder));
  });
});

describe('tintype migrate', () => {
  it('says what is missing, applies it, and then has nothing to do', async (t) => {
    const fresh = new Installation(t);
    const { status, stdout } = await run(fresh, 'migrate', '--check');
    assert.equal(status, 1);
    assert.match(stdout, /^pending 001-initial\.sql$/m);
    assert.deepEqual(readdirSync(fresh.dataDir), []);
    assert.match((await done(run(fresh, 'migrate'))).stdout, /^applied 001-initial\.sql$/m);
    for (const args of [['--check'], []]) {
      assert.equal((await done(run(fresh, 'migrate', ...args))).stdout, 'the catalog is up to date\n');
    }
  });
});
