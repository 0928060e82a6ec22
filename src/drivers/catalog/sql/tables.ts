/** The catalog's tables as Kysely sees them; `migrations/` creates them. */
import type { Generated, Kysely, Transaction } from 'kysely';
import type { EventType, ImageRow, JobRow } from '../../../ports/catalog.ts';
import type { OnDamage } from './rows.ts';

type Json = string;
type Time = string;

export interface Database {
  images: {
    image_id: string;
    owner: string;
    bucket: string;
    project: string | null;
    preset: string;
    visibility: ImageRow['visibility'];
    status: ImageRow['status'];
    filename: string;
    current_version: number;
    last_version: number;
    context: Json;
    camera: string | null;
    taken_at: Time | null;
    info: Json | null;
    dominant_color: string | null;
    thumbhash: string | null;
    blurhash: string | null;
    created_at: Time;
    updated_at: Time;
  };
  image_versions: {
    image_id: string;
    version: number;
    blob_key: string;
    mime: string;
    format: string;
    width: number;
    height: number;
    plan: Json | null;
    dominant_color: string | null;
    thumbhash: string | null;
    blurhash: string | null;
    created_at: Time;
  };
  renditions: {
    image_id: string;
    version: number;
    name: string;
    format: string;
    blob_key: string;
    width: number;
    height: number;
    bytes: number;
    created_at: Time;
  };
  derived_renditions: {
    image_id: string;
    version: number;
    blob_key: string;
    bytes: number;
    last_used_at: Time;
    created_at: Time;
  };
  blobs: {
    key: string;
    bytes: number;
    refs: number;
    width: number | null;
    height: number | null;
    created_at: Time;
  };
  blob_deletions: { key: string; queued_at: Time };
  deletion_holds: { id: string; held_until: Time };
  processing_jobs: {
    job_id: string;
    image_id: string | null;
    version: number;
    kind: JobRow['kind'];
    status: JobRow['status'];
    owner: string;
    storage_bucket: string;
    staging_path: string | null;
    processed_paths: Json;
    processing_metadata: Json;
    plans: Json;
    making: Json | null;
    batch_id: string | null;
    priority: number;
    progress: number;
    step: string | null;
    attempt_count: number;
    max_retries: number;
    lost_leases: number;
    last_error: Json | null;
    lease_owner: string | null;
    lease_until: Time | null;
    next_attempt_at: Time | null;
    cancel_requested: number;
    created_at: Time;
    queued_at: Time;
    started_at: Time | null;
    completed_at: Time | null;
    duration_ms: number | null;
  };
  image_upload_events: {
    id: Generated<number>;
    event_type: EventType;
    image_id: string | null;
    job_id: string | null;
    metadata: Json;
    created_at: Time;
  };
  upload_rate_limits: { user_id: string; window_start: Time; window_end: Time; upload_count: number };
  outbox: { id: Generated<number>; job_id: string; created_at: Time };
  idempotency_keys: {
    owner: string;
    key: string;
    fingerprint: string;
    answer: Json;
    created_at: Time;
    claimant: string | null;
  };
  presigned_uploads: {
    image_id: string;
    job_id: string;
    content_type: string;
    bytes: number | null;
    sha256: string | null;
    expires_at: Time;
  };
  /** `images`, `bytes`, `derived_bytes`, `jobs.<status>`: kept by the database itself. */
  totals: { name: string; value: number };
}

export type Db = Kysely<Database>;
export type Tx = Transaction<Database>;

/** What the methods work with: reads see what has been committed and never wait for a writer. */
export interface Access {
  read: Db;
  write: Db;
  onDamage: OnDamage;
}
