/**
 * Rows of the catalog to and from the port's. JSON that cannot be read takes nothing else along: it is reported, and an
 * empty value stands in its place.
 */
import type {
  EventRow,
  ImageRow,
  JobRow,
  Making,
  Placeholders,
  RenditionRow,
  VersionRow,
} from '../../../ports/catalog.ts';
import type { SerializedProblem } from '../../../problem.ts';
import type { Database } from './tables.ts';

/** A field of a row that does not hold what it should. */
export interface Damage {
  table: keyof Database;
  id: string;
  column: string;
  cause: unknown;
}
export type OnDamage = (damage: Damage) => void;

/** What a damaged job fails with, and what stands for an error that cannot be read. */
export const DAMAGED: SerializedProblem = {
  code: 'internal',
  detail: 'The record of this job is damaged.',
};

/** Stands for a making that cannot be read; the job fails before anybody works by it. */
const NOTHING: Making = {
  plan: { operations: [], output: { format: 'png', metadata: 'strip' } },
  sourceVersion: 1,
  assets: {},
};

const json = <T>(value: T): string => JSON.stringify(value);
const jsonOrNull = <T>(value: T | null): string | null => (value === null ? null : JSON.stringify(value));

type Where = Omit<Damage, 'cause'>;

function parsed<T extends object, F>(text: string, fallback: F, where: Where, onDamage: OnDamage): T | F {
  const wantsArray = where.column === 'plans';
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && Array.isArray(value) === wantsArray) return value as T;
    throw new TypeError(`expected ${wantsArray ? 'an array' : 'an object'}`);
  } catch (cause) {
    onDamage({ ...where, cause });
    return fallback;
  }
}

export function imageFrom(r: Database['images'], onDamage: OnDamage): ImageRow {
  const at = (column: 'context' | 'info') => ({ table: 'images', id: r.image_id, column }) as const;
  return {
    imageId: r.image_id,
    owner: r.owner,
    bucket: r.bucket,
    project: r.project,
    preset: r.preset,
    visibility: r.visibility,
    status: r.status,
    filename: r.filename,
    currentVersion: r.current_version,
    context: parsed<ImageRow['context'], object>(
      r.context,
      {},
      at('context'),
      onDamage,
    ) as ImageRow['context'],
    camera: r.camera,
    takenAt: r.taken_at,
    info:
      r.info === null
        ? null
        : parsed<NonNullable<ImageRow['info']>, null>(r.info, null, at('info'), onDamage),
    dominantColor: r.dominant_color,
    thumbhash: r.thumbhash,
    blurhash: r.blurhash,
    createdAt: r.created_at,
    updatedAt: r.updated_at,
  };
}

export const imageTo = (i: ImageRow): Database['images'] => ({
  image_id: i.imageId,
  owner: i.owner,
  bucket: i.bucket,
  project: i.project,
  preset: i.preset,
  visibility: i.visibility,
  status: i.status,
  filename: i.filename,
  current_version: i.currentVersion,
  last_version: i.currentVersion,
  context: json(i.context),
  camera: i.camera,
  taken_at: i.takenAt,
  info: jsonOrNull(i.info),
  dominant_color: i.dominantColor,
  thumbhash: i.thumbhash,
  blurhash: i.blurhash,
  created_at: i.createdAt,
  updated_at: i.updatedAt,
});

export function versionFrom(
  r: Database['image_versions'] & { bytes: number },
  onDamage: OnDamage,
): VersionRow {
  const at = { table: 'image_versions', id: `${r.image_id} ${r.version}`, column: 'plan' } as const;
  return {
    imageId: r.image_id,
    version: r.version,
    blobKey: r.blob_key,
    bytes: r.bytes,
    mime: r.mime,
    format: r.format,
    width: r.width,
    height: r.height,
    plan: r.plan === null ? null : parsed<NonNullable<VersionRow['plan']>, null>(r.plan, null, at, onDamage),
    ...(r.dominant_color !== null &&
      r.thumbhash !== null &&
      r.blurhash !== null && {
        placeholders: {
          dominantColor: r.dominant_color,
          thumbhash: r.thumbhash,
          blurhash: r.blurhash,
        },
      }),
    createdAt: r.created_at,
  };
}

