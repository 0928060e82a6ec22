/**
 * The place that a backup is restored to. A file beside the catalog, `<process> <stage>`, says that it is being done, or
 * was and came to no end: nothing starts there then.
 */
import { constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Config, invalidConfiguration } from '../config.ts';
import { openFsBlobs } from '../drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../drivers/catalog/sqlite.ts';
import { isSqliteCatalogOpen } from '../drivers/catalog/sqlite-offline.ts';
import { systemClock } from '../ports/clock.ts';
import { ownerIsGone, processOwner } from '../ports/process-owner.ts';
import type { RestoreTarget } from '../services/restore.ts';

type Places = Pick<Config, 'databasePath' | 'storagePath'>;

/** What SQLite keeps beside a database. */
const COMPANIONS = ['', '-wal', '-shm', '-journal'];

const markOf = ({ databasePath }: Pick<Places, 'databasePath'>): string => `${databasePath}-restoring`;

/**
 * To be asked before the catalog is opened, and again after: who restores asks in the other order, so that one of the two
 * sees the other.
 * @throws Problem `invalid_configuration`
 */
export function expectNoRestore(places: Pick<Places, 'databasePath'>): void {
  const mark = readMark(places);
  if (mark?.isLeft && mark.stage === 'checking') return;
  if (mark?.isLeft) {
    throw refusal('a backup was being restored here and that came to no end; run tintype restore again');
  }
  if (mark) throw refusal('a backup is being restored here');
}

/**
 * @param force moves aside what is there
 * @throws Problem `invalid_configuration` where there is something already and `force` is not given, somebody works with
 *   it, or another restoration does
 */
export async function openRestoreTarget(
  places: Places,
  { force }: { force: boolean },
): Promise<RestoreTarget> {
  const { databasePath, storagePath } = places;
  const part = `${databasePath}-restored`;
  mkdirSync(dirname(databasePath), { recursive: true });
  const wasInterrupted = takeMark(places);
  const removePart = async () => {
    for (const suffix of COMPANIONS) await rm(part + suffix, { force: true });
  };
  const unmark = () => rm(markOf(places), { force: true });
  try {
    const objects = join(storagePath, 'objects');
    const hasObjects = (await namesIn(objects)).length > 0;
    if (!force && existsSync(databasePath)) {
      throw refusal('expected none, found a catalog; --force moves aside what is there');
    }
    if (!force && hasObjects && !wasInterrupted) {
      throw refusal('the store is not empty; --force moves aside what is there', 'STORAGE_PATH');
    }
    if (isSqliteCatalogOpen(databasePath)) {
      throw refusal('a service, or another command, works with the catalog; stop it first');
    }
    await removePart();
  } catch (error) {
    if (!wasInterrupted) await unmark();
    throw error;
  }

  let isHalfDone = wasInterrupted;
  return {
    clock: systemClock,
    catalogPath: part,
    openCatalog: openSqliteCatalog,
    async clear() {
      isHalfDone = true;
      writeMark(places, 'restoring');
      if (force) await moveAside(places);
      return openFsBlobs(storagePath);
    },
    async install() {
      await sync(part);
      await rename(part, databasePath);
      await sync(dirname(databasePath));
      isHalfDone = false;
    },
    async [Symbol.asyncDispose]() {
      await removePart();
      if (!isHalfDone) await unmark();
    },
  };
}

/** @returns whether a restoration was begun here before and came to no end */
function takeMark(places: Places): boolean {
  const mark = readMark(places);
  if (mark && !mark.isLeft) throw refusal('another backup is being restored here');
  const wasInterrupted = mark?.stage === 'restoring';
  writeMark(places, wasInterrupted ? 'restoring' : 'checking', mark ? 'w' : 'wx');
  return wasInterrupted;
}

/** `checking`: nothing has been touched. */
type Stage = 'checking' | 'restoring';

function writeMark(places: Places, stage: Stage, flag: 'w' | 'wx' = 'w'): void {
  writeFileSync(markOf(places), `${processOwner()} ${stage}`, { flag, mode: 0o600, flush: true });
}

function readMark(places: Pick<Places, 'databasePath'>): { isLeft: boolean; stage: Stage } | undefined {
  const text = textOf(markOf(places));
  if (text === undefined) return undefined;
  const [owner = '', stage] = text.split(' ');
  // This process as well: whatever it restored before is over.
  const isLeft = owner === processOwner() || ownerIsGone(owner);
  return { isLeft, stage: stage === 'checking' ? 'checking' : 'restoring' };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}

/** Under names that nothing looks for: to be deleted by whoever is sure. */
async function moveAside({ databasePath, storagePath }: Places): Promise<void> {
  const suffix = `.replaced-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  for (const name of COMPANIONS) await moveIfThere(databasePath + name, databasePath + suffix + name);
  await sync(dirname(databasePath));
  await moveIfThere(join(storagePath, 'objects'), join(storagePath, `objects${suffix}`));
}

async function moveIfThere(from: string, to: string): Promise<void> {
  if (existsSync(from)) await rename(from, to);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return [];
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const refusal = (message: string, path = 'DATABASE_PATH') => invalidConfiguration([{ path, message }]);
