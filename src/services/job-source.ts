/** The bytes that a job works on. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { parseKey } from '../domain/keys.ts';
import type { JobRow } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';

export interface Source extends AsyncDisposable {
  key: string;
  path: string;
  /** Of the bytes. */
  sha256: string;
}

/**
 * An image's version, or the staged source of a job without an image. Of a process job it is the version that another one
 * is made of.
 * @throws Problem `internal` where the bytes are missing or are not those that were accepted: neither is the input's
 *   fault, and a disk that is away may come back
 */
export async function openSource(
  job: JobRow,
  { catalog, blobs }: Pick<Services, 'catalog' | 'blobs'>,
): Promise<Source> {
  const key = job.imageId === null ? job.stagingPath : await versionKey(job, job.imageId, catalog);
  if (key === null) throw missing();
  return openBlob(key, { catalog, blobs });
}

/** Any stored bytes, by their key. @throws Problem as `openSource` */
export async function openBlob(
  key: string,
  { catalog, blobs }: Pick<Services, 'catalog' | 'blobs'>,
): Promise<Source> {
  const [stored, known] = await Promise.all([blobs.head(key), catalog.blob(key)]);
  if (!stored) throw missing();
  if (known && known.bytes !== stored.bytes) throw damaged();
  const local = await blobs.localPath(key).catch((error) => {
    throw Problem.from(error).code === 'not_found' ? missing(error) : error;
  });
  try {
    const parsed = parseKey(key);
    // Of what was itself made by a Plan, the key tells the source's digest and not its own.
    const sha256 = parsed?.kind === 'original' ? parsed.sha256 : await digestOf(local.path);
    return { key, path: local.path, sha256, [Symbol.asyncDispose]: () => local[Symbol.asyncDispose]() };
  } catch (error) {
    await local[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * The problem itself, or `internal` where the bytes are not the ones that were accepted: then the input is not to blame.
 * Reads the whole source, so it is asked only of what has failed.
 */
export async function unlessDamaged(
  problem: Problem,
  { path, sha256 }: Pick<Source, 'path' | 'sha256'>,
): Promise<Problem> {
  return (await digestOf(path)) === sha256 ? problem : damaged(problem);
}

async function versionKey(
  { version = 1, making }: JobRow,
  imageId: string,
  catalog: Services['catalog'],
): Promise<string | null> {
  const versions = await catalog.versions(imageId);
  return versions.find((row) => row.version === (making?.sourceVersion ?? version))?.blobKey ?? null;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 256 * 1024 }), hash);
  return hash.digest('hex');
}

const missing = (cause?: unknown) =>
  new Problem('internal', { detail: 'The stored bytes of this image are missing.', cause });
const damaged = (cause?: unknown) =>
  new Problem('internal', { detail: 'The stored bytes of this image are damaged.', cause });
