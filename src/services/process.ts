/**
 * Accepts Plans for images that are there: each makes a new version, of which the bucket's sizes are made as of an upload.
 * What was accepted is in the catalog; the old versions stay as they are.
 */
import { createHash } from 'node:crypto';
import { MIME_TYPES, OUTPUT_FORMATS, type OutputFormat, type Plan } from '../contract/plan.ts';
import { planFor } from '../contract/plan-for-source.ts';
import { invalidPlan, parsePlan } from '../contract/plan-normal.ts';
import { type Principal, requireScope } from '../domain/access.ts';
import { newId, newIds } from '../domain/ids.ts';
import { expandPreset } from '../domain/presets.ts';
import type { AcceptedProcessing, ImageRow, VersionRow } from '../ports/catalog.ts';
import { Problem, type SerializedProblem } from '../problem.ts';
import type { Services } from './context.ts';
import { type IdempotencyOptions, once } from './idempotency.ts';
import { resolveAssets } from './plan-assets.ts';
import { findOwnImage, findVersion, requireReady } from './retrieve.ts';
import { isAboutFile } from './upload.ts';
import { jobRow } from './upload-rows.ts';

export interface Processing {
  principal: Principal;
  plan: Plan;
  idempotencyKey?: string | undefined;
}

export interface AcceptedVersion {
  imageId: string;
  jobId: string;
  /** Its number: no other version of the image will have it. */
  version: number;
}

export interface BatchAnswer {
  batchId: string;
  /** In the order of the request, each image once. */
  items: (AcceptedVersion | { imageId: string; problem: SerializedProblem })[];
}

export type ProcessServices = Pick<
  Services,
  'catalog' | 'clock' | 'log' | 'policies' | 'maxRetries' | 'maxPendingJobs' | 'wakeRelay' | 'leaseOwner'
>;

type Job = AcceptedProcessing['jobs'][number];
/** Their numbers, in the order of the jobs; undefined for one that was not accepted. */
type Versions = readonly (number | undefined)[];

/**
 * @param version that is processed; the current one when absent
 * @throws Problem `not_found`, `forbidden`; `not_finished`, or the code that the image failed with; `invalid_plan`;
 *   `rate_limited`; `conflict` as `once`
 */
export async function processImage(
  { imageId, version, ...processing }: Processing & { imageId: string; version?: number | undefined },
  services: ProcessServices,
  options: IdempotencyOptions,
): Promise<AcceptedVersion> {
  const request = ['process', imageId, version ?? null, processing.plan];
  return onceOrNot(request, processing, services, options, async () => {
    const job = await prepare(imageId, version, processing, services);
    const answer = ([number]: Versions) => accepted(job, number);
    return answer(await accept([job], processing, services, answer));
  });
}

/**
 * Each image by itself, all of them in one transaction.
 * @param imageIds each once
 * @throws Problem `rate_limited`; `conflict` as `once`
 */
export async function processBatch(
  { imageIds, ...processing }: Processing & { imageIds: readonly string[] },
  services: ProcessServices,
  options: IdempotencyOptions,
): Promise<BatchAnswer> {
  const request = ['process batch', imageIds, processing.plan];
  return onceOrNot(request, processing, services, options, async () => {
    const batchId = newId();
    const jobIds = newIds(imageIds.length);
    const prepared: (Job | Problem)[] = [];
    for (const [i, imageId] of imageIds.entries()) {
      const job = await prepareOne(imageId, processing, services);
      prepared.push(job instanceof Problem ? job : { ...job, batchId, jobId: jobIds[i]! });
    }
    const jobs = prepared.filter((one): one is Job => !(one instanceof Problem));
    const answer = (versions: Versions): BatchAnswer => {
      const numbers = new Map(jobs.map((job, i) => [job, versions[i]]));
      const items = prepared.map((one, i) => {
        if (!(one instanceof Problem)) {
          const number = numbers.get(one);
          if (number !== undefined) return { imageId: one.imageId, jobId: one.jobId, version: number };
        }
        const problem = one instanceof Problem ? one : changedMeanwhile();
        return { imageId: imageIds[i]!, problem: problem.serialize() };
      });
      return { batchId, items };
    };
    return answer(await accept(jobs, processing, services, answer));
  });
}

