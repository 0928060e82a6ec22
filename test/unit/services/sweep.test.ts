import assert from 'node:assert/strict';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { newId } from '../../../src/domain/ids.ts';
import { openFsBlobs } from '../../../src/drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../../../src/drivers/catalog/sqlite.ts';
import type { Blobs } from '../../../src/ports/blobs.ts';
import type { Catalog } from '../../../src/ports/catalog.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { Problem } from '../../../src/problem.ts';
import { leaseOwner } from '../../../src/services/lease-owner.ts';
import { sweep } from '../../../src/services/sweep.ts';
import { bytesOf, keyOf, read, stageBytes, store } from '../../contracts/blobs.ts';
import { conversionJob } from '../../support/conversion.ts';
import { filesIn } from '../../support/files.ts';
import { silentLog } from '../../support/log.ts';
import { tempDir } from '../../support/temp.ts';

const [host, pid, start, boot] = leaseOwner().split(':');
/** A process that had this one's id before. */
const DEAD = [host, pid, Number(start) + 1, boot].join(':');
const DAY_MS = 86_400_000;

interface Room {
  root: string;
  catalog: Catalog;
  blobs: Blobs;
}

async function opened(t: TestContext): Promise<Room> {
  const root = tempDir(t);
  const catalog = await openSqliteCatalog(join(root, 'catalog.db'));
  t.after(() => catalog.close());
  return { root, catalog, blobs: await openFsBlobs(root) };
}

const swept = ({ catalog, blobs }: Room, now = () => new Date(), signal?: AbortSignal) =>
  sweep({ catalog, blobs, clock: { now }, log: silentLog }, signal);

async function accept({ catalog }: Room, bytes: Buffer, createdAt?: Date): Promise<string> {
  const jobId = newId();
  const key = keyOf(bytes);
  await catalog.acceptConversion(
    conversionJob(jobId, key, createdAt),
    { key, bytes: bytes.length },
    () => {},
  );
  return jobId;
}

/** What a process that died leaves when it had staged these bytes and, where asked, put them. */
function leaveBehind({ root }: Room, bytes: Buffer, upTo: 'staged' | 'named' | 'put'): string {
  const dir = join(root, 'staging', DEAD.replaceAll(':', '_'));
  mkdirSync(dir, { recursive: true });
  const path = join(dir, newId());
  const key = keyOf(bytes);
  writeFileSync(path, bytes);
  if (upTo !== 'staged') linkSync(path, `${path}~${key.replaceAll('/', '+')}`);
  if (upTo === 'put') {
    const object = join(root, 'objects', key);
    mkdirSync(dirname(object), { recursive: true });
    linkSync(path, object);
  }
  return key;
}

