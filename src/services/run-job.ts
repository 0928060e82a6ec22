/**
 * The work on one leased job: its source is rendered by all of its plans from one decode, each rendition is published as
 * soon as it is complete, small ones first, and what was rendered before, for this image or another of the same bytes,
 * is taken as it is. A process job first makes the bytes of its version, which are the source of the renditions then.
 *
 * The lease is compared with every write. Where it was lost, or the job was cancelled or deleted, the work ends at once,
 * and what it stored goes again unless a row knows it.
 */
import type { ImageInfo } from '../contract/info.ts';
import { EXTENSIONS, type NormalPlan } from '../contract/plan.ts';
import { parsePlan } from '../contract/plan-normal.ts';
import { afterFailure } from '../domain/job.ts';
import { renditionKey } from '../domain/keys.ts';
import { type PlanAssets, renditionHash } from '../domain/rendition-hash.ts';
import type { Limits } from '../engine/limits.ts';
import { ChildExit } from '../engine/pool/pool.ts';
import type { RenderResult, Rendition } from '../engine/types.ts';
import { ENGINE_VERSION } from '../engine/version.ts';
import { type Catalog, type JobRow, type Making, VERSION_NAME } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';
import { openBlob, openSource, type Source, unlessDamaged } from './job-source.ts';
import { openAssets } from './plan-assets.ts';
import { NotHeld, type Picture, publishKnown, publishRendered } from './publish-rendition.ts';
import { Stages } from './stages.ts';
import type { Turns } from './turns.ts';

export interface JobProgress {
  /** 0–100. */
  percent: number;
  step: string;
}

export interface RunJobOptions {
  /** Ends the work at once. */
  signal: AbortSignal;
  /** Of the pool's tasks. */
  priority?: number;
  onProgress?: (progress: JobProgress) => void;
  /** Shared by all who render at the same time, so that two with the same bytes do not render the same. */
  turns?: Turns;
}

/**
 * What became of it. `stopped`: it was called off, or the job is not this worker's any more; where it still is, it is
 * the caller's to give back.
 */
export type JobEnd = 'completed' | 'retrying' | 'failed' | 'stopped';

export type RunJobServices = Pick<
  Services,
  'catalog' | 'blobs' | 'pool' | 'clock' | 'log' | 'limits' | 'retryDelayMs' | 'metrics'
>;

type Result = Parameters<Catalog['completeJob']>[2];

/** For placeholders where every rendition is there already: the cheapest plan that looks at the pixels. */
const GLANCE = parsePlan({
  operations: [{ op: 'resize', width: 100, height: 100 }],
  output: { format: 'webp', effort: 0, metadata: 'strip' },
});
/** Rendering is nearly all of the work. */
const RENDERED_PERCENT = 90;
/** Of a process job: the bytes of its version are there. */
const MADE_PERCENT = 45;
const NO_ASSETS: PlanAssets = {};

/**
 * @param job as it was leased
 * @throws Problem where the catalog could not be told how it ended
 */
export async function runJob(job: JobRow, services: RunJobServices, options: RunJobOptions): Promise<JobEnd> {
  const { catalog, clock, log, retryDelayMs } = services;
  const { jobId, attemptCount, maxRetries } = job;
  const owner = job.leaseOwner ?? '';
  try {
    const result = await new JobRun(job, services, options).work();
    options.signal.throwIfAborted();
    return (await catalog.completeJob(jobId, owner, result, clock.now())) ? 'completed' : 'stopped';
  } catch (error) {
    const problem = Problem.from(error);
    if (options.signal.aborted || error instanceof NotHeld || problem.code === 'shutting_down') {
      return 'stopped';
    }
    const now = clock.now();
    const failure = problem.serialize();
    // A child that was killed from outside says nothing of the image: not the last attempt, while there are some left.
    const blamed = wasKilledFromOutside(problem) ? new Problem('overloaded').serialize() : failure;
    const outcome = afterFailure(blamed, attemptCount, { maxRetries, retryDelayMs }, now);
    const fields = { job_id: jobId, code: problem.code, attempt: attemptCount, next: outcome.status };
    log.warn({ ...fields, err: problem.cause ?? problem }, 'job failed');
    return (await catalog.failJob(jobId, owner, failure, outcome, now)) ? outcome.status : 'stopped';
  }
}

