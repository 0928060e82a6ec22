/**
 * The catalog owns the truth: images, their versions and renditions, jobs, the audit trail. Every method is one
 * transaction: it has happened whole or not at all when the promise settles, and it is durable when it resolves.
 * Methods that change a row compare first and set then; what was changed meanwhile gives `conflict`, `undefined` or
 * `false` as said, never a silent overwrite. Faults of the database are Problem `dependency_down` or `storage_full`
 * (both retryable); after `close` every method is Problem `shutting_down`.
 *
 * A callback that runs inside a transaction (`ensureBlob`, `remove`) holds the write lock: it must be short and must not
 * call the catalog.
 */

import type { ImageInfo } from '../contract/info.ts';
import type { JobStatus } from '../domain/job.ts';
import type { SerializedProblem } from '../problem.ts';
import type {
  EventRow,
  ImageRow,
  ImageStatus,
  JobRow,
  Making,
  Placeholders,
  RenditionRow,
  VersionRow,
} from './catalog-rows.ts';

export * from './catalog-rows.ts';

export interface RateLimit {
  max: number;
  windowMs: number;
}

export interface RateState {
  limit: number;
  remaining: number;
  /** When the window ends. */
  resetAt: Date;
}

/** What an accepted upload writes, all in one transaction. */
export interface AcceptedUpload {
  image: ImageRow;
  original: VersionRow;
  job: JobRow;
  /** Counted against the owner in the same transaction; a full window is Problem `rate_limited`. */
  rateLimit?: RateLimit;
  /** Settles the image owner's claim in the same transaction, so that no crash comes between: see `claimIdempotencyKey`. */
  idempotency?: { key: string; answer: unknown };
  /** Runs inside the transaction, before it commits: makes sure that the blob is in place. */
  ensureBlob: () => void | Promise<void>;
}

/** Uploads of one request and one owner, in its order. */
export interface AcceptedUploads {
  uploads: readonly Pick<AcceptedUpload, 'image' | 'original' | 'job' | 'ensureBlob'>[];
  rateLimit?: RateLimit;
  /** `answer` is told how many of them, from the first on, the rate limit has let through. */
  idempotency?: { key: string; answer: (accepted: number) => unknown };
}

/** Versions to be made, by one request: each of another image. */
export interface AcceptedProcessing {
  /** Who asks; of all the jobs. */
  owner: string;
  /** Of kind `process`; the number of the version is given here. */
  jobs: readonly (JobRow & { imageId: string; making: Making })[];
  /** More of the owner's jobs than this must not be unfinished then: Problem `rate_limited`. */
  maxUnfinished?: number;
  /** `answer` is told what `acceptProcessing` resolves with. */
  idempotency?: { key: string; answer: (versions: readonly (number | undefined)[]) => unknown };
}

/** What a URL that renders needs to know of its image. */
export interface ImageSource
  extends Pick<ImageRow, 'imageId' | 'owner' | 'bucket' | 'visibility' | 'status'> {
  /** Of the version that was asked for; absent where there is none, or its bytes have not come. */
  bytes?: Pick<VersionRow, 'version' | 'blobKey' | 'format'>;
}

/** What a URL has rendered. */
export interface NewDerived
  extends Pick<RenditionRow, 'imageId' | 'version' | 'blobKey' | 'width' | 'height' | 'bytes'> {
  /** Of the version's bytes that it was made of. */
  sourceKey: string;
  /** Runs inside the transaction, before it commits: makes sure that the blob is in place. */
  ensureBlob: () => void | Promise<void>;
}

export interface NewRendition extends Omit<RenditionRow, 'imageId' | 'version' | 'createdAt'> {}

export interface Lease {
  /** Another one for each lease: what an attempt that was thought lost says later must not count for the next. */
  owner: string;
  until: Date;
}

export interface ImageFilter {
  owner?: string;
  bucket?: string;
  /** Of any of these; an empty list finds nothing. */
  buckets?: readonly string[];
  project?: string;
  status?: ImageStatus;
  /** Part of make and model, in any case. */
  camera?: string;
  /** ISO 8601 or the beginning of it (`2024-05`), both included; compared as the camera's clock showed it. */
  takenFrom?: string;
  takenTo?: string;
  cursor?: string;
  limit: number;
}

/** What was going on in one hour of the clock. */
export interface ActivityHour {
  /** Its begin. */
  hour: string;
  completed: number;
  failed: number;
  /** Of the jobs that completed: their last attempt. */
  avgProcessingSeconds: number | null;
}

/** A request that claimed an idempotency key and has not settled it in this time has died. */
export const ABANDONED_CLAIM_MS = 60_000;

export interface Claimant {
  /** As a lease's owner. */
  process: string;
  /** Of another claimant: whether it is certain that it is no more. */
  isGone(process: string): boolean;
}

