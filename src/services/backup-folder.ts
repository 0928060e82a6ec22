/**
 * How a backup lies in its folder:
 *
 *   backup.json              the manifest: written last, under this name only when all the rest is there
 *   catalog-<id>.sqlite      the catalog; a new backup has a new one beside the old, until the manifest names it
 *   objects/<key>            what the catalog refers to; the same key is the same bytes, so that backups share them
 *   incoming/                what is being copied
 *   in-progress              which process is copying
 */
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { lstat, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import type { Catalog } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';

export const MANIFEST = 'backup.json';
export const OBJECTS = 'objects';
export const INCOMING = 'incoming';
export const IN_PROGRESS = 'in-progress';
/** Of a catalog in the folder. */
export const CATALOG_NAME = /^catalog-[0-9a-f-]{36}\.sqlite$/;

const FORMAT = 1;
/** Objects that are asked for at a time. */
const PAGE = 500;
const count = z.int().min(0);

const manifestSchema = z.object({
  format: z.literal(FORMAT),
  /** Of the release that made it. */
  version: z.string(),
  created_at: z.iso.datetime(),
  catalog: z.object({
    file: z.string().regex(CATALOG_NAME),
    bytes: count,
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  /** What of the catalog's objects is there. */
  objects: z.object({ count, bytes: count }),
  /** Keys of objects that were missing or of another size in the store; they are not in the backup. */
  damaged: z.array(z.string()),
});

export type Manifest = Omit<z.output<typeof manifestSchema>, 'format'>;

export const manifestText = (manifest: Manifest): string =>
  `${JSON.stringify({ format: FORMAT, ...manifest }, undefined, 2)}\n`;

/**
 * Undefined where the folder holds no complete backup.
 * @throws Problem `backup_unusable` where the manifest cannot be understood
 */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(whereMissing);
  if (text === undefined) return undefined;
  const parsed = manifestSchema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new Problem('backup_unusable', {
    detail: `${MANIFEST}: expected the manifest of a backup of format ${FORMAT}, found something else.`,
    cause: parsed.error,
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The process that a backup into this folder belongs to, or belonged to when it ended without a word. */
export const copyingOwner = (folder: string): Promise<string | undefined> =>
  readFile(join(folder, IN_PROGRESS), 'utf8').catch(whereMissing);

/** All that a catalog refers to, by key, a page at a time. */
export async function* storedPages(catalog: Catalog): AsyncGenerator<{ key: string; bytes: number }[]> {
  for (let after = ''; ; ) {
    const page = await catalog.storedBlobs(after, PAGE);
    if (page.length > 0) yield page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.key;
  }
}

/** Bytes of a regular file; undefined where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const stat = await lstat(path).catch(whereMissing);
  return stat?.isFile() ? stat.size : undefined;
}

/** SHA-256 of a file, lower-case hex. */
export async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 256 * 1024 }), hash, { signal });
  return hash.digest('hex');
}

/** The bytes of a file, or the entries of a folder, are on disk when it resolves. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Names in a folder; none where there is no such folder. */
export const namesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder).catch(whereMissing)) ?? [];

/** For `catch`. */
export function whereMissing(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
}

/** For a sentence: the first few, and how many more there are. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
