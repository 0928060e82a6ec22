/**
 * Random sequences of everything that changes references, against a model of plain maps. Whatever happens, each answer
 * is the model's, each blob has exactly its references, and exactly what nothing refers to is queued for deletion.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type JobStatus, MAX_LOST_LEASES } from '../../src/domain/job.ts';
import { type Catalog, type ImageStatus, type Making, VERSION_NAME } from '../../src/ports/catalog.ts';
import { Problem } from '../../src/problem.ts';
import type { OpenCatalog } from './catalog.ts';
import { making } from './catalog-making.ts';
import {
  after,
  conversion,
  DAY,
  HOUR,
  info,
  MINUTE,
  NOON,
  noCheck,
  originalKey,
  rendition,
  renditionKey,
  upload,
} from './catalog-rows.ts';

const RUNS = 30;
const MAX_STEPS = 100;
const LEASE_MS = 10 * MINUTE;
const FAULT = { code: 'internal' } as const;
const ORIGINALS = Array.from({ length: 3 }, (_, i) => originalKey(`original ${i}`));
const RENDITIONS = Array.from({ length: 4 }, (_, i) => renditionKey(`rendition ${i}`));
const SLOTS = ['thumbnail', 'large'];
const OWN = `${VERSION_NAME}.webp`;
const MAKING: Making = {
  plan: { operations: [], output: { format: 'webp', metadata: 'strip' } },
  sourceVersion: 1,
  assets: {},
};

interface ModelVersion {
  own?: string;
  renditions: Map<string, string>;
}
interface ModelImage extends ModelVersion {
  status: ImageStatus;
  /** Later ones, by their numbers; the first one is the image itself. */
  versions: Map<number, ModelVersion>;
  lastVersion: number;
}
interface ModelJob {
  id: string;
  imageId: string | undefined;
  status: JobStatus;
  lease?: { owner: string; until: Date };
  dueAt?: Date;
  cancelRequested: boolean;
  lostLeases: number;
  endedAt?: Date;
  /** Of a conversion. */
  source?: string;
  /** The version that it makes. */
  makes?: number;
  results: Map<string, string>;
}

/** How often each comes: most of what happens is about a job under way. */
const WEIGHTS = {
  accept: 4,
  convert: 3,
  process: 5,
  expect: 1,
  fulfil: 2,
  lease: 7,
  publish: 10,
  heartbeat: 1,
  complete: 2,
  failForNow: 2,
  failForGood: 2,
  release: 2,
  retry: 2,
  cancel: 3,
  confirm: 2,
  delete: 2,
  reclaim: 2,
  expire: 4,
  sweep: 1,
  wait: 2,
};
type Name = keyof typeof WEIGHTS;

interface Step {
  name: Name;
  /** Chooses what the step is about, among what there is. */
  pick: number;
  key: number;
}
const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  name: fc.oneof(
    ...Object.entries(WEIGHTS).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name as Name) })),
  ),
  pick: fc.nat(1000),
  key: fc.nat(1000),
});

const newImage = (status: ImageStatus): ModelImage => ({
  status,
  renditions: new Map(),
  versions: new Map(),
  lastVersion: 1,
});

const chosen = <T>(from: readonly T[], n: number): T | undefined => from[n % Math.max(1, from.length)];

class Run {
  readonly catalog: Catalog;
  readonly images = new Map<string, ModelImage>();
  readonly jobs = new Map<string, ModelJob>();
  readonly expected = new Map<string, { jobId: string; expiresAt: Date }>();
  readonly stored = new Set<string>();
  now = NOON;
  leases = 0;

  constructor(catalog: Catalog) {
    this.catalog = catalog;
  }

  references(): Map<string, number> {
    const refs = new Map<string, number>();
    const add = (key: string | undefined) => key && refs.set(key, (refs.get(key) ?? 0) + 1);
    for (const image of this.images.values()) {
      for (const version of [image, ...image.versions.values()]) {
        add(version.own);
        for (const key of version.renditions.values()) add(key);
      }
    }
    for (const job of this.jobs.values()) {
      add(job.source);
      const holds = !job.imageId || (job.makes !== undefined && job.status !== 'completed');
      if (holds) for (const key of job.results.values()) add(key);
    }
    return refs;
  }

  /** A job by its index, and the owner of its lease or somebody else: `undefined` where there is none. */
  job(pick: number): { job: ModelJob; owner: string; holds: boolean } | undefined {
    const all = [...this.jobs.values()];
    const underWay = all.filter((j) => j.status === 'processing');
    const job = chosen(pick % 5 > 0 && underWay.length > 0 ? underWay : all, pick);
    if (!job) return undefined;
    const impostor = pick % 7 === 0;
    const owner = job.lease && !impostor ? job.lease.owner : 'somebody else';
    const holds = job.status === 'processing' && job.lease?.owner === owner && !job.cancelRequested;
    return { job, owner, holds };
  }

