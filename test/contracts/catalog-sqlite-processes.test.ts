/** Several processes on one file, alive and killed. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { tempDir } from '../support/temp.ts';
import { after, HOUR, NOON, noCheck, upload } from './catalog-rows.ts';
import type { WriterReport, WriterRequest } from './catalog-writer.ts';

const PROGRAM = join(import.meta.dirname, 'catalog-writer.ts');

class Writer {
  readonly child: ChildProcess;
  readonly reports: WriterReport[] = [];
  readonly exited: Promise<unknown>;
  #waiting: { test: (report: WriterReport) => boolean; resolve: () => void }[] = [];

  constructor(t: TestContext, path: string) {
    this.child = fork(PROGRAM, [path]);
    this.exited = once(this.child, 'exit');
    this.child.on('message', (report: WriterReport) => {
      this.reports.push(report);
      for (const { test, resolve } of this.#waiting) if (test(report)) resolve();
    });
    t.after(() => this.child.kill('SIGKILL'));
  }

  /** The first report of a kind from now on. */
  heard(kind: 'ready' | 'done' | 'accepted'): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ test: (report) => kind in report, resolve });
      this.exited.then(() => reject(new Error(`the writer ended before it was ${kind}`)));
    });
  }

  async run(request: WriterRequest): Promise<void> {
    const done = this.heard('done');
    this.child.send(request);
    await done;
  }

  /** What the reports of one kind say. */
  all<K extends 'accepted' | 'leased' | 'refused' | 'claimed' | 'longestMs'>(kind: K) {
    return this.reports.flatMap((report) =>
      kind in report ? [(report as Extract<WriterReport, Record<K, unknown>>)[kind]] : [],
    );
  }
}

async function writers(t: TestContext, count: number): Promise<{ path: string; processes: Writer[] }> {
  const path = join(tempDir(t), 'catalog.db');
  // All at once on a file that is not there yet: one of them creates it.
  const processes = Array.from({ length: count }, () => new Writer(t, path));
  await Promise.all(processes.map((writer) => writer.heard('ready')));
  return { path, processes };
}

async function open(t: TestContext, path: string) {
  const catalog = await openSqliteCatalog(path);
  t.after(() => catalog.close());
  return catalog;
}

describe('a catalog file of several processes', () => {
  test('exactly as many uploads as the limit pass, and one claim of a key', async (t) => {
    const { path, processes } = await writers(t, 2);
    await Promise.all(
      processes.map((writer) =>
        writer.run({ do: 'accept', count: 25, parallel: 25, owner: 'ann', limit: 10 }),
      ),
    );
    assert.equal(processes.flatMap((writer) => writer.all('accepted')).length, 10);
    const refused = processes.flatMap((writer) => writer.all('refused'));
    assert.deepEqual(new Set(refused), new Set(['rate_limited']));
    await Promise.all(processes.map((writer) => writer.run({ do: 'claim', key: 'k' })));
    assert.deepEqual(processes.flatMap((writer) => writer.all('claimed')).sort(), [false, true]);
    const catalog = await open(t, path);
    assert.equal((await catalog.stats(NOON)).images, 10);
  });

  test('all write at once, and none ever hears that the database is locked', async (t) => {
    const { path, processes } = await writers(t, 3);
    const catalog = await open(t, path);
    const holding = upload();
    // Longer than any pause of a waiting process, and than SQLite's own patience would be if it were asked.
    const held = catalog.acceptUpload({
      ...holding,
      ensureBlob: () => new Promise((resolve) => setTimeout(resolve, 300)),
    });
    await Promise.all([
      held,
      ...processes.map((writer, i) =>
        writer.run({ do: 'accept', count: 60, parallel: 8, owner: `user ${i}` }),
      ),
    ]);
    await Promise.all(processes.map((writer, i) => writer.run({ do: 'work', name: `worker ${i}` })));
    assert.deepEqual(
      processes.flatMap((writer) => writer.all('refused')),
      [],
    );
    const leased = processes.flatMap((writer) => writer.all('leased'));
    assert.equal(leased.length, 181);
    assert.equal(new Set(leased).size, 181, 'no job is leased twice');
    assert.equal(await catalog.integrity(), 'ok');
    t.diagnostic(`longest wait ${Math.round(Math.max(...processes.flatMap((w) => w.all('longestMs'))))} ms`);
  });

  test('what was accepted is there after kill -9 in the middle of writing', async (t) => {
    const { path, processes } = await writers(t, 2);
    const promised: { imageId: string; jobId: string; key: string }[] = [];
    for (const writer of processes) {
      const first = writer.heard('accepted');
      writer.child.send({ do: 'accept', count: 1e6, parallel: 4, owner: 'ann' });
      await first;
    }
    await new Promise((resolve) => setTimeout(resolve, 150));
    for (const writer of processes) writer.child.kill('SIGKILL');
    await Promise.all(processes.map((writer) => writer.exited));
    for (const writer of processes) promised.push(...writer.all('accepted'));
    const catalog = await open(t, path);
    assert.equal(await catalog.integrity(), 'ok');
    assert.ok(promised.length > 2);
    const found = await catalog.images(promised.map(({ imageId }) => imageId));
    assert.equal(found.length, promised.length);
    for (const { jobId, key } of promised) {
      assert.equal((await catalog.job(jobId))?.status, 'pending');
      assert.equal((await catalog.blob(key))?.refs, 1);
    }
    const { images, jobs } = await catalog.stats(NOON);
    assert.equal(images, jobs.pending, 'nothing is there by half');
    t.diagnostic(`${promised.length} promised, ${images} there`);
    await catalog.acceptUpload(upload());
  });

  test('a killed process leaves a lease that is taken back, and no lock', async (t) => {
    const { path, processes } = await writers(t, 1);
    const catalog = await open(t, path);
    for (let i = 0; i < 30; i++) await catalog.acceptUpload(upload());
    processes[0]!.child.send({ do: 'work', name: 'worker' });
    await new Promise((resolve) => setTimeout(resolve, 30));
    processes[0]!.child.kill('SIGKILL');
    await processes[0]!.exited;
    await catalog.reclaimLost(NOON, () => true);
    const { processing, pending } = (await catalog.stats(NOON)).jobs;
    assert.equal(processing, 0);
    for (let i = 0; i < pending; i++) {
      const job = await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON);
      assert.ok(await catalog.completeJob(job!.jobId, 'w', { processingMetadata: {} }, NOON));
    }
    assert.equal(await catalog.leaseNext({ owner: 'w', until: after(HOUR) }, NOON), undefined);
    assert.equal(await catalog.integrity(), 'ok');
    assert.equal(await catalog.removeIfUnknown('originals/00/0', async () => noCheck()), true);
  });
});