const wasKilledFromOutside = ({ cause }: Problem): boolean =>
  cause instanceof ChildExit && cause.killedFromOutside;

class JobRun {
  readonly #job: JobRow;
  readonly #services: RunJobServices;
  readonly #options: RunJobOptions;
  readonly #limits: Limits;
  readonly #stages: Stages;

  constructor(job: JobRow, services: RunJobServices, options: RunJobOptions) {
    this.#job = job;
    this.#services = services;
    this.#options = options;
    this.#stages = new Stages(services, 'job');
    // Its bytes were counted when they were accepted, against what was allowed then.
    this.#limits = { ...services.limits, maxBytes: Number.MAX_SAFE_INTEGER };
  }

  async work(): Promise<Result> {
    const { making } = this.#job;
    this.#tell(0, 'opening');
    try {
      const source = await openSource(this.#job, this.#services);
      if (!making) return await this.#inTurn(source, () => this.#workOn(source));
      const key = await this.#inTurn(source, () => this.#makeVersion(source, making));
      const version = await openBlob(key, this.#services);
      return await this.#inTurn(version, () => this.#workOn(version));
    } finally {
      this.#stages.end();
    }
  }

  /** Disposes of the source in the end. */
  async #inTurn<T>(opened: Source, work: () => Promise<T>): Promise<T> {
    const { turns, signal } = this.#options;
    await using source = opened;
    using _turn = await turns?.take(source.key, signal);
    try {
      return await work();
    } catch (error) {
      const problem = Problem.from(error);
      if (error instanceof NotHeld || problem.retryable || signal.aborted) throw error;
      throw await unlessDamaged(problem, source);
    }
  }

  /** @returns the key of its bytes */
  async #makeVersion(source: Source, { plan, assets }: Making): Promise<string> {
    const picture = { key: keyOf(plan, source.sha256, assets), plan, names: [VERSION_NAME] };
    if (!(await publishKnown(this.#job, picture, this.#services))) {
      await using opened = await openAssets(assets, this.#services);
      await this.#render(source, [picture], { assets: opened.paths, percent: [0, MADE_PERCENT] });
    }
    return picture.key;
  }

  async #workOn(source: Source): Promise<Result> {
    const { imageId, making } = this.#job;
    const wanted = picturesOf(this.#job, source.sha256);
    const missing: Picture[] = [];
    for (const picture of wanted) {
      this.#options.signal.throwIfAborted();
      if (!(await publishKnown(this.#job, picture, this.#services))) missing.push(picture);
    }
    // Of a job without an image nothing is shown but its result.
    const isImage = imageId !== null;
    const begun = making ? MADE_PERCENT : 0;
    const reused = wanted.length === 0 ? 0 : (wanted.length - missing.length) / wanted.length;
    const rendered =
      isImage || missing.length > 0
        ? await this.#render(source, missing, {
            placeholders: isImage,
            percent: [begun + (RENDERED_PERCENT - begun) * reused, RENDERED_PERCENT],
          })
        : undefined;
    // What a picture says about itself is what its upload says.
    const info = isImage && !making ? await this.#readInfo(source) : undefined;
    this.#tell(99, 'finishing');
    return {
      ...(info && { info }),
      ...(rendered?.placeholders && { placeholders: rendered.placeholders }),
      processingMetadata: {
        engine_version: ENGINE_VERSION,
        rendered: missing.length,
        reused: wanted.length - missing.length,
        ...(rendered && { source: shapeOf(rendered.facts) }),
      },
    };
  }

  /** @throws NotHeld, or Problem; nothing is being rendered or published any more then */
  async #render(source: Source, missing: Picture[], options: RenderOptions): Promise<RenderResult> {
    const { pool } = this.#services;
    const { signal, priority } = this.#options;
    const { placeholders = false, assets } = options;
    const [from, to] = options.percent;
    let done = 0;
    const percent = () => (missing.length === 0 ? from : from + ((to - from) * done) / missing.length);
    const unpublishable = new AbortController();
    const stop = AbortSignal.any([signal, unpublishable.signal]);
    await using scratch = await pool.scratch();

    // One after the other, while the next ones are being rendered.
    let publishing = Promise.resolve();
    const onRendition = (rendition: Rendition) => {
      const picture = missing[rendition.index];
      if (!picture) return;
      publishing = publishing.then(async () => {
        stop.throwIfAborted();
        await publishRendered(this.#job, picture, rendition, this.#services);
        done += 1;
        this.#tell(percent(), 'rendering');
      });
      publishing.catch((error) => unpublishable.abort(error));
    };

    this.#tell(percent(), 'decoding');
    const rendering = pool.render(
      {
        sourcePath: source.path,
        plans: missing.length > 0 ? missing.map(({ plan }) => plan) : [GLANCE],
        limits: this.#limits,
        outDir: scratch.dir,
        placeholders,
        ...(assets && { assets }),
      },
      { signal: stop, priority, patient: true, onRendition },
    );
    const [rendered, published] = await Promise.allSettled([
      rendering,
      rendering.catch(() => {}).then(() => publishing),
    ]);
    // Why nothing could be published is why rendering was stopped.
    if (published.status === 'rejected') throw published.reason;
    if (rendered.status === 'rejected') throw rendered.reason;
    return rendered.value;
  }

  async #readInfo({ path }: Source): Promise<ImageInfo | undefined> {
    const { pool, log } = this.#services;
    const { signal, priority } = this.#options;
    const { jobId, attemptCount, maxRetries } = this.#job;
    this.#tell(RENDERED_PERCENT, 'reading metadata');
    try {
      return (await pool.info(path, this.#limits, { signal, priority, patient: true })).info;
    } catch (error) {
      const problem = Problem.from(error);
      const mayPass = problem.retryable && attemptCount <= maxRetries;
      if (signal.aborted || mayPass || problem.code === 'shutting_down') throw problem;
      // The pictures are good: what they say about themselves is not worth losing them for.
      log.warn({ job_id: jobId, code: problem.code, err: problem.cause ?? problem }, 'metadata not read');
      return undefined;
    }
  }

  #tell(percent: number, step: string): void {
    this.#stages.enter(step.replaceAll(' ', '_'));
    this.#options.onProgress?.({ percent, step });
  }
}

interface RenderOptions {
  placeholders?: boolean;
  /** Files of the further images that the plans name. */
  assets?: Record<string, string>;
  /** Where the job's progress stands before and after. */
  percent: [from: number, to: number];
}

const keyOf = (plan: NormalPlan, sourceSha256: string, assets: PlanAssets): string =>
  renditionKey(sourceSha256, renditionHash(plan, assets, ENGINE_VERSION), EXTENSIONS[plan.output.format]);

/** The distinct pictures that a job's plans make; one may go by several names. */
function picturesOf({ plans }: JobRow, sourceSha256: string): Picture[] {
  const pictures = new Map<string, Picture>();
  for (const { name, plan } of plans) {
    const key = keyOf(plan, sourceSha256, NO_ASSETS);
    const same = pictures.get(key);
    if (same) same.names.push(name);
    else pictures.set(key, { key, plan, names: [name] });
  }
  return [...pictures.values()];
}

/** Of a RAW file only the developed pixels say how large it is. */
const shapeOf = ({ format, width, height, pages }: RenderResult['facts']) => ({
  format,
  width,
  height,
  pages,
});