  end(job: ModelJob, status: 'completed' | 'failed' | 'cancelled'): void {
    Object.assign(job, { status, endedAt: this.now });
    delete job.lease;
    delete job.dueAt;
    const image = job.imageId === undefined ? undefined : this.images.get(job.imageId);
    if (!image) return;
    if (job.makes !== undefined) {
      const renditions = new Map(job.results);
      const own = renditions.get(OWN)!;
      renditions.delete(OWN);
      if (status === 'completed') image.versions.set(job.makes, { own, renditions });
      else job.results.clear();
    } else if (status === 'completed') image.status = 'ready';
    else if (image.status === 'pending') image.status = 'failed';
  }

  pending(job: ModelJob): void {
    job.status = 'pending';
    delete job.lease;
  }

  async conflict(done: Promise<unknown>): Promise<void> {
    await assert.rejects(done, (error) => error instanceof Problem && error.code === 'conflict');
  }

  readonly steps: Record<Name, (step: Step) => Promise<void>> = {
    accept: async ({ key }) => {
      const row = upload({ key: chosen(ORIGINALS, key)!, at: this.now, owner: `user ${key % 3}` });
      await this.catalog.acceptUpload(row);
      this.stored.add(row.original.blobKey);
      const { imageId } = row.image;
      this.images.set(imageId, { ...newImage('pending'), own: row.original.blobKey });
      this.add(row.job.jobId, { imageId, status: 'pending' });
    },
    convert: async ({ key }) => {
      const row = conversion(this.now);
      const source = chosen([...ORIGINALS, ...RENDITIONS], key)!;
      await this.catalog.acceptConversion(row, { key: source, bytes: 9 }, noCheck);
      this.stored.add(source);
      this.add(row.jobId, { imageId: undefined, status: 'pending', source });
    },
    process: async ({ pick }) => {
      const all = [...this.images.keys()];
      const ready = all.filter((id) => this.images.get(id)!.status === 'ready');
      const imageId = chosen(pick % 5 > 0 && ready.length > 0 ? ready : all, pick);
      if (!imageId) return;
      const image = this.images.get(imageId)!;
      const job = making(imageId, { making: MAKING, plans: [] });
      const versions = await this.catalog.acceptProcessing({ owner: 'ann', jobs: [job] });
      const makes = image.status === 'ready' ? ++image.lastVersion : undefined;
      assert.deepEqual(versions, [makes]);
      if (makes) this.add(job.jobId, { imageId, status: 'pending', makes });
    },
    expect: async () => {
      const row = upload({ at: this.now });
      const expiresAt = after(30 * MINUTE, this.now);
      await this.catalog.expectUpload(row.image, row.job, { contentType: 'image/jpeg', expiresAt });
      const { imageId } = row.image;
      this.images.set(imageId, newImage('expected'));
      this.add(row.job.jobId, { imageId, status: 'expected' });
      this.expected.set(imageId, { jobId: row.job.jobId, expiresAt });
    },
    fulfil: async ({ pick, key }) => {
      const imageId = chosen([...this.images.keys()], pick);
      if (!imageId) return;
      const { original } = upload({ imageId, key: chosen(ORIGINALS, key)!, at: this.now });
      const expected = this.expected.get(imageId);
      const job = expected && this.jobs.get(expected.jobId);
      const done = this.catalog.fulfilUpload(imageId, original, this.now, noCheck);
      if (!expected || expected.expiresAt <= this.now || job?.status !== 'expected') {
        return this.conflict(done);
      }
      assert.equal((await done).jobId, job.id);
      this.stored.add(original.blobKey);
      this.expected.delete(imageId);
      Object.assign(this.images.get(imageId)!, { status: 'pending', own: original.blobKey });
      job.status = 'pending';
    },
    lease: async () => {
      const lease = { owner: `lease ${this.leases++}`, until: after(LEASE_MS, this.now) };
      const leased = await this.catalog.leaseNext(lease, this.now);
      for (const job of this.jobs.values()) {
        if (job.status === 'retrying' && job.dueAt! <= this.now) this.pending(job);
      }
      const job = leased && this.jobs.get(leased.jobId);
      if (!job) {
        assert.equal(leased, undefined);
        assert.ok([...this.jobs.values()].every((j) => j.status !== 'pending'));
        return;
      }
      assert.equal(job.status, 'pending');
      Object.assign(job, { status: 'processing', lease });
    },
    publish: async ({ pick, key }) => {
      const of = this.job(pick);
      if (!of) return;
      const isMaking = of.job.makes !== undefined;
      const name = chosen(isMaking ? [VERSION_NAME, ...SLOTS] : SLOTS, pick)!;
      const blobKey = chosen(RENDITIONS, key)!;
      const row = rendition({ name, blobKey });
      assert.equal(await this.catalog.publishRendition(of.job.id, of.owner, row, noCheck), of.holds);
      if (!of.holds) return;
      this.stored.add(blobKey);
      of.job.results.set(`${name}.webp`, blobKey);
      if (of.job.imageId && !isMaking) {
        this.images.get(of.job.imageId)!.renditions.set(`${name}.webp`, blobKey);
      }
    },
    heartbeat: async ({ pick }) => {
      const of = this.job(pick);
      if (!of) return;
      const until = after(LEASE_MS, this.now);
      const progress = { percent: pick % 101, step: 'encoding' };
      assert.equal(await this.catalog.heartbeat(of.job.id, of.owner, until, progress), of.holds);
      if (of.holds) of.job.lease!.until = until;
    },
    complete: async ({ pick }) => {
      const of = this.job(pick);
      if (!of) return;
      const result = { info: info(), processingMetadata: {} };
      if (of.holds && of.job.makes !== undefined && !of.job.results.has(OWN)) {
        const done = this.catalog.completeJob(of.job.id, of.owner, result, this.now);
        return assert.rejects(done, (error) => error instanceof Problem && error.code === 'internal');
      }
      assert.equal(await this.catalog.completeJob(of.job.id, of.owner, result, this.now), of.holds);
      if (of.holds) this.end(of.job, 'completed');
    },
    failForNow: async ({ pick }) => {
      const of = this.job(pick);
      if (!of) return;
      const nextAttemptAt = after(MINUTE, this.now);
      const outcome = { status: 'retrying', nextAttemptAt } as const;
      assert.equal(await this.catalog.failJob(of.job.id, of.owner, FAULT, outcome, this.now), of.holds);
      if (!of.holds) return;
      Object.assign(of.job, { status: 'retrying', dueAt: nextAttemptAt });
      delete of.job.lease;
    },
    failForGood: async ({ pick }) => {
      const of = this.job(pick);
      if (!of) return;
      const outcome = { status: 'failed' } as const;
      assert.equal(await this.catalog.failJob(of.job.id, of.owner, FAULT, outcome, this.now), of.holds);
      if (of.holds) this.end(of.job, 'failed');
    },
    release: async ({ pick }) => {
      const of = this.job(pick);
      if (!of) return;
      const leased = of.job.status === 'processing' && of.job.lease?.owner === of.owner;
      assert.equal(await this.catalog.releaseJob(of.job.id, of.owner, this.now), leased);
      if (!leased) return;
      if (of.job.cancelRequested) this.end(of.job, 'cancelled');
      else this.pending(of.job);
    },
    retry: async ({ pick }) => {
      const job = this.job(pick)?.job;
      if (!job) return;
      const done = this.catalog.retryJob(job.id, this.now);
      const image = job.imageId === undefined ? undefined : this.images.get(job.imageId);
      const may = ['failed', 'cancelled', 'retrying'].includes(job.status);
      if (!may || image?.status === 'expected') return this.conflict(done);
      await done;
      this.pending(job);
      Object.assign(job, { cancelRequested: false, lostLeases: 0 });
      delete job.endedAt;
      delete job.dueAt;
      if (image?.status === 'failed') image.status = 'pending';
    },
    cancel: async ({ pick }) => {
      const job = this.job(pick)?.job;
      if (!job) return;
      const done = this.catalog.cancelJob(job.id, this.now);
      if (job.status === 'completed' || job.status === 'failed') return this.conflict(done);
      await done;
      if (job.status === 'cancelled') return;
      job.cancelRequested = true;
      if (job.status !== 'processing') this.end(job, 'cancelled');
    },
    confirm: async ({ pick }) => {
      const of = this.job(pick);
      if (!of) return;
      const { job, owner } = of;
      const may = job.status === 'processing' && job.lease?.owner === owner && job.cancelRequested;
      assert.equal(await this.catalog.confirmCancelled(job.id, owner, this.now), may);
      if (may) this.end(job, 'cancelled');
    },
    delete: async ({ pick }) => {
      const imageId = chosen([...this.images.keys()], pick);
      if (!imageId) return;
      assert.equal(await this.catalog.deleteImage(imageId, this.now), true);
      this.forget(imageId);
    },
    reclaim: async ({ pick }) => {
      const dead = (owner: string) => pick % 2 === 0 && Number(owner.split(' ')[1]) % 2 === 0;
      const lost = [...this.jobs.values()].filter(
        (job) => job.lease && (job.lease.until < this.now || dead(job.lease.owner)),
      );
      assert.equal(await this.catalog.reclaimLost(this.now, dead), lost.length);
      for (const job of lost) {
        if (job.cancelRequested) this.end(job, 'cancelled');
        else if (++job.lostLeases >= MAX_LOST_LEASES) this.end(job, 'failed');
        else this.pending(job);
      }
    },
    expire: async ({ pick }) => {
      if (pick % 2 === 0) this.now = after(DAY, this.now);
      await this.catalog.expire(this.now);
      for (const [imageId, { expiresAt }] of this.expected) {
        if (expiresAt <= this.now) this.forget(imageId);
      }
      for (const job of this.jobs.values()) {
        const old = job.endedAt && job.endedAt <= after(-DAY, this.now);
        if (job.imageId === undefined && old) this.jobs.delete(job.id);
      }
    },
    sweep: async ({ pick }) => {
      await this.catalog.deleteBlobs(1 + (pick % 3), (key) => this.removed(key));
    },
    wait: async ({ pick }) => {
      this.now = after(chosen([1, MINUTE, 15 * MINUTE, HOUR, DAY], pick)!, this.now);
    },
  };

