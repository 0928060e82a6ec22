/** Uploads to a service that the tests have started, and a look at what it has kept of them. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import { SignJWT } from 'jose';
import sharp from 'sharp';
import type { ProblemCode } from '../../src/problem.ts';
import { exercise } from './operations.ts';
import { assertProblem, assertPublished } from './published.ts';
import type { Ending, FetchBody, TestService } from './service.ts';
import { eventually, startService } from './service.ts';
import { tempDir } from './temp.ts';

export const JWT_SECRET_KEY = 'a secret of the tests, long enough for HS256';

export interface TokenOptions {
  scope?: string;
  buckets?: string[];
}

export function tokenOf(subject: string, { scope = 'write', buckets }: TokenOptions = {}): Promise<string> {
  return new SignJWT({ scope, ...(buckets && { buckets }) })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(subject)
    .setExpirationTime('1h')
    .sign(Buffer.from(JWT_SECRET_KEY));
}

export interface UploadService extends TestService {
  dataDir: string;
  /** Names in staging. */
  staged(): string[];
  /** Keys of originals in the store. */
  originals(): string[];
  /** The rows that a query of ours gives. */
  rows(sql: string): Record<string, unknown>[];
  /** Rows of `images` and `processing_jobs`, and of `blobs` those of originals. */
  counts(): { images: number; jobs: number; blobs: number };
}

export async function startUploadService(
  t: Ending,
  env: Record<string, string> = {},
): Promise<UploadService> {
  const dataDir = env.DATA_DIR ?? tempDir(t);
  const service = await startService(t, {
    DATA_DIR: dataDir,
    JWT_SECRET_KEY,
    RATE_LIMIT_MAX_UPLOADS: '100000',
    ...env,
  });
  const rows = (sql: string) => {
    using db = disposable(new DatabaseSync(join(dataDir, 'tintype.sqlite'), { readOnly: true }));
    return db.value.prepare(sql).all();
  };
  return Object.assign(service, {
    dataDir,
    rows,
    staged: () => filesBelow(join(dataDir, 'blobs/staging')),
    originals: () => filesBelow(join(dataDir, 'blobs/objects')).filter((key) => key.startsWith('originals/')),
    counts: () =>
      rows(
        `select (select count(*) from images) images, (select count(*) from processing_jobs) jobs,
          (select count(*) from blobs where key like 'originals/%') blobs`,
      )[0] as { images: number; jobs: number; blobs: number },
  });
}

const disposable = (db: DatabaseSync) => ({ value: db, [Symbol.dispose]: () => db.close() });

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));

/** A part of a form: its name, then text, or bytes and a file name. */
export type Part = [name: string, value: string | Uint8Array, filename?: string];

export function formOf(parts: readonly Part[]): FormData {
  const form = new FormData();
  for (const [name, value, filename = 'photo.jpg'] of parts) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([value as Uint8Array<ArrayBuffer>]), filename);
  }
  return form;
}

export interface UploadInit {
  token?: string;
  headers?: Record<string, string>;
  body?: FetchBody;
  signal?: AbortSignal;
}

export function upload(
  { address }: Pick<TestService, 'address'>,
  parts: readonly Part[],
  { token, headers, body = formOf(parts), signal }: UploadInit = {},
): Promise<Response> {
  const { path, method } = exercise('upload_images');
  return fetch(`${address}${path}`, {
    method,
    body,
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
    ...(signal && { signal }),
    duplex: 'half',
  } as RequestInit);
}

/** A small picture that is like no other one with another number. */
export const photo = (n = 0, side = 24): Promise<Buffer> =>
  sharp({
    create: { width: side, height: side, channels: 3, background: { r: n % 256, g: (n >> 8) % 256, b: 90 } },
  })
    .jpeg()
    .withExif({ IFD0: { ImageDescription: `picture ${n}` } })
    .toBuffer();

/** The head of the multipart part that is the file. */
export const FILE_HEAD = 'Content-Disposition: form-data; name="file"; filename="a.jpg"';

export interface Accepted {
  job_id: string;
  image_id: string;
  status_url: string;
  message: string;
}
export interface Batch {
  batch_id: string;
  items: {
    filename: string;
    job_id?: string;
    image_id?: string;
    problem?: { code: string; detail?: string };
  }[];
}

/** The answer's body, which is one that the operation publishes. */
export async function accepted<T = Accepted>(response: Response): Promise<T> {
  const body = (await response.json()) as T;
  assert.equal(response.status, 202, JSON.stringify(body));
  assertPublished('upload_images', response, body);
  return body;
}

export const refused = (response: Response, code: ProblemCode) =>
  assertProblem('upload_images', response, code);

export const rateOf = ({ headers }: Response) =>
  ['limit', 'remaining', 'reset'].map((name) => Number(headers.get(`x-ratelimit-${name}`)));

/** A PNG of one pixel that says that it is larger; its data end early. */
export function bombOf(side: number): Buffer {
  const header = Buffer.alloc(17);
  header.write('IHDR', 0, 'latin1');
  header.writeUInt32BE(side, 4);
  header.writeUInt32BE(side, 8);
  header.set([8, 2, 0, 0, 0], 12);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(header));
  return Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d', 'hex'), header, sum, Buffer.alloc(60)]);
}

export const padded = (bytes: Buffer, length: number): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);

export const nothingStaged = (service: UploadService): Promise<void> =>
  eventually('nothing is left in staging', () => service.staged().length === 0);

/** Nothing is accepted meanwhile, and nothing is left. */
export async function unchangedBy(service: UploadService, work: () => Promise<void>): Promise<void> {
  const [counts, originals] = [service.counts(), service.originals()];
  await work();
  await nothingStaged(service);
  assert.deepEqual(service.counts(), counts);
  assert.deepEqual(service.originals(), originals);
}
