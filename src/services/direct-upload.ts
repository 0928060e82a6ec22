/**
 * Uploads that are allowed first and come later: whoever has the signed URL may send one file, of the type, size and
 * checksum that were said, and it is processed as any upload.
 */
import { shown } from '../contract/field-errors.ts';
import type { BucketPolicy } from '../contract/policies.ts';
import type { Principal } from '../domain/access.ts';
import { type SignedQuery, sign, signingKey, verify } from '../domain/signature.ts';
import { probe } from '../engine/probe.ts';
import type { Catalog, RateState } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';
import type { StagedOriginal } from './staged-original.ts';
import { imageRow, jobRow, versionRow } from './upload-rows.ts';
import { expectBytes, expectType, uploadTerms } from './upload-terms.ts';

export interface ExpectedUpload {
  principal: Principal;
  bucket: string;
  preset?: string | undefined;
  project?: string | undefined;
  context: Record<string, unknown>;
  /** Cleaned: it is shown to others. */
  filename: string;
  contentType: string;
  bytes?: number | undefined;
  /** Lower-case hex. */
  sha256?: string | undefined;
}

export interface UploadPermit {
  imageId: string;
  jobId: string;
  /** For the URL. */
  signed: SignedQuery;
  expiresAt: Date;
  rate: RateState;
}

/** @throws Problem `forbidden`, `invalid_field`, `upload_too_large`, `rate_limited` */
export async function expectUpload(
  upload: ExpectedUpload,
  services: Pick<
    Services,
    'catalog' | 'clock' | 'policies' | 'rateLimit' | 'maxRetries' | 'presignedTtlMs' | 'urlSigningKey'
  >,
): Promise<UploadPermit> {
  const { catalog, clock, policies, rateLimit, maxRetries, presignedTtlMs, urlSigningKey } = services;
  const { principal, bucket, project = null, context, filename, contentType, bytes, sha256 } = upload;
  const { policy, preset, plans } = uploadTerms(principal, bucket, upload.preset, policies);
  if (bytes !== undefined) expectBytes(bytes, policy);
  const now = clock.now();
  // The signature counts in whole seconds: both ends of the permit are the same instant.
  const expiresAt = new Date(Math.floor((now.getTime() + presignedTtlMs) / 1000) * 1000);
  const owner = principal.subject;
  const { visibility } = policy;
  const image = imageRow({ owner, bucket, project, preset, visibility, context, filename }, now);
  const { imageId } = image;
  const job = jobRow({ imageId, kind: 'upload', owner, bucket, plans, maxRetries }, now);
  const expected = {
    contentType,
    ...(bytes !== undefined && { bytes }),
    ...(sha256 !== undefined && { sha256 }),
    expiresAt,
  };
  const rate = await catalog.expectUpload(image, job, expected, rateLimit);
  const key = signingKey(urlSigningKey, 'presigned-upload');
  const signed = sign(key, signedParts(imageId, expected), expiresAt);
  return { imageId, jobId: job.jobId, signed, expiresAt, rate: rate! };
}

export type Expected = NonNullable<Awaited<ReturnType<Catalog['expectedUpload']>>>;

export interface DirectRequest {
  imageId: string;
  /** As it came. */
  query: { expires?: unknown; signature?: unknown };
  contentType: string | undefined;
  /** Undefined where the length is not said beforehand. */
  contentLength: number | undefined;
}

export interface DirectTerms {
  expected: Expected;
  policy: BucketPolicy;
  /** Of the file. */
  maxBytes: number;
  /** Since when it has come: what began in time may end later. */
  startedAt: Date;
}

type DirectServices = Pick<
  Services,
  'catalog' | 'blobs' | 'clock' | 'log' | 'policies' | 'limits' | 'urlSigningKey' | 'wakeRelay'
>;

/**
 * Whether the bytes of a direct upload may come, before they do.
 * @throws Problem `forbidden` where the URL is not ours, its time is over or it is for another type; `conflict` where it
 *   was used; `length_required`, `upload_too_large`, `invalid_field` by what the headers say about the size
 */