export const versionTo = (v: VersionRow): Database['image_versions'] => ({
  image_id: v.imageId,
  version: v.version,
  blob_key: v.blobKey,
  mime: v.mime,
  format: v.format,
  width: v.width,
  height: v.height,
  plan: jsonOrNull(v.plan),
  ...placeholdersTo(v.placeholders),
  created_at: v.createdAt,
});

export const placeholdersTo = (placeholders: Placeholders | undefined) => ({
  dominant_color: placeholders?.dominantColor ?? null,
  thumbhash: placeholders?.thumbhash ?? null,
  blurhash: placeholders?.blurhash ?? null,
});

export const renditionFrom = (r: Database['renditions']): RenditionRow => ({
  imageId: r.image_id,
  version: r.version,
  name: r.name,
  format: r.format,
  blobKey: r.blob_key,
  width: r.width,
  height: r.height,
  bytes: r.bytes,
  createdAt: r.created_at,
});

/** A job as the catalog reads it: `version` is always there. */
export type Job = JobRow & { version: number };

export function jobFrom(r: Database['processing_jobs'], onDamage: OnDamage): Job {
  const at = (column: keyof Database['processing_jobs']) =>
    ({ table: 'processing_jobs', id: r.job_id, column }) as const;
  return {
    jobId: r.job_id,
    imageId: r.image_id,
    kind: r.kind,
    status: r.status,
    owner: r.owner,
    bucket: r.storage_bucket,
    version: r.version,
    ...(r.making !== null && { making: parsed<Making, Making>(r.making, NOTHING, at('making'), onDamage) }),
    ...(r.batch_id !== null && { batchId: r.batch_id }),
    stagingPath: r.staging_path,
    processedPaths: parsed<Record<string, string>, Record<string, string>>(
      r.processed_paths,
      {},
      at('processed_paths'),
      onDamage,
    ),
    processingMetadata: parsed<Record<string, unknown>, Record<string, unknown>>(
      r.processing_metadata,
      {},
      at('processing_metadata'),
      onDamage,
    ),
    plans: parsed<JobRow['plans'], []>(r.plans, [], at('plans'), onDamage),
    priority: r.priority,
    progress: r.progress,
    step: r.step,
    attemptCount: r.attempt_count,
    maxRetries: r.max_retries,
    lostLeases: r.lost_leases,
    lastError:
      r.last_error === null
        ? null
        : parsed<SerializedProblem, SerializedProblem>(r.last_error, DAMAGED, at('last_error'), onDamage),
    leaseOwner: r.lease_owner,
    cancelRequested: r.cancel_requested !== 0,
    createdAt: r.created_at,
    startedAt: r.started_at,
    completedAt: r.completed_at,
  };
}

export const jobTo = (j: JobRow): Database['processing_jobs'] => ({
  job_id: j.jobId,
  image_id: j.imageId,
  version: j.version ?? 1,
  kind: j.kind,
  status: j.status,
  owner: j.owner,
  storage_bucket: j.bucket,
  staging_path: j.stagingPath,
  processed_paths: json(j.processedPaths),
  processing_metadata: json(j.processingMetadata),
  plans: json(j.plans),
  making: jsonOrNull(j.making ?? null),
  batch_id: j.batchId ?? null,
  priority: j.priority,
  progress: j.progress,
  step: j.step,
  attempt_count: j.attemptCount,
  max_retries: j.maxRetries,
  lost_leases: j.lostLeases,
  last_error: jsonOrNull(j.lastError),
  lease_owner: null,
  lease_until: null,
  next_attempt_at: null,
  cancel_requested: j.cancelRequested ? 1 : 0,
  created_at: j.createdAt,
  queued_at: j.createdAt,
  started_at: j.startedAt,
  completed_at: j.completedAt,
  duration_ms: null,
});

export function eventFrom(
  r: Omit<Database['image_upload_events'], 'id'> & { id: number },
  onDamage: OnDamage,
): EventRow {
  const at = { table: 'image_upload_events', id: String(r.id), column: 'metadata' } as const;
  return {
    id: r.id,
    eventType: r.event_type,
    imageId: r.image_id,
    jobId: r.job_id,
    metadata: parsed<EventRow['metadata'], EventRow['metadata']>(r.metadata, {}, at, onDamage),
    createdAt: r.created_at,
  };
}
