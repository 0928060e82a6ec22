/** The services over the real catalog, blobs, queue and pool, in a folder of their own; without HTTP. */
import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { NormalPlan } from '../../src/contract/plan.ts';
import { normalizePlan } from '../../src/contract/plan-normal.ts';
import { newId } from '../../src/domain/ids.ts';
import { originalKey } from '../../src/domain/keys.ts';
import { openFsBlobs } from '../../src/drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { EmbeddedQueue } from '../../src/drivers/queue/embedded.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { Pool } from '../../src/engine/pool/pool.ts';
import { probe } from '../../src/engine/probe.ts';
import type { ImageRow, JobRow, NamedPlan, Visibility } from '../../src/ports/catalog.ts';
import { systemClock } from '../../src/ports/clock.ts';
import { leaseOwner } from '../../src/services/lease-owner.ts';
import type { WorkerServices } from '../../src/worker/loop.ts';
import type { Ending } from './service.ts';
import { tempDir } from './temp.ts';

export interface TestServices extends WorkerServices {
  dir: string;
  /** Files of the store, by their keys. */
  stored(): string[];
  /** Names in staging. */
  staged(): string[];
  /** The folders that tasks of the pool hold. */
  scratch(): string[];
  logged: { level: string; message: string; fields: Record<string, unknown> }[];
}

/** @param t a test's context, or `endWithSuite()` */
export async function openServices(t: Ending, change: Partial<WorkerServices> = {}): Promise<TestServices> {
  const dir = tempDir(t);
  const logged: TestServices['logged'] = [];
  const say = (level: string) => (fields: Record<string, unknown>, message: string) =>
    void logged.push({ level, message, fields });
  const pool = new Pool({ workDir: join(dir, 'work'), size: 2 });
  t.after(() => pool.close({ graceMs: 0 }));
  const catalog = await openSqliteCatalog(join(dir, 'catalog.sqlite'));
  t.after(() => catalog.close());
  return {
    catalog,
    blobs: await openFsBlobs(join(dir, 'blobs')),
    queue: new EmbeddedQueue(),
    pool,
    clock: systemClock,
    log: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    limits: DEFAULT_LIMITS,
    retryDelayMs: 60_000,
    leaseOwner: leaseOwner(),
    ...change,
    dir,
    logged,
    stored: () => filesBelow(join(dir, 'blobs/objects')),
    staged: () => filesBelow(join(dir, 'blobs/staging')),
    scratch: () => readdirSync(join(dir, 'work'), { recursive: true, encoding: 'utf8' }).filter(isTaskFolder),
  };
}

const isTaskFolder = (name: string) => /^[^/]+\/task-[^/]+$/.test(name);

export const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

/** WebP inside a square, as the preset `web` makes them; `side` in px. */
export const webp = (side: number): NormalPlan =>
  normalizePlan({
    operations: [{ op: 'resize', width: side, height: side }],
    output: { format: 'webp', quality: 85, metadata: 'strip' },
  });

export const SMALL_AND_LARGE: NamedPlan[] = [
  { name: 'thumbnail', plan: webp(40) },
  { name: 'large', plan: webp(120) },
];

export interface Upload {
  plans?: NamedPlan[];
  owner?: string;
  visibility?: Visibility;
  maxRetries?: number;
  /** What the bytes are taken for, where they cannot be probed. */
  size?: { width: number; height: number };
}

type Store = Pick<TestServices, 'catalog' | 'blobs'>;

/** Accepts bytes as an upload is: staged, put, and told to the catalog in one transaction. */
export async function acceptImage(
  { catalog, blobs }: Store,
  bytes: Uint8Array,
  { plans = SMALL_AND_LARGE, owner = 'anna', visibility = 'public', maxRetries = 3, size }: Upload = {},
): Promise<{ jobId: string; imageId: string; key: string }> {
  const at = new Date().toISOString();
  const imageId = newId();
  const job = newJob({ imageId, plans, owner, maxRetries });
  const key = originalKey(createHash('sha256').update(bytes).digest('hex'));
  await using staged = await stageBytes(blobs, bytes);
  const facts = size
    ? { ...size, mime: 'image/jpeg', format: 'jpeg' }
    : await probe(staged.path, DEFAULT_LIMITS);
  await blobs.put(key, staged.path);
  const image: ImageRow = {
    imageId,
    owner,
    bucket: 'photos',
    project: null,
    preset: 'web',
    visibility,
    status: 'pending',
    filename: 'photo.jpg',
    currentVersion: 1,
    context: { album: 'test' },
    camera: null,
    takenAt: null,
    info: null,
    dominantColor: null,
    thumbhash: null,
    blurhash: null,
    createdAt: at,
    updatedAt: at,
  };
  const { mime, format, width, height } = facts;
  const original = { imageId, version: 1, blobKey: key, bytes: bytes.length, mime, format, width, height };
  await catalog.acceptUpload({
    image,
    original: { ...original, plan: null, createdAt: at },
    job,
    ensureBlob: () => blobs.put(key, staged.path),
  });
  return { jobId: job.jobId, imageId, key };
}

/** Accepts bytes for an asynchronous conversion. */
export async function acceptConversion(
  { catalog, blobs }: Store,
  bytes: Uint8Array,
  plan: NormalPlan,
): Promise<{ jobId: string; key: string }> {
  const job = newJob({ imageId: null, plans: [{ name: 'result', plan }], owner: 'anna', maxRetries: 3 });
  const key = originalKey(createHash('sha256').update(bytes).digest('hex'));
  await using staged = await stageBytes(blobs, bytes);
  await blobs.put(key, staged.path);
  await catalog.acceptConversion(
    { ...job, kind: 'convert', processingMetadata: { filename: 'holiday.jpg' } },
    { key, bytes: bytes.length },
    () => blobs.put(key, staged.path),
  );
  return { jobId: job.jobId, key };
}

async function stageBytes(blobs: Store['blobs'], bytes: Uint8Array) {
  const staged = await blobs.stage();
  await staged.write(bytes);
  await staged.finish();
  return staged;
}

function newJob(of: Pick<JobRow, 'imageId' | 'plans' | 'owner' | 'maxRetries'>): JobRow {
  return {
    ...of,
    jobId: newId(),
    kind: 'upload',
    status: 'pending',
    bucket: 'photos',
    stagingPath: null,
    processedPaths: {},
    processingMetadata: {},
    priority: 0,
    progress: 0,
    step: null,
    attemptCount: 0,
    lostLeases: 0,
    lastError: null,
    leaseOwner: null,
    cancelRequested: false,
    createdAt: new Date().toISOString(),
    startedAt: null,
    completedAt: null,
  };
}

/** Makes a stored object another size than the catalog says. */
export function damage({ dir }: Pick<TestServices, 'dir'>, key: string): void {
  appendFileSync(join(dir, 'blobs/objects', key), 'x');
}