  add(id: string, more: Pick<ModelJob, 'imageId' | 'status' | 'source' | 'makes'>): void {
    this.jobs.set(id, { id, cancelRequested: false, lostLeases: 0, results: new Map(), ...more });
  }

  forget(imageId: string): void {
    this.images.delete(imageId);
    this.expected.delete(imageId);
    for (const job of this.jobs.values()) if (job.imageId === imageId) this.jobs.delete(job.id);
  }

  async removed(key: string): Promise<void> {
    assert.ok(!this.references().has(key), `${key} was deleted, though it is in use`);
    assert.ok(this.stored.delete(key), `${key} was deleted twice`);
  }

  async check(): Promise<void> {
    const references = this.references();
    for (const key of [...ORIGINALS, ...RENDITIONS]) {
      assert.equal((await this.catalog.blob(key))?.refs, references.get(key), key);
    }
    for (const [imageId, image] of this.images) {
      const stored = await this.catalog.image(imageId);
      assert.equal(stored?.status, image.status);
      assert.equal(stored?.currentVersion, Math.max(1, ...image.versions.keys()));
      const rows = await this.catalog.renditions([imageId]);
      const versions = new Map([[1, image as ModelVersion], ...image.versions]);
      for (const [version, { own, renditions }] of versions) {
        const found = rows.filter((row) => row.version === version);
        assert.deepEqual(new Map(found.map((r) => [`${r.name}.${r.format}`, r.blobKey])), renditions);
        const row = (await this.catalog.versions(imageId)).find((one) => one.version === version);
        assert.equal(row?.blobKey, own);
      }
      assert.ok(rows.every(({ version }) => versions.has(version)));
    }
    for (const job of this.jobs.values()) {
      const stored = await this.catalog.job(job.id);
      assert.equal(stored?.status, job.status);
      assert.equal(stored?.leaseOwner ?? undefined, job.lease?.owner);
      assert.deepEqual(new Map(Object.entries(stored!.processedPaths)), job.results);
    }
    const { jobs, images } = await this.catalog.stats(this.now);
    assert.equal(
      Object.values(jobs).reduce((a, b) => a + b),
      this.jobs.size,
    );
    assert.equal(images, [...this.images.values()].filter((i) => i.status !== 'expected').length);
    assert.equal(await this.catalog.integrity(), 'ok');
    await this.catalog.deleteBlobs(1000, (key) => this.removed(key));
    assert.deepEqual([...this.stored].sort(), [...references.keys()].sort(), 'stored is what is in use');
  }
}

export function modelContract(open: OpenCatalog): void {
  test('references, states and deletions are those of the model', async (t: TestContext) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(stepArbitrary, { minLength: 1, maxLength: MAX_STEPS, size: 'max' }),
        async (steps) => {
          const catalog = await open(t);
          try {
            const run = new Run(catalog);
            for (const step of steps) await run.steps[step.name](step);
            await run.check();
          } finally {
            await catalog.close();
          }
        },
      ),
      { numRuns: RUNS },
    );
  });
}
