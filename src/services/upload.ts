/**
 * Accepts uploads whose bytes have come: probe → durable in the store → one transaction in the catalog. Where anything
 * fails before that, nothing was accepted, and disposing of the staged files leaves nothing behind.
 */
import { createHash } from 'node:crypto';
import type { Principal } from '../domain/access.ts';
import { newId, newIds } from '../domain/ids.ts';
import { probe } from '../engine/probe.ts';
import type { Facts } from '../engine/types.ts';
import type { RateState } from '../ports/catalog.ts';
import { PROBLEMS, Problem, type SerializedProblem } from '../problem.ts';
import type { Services } from './context.ts';
import { type IdempotencyOptions, once } from './idempotency.ts';
import type { StagedOriginal } from './staged-original.ts';
import { timed } from './stages.ts';
import { imageRow, jobRow, versionRow } from './upload-rows.ts';
import { expectBytes, expectType, type UploadTerms, uploadTerms } from './upload-terms.ts';

/** One file of an upload; what was wrong with it already when it came. */
export interface UploadedFile {
  /** Cleaned: it is shown to others. */
  filename: string;
  original: StagedOriginal | Problem;
}

export interface Upload {
  principal: Principal;
  bucket: string;
  /** The bucket's when absent. */
  preset?: string | undefined;
  project?: string | undefined;
  /** Passed through. */
  context: Record<string, unknown>;
  /** At least one. They stay the caller's to dispose of, accepted or not. */
  files: readonly UploadedFile[];
  idempotencyKey?: string | undefined;
}

export type Accepted = { filename: string; jobId: string; imageId: string };
export type UploadItem = Accepted | { filename: string; problem: SerializedProblem };

export interface UploadAnswer {
  batchId: string;
  /** In the order of the files. */
  items: UploadItem[];
}

export type UploadServices = Pick<
  Services,
  | 'catalog'
  | 'blobs'
  | 'clock'
  | 'log'
  | 'policies'
  | 'limits'
  | 'rateLimit'
  | 'maxRetries'
  | 'wakeRelay'
  | 'metrics'
  | 'leaseOwner'
>;

/**
 * Each file is accepted or refused by itself; those that are accepted are so together.
 * @throws Problem of the file where it is the only one; `forbidden`, `invalid_field`; `rate_limited` where there is
 *   room for none; `conflict` as `once`; `storage_full`, `dependency_down`
 */
export async function acceptUpload(
  upload: Upload,
  services: UploadServices,
  options: IdempotencyOptions,
): Promise<UploadAnswer & { rate: RateState }> {
  const { principal, idempotencyKey: key } = upload;
  const { clock, catalog, rateLimit } = services;
  const terms = uploadTerms(principal, upload.bucket, upload.preset, services.policies);
  if (key === undefined) return accept(upload, terms, services, options.signal);
  const request = { owner: principal.subject, key, fingerprint: fingerprintOf(upload) };
  const result = await once(request, services, options, () =>
    accept(upload, terms, services, options.signal),
  );
  if (!('again' in result)) return result;
  const rate = await catalog.rateState(principal.subject, rateLimit, clock.now());
  return { ...(result.again as UploadAnswer), rate };
}

/**
 * For before the body is read.
 * @throws Problem `rate_limited` where there is room for no upload
 */
export function expectUploadRoom({ limit, remaining, resetAt }: RateState, now: Date): void {
  if (remaining > 0) return;
  const retryAfterSeconds = Math.max(1, Math.ceil((resetAt.getTime() - now.getTime()) / 1000));
  throw new Problem('rate_limited', {
    detail: `No more than ${limit} uploads are allowed for now; the window ends in ${retryAfterSeconds} s.`,
    retryAfterSeconds,
  });
}

interface Prepared {
  filename: string;
  original: StagedOriginal;
  facts: Facts;
}