export interface Catalog {
  // ── accept ──
  /**
   * Image, version, job, event, outbox, reference and rate-limit count, durable when it resolves.
   * @throws Problem rate_limited; conflict where the ids exist or another request has settled the idempotency key
   */
  acceptUpload(upload: AcceptedUpload): Promise<RateState | undefined>;
  /**
   * Several at once: those that the rate limit has room for, from the first on, and all of these or none.
   * @throws Problem rate_limited where there is room for none; conflict as `acceptUpload`
   */
  acceptUploads(batch: AcceptedUploads): Promise<{ accepted: number; rate: RateState | undefined }>;
  /** A job without an image (async conversion). */
  acceptConversion(
    job: JobRow,
    blob: { key: string; bytes: number },
    ensureBlob: () => void | Promise<void>,
  ): Promise<void>;
  /**
   * Gives each job the number of its version, which no other will ever have, and accepts it. Undefined in its place where
   * its image is not there, not ready, or lacks the version to be processed: that job was not accepted.
   * @throws Problem rate_limited: then none was; conflict as `acceptUpload`
   */
  acceptProcessing(processing: AcceptedProcessing): Promise<(number | undefined)[]>;
  rateState(userId: string, limit: RateLimit, now?: Date): Promise<RateState>;
  /**
   * The answer that this key gave before, or undefined and the key is now taken by this request: settle it. A claim that
   * has no answer after `ABANDONED_CLAIM_MS`, or whose process `isGone`, may be taken over; of two requests that then run under the same key,
   * `AcceptedUpload.idempotency` lets only one through. Answers are kept for a day.
   * @throws Problem conflict where the fingerprint differs or the first request still runs
   */
  claimIdempotencyKey(
    owner: string,
    key: string,
    fingerprint: string,
    now?: Date,
    claimant?: Claimant,
  ): Promise<unknown>;
  /** The first answer stays. Undefined gives an unanswered key free again: the request has failed. */
  settleIdempotencyKey(owner: string, key: string, answer: unknown | undefined): Promise<void>;

  // ── direct uploads ──
  /** An upload that may come later; counted when it is allowed. @throws Problem rate_limited */
  expectUpload(
    image: ImageRow,
    job: JobRow,
    expected: { contentType: string; bytes?: number; sha256?: string; expiresAt: Date },
    rateLimit?: RateLimit,
  ): Promise<RateState | undefined>;
  expectedUpload(
    imageId: string,
  ): Promise<{ contentType: string; bytes?: number; sha256?: string; expiresAt: Date } | undefined>;
  /** The bytes have come: once only. @throws Problem conflict where they have come before or the time is over */
  fulfilUpload(
    imageId: string,
    original: VersionRow,
    now: Date,
    ensureBlob: () => void | Promise<void>,
  ): Promise<JobRow>;

  // ── jobs ──
  job(jobId: string): Promise<JobRow | undefined>;
  /**
   * The next due job, now `processing` under this lease and with one attempt more; fair among owners: a job stands
   * behind as many as its owner had waiting when it came. One whose record is damaged fails with `internal`.
   */
  leaseNext(lease: Lease, now: Date): Promise<JobRow | undefined>;
  /** False: the lease is lost or the job was cancelled or deleted; stop working. */
  heartbeat(
    jobId: string,
    leaseOwner: string,
    until: Date,
    progress: { percent: number; step: string },
  ): Promise<boolean>;
  /**
   * One rendition of a job under way, seen at once; the same one again changes nothing. What a process job publishes, its
   * version's bytes as `VERSION_NAME` among it, is seen when the job completes. False as for `heartbeat`: the caller
   * removes what it made.
   */
  publishRendition(
    jobId: string,
    leaseOwner: string,
    rendition: NewRendition,
    ensureBlob: () => void | Promise<void>,
    now?: Date,
  ): Promise<boolean>;
  /**
   * The job is done: compare-and-set on lease and image version. False as for `heartbeat`; where the image has another
   * version by now, the job has failed with `conflict`. What a process job has published becomes its version, and that
   * the current one unless a later one is there already.
   * @throws Problem internal where a process job has not published the bytes of its version
   */
  completeJob(
    jobId: string,
    leaseOwner: string,
    result: {
      info?: ImageInfo;
      placeholders?: Placeholders;
      processingMetadata: Record<string, unknown>;
    },
    now: Date,
  ): Promise<boolean>;
  failJob(
    jobId: string,
    leaseOwner: string,
    problem: SerializedProblem,
    outcome: { status: 'retrying'; nextAttemptAt: Date } | { status: 'failed' },
    now: Date,
  ): Promise<boolean>;
  /** Gives a job back unworked (shutdown): pending again, the attempt is not counted. */
  releaseJob(jobId: string, leaseOwner: string, now?: Date): Promise<boolean>;
  /**
   * Jobs whose lease has run out, or whose owner `isGone`: back to pending, failed after MAX_LOST_LEASES, or cancelled
   * if that was asked. How many.
   */
  reclaimLost(now: Date, isGone: (leaseOwner: string) => boolean): Promise<number>;
  /** From its first attempt again. @throws Problem conflict where the job's state does not allow it, not_found */
  retryJob(jobId: string, now: Date): Promise<JobRow>;
  /** Ends the job, or asks its worker to (`cancelRequested`). @throws Problem conflict, not_found */
  cancelJob(jobId: string, now: Date): Promise<JobRow>;
  /** The worker of a job that was cancelled while it ran says that it has stopped. */
  confirmCancelled(jobId: string, leaseOwner: string, now: Date): Promise<boolean>;
  /** Dead letters, latest first. */
  failedJobs(limit: number): Promise<JobRow[]>;
  /** Whatever their state, the last accepted first. */
  recentJobs(limit: number): Promise<JobRow[]>;
  /** The last that was made for a version of an image. */
  latestJob(imageId: string, version: number): Promise<JobRow | undefined>;
  /** Those of one batch that are there still, in the order of the request. */
  batch(batchId: string): Promise<JobRow[]>;
  /** Events of a batch's jobs after an id, oldest first. */
  batchEvents(batchId: string, afterId: number, limit: number): Promise<EventRow[]>;
  /** Events of a job after an id, oldest first. */
  eventsOf(jobId: string, afterId: number, limit: number): Promise<EventRow[]>;
  /** Job ids that wait to be handed to the queue; `relayed` forgets them. */
  outbox(limit: number): Promise<{ id: number; jobId: string }[]>;
  relayed(ids: number[]): Promise<void>;

