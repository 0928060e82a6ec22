/**
 * Blobs as files under one folder:
 *
 *   <root>/objects/<key>                        what was put
 *   <root>/staging/<process>/<uuid>             bytes that nobody has accepted
 *   <root>/staging/<process>/<uuid>~<key>       a second name of that file: it is being put under the key
 *
 * All lie on one file system that knows hard links (ext4, xfs, btrfs, ZFS, APFS, NFS; not exFAT and not every network
 * share): `link` gives a complete file its place at once and never replaces one, as `rename` would.
 *
 * On disk before `put` resolves: the bytes (fdatasync of the file), then the name (fsync of its folder, and of the
 * folders above where they are new). The second name in staging is made before the object and not synced: a journal
 * keeps that order. Where a file system keeps none, a power cut may leave an object that nobody was promised.
 */
import { mkdir, open, realpath, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { BlobStat, Blobs, ByteRange, LocalPath, StagedFile, StaleFile } from '../../ports/blobs.ts';
import { Problem, type ProblemCode } from '../../problem.ts';
import { ignoring, storageFull, translated } from './fs-faults.ts';
import { Objects, syncFolder } from './fs-objects.ts';
import { Staging } from './fs-staging.ts';

export interface FsBlobsOptions {
  /**
   * Free space that is not given to uploads. The catalog often lies on the same disk, and without room for it nothing
   * could be deleted any more.
   */
  reserveBytes?: number;
}

const RESERVE_BYTES = 16 * 2 ** 20;
const READ_CHUNK_BYTES = 128 * 1024;
const CHECK_BYTES = 4096;
/** Any key will do to try whether the file system can link. */
const CHECK_KEY = `originals/00/${'0'.repeat(64)}`;

/**
 * @param root made if it is missing
 * @throws Problem dependency_down where it cannot be written, or knows no hard links; not storage_full: what is there
 * can be read and deleted all the same
 */
export async function openFsBlobs(root: string, options: FsBlobsOptions = {}): Promise<Blobs> {
  return translated(async () => {
    for (const name of ['objects', 'staging']) {
      await mkdir(join(root, name), { recursive: true, mode: 0o700 });
    }
    const real = await realpath(root);
    await syncFolder(real);
    // Often not ours: a volume's mount point lies in the system's folders.
    await syncFolder(dirname(real)).catch(ignoring('EACCES', 'EPERM', 'EINVAL'));
    const blobs = new FsBlobs(real, options.reserveBytes ?? RESERVE_BYTES);
    await blobs.check().catch(unless('storage_full'));
    return blobs;
  });
}

class FsBlobs implements Blobs {
  readonly #root: string;
  readonly #objects: Objects;
  readonly #staging: Staging;
  readonly #reserveBytes: number;
  #looking: Promise<void> | undefined;

  constructor(root: string, reserveBytes: number) {
    this.#root = root;
    this.#objects = new Objects(join(root, 'objects'));
    this.#staging = new Staging(join(root, 'staging'));
    this.#reserveBytes = reserveBytes;
  }

  stage(from?: string): Promise<StagedFile> {
    return translated(async () => {
      await this.#expectRoom();
      return this.#staging.create(from);
    });
  }

  put(key: string, stagedPath: string): Promise<void> {
    return translated(async () => {
      const place = this.#objects.placeOf(key);
      const staged = this.#staging.find(stagedPath);
      await staged.finish();
      await staged.nameAs(key);
      await this.#objects.link(stagedPath, place);
    });
  }

  get(key: string, range?: ByteRange): Promise<Readable> {
    return translated(async () => {
      const { handle, bytes } = await this.#objects.open(key);
      try {
        if (range) expectWithin(range, bytes);
        return handle.createReadStream({ ...range, highWaterMark: READ_CHUNK_BYTES });
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  head(key: string): Promise<BlobStat | undefined> {
    return translated(async () => {
      const stat = await this.#objects.stat(key).catch(unless('not_found'));
      return stat && { bytes: stat.bytes };
    });
  }

  localPath(key: string): Promise<LocalPath> {
    return translated(async () => {
      const { path } = await this.#objects.stat(key);
      return { path, [Symbol.asyncDispose]: async () => {} };
    });
  }

  delete(key: string): Promise<void> {
    return translated(() => this.#objects.remove(key).catch(unless('not_found')));
  }

  staleStaged(untouchedSince: Date): Promise<StaleFile[]> {
    return translated(() => this.#staging.stale(untouchedSince));
  }

  check(): Promise<void> {
    return translated(async () => {
      await this.#expectRoom();
      const written = Buffer.alloc(CHECK_BYTES, 'check');
      await using staged = await this.#staging.create();
      await staged.write(written);
      await staged.finish();
      await staged.nameAs(CHECK_KEY);
      await using file = await open(staged.path);
      if (!written.equals(await file.readFile()))
        throw new Error('the disk reads other bytes than were written');
    });
  }

  /** Whoever asks while another's look is under way shares it. */
  #expectRoom(): Promise<void> {
    this.#looking ??= this.#lookForRoom().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookForRoom(): Promise<void> {
    const { bavail, bsize, files, ffree } = await statfs(this.#root);
    // Some file systems make inodes as they need them, and say 0 of 0.
    if (bavail * bsize < this.#reserveBytes || (files > 0 && ffree === 0)) throw storageFull();
  }
}

function expectWithin({ start, end }: ByteRange, bytes: number): void {
  const fits = Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end;
  if (fits && start < bytes) return;
  throw new Problem('range_not_satisfiable', {
    detail: `Expected a range within ${bytes} bytes, found ${start}–${end}.`,
  });
}

/** For `catch`: swallows the Problem of this code, and nothing else. */
const unless =
  (code: ProblemCode) =>
  (error: unknown): undefined => {
    if (!(error instanceof Problem) || error.code !== code) throw error;
  };
