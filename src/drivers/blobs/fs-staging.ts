/**
 * The folder of what has not been accepted. Each process has its own folder in it, named after its life, so that what a
 * dead one has left is told from uploads under way without a clock.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isKey } from '../../domain/keys.ts';
import type { StagedFile, StaleFile } from '../../ports/blobs.ts';
import { isOwner, ownerIsGone, processOwner } from '../../ports/process-owner.ts';
import { Problem } from '../../problem.ts';
import { codeOf, ignoring, translated } from './fs-faults.ts';

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** Data, or a second name of it with the key that it is put under. */
const NAME = new RegExp(`^${UUID}(?:~(.+))?$`);
const COPY_CHUNK_BYTES = 1 << 20;
const { O_APPEND, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;

/** Colons are not for file names everywhere; owners hold no underscore. */
const folderOf = (owner: string): string => owner.replaceAll(':', '_');
const ownerOf = (folder: string): string => folder.replaceAll('_', ':');
/** Keys hold neither sign. */
const nameFor = (path: string, key: string): string => `${path}~${key.replaceAll('/', '+')}`;

export class Staging {
  readonly #dir: string;
  readonly #ownDir: string;
  /** By path, until they are discarded. */
  readonly #files = new Map<string, OpenStagedFile>();

  constructor(dir: string) {
    this.#dir = dir;
    this.#ownDir = join(dir, folderOf(processOwner()));
  }

  async create(from?: string): Promise<OpenStagedFile> {
    const path = join(this.#ownDir, randomUUID());
    const handle = await this.#inOwnDir(() => (from === undefined ? openNew(path) : takeOver(from, path)));
    const file = new OpenStagedFile(path, handle, () => this.#files.delete(path));
    this.#files.set(path, file);
    return file;
  }

  /** @throws Problem internal */
  find(path: string): OpenStagedFile {
    const file = this.#files.get(path);
    if (!file) throw new Problem('internal', { cause: new Error('put: not a file that is staged here') });
    return file;
  }

  async stale(untouchedSince: Date): Promise<StaleFile[]> {
    const found: StaleFile[] = [];
    for (const folder of await readdir(this.#dir)) {
      const owner = ownerOf(folder);
      if (!isOwner(owner) || owner === processOwner()) continue;
      const dir = join(this.#dir, folder);
      const isStale = ownerIsGone(owner)
        ? () => true
        : async (path: string) => ((await modified(path)) ?? untouchedSince) < untouchedSince;
      const names = (await readdir(dir).catch(ignoring('ENOENT', 'ENOTDIR'))) ?? [];
      if (names.length === 0 && (await isStale(dir))) await removeFolder(dir);
      for (const name of names) {
        const key = keyIn(name);
        if (key !== undefined && (await isStale(join(dir, name)))) found.push(staleFile(dir, name, key));
      }
    }
    return found;
  }

  /** The folder is made when it is first needed; a sweeper elsewhere may have removed it since, empty as it was. */
  async #inOwnDir<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await mkdir(this.#ownDir, { recursive: true, mode: 0o700 });
      return work();
    }
  }
}

export class OpenStagedFile implements StagedFile {
  readonly path: string;
  #handle: FileHandle | undefined;
  #finishing: Promise<void> | undefined;
  #discarding: Promise<void> | undefined;
  readonly #names = new Set<string>();
  readonly #forget: () => void;

  constructor(path: string, handle: FileHandle, forget: () => void) {
    this.path = path;
    this.#handle = handle;
    this.#forget = forget;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const handle = this.#handle;
    if (!handle || this.#finishing) {
      throw new Problem('internal', { cause: new Error('write: the staged file is finished') });
    }
    await translated(async () => {
      for (let offset = 0; offset < chunk.length; ) {
        offset += (await handle.write(chunk, offset, chunk.length - offset)).bytesWritten;
      }
    });
  }

  finish(): Promise<void> {
    this.#finishing ??= translated(async () => {
      const handle = this.#handle;
      if (!handle) throw new Error('finish: the staged file was discarded');
      await handle.datasync();
      await this.#close();
    });
    return this.#finishing;
  }

  /** Writes down, before it happens, that the file becomes an object. */
  async nameAs(key: string): Promise<void> {
    const name = nameFor(this.path, key);
    this.#names.add(name);
    await link(this.path, name).catch(ignoring('EEXIST'));
  }

  discard(): Promise<void> {
    this.#discarding ??= translated(async () => {
      await this.#close();
      for (const path of [this.path, ...this.#names]) await unlink(path).catch(ignoring('ENOENT'));
      this.#forget();
    }).catch((error) => {
      this.#discarding = undefined; // may be tried again
      throw error;
    });
    return this.#discarding;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.discard();
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}

const openNew = (path: string): Promise<FileHandle> => open(path, 'ax', 0o600);

/**
 * The file may come from a process that untrusted bytes were decoded in: a link, a folder or a FIFO in its place is
 * refused, not followed.
 */
async function takeOver(from: string, path: string): Promise<FileHandle> {
  const source = await openPlain(from, O_RDONLY);
  try {
    await rename(from, path);
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') throw error;
    return await copied(source, from, path);
  } finally {
    await source.close();
  }
  let handle: FileHandle | undefined;
  try {
    // Once more by its new name: what was moved need not be what was looked at.
    handle = await openPlain(path, O_RDWR | O_APPEND);
    await handle.chmod(0o600);
    return handle;
  } catch (error) {
    await handle?.close();
    await unlink(path).catch(ignoring('ENOENT', 'EISDIR', 'EPERM'));
    throw error;
  }
}

async function openPlain(path: string, flags: number): Promise<FileHandle> {
  const handle = await open(path, flags | O_NOFOLLOW | O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new Error('not a regular file');
}

async function copied(source: FileHandle, from: string, path: string): Promise<FileHandle> {
  const target = await openNew(path);
  try {
    const chunk = Buffer.allocUnsafe(COPY_CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await source.read(chunk, 0, chunk.length);
      if (bytesRead === 0) break;
      for (let offset = 0; offset < bytesRead; ) {
        offset += (await target.write(chunk, offset, bytesRead - offset)).bytesWritten;
      }
    }
    await unlink(from);
    return target;
  } catch (error) {
    await target.close();
    await unlink(path);
    throw error;
  }
}

/** The key in a name, '' where it has none, undefined where the name is not of our making. */
function keyIn(name: string): string | undefined {
  const match = NAME.exec(name);
  if (!match) return undefined;
  const key = match[1]?.replaceAll('+', '/') ?? '';
  return key === '' || isKey(key) ? key : undefined;
}

const staleFile = (dir: string, name: string, key: string): StaleFile => ({
  ...(key && { key }),
  discard: () =>
    translated(async () => {
      await unlink(join(dir, name)).catch(ignoring('ENOENT'));
      await removeFolder(dir);
    }),
});

/** Once it is empty. */
async function removeFolder(dir: string): Promise<void> {
  await rmdir(dir).catch(ignoring('ENOTEMPTY', 'EEXIST', 'ENOENT'));
}

async function modified(path: string): Promise<Date | undefined> {
  return (await lstat(path).catch(ignoring('ENOENT')))?.mtime;
}
