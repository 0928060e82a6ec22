/** Rows for the catalog's suite: complete and plausible, every id new. */
import { randomUUID } from 'node:crypto';
import type { ImageInfo } from '../../src/contract/info.ts';
import type { AcceptedUpload, ImageRow, JobRow, NewRendition, VersionRow } from '../../src/ports/catalog.ts';
import type { ProblemCode } from '../../src/problem.ts';

/** Inside an hour, so that windows of time do not end in the middle of a test. */
export const NOON = new Date('2026-03-01T12:00:00.000Z');
export const after = (ms: number, from: Date = NOON): Date => new Date(from.getTime() + ms);
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** For `assert.rejects`. */
export const problem = (code: ProblemCode) => ({ name: 'Problem', code });

export const noCheck = (): void => {};

const hashOf = (seed: string) => Buffer.from(seed.padEnd(32, '.')).toString('hex').slice(0, 64);

export function originalKey(seed: string = randomUUID()): string {
  const hash = hashOf(seed);
  return `originals/${hash.slice(0, 2)}/${hash}`;
}

export function renditionKey(seed: string = randomUUID()): string {
  const hash = hashOf(seed);
  return `renditions/${hash.slice(0, 2)}/${hash}/0123456789abcdef.webp`;
}

export function jobRow(more: Partial<JobRow> = {}): JobRow {
  return {
    jobId: randomUUID(),
    imageId: null,
    kind: 'upload',
    status: 'pending',
    owner: 'ann',
    bucket: 'photos',
    stagingPath: null,
    processedPaths: {},
    processingMetadata: {},
    plans: [
      {
        name: 'thumbnail',
        plan: { operations: [], output: { format: 'webp', quality: 85, metadata: 'strip' } },
      } as unknown as JobRow['plans'][number],
    ],
    priority: 0,
    progress: 0,
    step: null,
    attemptCount: 0,
    maxRetries: 3,
    lostLeases: 0,
    lastError: null,
    leaseOwner: null,
    cancelRequested: false,
    createdAt: NOON.toISOString(),
    startedAt: null,
    completedAt: null,
    ...more,
  };
}

export interface UploadOptions {
  imageId?: string;
  owner?: string;
  at?: Date;
  key?: string;
  image?: Partial<ImageRow>;
  job?: Partial<JobRow>;
}

export function upload(options: UploadOptions = {}): AcceptedUpload {
  const { imageId = randomUUID(), owner = 'ann', at = NOON, key = originalKey() } = options;
  const createdAt = at.toISOString();
  const image: ImageRow = {
    imageId,
    owner,
    bucket: 'photos',
    project: null,
    preset: 'web',
    visibility: 'public',
    status: 'pending',
    filename: 'harbour.jpg',
    currentVersion: 1,
    context: { album: 'summer' },
    camera: null,
    takenAt: null,
    info: null,
    dominantColor: null,
    thumbhash: null,
    blurhash: null,
    createdAt,
    updatedAt: createdAt,
    ...options.image,
  };
  const original: VersionRow = {
    imageId,
    version: 1,
    blobKey: key,
    bytes: 2_000_000,
    mime: 'image/jpeg',
    format: 'jpeg',
    width: 4000,
    height: 3000,
    plan: null,
    createdAt,
  };
  const job = jobRow({ imageId, owner, bucket: image.bucket, createdAt, ...options.job });
  return { image, original, job, ensureBlob: noCheck };
}

export function conversion(at: Date = NOON): JobRow {
  return jobRow({ kind: 'convert', owner: 'anonymous', createdAt: at.toISOString() });
}

export function rendition(more: Partial<NewRendition> = {}): NewRendition {
  return {
    name: 'thumbnail',
    format: 'webp',
    blobKey: renditionKey(),
    width: 150,
    height: 113,
    bytes: 4_321,
    ...more,
  };
}

export function info(more: Partial<ImageInfo> = {}): ImageInfo {
  return {
    camera_make: 'FUJIFILM',
    camera_model: 'X100V',
    lens: null,
    date_taken: '2025-07-14T18:30:00+02:00',
    iso: 160,
    focal_length: 23,
    aperture: 5.6,
    shutter_speed: '1/250',
    orientation: 1,
    color_space: 'sRGB',
    gps: null,
    title: null,
    description: null,
    keywords: null,
    artist: null,
    copyright: null,
    software: null,
    ...more,
  };
}

export const placeholders = {
  dominantColor: '#336699',
  thumbhash: '1QcSHQRnh493V4dIh4eXh1h4kJUI',
  blurhash: 'LEHV6nWB2yk8',
};