describe('a sweep', () => {
  test('of a tidy house finds nothing', async (t) => {
    const room = await opened(t);
    await store(room.blobs, bytesOf('a'));
    await accept(room, bytesOf('a'));
    const nothing = { reclaimedJobs: 0, stagedFiles: 0, orphans: 0, deletedBlobs: 0, failures: 0 };
    assert.deepEqual(await swept(room), nothing);
    assert.equal(String(await read(room.blobs, keyOf(bytesOf('a')))), 'a');
  });

  test('removes what dead processes had staged, and objects that the catalog never learned of', async (t) => {
    const room = await opened(t);
    leaveBehind(room, bytesOf('staged'), 'staged');
    leaveBehind(room, bytesOf('named'), 'named');
    const orphan = leaveBehind(room, bytesOf('put'), 'put');
    const known = leaveBehind(room, bytesOf('accepted'), 'put');
    await accept(room, bytesOf('accepted'));
    const counts = await swept(room);
    assert.deepEqual([counts.stagedFiles, counts.orphans, counts.failures], [7, 2, 0]);
    assert.equal(await room.blobs.head(orphan), undefined);
    assert.equal(String(await read(room.blobs, known)), 'accepted');
    assert.deepEqual(filesIn(join(room.root, 'staging')), []);
    assert.equal((await swept(room)).stagedFiles, 0);
  });

  test('does not touch an upload under way, whatever the clock says', async (t) => {
    const room = await opened(t);
    const bytes = bytesOf('under way');
    await using staged = await stageBytes(room.blobs, bytes);
    await room.blobs.put(keyOf(bytes), staged.path);
    const counts = await swept(room, () => new Date(Date.now() + 1000 * DAY_MS));
    assert.deepEqual([counts.stagedFiles, counts.orphans], [0, 0]);
    assert.deepEqual(await read(room.blobs, keyOf(bytes)), bytes);
  });

  test('an upload of the same bytes as a dead one’s keeps its object, whoever comes first', async (t) => {
    for (const uploads of [1, 5]) {
      const room = await opened(t);
      const bytes = bytesOf('the same');
      const key = leaveBehind(room, bytes, 'put');
      const upload = async () => {
        await using staged = await stageBytes(room.blobs, bytes);
        await room.blobs.put(key, staged.path);
        await room.catalog.acceptConversion(
          conversionJob(newId(), key),
          { key, bytes: bytes.length },
          async () => {
            if (!(await room.blobs.head(key))) await room.blobs.put(key, staged.path);
          },
        );
      };
      await Promise.all([swept(room), ...Array.from({ length: uploads }, upload), swept(room)]);
      assert.deepEqual(await read(room.blobs, key), bytes);
      assert.equal((await room.catalog.blob(key))?.refs, uploads);
    }
  });

  test('gives back the jobs of dead workers at once, and leaves those of the living', async (t) => {
    const room = await opened(t);
    await store(room.blobs, bytesOf('a'));
    const until = new Date(Date.now() + DAY_MS);
    const [lost, held] = [await accept(room, bytesOf('a')), await accept(room, bytesOf('a'))];
    const first = await room.catalog.leaseNext({ owner: DEAD, until }, new Date());
    const second = await room.catalog.leaseNext({ owner: leaseOwner(), until }, new Date());
    assert.deepEqual([first?.jobId, second?.jobId].toSorted(), [lost, held].toSorted());
    assert.equal((await swept(room)).reclaimedJobs, 1);
    assert.equal((await room.catalog.job(first!.jobId))?.status, 'pending');
    assert.equal((await room.catalog.job(second!.jobId))?.status, 'processing');
  });

  test('deletes what nothing refers to any more, however much it is', async (t) => {
    const room = await opened(t);
    const longAgo = new Date(Date.now() - 10 * DAY_MS);
    const count = 130; // more than are deleted at once
    for (let i = 0; i < count; i++) {
      const bytes = bytesOf(`expired ${i}`);
      await store(room.blobs, bytes);
      const jobId = await accept(room, bytes, longAgo);
      await room.catalog.cancelJob(jobId, longAgo);
    }
    await store(room.blobs, bytesOf('kept'));
    await accept(room, bytesOf('kept'));
    const counts = await swept(room);
    assert.equal(counts.deletedBlobs, count);
    assert.deepEqual(filesIn(join(room.root, 'objects')), [keyOf(bytesOf('kept'))]);
  });

  test('a part that fails is counted and tells why, and the others go on', async (t) => {
    const room = await opened(t);
    const orphan = leaveBehind(room, bytesOf('orphan'), 'put');
    const told: unknown[] = [];
    const broken: Catalog = {
      ...room.catalog,
      reclaimLost: () => Promise.reject(new Problem('dependency_down')),
      expire: () => Promise.reject(new Problem('storage_full')),
    };
    const log = { ...silentLog, error: (fields: Record<string, unknown>) => told.push(fields.part) };
    const counts = await sweep({ catalog: broken, blobs: room.blobs, clock: systemClock, log });
    assert.deepEqual([counts.failures, counts.orphans], [2, 1]);
    assert.deepEqual(told, ['leases', 'expiry']);
    assert.equal(await room.blobs.head(orphan), undefined);
  });

  test('what could not be decided stays for the next pass', async (t) => {
    const room = await opened(t);
    const orphan = leaveBehind(room, bytesOf('orphan'), 'put');
    const down: Catalog = {
      ...room.catalog,
      removeIfUnknown: () => Promise.reject(new Problem('dependency_down')),
    };
    assert.equal((await swept({ ...room, catalog: down })).failures, 1);
    assert.ok(await room.blobs.head(orphan));
    assert.equal((await swept(room)).orphans, 1);
    assert.equal(await room.blobs.head(orphan), undefined);
  });

  test('a signal ends it between two steps', async (t) => {
    const room = await opened(t);
    leaveBehind(room, bytesOf('left'), 'staged');
    assert.equal((await swept(room, undefined, AbortSignal.abort())).stagedFiles, 0);
    assert.equal((await swept(room)).stagedFiles, 1);
  });
});
