/**
 * Copies the catalog and every object that it refers to, while the service runs:
 *
 *   deletions are held → snapshot of the catalog → its objects are copied, by key → the hold ends → manifest → what no
 *   backup needs any more is removed
 *
 * Objects never change, and with deletions held none of the snapshot's goes, so that the copy is what the store was at
 * the moment of the snapshot. A folder that holds an earlier backup takes what is new. That one stays complete until the
 * manifest names the new one; a backup that is interrupted leaves nothing that could be taken for one.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, rmdir, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Blobs } from '../ports/blobs.ts';
import type { Catalog } from '../ports/catalog.ts';
import type { Clock } from '../ports/clock.ts';
import { ownerIsGone, processOwner } from '../ports/process-owner.ts';
import { Problem } from '../problem.ts';
import {
  CATALOG_NAME,
  copyingOwner,
  digestOf,
  IN_PROGRESS,
  INCOMING,
  MANIFEST,
  type Manifest,
  manifestText,
  namesIn,
  OBJECTS,
  sizeOf,
  someOf,
  storedPages,
  sync,
  whereMissing,
} from './backup-folder.ts';

export interface BackupSource {
  catalog: Catalog;
  blobs: Blobs;
  clock: Clock;
  /** Opens the copy of the catalog. */
  openCatalog(path: string): Promise<Catalog>;
}

export interface BackupOptions {
  signal: AbortSignal;
  /** Of this release. */
  version: string;
  /** Makes a backup without the objects that the store has lost, and says which they are. */
  allowDamaged?: boolean;
  onProgress?: (progress: CopyProgress) => void;
}

export interface CopyProgress {
  objects: number;
  totalObjects: number;
  bytes: number;
  totalBytes: number;
}

export interface BackupResult {
  manifest: Manifest;
  copied: { objects: number; bytes: number };
  /** Objects that an earlier backup had. */
  kept: number;
  /** Objects of earlier backups that the catalog does not know any more. */
  removed: number;
}

/** What a backup that dies holds up at most; renewed ten times as often. */
const HOLD_MS = 600_000;
/** Each is a file to wait for until it is on disk. */
const COPIES_AT_ONCE = 8;
/** In place of a process: the last backup into the folder failed. */
const NOBODY = 'nobody';

/**
 * @param folder made when it is missing; empty, or of an earlier backup
 * @throws Problem `backup_incomplete` where the folder cannot be used, or objects are missing or of another size in the
 *   store; what the catalog throws; errors of the file system
 */
export async function backup(
  folder: string,
  source: BackupSource,
  options: BackupOptions,
): Promise<BackupResult> {
  await using _folder = await takeFolder(folder);
  const run = new Backup(folder, source, options);
  const snapshot = await run.copy();
  return await run.publish(snapshot);
}

interface Snapshot {
  path: string;
  takenAt: Date;
  objects: Manifest['objects'];
  /** Objects in the folder that the catalog does not know. */
  stale: string[];
}

class Backup {
  readonly #folder: string;
  readonly #source: BackupSource;
  readonly #options: BackupOptions;
  readonly #copied = { objects: 0, bytes: 0 };
  readonly #damaged: string[] = [];
  readonly #id = randomUUID();
  #kept = 0;
  #parts = 0;

  constructor(folder: string, source: BackupSource, options: BackupOptions) {
    this.#folder = folder;
    this.#source = source;
    this.#options = options;
  }

