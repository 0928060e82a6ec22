/** Real processes that accept uploads, killed; then one pass of the sweeper. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFsBlobs } from '../../src/drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { systemClock } from '../../src/ports/clock.ts';
import { type Swept, sweep } from '../../src/services/sweep.ts';
import type { Point } from '../support/blob-writer.ts';
import { filesIn } from '../support/files.ts';
import { silentLog } from '../support/log.ts';
import { tempDir } from '../support/temp.ts';
import { keyOf } from './blobs.ts';

const WRITER = fileURLToPath(import.meta.resolve('../support/blob-writer.ts'));
const FUTURE = new Date('2999-01-01');

/** Starts a writer. @returns the keys that it had accepted and told of when it ended */
async function writer(
  t: TestContext,
  args: string[],
  onFirst: (child: ChildProcess) => void,
): Promise<string[]> {
  const child = spawn(process.execPath, [WRITER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.once('data', () => onFirst(child));
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const [status, signal] = await once(child, 'close');
  assert.deepEqual([status, signal], [null, 'SIGKILL']);
  return text.split('\n').slice(0, -1);
}

/** Sweeps once, then holds the store against the catalog. @returns what lies in the store */
async function expectConsistent(t: TestContext, root: string): Promise<{ stored: string[]; swept: Swept }> {
  const blobs = await openFsBlobs(root);
  const catalog = await openSqliteCatalog(join(root, 'catalog.db'));
  t.after(() => catalog.close());
  const swept = await sweep({ catalog, blobs, clock: systemClock, log: silentLog });
  assert.equal(swept.failures, 0);
  const stored = filesIn(join(root, 'objects'));
  for (const key of stored) {
    const bytes = readFileSync(join(root, 'objects', key));
    assert.equal(keyOf(bytes), key, 'whole');
    assert.equal((await catalog.blob(key))?.bytes, bytes.length, 'known to the catalog');
  }
  assert.deepEqual(filesIn(join(root, 'staging')), []);
  assert.deepEqual(await blobs.staleStaged(FUTURE), []);
  return { stored, swept };
}

test('a crash at any point of an upload leaves all of it or nothing', async (t) => {
  const root = tempDir(t);
  const lost: Point[] = ['opened', 'staged', 'written', 'finished', 'put', 'in the transaction'];
  const kept: Point[] = ['accepted', 'discarded'];
  const told = await Promise.all(
    [...lost, ...kept].map((point) => writer(t, [root, point, point], () => {})),
  );
  const { stored, swept } = await expectConsistent(t, root);
  assert.equal(stored.length, kept.length);
  assert.equal(told.flat().length, 1, 'only the last one came to tell of it');
  assert.ok(stored.includes(told.flat()[0]!));
  assert.equal(swept.orphans, 2);
  // One name for each that was staged and not discarded, and one more for each that was put.
  assert.equal(swept.stagedFiles, 6 + 3);
});

test('writers killed at random leave no half object, no orphan, nothing in staging, and lose nothing', async (t) => {
  const root = tempDir(t);
  const accepted = new Set<string>();
  for (let round = 0; round < 3; round++) {
    // The writers of the next round sweep what these leave, while they write themselves.
    const kill = (child: ChildProcess) => setTimeout(() => child.kill('SIGKILL'), 20 + Math.random() * 150);
    const told = await Promise.all([0, 1].map((i) => writer(t, [root, String(2 * round + i)], kill)));
    for (const key of told.flat()) accepted.add(key);
  }
  const { stored, swept } = await expectConsistent(t, root);
  assert.deepEqual(
    [...accepted].filter((key) => !stored.includes(key)),
    [],
  );
  assert.ok(accepted.size > 0);
  t.diagnostic(`${accepted.size} told of, ${stored.length} stored; swept ${JSON.stringify(swept)}`);
});
