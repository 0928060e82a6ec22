/**
 * The real HTTP server over the real catalog, store and engine, without the worker that runs beside it: a test decides
 * when a job is worked on, and what the clock says.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SignJWT } from 'jose';
import { loadConfig } from '../../src/config.ts';
import type { Scope } from '../../src/contract/operation.ts';
import { builtInPresets, createPolicies, type Preset, WEB_SIZES } from '../../src/contract/policies.ts';
import { originalKey } from '../../src/domain/keys.ts';
import { expandPreset } from '../../src/domain/presets.ts';
import { jwtAuthorizer } from '../../src/drivers/authorizer/jwt.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { probe } from '../../src/engine/probe.ts';
import { Metrics } from '../../src/http/metrics.ts';
import { createLogger } from '../../src/http/request-log.ts';
import { buildServer } from '../../src/http/server.ts';
import type { ImageRow, JobRow } from '../../src/ports/catalog.ts';
import type { Services } from '../../src/services/context.ts';
import { newLease } from '../../src/services/lease-owner.ts';
import { type JobEnd, runJob } from '../../src/services/run-job.ts';
import { imageRow, jobRow, versionRow } from '../../src/services/upload-rows.ts';
import type { Ending } from './service.ts';
import { openServices, type TestServices } from './services.ts';

const SECRET = 'only a test knows these thirty-two characters';
const LEASE_MS = 600_000;

export interface Who {
  scope?: Scope | '';
  buckets?: string[];
}

export interface Seed
  extends Partial<Pick<ImageRow, 'owner' | 'bucket' | 'project' | 'preset' | 'visibility' | 'filename'>> {
  at?: Date;
}

export interface Seeded {
  imageId: string;
  jobId: string;
  /** Of the upload. */
  key: string;
}

export interface ImageService {
  address: string;
  services: Services & TestServices;
  logged: Record<string, unknown>[];
  /** How far the service's clock is ahead, in ms. */
  clock: { aheadMs: number };
  /** An `Authorization` header. */
  token(sub: string, who?: Who): Promise<string>;
  /** GET, with somebody's token where a header is given. */
  get(path: string, authorization?: string, init?: RequestInit): Promise<Response>;
  /** Accepts bytes as an upload. */
  accept(bytes: Uint8Array, seed?: Seed): Promise<Seeded>;
  /** Leases the next job. */
  lease(): Promise<JobRow>;
  /** Works on every job that is due. */
  work(): Promise<JobEnd[]>;
  /** Accepts an upload and works on it. */
  add(bytes: Uint8Array, seed?: Seed): Promise<Seeded>;
  /** Ends the server, and what it does in the background. */
  stop(): Promise<void>;
  /** What SQL finds in the catalog's file. */
  rows(sql: string, ...values: string[]): Record<string, unknown>[];
}

/** @param t a test's context, or `endWithSuite()` */
export async function startImageService(
  t: Ending,
  presets: Preset[] = [],
  env: Record<string, string> = {},
): Promise<ImageService> {
  const clock = { aheadMs: 0, now: () => new Date(Date.now() + clock.aheadMs) };
  const opened = await openServices(t, { clock });
  const webSizes = Object.entries(WEB_SIZES).map(([name, longSidePx]) => ({ name, longSidePx }));
  const policies = createPolicies({
    presets: [...builtInPresets({ webSizes, webpQuality: 85 }), ...presets],
    buckets: { vault: { visibility: 'private' } },
    allowedMimeTypes: ['image/jpeg', 'image/png'],
    maxBytes: DEFAULT_LIMITS.maxBytes,
  });
  const metrics = new Metrics();
  metrics.watchPool(opened.pool);
  const services = {
    ...opened,
    wakeRelay: () => {},
    policies,
    rateLimit: { max: 1_000, windowMs: 60_000 },
    maxRetries: 3,
    maxPendingJobs: 50,
    presignedTtlMs: 60_000,
    urlSigningKey: Buffer.from('a key that URLs are signed with: 32+'),
    metrics,
  };
  const logged: Record<string, unknown>[] = [];
  const config = loadConfig({ DATA_DIR: opened.dir, NODE_ENV: 'test', JWT_SECRET_KEY: SECRET, ...env });
  const server = buildServer({
    config,
    services,
    logger: createLogger('info', { write: (line) => void logged.push(JSON.parse(line)) }),
    version: '1.2.3',
    metrics,
    checks: {},
    authorizer: await jwtAuthorizer({ algorithm: 'HS256', key: { secret: Buffer.from(SECRET) } }),
  });
  await services.pool.start();
  const address = await server.listen('127.0.0.1', 0);
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= server.close(0));
  t.after(stop);

  async function accept(bytes: Uint8Array, seed: Seed = {}): Promise<Seeded> {
    const { at = clock.now(), owner = 'anna', bucket = 'photos', preset = 'web', ...rest } = seed;
    const { visibility } = policies.policyFor(bucket);
    const named = { owner, bucket, preset, visibility, project: null, context: {}, filename: 'photo.jpg' };
    const image = imageRow({ ...named, ...rest }, at);
    const { imageId } = image;
    const key = originalKey(createHash('sha256').update(bytes).digest('hex'));
    await using staged = await services.blobs.stage();
    await staged.write(bytes);
    await staged.finish();
    await services.blobs.put(key, staged.path);
    const original = versionRow(imageId, key, await probe(staged.path, DEFAULT_LIMITS), at);
    const plans = expandPreset(policies.preset(preset)!);
    const job = jobRow({ imageId, kind: 'upload', owner, bucket, plans, maxRetries: 0 }, at);
    await services.catalog.acceptUpload({
      image,
      original,
      job,
      ensureBlob: () => services.blobs.put(key, staged.path),
    });
    return { imageId, jobId: job.jobId, key };
  }

  async function leaseNext(): Promise<JobRow | undefined> {
    const now = clock.now();
    const until = new Date(now.getTime() + LEASE_MS);
    return services.catalog.leaseNext({ owner: newLease(services.leaseOwner), until }, now);
  }

  async function work(): Promise<JobEnd[]> {
    const ends: JobEnd[] = [];
    for (let job = await leaseNext(); job; job = await leaseNext()) {
      ends.push(await runJob(job, services, { signal: new AbortController().signal }));
    }
    return ends;
  }

  return {
    address,
    services,
    logged,
    clock,
    accept,
    work,
    stop,
    async lease() {
      const job = await leaseNext();
      if (!job) throw new Error('no job is due');
      return job;
    },
    async add(bytes, seed) {
      const seeded = await accept(bytes, seed);
      const ends = await work();
      if (ends.join() !== 'completed') throw new Error(`the job ended as ${ends}`);
      return seeded;
    },
    async token(sub, { scope = 'write', buckets } = {}) {
      const jwt = new SignJWT({ scope, ...(buckets && { buckets }) });
      const signed = await jwt
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(sub)
        .setExpirationTime('1h')
        .sign(Buffer.from(SECRET));
      return `Bearer ${signed}`;
    },
    get(path, authorization, init = {}) {
      const headers = { ...(init.headers as object), ...(authorization && { authorization }) };
      return fetch(new URL(path, address), { ...init, headers });
    },
    rows(sql, ...values) {
      const db = new DatabaseSync(join(services.dir, 'catalog.sqlite'), { readOnly: true });
      try {
        return db.prepare(sql).all(...values) as Record<string, unknown>[];
      } finally {
        db.close();
      }
    },
  };
}