  /** Everything but the manifest. */
  async copy(): Promise<Snapshot> {
    const { catalog, clock, openCatalog } = this.#source;
    const path = join(this.#folder, INCOMING, 'catalog.sqlite');
    await using hold = await holdDeletions(this.#id, catalog, clock);
    const takenAt = clock.now();
    await catalog.backup(path);
    const copy = await openCatalog(path);
    try {
      // The hold is a row of the copy as well.
      await copy.releaseDeletions(this.#id);
      const objects = await this.#copyObjects(copy);
      await hold[Symbol.asyncDispose]();
      this.#expectUndamaged();
      const soundness = await copy.integrity();
      if (soundness !== 'ok') throw incomplete(`The catalog is damaged: ${soundness}.`);
      return { path, takenAt, objects, stale: await this.#staleObjects(copy) };
    } finally {
      await copy.close();
    }
  }

  /** From here on there is a backup. */
  async publish({ path, takenAt, objects, stale }: Snapshot): Promise<BackupResult> {
    const { signal, version } = this.#options;
    const file = `catalog-${this.#id}.sqlite`;
    await sync(path);
    const manifest: Manifest = {
      version,
      created_at: takenAt.toISOString(),
      catalog: { file, bytes: (await sizeOf(path)) ?? 0, sha256: await digestOf(path, signal) },
      objects,
      damaged: this.#damaged,
    };
    const part = join(this.#folder, INCOMING, MANIFEST);
    await writeFile(part, manifestText(manifest), { mode: 0o600, flush: true });
    signal.throwIfAborted();
    await rename(path, join(this.#folder, file));
    await sync(this.#folder);
    await rename(part, join(this.#folder, MANIFEST));
    await sync(this.#folder);
    await this.#removeOthers(file, stale);
    return { manifest, copied: this.#copied, kept: this.#kept, removed: stale.length };
  }

  async #copyObjects(copy: Catalog): Promise<Manifest['objects']> {
    const total = { count: 0, bytes: 0 };
    for await (const page of storedPages(copy)) {
      total.count += page.length;
      for (const { bytes } of page) total.bytes += bytes;
    }
    const done = { count: 0, bytes: 0 };
    const there = { count: 0, bytes: 0 };
    for await (const page of storedPages(copy)) {
      for (let i = 0; i < page.length; i += COPIES_AT_ONCE) {
        this.#options.signal.throwIfAborted();
        const some = page.slice(i, i + COPIES_AT_ONCE);
        const results = await settledAll(some.map((object) => this.#copyObject(object)));
        for (const [n, { bytes }] of some.entries()) {
          done.count += 1;
          done.bytes += bytes;
          if (!results[n]) continue;
          there.count += 1;
          there.bytes += bytes;
        }
        const figures = { objects: done.count, bytes: done.bytes };
        this.#options.onProgress?.({ ...figures, totalObjects: total.count, totalBytes: total.bytes });
      }
      await this.#syncFoldersOf(page);
    }
    return there;
  }

  /** False where the store does not have it as it should be. */
  async #copyObject({ key, bytes }: { key: string; bytes: number }): Promise<boolean> {
    const to = join(this.#folder, OBJECTS, key);
    if ((await sizeOf(to)) === bytes) {
      this.#kept += 1;
      return true;
    }
    await using local = await this.#source.blobs.localPath(key).catch((error) => {
      if (Problem.from(error).code !== 'not_found') throw error;
      return undefined;
    });
    if (!local || (await sizeOf(local.path)) !== bytes) {
      this.#damaged.push(key);
      return false;
    }
    const part = join(this.#folder, INCOMING, String(++this.#parts));
    // Where the file system can share blocks until one of the two is written to, it does.
    await copyFile(local.path, part, constants.COPYFILE_FICLONE);
    await sync(part);
    const copied = await sizeOf(part);
    if (copied !== bytes) throw incomplete(`${key}: expected ${bytes} bytes, copied ${copied}.`);
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await rename(part, to);
    this.#copied.objects += 1;
    this.#copied.bytes += bytes;
    return true;
  }

  /** Also of what was there: a backup that was interrupted may not have come this far. */
  async #syncFoldersOf(page: { key: string }[]): Promise<void> {
    const folders = new Set<string>();
    for (const { key } of page) {
      for (let folder = dirname(key); !folders.has(folder); folder = dirname(folder)) folders.add(folder);
    }
    for (const folder of folders) await sync(join(this.#folder, OBJECTS, folder)).catch(whereMissing);
    await sync(this.#folder);
  }

  #expectUndamaged(): void {
    const damaged = this.#damaged.sort();
    if (damaged.length === 0 || this.#options.allowDamaged) return;
    throw incomplete(
      `The store has lost what the catalog refers to, or has it in another size: ${someOf(damaged)}. ` +
        'Everything else was copied. With --allow-damaged the backup is made without them.',
    );
  }

  async #staleObjects(copy: Catalog): Promise<string[]> {
    const stale: string[] = [];
    const root = join(this.#folder, OBJECTS);
    const look = async (below: string): Promise<void> => {
      const entries = await readdir(join(root, below), { withFileTypes: true }).catch(whereMissing);
      for (const entry of entries ?? []) {
        this.#options.signal.throwIfAborted();
        const key = below === '' ? entry.name : `${below}/${entry.name}`;
        if (entry.isDirectory()) await look(key);
        else if (!(await copy.blob(key))) stale.push(key);
      }
    };
    await look('');
    return stale;
  }

  async #removeOthers(current: string, stale: readonly string[]): Promise<void> {
    for (const key of stale) {
      const path = join(this.#folder, OBJECTS, key);
      await unlink(path).catch(whereMissing);
      await rmdir(dirname(path)).catch((error) => {
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') whereMissing(error);
      });
    }
    for (const name of await namesIn(this.#folder)) {
      if (CATALOG_NAME.test(name) && name !== current) await unlink(join(this.#folder, name));
    }
  }
}

/** Until it is disposed of. Where it cannot be renewed and ends too early, an object is missing, and that is found. */
async function holdDeletions(id: string, catalog: Catalog, clock: Clock): Promise<AsyncDisposable> {
  const renew = () => catalog.holdDeletions(id, new Date(clock.now().getTime() + HOLD_MS));
  await renew();
  let renewing = Promise.resolve();
  const timer = setInterval(() => {
    renewing = renew().catch(() => {});
  }, HOLD_MS / 10);
  let released: Promise<void> | undefined;
  return {
    [Symbol.asyncDispose]: () =>
      (released ??= (async () => {
        clearInterval(timer);
        await renewing;
        await catalog.releaseDeletions(id);
      })()),
  };
}

/** Made ready for copies, and for nobody else's until it is disposed of. */
async function takeFolder(folder: string): Promise<AsyncDisposable> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const names = await namesIn(folder);
  if (names.length > 0 && !names.includes(MANIFEST) && !names.includes(IN_PROGRESS)) {
    throw incomplete('Expected an empty folder or one of an earlier backup, found other files in it.');
  }
  const mark = join(folder, IN_PROGRESS);
  for (;;) {
    try {
      await writeFile(mark, processOwner(), { flag: 'wx', mode: 0o600, flush: true });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = await copyingOwner(folder);
    if (owner !== undefined && owner !== NOBODY && !ownerIsGone(owner)) {
      throw incomplete(
        `Another backup into this folder is under way. If it is certain that none is, remove its file ${IN_PROGRESS}.`,
      );
    }
    await rm(mark, { force: true });
  }
  const clear = () => rm(join(folder, INCOMING), { recursive: true, force: true });
  await clear();
  await mkdir(join(folder, INCOMING), { mode: 0o700 });
  await mkdir(join(folder, OBJECTS), { recursive: true, mode: 0o700 });
  return {
    async [Symbol.asyncDispose]() {
      await clear();
      // Without a manifest it is this file that tells the folder from somebody else's: the next backup goes on there.
      if ((await namesIn(folder)).includes(MANIFEST)) await rm(mark, { force: true });
      else await writeFile(mark, NOBODY);
    },
  };
}

/** As `Promise.all`, but when it rejects nothing is being copied any more. */
async function settledAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

const incomplete = (detail: string): Problem => new Problem('backup_incomplete', { detail });
