/** What the catalog's rows say: images, their versions and renditions, jobs, events. */
import type { ImageInfo } from '../contract/info.ts';
import type { NormalPlan } from '../contract/plan.ts';
import type { JobStatus } from '../domain/job.ts';
import type { SerializedProblem } from '../problem.ts';

export type Visibility = 'public' | 'private';
export type ImageStatus = 'expected' | 'pending' | 'ready' | 'failed';

export interface NamedPlan {
  name: string;
  plan: NormalPlan;
}

export interface ImageRow {
  imageId: string;
  owner: string;
  bucket: string;
  project: string | null;
  preset: string;
  visibility: Visibility;
  status: ImageStatus;
  filename: string;
  currentVersion: number;
  context: Record<string, unknown>;
  camera: string | null;
  takenAt: string | null;
  info: ImageInfo | null;
  dominantColor: string | null;
  thumbhash: string | null;
  blurhash: string | null;
  createdAt: string;
  updatedAt: string;
}

export interface VersionRow {
  imageId: string;
  version: number;
  blobKey: string;
  bytes: number;
  mime: string;
  format: string;
  width: number;
  height: number;
  plan: NormalPlan | null;
  /** Once they are known. */
  placeholders?: Placeholders;
  createdAt: string;
}

/** What stands in a picture's place until it has come. */
export interface Placeholders {
  dominantColor: string;
  thumbhash: string;
  blurhash: string;
}

export interface RenditionRow {
  imageId: string;
  version: number;
  name: string;
  format: string;
  blobKey: string;
  width: number;
  height: number;
  bytes: number;
  createdAt: string;
}

/** What a process job makes a version of its image by. */
export interface Making {
  plan: NormalPlan;
  sourceVersion: number;
  /** The bytes of the further images that the plan names. Nothing holds them for the job: they may be deleted. */
  assets: Readonly<Record<string, string>>;
}

/**
 * The name that a process job publishes the bytes of its version under, beside the renditions of them. No preset can
 * have it.
 */
export const VERSION_NAME = '@version';

export interface JobRow {
  jobId: string;
  imageId: string | null;
  kind: 'upload' | 'convert' | 'process';
  status: JobStatus;
  owner: string;
  bucket: string;
  /**
   * The image's version that the renditions are made of: 1, the upload, where nothing else is said. Of a process job the
   * one that it makes: there once the job is completed.
   */
  version?: number;
  /** Of a process job. */
  making?: Making;
  /** Shared by the jobs that were accepted by one request. */
  batchId?: string;
  /** Key of the source of a job without an image. */
  stagingPath: string | null;
  /**
   * `<rendition name>.<format>` → blob key; the results of a job without an image. A process job holds its references
   * until it ends: then they are the version's, or, where it did not complete, none is left.
   */
  processedPaths: Record<string, string>;
  processingMetadata: Record<string, unknown>;
  plans: NamedPlan[];
  priority: number;
  progress: number;
  step: string | null;
  attemptCount: number;
  maxRetries: number;
  lostLeases: number;
  lastError: SerializedProblem | null;
  leaseOwner: string | null;
  cancelRequested: boolean;
  createdAt: string;
  startedAt: string | null;
  completedAt: string | null;
}

export type EventType =
  | 'upload.expected'
  | 'upload.accepted'
  | 'conversion.accepted'
  | 'process.accepted'
  | 'conversion.expired'
  | 'job.started'
  | 'rendition.ready'
  | 'job.completed'
  | 'job.retrying'
  | 'job.failed'
  | 'job.released'
  | 'job.reclaimed'
  | 'job.retried'
  | 'job.cancel_requested'
  | 'job.cancelled'
  | 'image.deleted';

export interface EventRow {
  id: number;
  eventType: EventType;
  imageId: string | null;
  jobId: string | null;
  metadata: Record<string, unknown>;
  createdAt: string;
}