async function accept(
  upload: Upload,
  terms: UploadTerms,
  services: UploadServices,
  signal: AbortSignal,
): Promise<UploadAnswer & { rate: RateState }> {
  const { catalog, rateLimit, maxRetries, wakeRelay, clock } = services;
  const prepared = await settledAll(upload.files.map((file) => prepare(file, terms, services, signal)));
  const good = prepared.filter((file): file is Prepared => !(file instanceof Problem));
  if (good.length === 0) return refuse(upload, prepared as Problem[], services);
  // From here to the end of the transaction nothing is called off: it is over in milliseconds.
  signal.throwIfAborted();
  const now = clock.now();
  const image = {
    owner: upload.principal.subject,
    bucket: upload.bucket,
    project: upload.project ?? null,
    preset: terms.preset,
    visibility: terms.policy.visibility,
    context: upload.context,
  };
  const batchId = newId();
  const batch = upload.files.length > 1 ? { batchId } : {};
  const jobIds = newIds(good.length);
  const uploads = good.map(({ filename, original, facts }, i) => {
    const row = imageRow({ ...image, filename }, now);
    const { imageId, owner, bucket } = row;
    return {
      image: row,
      original: versionRow(imageId, original.key, facts, now),
      job: jobRow(
        {
          jobId: jobIds[i]!,
          imageId,
          kind: 'upload',
          owner,
          bucket,
          plans: terms.plans,
          maxRetries,
          ...batch,
        },
        now,
      ),
      ensureBlob: original.ensureBlob,
    };
  });
  const answer = (accepted: number): UploadAnswer => {
    let n = 0;
    const items = prepared.map((file, i): UploadItem => {
      const { filename } = upload.files[i]!;
      if (file instanceof Problem) return { filename, problem: file.serialize() };
      const row = uploads[n++]!;
      if (n > accepted) return { filename, problem: LIMIT_REACHED.serialize() };
      return { filename, jobId: row.job.jobId, imageId: row.image.imageId };
    });
    return { batchId, items };
  };
  const key = upload.idempotencyKey;
  const { accepted, rate } = await timed(services, 'upload', 'record', () =>
    catalog.acceptUploads({
      uploads,
      rateLimit,
      ...(key !== undefined && { idempotency: { key, answer } }),
    }),
  );
  for (const { original } of good.slice(0, accepted)) original.accepted();
  wakeRelay();
  return { ...answer(accepted), rate: rate! };
}

const LIMIT_REACHED = new Problem('rate_limited', {
  detail: 'The files before this one have used up what may be uploaded for now.',
});

/** A request that accepts nothing leaves its idempotency key free. */
async function refuse(
  { principal, files, idempotencyKey: key }: Upload,
  problems: readonly Problem[],
  { catalog, rateLimit, clock }: UploadServices,
): Promise<UploadAnswer & { rate: RateState }> {
  if (problems.length === 1) throw problems[0];
  if (key !== undefined) await catalog.settleIdempotencyKey(principal.subject, key, undefined);
  const items = problems.map((problem, i) => ({
    filename: files[i]!.filename,
    problem: problem.serialize(),
  }));
  const rate = await catalog.rateState(principal.subject, rateLimit, clock.now());
  return { batchId: newId(), items, rate };
}

/** Probed, allowed and durable; or what is wrong with the file. @throws Problem that is not about the file */
async function prepare(
  { filename, original }: UploadedFile,
  { policy }: UploadTerms,
  services: UploadServices,
  signal: AbortSignal,
): Promise<Prepared | Problem> {
  if (original instanceof Problem) return original;
  try {
    expectBytes(original.intake.bytes, policy);
    const limits = { ...services.limits, maxBytes: policy.maxBytes };
    const facts = await timed(services, 'upload', 'probe', () => probe(original.path, limits, signal));
    expectType(facts.mime, policy);
    await timed(services, 'upload', 'store', () => original.put());
    return { filename, original, facts };
  } catch (error) {
    if (error instanceof Problem && isAboutFile(error)) return error;
    throw error;
  }
}

/** Whether a problem is one of this file alone, so that others beside it can be accepted. */
export function isAboutFile({ code }: Problem): boolean {
  return code !== 'cancelled' && !PROBLEMS[code].retryable && PROBLEMS[code].status < 500;
}

/** As `Promise.all`, but when it rejects nothing is running any more. */
async function settledAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** What makes two requests the same: all that was sent but the names of the files. */
function fingerprintOf({ bucket, preset, project, context, files }: Upload): string {
  const contents = files.map(({ original }) =>
    original instanceof Problem ? original.code : [original.intake.sha256, original.intake.bytes],
  );
  const request = ['upload', bucket, preset ?? null, project ?? null, context, contents];
  return createHash('sha256').update(JSON.stringify(request)).digest('hex');
}