/** The answer is settled with the jobs, in one transaction. */
async function accept(
  jobs: readonly Job[],
  { principal, idempotencyKey: key }: Processing,
  { catalog, maxPendingJobs, wakeRelay }: ProcessServices,
  answer: (versions: Versions) => unknown,
): Promise<Versions> {
  const versions = await catalog.acceptProcessing({
    owner: principal.subject,
    jobs,
    maxUnfinished: maxPendingJobs,
    ...(key !== undefined && { idempotency: { key, answer } }),
  });
  wakeRelay();
  return versions;
}

/** @throws Problem `conflict` where the image was not what it had been: nothing was accepted for it */
function accepted({ imageId, jobId }: Job, version: number | undefined): AcceptedVersion {
  if (version === undefined) throw changedMeanwhile();
  return { imageId, jobId, version };
}

const changedMeanwhile = () =>
  new Problem('conflict', { detail: 'The image was changed or deleted while the request was looked at.' });

async function onceOrNot<T extends object>(
  request: unknown[],
  { principal, idempotencyKey: key }: Processing,
  services: ProcessServices,
  options: IdempotencyOptions,
  work: () => Promise<T>,
): Promise<T> {
  requireScope(principal, 'write');
  if (key === undefined) return work();
  const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('hex');
  const result = await once({ owner: principal.subject, key, fingerprint }, services, options, work);
  return 'again' in result ? (result.again as T) : result;
}

/** A job for one image of several, or what is wrong with it. @throws Problem that is not about this image */
async function prepareOne(
  imageId: string,
  processing: Processing,
  services: ProcessServices,
): Promise<Job | Problem> {
  try {
    return await prepare(imageId, undefined, processing, services);
  } catch (error) {
    if (error instanceof Problem && isAboutFile(error)) return inPlan(error);
    throw error;
  }
}

/** Names the fields of a plan as the request of a batch does. */
function inPlan(problem: Problem): Problem {
  const { code, errors } = problem;
  if (code !== 'invalid_plan' || !errors) return problem;
  return invalidPlan(
    errors.map(({ path, message }) => ({ path: path === 'plan' ? path : `plan.${path}`, message })),
  );
}

async function prepare(
  imageId: string,
  version: number | undefined,
  { principal, plan: asked }: Processing,
  services: ProcessServices,
): Promise<Job> {
  const { clock, policies, maxRetries } = services;
  const image = await findOwnImage(imageId, principal, services);
  await requireReady(image, services);
  const source = await findVersion(image, version ?? image.currentVersion, services);
  const plan = planFor(source.format, parsePlan(asked, formatLike(source)));
  const mayUse = ({ bucket }: { bucket: string }) => principal.buckets?.has(bucket) ?? true;
  const assets = await resolveAssets(plan, image.owner, services, mayUse);
  return jobRow(
    {
      imageId,
      kind: 'process' as const,
      owner: principal.subject,
      bucket: image.bucket,
      plans: plansOf(image, policies),
      making: { plan, sourceVersion: source.version, assets },
      maxRetries,
    },
    clock.now(),
  );
}

/** Where the plan names no format: that of its source, if pictures are written in it. */
function formatLike({ format, mime }: VersionRow): OutputFormat | undefined {
  if (mime === MIME_TYPES.apng) return 'apng';
  // Only drawings are written as SVG; this is what has transparency as well.
  if (format === 'svg') return 'png';
  return OUTPUT_FORMATS.find((one) => one === format);
}

/** None where the image's preset is not there any more: the version has no sizes then. */
function plansOf({ preset, bucket }: ImageRow, policies: Services['policies']) {
  const found = policies.preset(preset);
  return found ? expandPreset(found, policies.policyFor(bucket)) : [];
}
