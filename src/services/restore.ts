/**
 * Brings a backup back: everything is looked at first; then the objects are put into the store and the catalog, last,
 * into its place. Until then nothing serves what is half there (`RestoreTarget`).
 */
import { constants } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { parseKey } from '../domain/keys.ts';
import type { Blobs } from '../ports/blobs.ts';
import type { Catalog } from '../ports/catalog.ts';
import type { Clock } from '../ports/clock.ts';
import { ownerIsGone } from '../ports/process-owner.ts';
import { Problem } from '../problem.ts';
import type { CopyProgress } from './backup.ts';
import {
  copyingOwner,
  digestOf,
  type Manifest,
  OBJECTS,
  readManifest,
  sizeOf,
  someOf,
  storedPages,
} from './backup-folder.ts';

/** An installation that nobody works with, and that nobody can start to until it is disposed of. */
export interface RestoreTarget extends AsyncDisposable {
  clock: Clock;
  /** Where the catalog is made ready. */
  catalogPath: string;
  openCatalog(path: string): Promise<Catalog>;
  /** Moves aside what is in the way, and opens the store. From here on the installation is unusable … */
  clear(): Promise<Blobs>;
  /** … until what lies at `catalogPath` has its place. */
  install(): Promise<void>;
}

export interface RestoreOptions {
  signal: AbortSignal;
  /** Reads every original and compares its SHA-256 with its key, before anything is restored. */
  verify?: boolean;
  onProgress?: (progress: CopyProgress) => void;
}

export interface RestoreResult {
  manifest: Manifest;
  /** Put into the store; the others were there. */
  restored: { objects: number; bytes: number };
  /** Jobs that were being processed; they wait again. */
  pendingAgain: number;
}

/** Objects that are named in an answer at most. */
const MAX_COMPLAINTS = 1_000;
const CHUNK_BYTES = 1 << 20;

/** @throws Problem `backup_unusable`, and nothing was restored; what catalog and store throw; errors of the file system */
export async function restore(
  folder: string,
  openTarget: () => Promise<RestoreTarget>,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const manifest = await expectBackup(folder, options.signal);
  await using target = await openTarget();
  const { catalogPath, clock, openCatalog } = target;
  await copyFile(join(folder, manifest.catalog.file), catalogPath, constants.COPYFILE_FICLONE);
  const catalog = await openCatalog(catalogPath);
  let result: RestoreResult;
  try {
    const soundness = await catalog.integrity();
    if (soundness !== 'ok') throw unusable(`Its catalog is damaged: ${soundness}.`);
    await expectObjects(folder, manifest, catalog, options);
    const restored = await putObjects(folder, manifest, catalog, await target.clear(), options);
    // Whoever held a lease was another installation's worker.
    const pendingAgain = await catalog.reclaimLost(clock.now(), () => true);
    result = { manifest, restored, pendingAgain };
  } finally {
    await catalog.close();
  }
  options.signal.throwIfAborted();
  await target.install();
  return result;
}

async function expectBackup(folder: string, signal: AbortSignal): Promise<Manifest> {
  const manifest = await readManifest(folder);
  const copying = await copyingOwner(folder);
  if (!manifest) {
    throw unusable(
      copying === undefined
        ? 'Expected a folder that tintype backup has filled, found no manifest in it.'
        : 'It is not complete: the backup into this folder was interrupted. Back up into it again.',
    );
  }
  if (copying !== undefined && !ownerIsGone(copying)) {
    throw unusable('A backup into this folder is under way. Wait for its end.');
  }
  const { file, bytes, sha256 } = manifest.catalog;
  const path = join(folder, file);
  const found = await sizeOf(path);
  if (found === undefined) throw unusable('Its catalog is missing.');
  if (found !== bytes || (await digestOf(path, signal)) !== sha256) {
    throw unusable('Its catalog is not the one that the manifest was written for.');
  }
  return manifest;
}

/** All of them, before one is restored. */
async function expectObjects(
  folder: string,
  { objects, damaged }: Manifest,
  catalog: Catalog,
  { verify, signal }: RestoreOptions,
): Promise<void> {
  const left = new Set(damaged);
  const wrong: string[] = [];
  const there = { count: 0, bytes: 0 };
  for await (const page of storedPages(catalog)) {
    for (const { key, bytes } of page) {
      signal.throwIfAborted();
      if (left.has(key)) continue;
      there.count += 1;
      there.bytes += bytes;
      if (wrong.length < MAX_COMPLAINTS && !(await isGood(folder, key, bytes, verify === true, signal)))
        wrong.push(key);
    }
  }
  if (wrong.length > 0) throw unusable(`Missing, or other bytes than were stored: ${someOf(wrong)}.`);
  if (there.count !== objects.count || there.bytes !== objects.bytes) {
    throw unusable(
      `The manifest tells of ${objects.count} objects with ${objects.bytes} bytes, the catalog of ${there.count} with ${there.bytes}.`,
    );
  }
}

async function isGood(
  folder: string,
  key: string,
  bytes: number,
  verify: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const parsed = parseKey(key);
  if (!parsed) return false;
  const path = join(folder, OBJECTS, key);
  if ((await sizeOf(path)) !== bytes) return false;
  return !verify || parsed.kind !== 'original' || (await digestOf(path, signal)) === parsed.sha256;
}

async function putObjects(
  folder: string,
  { objects, damaged }: Manifest,
  catalog: Catalog,
  blobs: Blobs,
  { signal, onProgress }: RestoreOptions,
): Promise<RestoreResult['restored']> {
  const left = new Set(damaged);
  const restored = { objects: 0, bytes: 0 };
  const done = { objects: 0, bytes: 0 };
  for await (const page of storedPages(catalog)) {
    for (const { key, bytes } of page) {
      if (left.has(key)) continue;
      signal.throwIfAborted();
      if (await putObject(join(folder, OBJECTS, key), key, bytes, blobs)) {
        restored.objects += 1;
        restored.bytes += bytes;
      }
      done.objects += 1;
      done.bytes += bytes;
      onProgress?.({ ...done, totalObjects: objects.count, totalBytes: objects.bytes });
    }
  }
  return restored;
}

/** False where a restoration that was interrupted has put it. */
async function putObject(path: string, key: string, bytes: number, blobs: Blobs): Promise<boolean> {
  const there = await blobs.head(key);
  if (there?.bytes === bytes) return false;
  if (there) await blobs.delete(key);
  await using staged = await blobs.stage();
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, bytes)));
  for (let total = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length);
    if (bytesRead === 0) {
      if (total !== bytes) throw unusable(`${key}: expected ${bytes} bytes, read ${total}.`);
      break;
    }
    total += bytesRead;
    await staged.write(chunk.subarray(0, bytesRead));
  }
  await staged.finish();
  await blobs.put(key, staged.path);
  return true;
}

const unusable = (detail: string): Problem => new Problem('backup_unusable', { detail });
