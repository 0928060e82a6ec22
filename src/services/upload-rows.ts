/** The catalog's rows of what is accepted. */
import { newId } from '../domain/ids.ts';
import type { Facts } from '../engine/types.ts';
import type { ImageRow, JobRow, VersionRow } from '../ports/catalog.ts';

type NewImage = Pick<
  ImageRow,
  'owner' | 'bucket' | 'project' | 'preset' | 'visibility' | 'context' | 'filename'
>;

export function imageRow(image: NewImage, now: Date): ImageRow {
  const at = now.toISOString();
  return {
    ...image,
    imageId: newId(),
    status: 'pending',
    currentVersion: 1,
    camera: null,
    takenAt: null,
    info: null,
    dominantColor: null,
    thumbhash: null,
    blurhash: null,
    createdAt: at,
    updatedAt: at,
  };
}

/** The upload as version 1 of its image. */
export function versionRow(imageId: string, blobKey: string, facts: Facts, now: Date): VersionRow {
  const { bytes, mime, format, width, height } = facts;
  const picture = { bytes, mime, format, width, height };
  return { imageId, version: 1, blobKey, ...picture, plan: null, createdAt: now.toISOString() };
}

type NewJob = Pick<JobRow, 'imageId' | 'kind' | 'owner' | 'bucket' | 'plans' | 'maxRetries'> &
  Partial<Pick<JobRow, 'jobId' | 'stagingPath' | 'processingMetadata' | 'making' | 'batchId'>>;

export function jobRow<J extends NewJob>(job: J, now: Date): JobRow & J {
  return {
    stagingPath: null,
    processingMetadata: {},
    jobId: newId(),
    ...job,
    status: 'pending',
    processedPaths: {},
    priority: 0,
    progress: 0,
    step: null,
    attemptCount: 0,
    lostLeases: 0,
    lastError: null,
    leaseOwner: null,
    cancelRequested: false,
    createdAt: now.toISOString(),
    startedAt: null,
    completedAt: null,
  };
}