  // ── images ──
  image(imageId: string): Promise<ImageRow | undefined>;
  images(imageIds: string[]): Promise<ImageRow[]>;
  /** Latest first. @throws Problem invalid_field where the cursor is not one of ours */
  listImages(filter: ImageFilter): Promise<{ items: ImageRow[]; nextCursor: string | null }>;
  versions(imageId: string): Promise<VersionRow[]>;
  /** Of each image the version that counts; none of those whose bytes have not come. */
  currentVersions(imageIds: string[]): Promise<VersionRow[]>;
  /** Of one version where that is said. */
  renditions(imageIds: string[], version?: number): Promise<RenditionRow[]>;
  /** Image, versions, renditions and jobs go; bytes with their last reference are queued for deletion. False: was not there. */
  deleteImage(imageId: string, now: Date): Promise<boolean>;

  // ── renditions by URL ──
  /** With the bytes of this version, or of the current one. */
  imageSource(imageId: string, version?: number): Promise<ImageSource | undefined>;
  /**
   * Keeps what was rendered, as the last that was used; then drops the least recently used until all of them together
   * have at most so many bytes: a hundred at most, the rest with the next call. False of each whose version is not there,
   * or is of other bytes: the caller removes what it made.
   */
  keepDerived(derived: readonly NewDerived[], maxTotalBytes: number, now?: Date): Promise<boolean[]>;
  /** They were used; keys that are not kept are left aside. */
  touchDerived(blobKeys: string[], at: Date): Promise<void>;
  /** Drops all that is kept of an image. How many. */
  dropDerived(imageId: string, now?: Date): Promise<number>;

  // ── bytes ──
  blob(
    key: string,
  ): Promise<
    { key: string; bytes: number; refs: number; width: number | null; height: number | null } | undefined
  >;
  /**
   * Deletes queued blobs that nothing refers to; `remove` runs under the write lock, so that no upload can take the key
   * in between. How many. What `remove` throws ends the round; its key then waits behind the others. None while
   * deletions are held.
   */
  deleteBlobs(limit: number, remove: (key: string) => Promise<void>, now?: Date): Promise<number>;
  /**
   * Runs `remove` where no row knows the key, under the write lock. False where one does; and while deletions are held:
   * then the key is queued for deletion.
   */
  removeIfUnknown(key: string, remove: () => Promise<void>, now?: Date): Promise<boolean>;
  /**
   * Nothing is deleted from the store until then, or until it is released: what a snapshot of the catalog refers to can
   * be copied. Again with the same id: another end. Whoever holds and dies holds nobody up for longer.
   */
  holdDeletions(id: string, until: Date): Promise<void>;
  releaseDeletions(id: string, now?: Date): Promise<void>;
  /** What is referred to, by key, after a key. */
  storedBlobs(afterKey: string, limit: number): Promise<{ key: string; bytes: number }[]>;
  /**
   * Removes presigned uploads that were not used, with their images; conversions (jobs without an image) a day after
   * they ended, with their references; idempotency keys after a day; rate windows that are over.
   */
  expire(now: Date): Promise<void>;

  // ── operations ──
  stats(now: Date): Promise<{
    jobs: Record<JobStatus, number>;
    images: number;
    bytes: number;
    completed24h: number;
    /** Of the jobs that completed in the last 24 hours: their last attempt. */
    avgProcessingSeconds: number | null;
    /** How long the job that waits longest could have run. */
    oldestWaitingSeconds: number | null;
  }>;
  /** What waits in the outbox, and the last 24 hours up to the one that is running, oldest first, none left out. */
  activity(now: Date): Promise<{ outbox: number; hours: ActivityHour[] }>;
  /** `ok`, or what is wrong: in the file, in what refers to what, in the counts. Reads everything. */
  integrity(): Promise<string>;
  /** A consistent copy of the catalog into a file, while serving. */
  backup(path: string): Promise<void>;
  check(): Promise<void>;
  close(): Promise<void>;
}