export async function admitDirectUpload(
  { imageId, query, contentType, contentLength }: DirectRequest,
  { catalog, clock, policies, urlSigningKey }: DirectServices,
): Promise<DirectTerms> {
  const startedAt = clock.now();
  const [expected, image] = [await catalog.expectedUpload(imageId), await catalog.image(imageId)];
  if (!expected || !image) {
    // What the URL was bound to goes with its use, so its signature cannot be checked any more.
    if (image) throw new Problem('conflict', { detail: 'This upload URL was used before.' });
    throw new Problem('forbidden', { detail: 'The signature of the URL is not valid, or its time is over.' });
  }
  const key = signingKey(urlSigningKey, 'presigned-upload');
  const verdict = verify(key, signedParts(imageId, expected), query, startedAt);
  if (verdict !== 'valid') {
    const why = verdict === 'expired' ? 'Its time is over' : 'Its signature is not valid';
    throw new Problem('forbidden', { detail: `This upload URL cannot be used. ${why}.` });
  }
  if (contentType?.trim().toLowerCase() !== expected.contentType.toLowerCase()) {
    const [was, is] = [shown(expected.contentType), shown(contentType)];
    throw new Problem('forbidden', { detail: `The URL is for the Content-Type ${was}; it came with ${is}.` });
  }
  const policy = policies.policyFor(image.bucket);
  expectLength(contentLength, expected.bytes, policy.maxBytes);
  return { expected, policy, maxBytes: expected.bytes ?? policy.maxBytes, startedAt };
}

/**
 * The bytes have come. The staged file stays the caller's to dispose of.
 * @throws Problem `invalid_field` where the size or the checksum is another one: the URL can be used again then, as after
 *   all that is wrong with the file itself; `conflict` where somebody was faster
 */
export async function fulfilUpload(
  imageId: string,
  original: StagedOriginal,
  { expected, policy, startedAt, maxBytes }: DirectTerms,
  { catalog, limits, wakeRelay }: DirectServices,
  signal: AbortSignal,
): Promise<{ imageId: string; jobId: string }> {
  const { bytes, sha256 } = original.intake;
  if (expected.bytes !== undefined && bytes !== expected.bytes) {
    throw wrongField('size', `expected ${expected.bytes} bytes, got ${bytes}`);
  }
  if (expected.sha256 !== undefined && sha256 !== expected.sha256) {
    throw wrongField('sha256', `expected ${expected.sha256}, got ${sha256}`);
  }
  const facts = await probe(original.path, { ...limits, maxBytes }, signal);
  expectType(facts.mime, policy);
  await original.put();
  signal.throwIfAborted();
  const version = versionRow(imageId, original.key, facts, startedAt);
  const { jobId } = await catalog.fulfilUpload(imageId, version, startedAt, original.ensureBlob);
  original.accepted();
  wakeRelay();
  return { imageId, jobId };
}

function expectLength(length: number | undefined, bound: number | undefined, maxBytes: number): void {
  if (bound !== undefined && length === undefined) {
    throw new Problem('length_required', { detail: `Expected Content-Length: ${bound}, found none.` });
  }
  if (length === undefined) return;
  expectBytes(length, { maxBytes: bound ?? maxBytes });
  if (bound !== undefined && length !== bound) {
    throw wrongField('size', `expected a Content-Length of ${bound} bytes, got ${length}`);
  }
}

function wrongField(path: string, message: string): Problem {
  const detail = `The file is not the one that the URL is for: ${message}.`;
  return new Problem('invalid_field', { detail, errors: [{ path, message }] });
}

/** What the signature permits. */
const signedParts = (imageId: string, { contentType, bytes, sha256 }: Omit<Expected, 'expiresAt'>) => [
  'PUT',
  imageId.toLowerCase(),
  contentType,
  String(bytes ?? ''),
  sha256 ?? '',
];
