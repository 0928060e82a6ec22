/** The folder of objects, by key. Nothing here follows a link or leaves the folder. */
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, realpath, rmdir, unlink } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { isKey } from '../../domain/keys.ts';
import { Problem } from '../../problem.ts';
import { codeOf, ignoring } from './fs-faults.ts';

/** How often a deletion may take the object or its folder away in the middle of one `link`. */
const LINK_ATTEMPTS = 20;
/** `<kind>/<aa>` stays, once made; a folder below it holds one source's renditions and goes with the last. */
const LASTING_DEPTH = 2;
/** A planted FIFO does not hold up `open`. */
const READ_PLAIN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Where a key's file is, or goes. */
export interface Place {
  path: string;
  folder: string;
  /** The part of `folder` that is never pruned. */
  lasting: string;
}

export class Objects {
  readonly #dir: string;
  /** Lasting folders that were seen to be real and on disk: some hundreds at most. */
  readonly #lasting = new Set<string>();
  readonly #syncs = new FolderSyncs();

  /** @param dir its real path */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @throws Problem internal where the text is no key */
  placeOf(key: string): Place {
    const path = join(this.#dir, key);
    if (!isKey(key) || !path.startsWith(this.#dir + sep)) throw damaged('not a key');
    const lasting = join(this.#dir, ...key.split('/').slice(0, LASTING_DEPTH));
    return { path, folder: dirname(path), lasting };
  }

  /** Gives a complete file on disk a second name, durably. @throws Problem internal where another size is there */
  async link(from: string, place: Place): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#makeFolder(place);
        await link(from, place.path).catch(async (error) => {
          ignoring('EEXIST')(error);
          await expectSameSize(from, place.path);
        });
        // Also where it was there before: whoever made it may not have come this far.
        await this.#syncs.sync(place.folder);
        if (place.folder !== place.lasting) await this.#syncs.sync(place.lasting);
        return;
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' || attempt === LINK_ATTEMPTS) throw error;
        this.#lasting.delete(place.lasting);
      }
    }
  }

  /** An open regular file and its size. @throws Problem not_found */
  async open(key: string): Promise<{ handle: FileHandle; bytes: number }> {
    const { path } = await this.#existing(key);
    const handle = await open(path, READ_PLAIN).catch(notFound);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw damaged('a key leads to something else than a file');
      return { handle, bytes: stat.size };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** @throws Problem not_found */
  async stat(key: string): Promise<{ path: string; bytes: number }> {
    const { path, folder } = this.placeOf(key);
    const [stat] = await Promise.all([lstat(path), expectReal(folder)]).catch(notFound);
    if (!stat.isFile()) throw damaged('a key leads to something else than a file');
    return { path, bytes: stat.size };
  }

  async remove(key: string): Promise<void> {
    const { path, folder, lasting } = await this.#existing(key);
    await unlink(path).catch(notFound);
    const pruned = folder !== lasting && (await removedIfEmpty(folder));
    // Without this a power cut could bring the bytes back, after the catalog has forgotten them.
    await syncFolder(pruned ? lasting : folder).catch(ignoring('ENOENT'));
  }

  /** @throws Problem not_found where there is no folder for it; internal where a link leads elsewhere */
  async #existing(key: string): Promise<Place> {
    const place = this.placeOf(key);
    await expectReal(place.folder).catch(notFound);
    return place;
  }

  async #makeFolder({ folder, lasting }: Place): Promise<void> {
    if (!this.#lasting.has(lasting)) {
      await mkdir(lasting, { recursive: true, mode: 0o700 });
      await expectReal(lasting);
      await syncFolder(dirname(lasting));
      await syncFolder(this.#dir);
      this.#lasting.add(lasting);
    }
    if (folder === lasting) return;
    // Most often it is there: its first rendition made it.
    const isThere = await expectReal(folder).then(() => true, ignoring('ENOENT'));
    if (isThere) return;
    await mkdir(folder, { mode: 0o700 }).catch(async (error) => {
      ignoring('EEXIST')(error);
      await expectReal(folder);
    });
  }
}

/** Whoever asks while a sync of the folder waits for the one before it shares it: it begins after they have asked. */
class FolderSyncs {
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Promise<void>>();

  sync(folder: string): Promise<void> {
    const waiting = this.#waiting.get(folder);
    if (waiting) return waiting;
    const running = this.#running.get(folder);
    if (!running) return this.#begin(folder);
    const next = running
      .catch(() => {})
      .then(() => {
        this.#waiting.delete(folder);
        return this.#begin(folder);
      });
    this.#waiting.set(folder, next);
    return next;
  }

  #begin(folder: string): Promise<void> {
    const running = syncFolder(folder).finally(() => {
      if (this.#running.get(folder) === running) this.#running.delete(folder);
    });
    this.#running.set(folder, running);
    return running;
  }
}

/** A folder's entries are on disk when it resolves. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function expectReal(folder: string): Promise<void> {
  if ((await realpath(folder)) !== folder) throw damaged('a link stands in the place of a folder');
}

async function expectSameSize(staged: string, path: string): Promise<void> {
  const [expected, found] = [await lstat(staged), await lstat(path)];
  if (!found.isFile() || found.size !== expected.size) {
    throw damaged(`a key holds other bytes: expected ${expected.size}, found ${found.size}`);
  }
}

async function removedIfEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    ignoring('ENOTEMPTY', 'EEXIST', 'ENOENT')(error);
    return codeOf(error) === 'ENOENT';
  }
}

const damaged = (what: string): Problem => new Problem('internal', { cause: new Error(`objects: ${what}`) });

function notFound(error: unknown): never {
  if (codeOf(error) !== 'ENOENT') throw error;
  throw new Problem('not_found', { detail: 'These bytes are not in the store.', cause: error });
}
