-- The catalog of one installation. Times are ISO 8601 UTC text with milliseconds, so that they sort as they read;
-- JSON is text. Ids are UUIDs. Conditions of partial indexes are repeated literally in the queries that they serve.

CREATE TABLE images (
  image_id        TEXT PRIMARY KEY,
  owner           TEXT NOT NULL,               -- the token's sub
  bucket          TEXT NOT NULL,
  project         TEXT,
  preset          TEXT NOT NULL,
  visibility      TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
  status          TEXT NOT NULL CHECK (status IN ('expected', 'pending', 'ready', 'failed')),
  filename        TEXT NOT NULL,               -- as the client said; never a path
  current_version INTEGER NOT NULL DEFAULT 1,
  context         TEXT NOT NULL DEFAULT '{}',  -- the upload's metadata, passed through
  camera          TEXT,                        -- make and model, for lists
  taken_at        TEXT,
  info            TEXT,                        -- contract/info.ts, once read
  dominant_color  TEXT,
  thumbhash       TEXT,
  blurhash        TEXT,
  created_at      TEXT NOT NULL,
  updated_at      TEXT NOT NULL
) STRICT;
CREATE INDEX images_by_time ON images (created_at, image_id);
CREATE INDEX images_by_owner ON images (owner, created_at, image_id, bucket, status);
CREATE INDEX images_by_bucket ON images (bucket, created_at, image_id, status);
CREATE INDEX images_by_project ON images (project, created_at, image_id) WHERE project IS NOT NULL;

-- Every stored object and how many versions, renditions and conversions use it. The row goes with the last reference;
-- the bytes follow through blob_deletions.
CREATE TABLE blobs (
  key         TEXT PRIMARY KEY,
  bytes       INTEGER NOT NULL,
  refs        INTEGER NOT NULL CHECK (refs >= 0),
  width       INTEGER,
  height      INTEGER,
  created_at  TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE blob_deletions (
  key         TEXT PRIMARY KEY,
  queued_at   TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX blob_deletions_by_age ON blob_deletions (queued_at, key);

-- What bytes an image is made of: version 1 is the upload, later ones are processed from it.
CREATE TABLE image_versions (
  image_id    TEXT NOT NULL REFERENCES images (image_id) ON DELETE CASCADE,
  version     INTEGER NOT NULL,
  blob_key    TEXT NOT NULL REFERENCES blobs (key),
  mime        TEXT NOT NULL,
  format      TEXT NOT NULL,
  width       INTEGER NOT NULL,
  height      INTEGER NOT NULL,
  plan        TEXT,                            -- null for the upload
  created_at  TEXT NOT NULL,
  PRIMARY KEY (image_id, version)
) WITHOUT ROWID, STRICT;
CREATE INDEX image_versions_by_blob ON image_versions (blob_key);

CREATE TABLE renditions (
  image_id    TEXT NOT NULL,
  version     INTEGER NOT NULL,
  name        TEXT NOT NULL,                   -- the preset's: thumbnail, medium, …
  format      TEXT NOT NULL,
  blob_key    TEXT NOT NULL REFERENCES blobs (key),
  width       INTEGER NOT NULL,
  height      INTEGER NOT NULL,
  bytes       INTEGER NOT NULL,
  created_at  TEXT NOT NULL,
  PRIMARY KEY (image_id, version, name, format),
  FOREIGN KEY (image_id, version) REFERENCES image_versions (image_id, version) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
CREATE INDEX renditions_by_blob ON renditions (blob_key);

CREATE TABLE processing_jobs (
  job_id              TEXT PRIMARY KEY,
  image_id            TEXT REFERENCES images (image_id) ON DELETE CASCADE,
  version             INTEGER NOT NULL DEFAULT 1,  -- of the image, that the renditions are of
  kind                TEXT NOT NULL CHECK (kind IN ('upload', 'convert')),
  status              TEXT NOT NULL CHECK (status IN ('expected', 'pending', 'processing', 'retrying', 'completed', 'failed', 'cancelled')),
  owner               TEXT NOT NULL,
  storage_bucket      TEXT NOT NULL,
  staging_path        TEXT,                        -- key of the source where it belongs to no image (async conversion)
  processed_paths     TEXT NOT NULL DEFAULT '{}',  -- {"<name>.<format>": key}
  processing_metadata TEXT NOT NULL DEFAULT '{}',
  plans               TEXT NOT NULL DEFAULT '[]',  -- [{name, plan}]
  priority            INTEGER NOT NULL DEFAULT 0,  -- jobs that the owner had waiting: fewer goes first
  progress            INTEGER NOT NULL DEFAULT 0,
  step                TEXT,
  attempt_count       INTEGER NOT NULL DEFAULT 0,
  max_retries         INTEGER NOT NULL,
  lost_leases         INTEGER NOT NULL DEFAULT 0,
  last_error          TEXT,                        -- a serialized problem
  lease_owner         TEXT,
  lease_until         TEXT,
  next_attempt_at     TEXT,
  cancel_requested    INTEGER NOT NULL DEFAULT 0,
  created_at          TEXT NOT NULL,
  queued_at           TEXT NOT NULL,               -- since when it could run: acceptance, or the last retry
  started_at          TEXT,                        -- of the last attempt
  completed_at        TEXT,                        -- when it ended, well or not
  duration_ms         INTEGER                      -- of the attempt that completed it
) STRICT;
CREATE INDEX jobs_waiting ON processing_jobs (priority, queued_at, job_id) WHERE status = 'pending';
CREATE INDEX jobs_retrying ON processing_jobs (next_attempt_at) WHERE status = 'retrying';
CREATE INDEX jobs_leased ON processing_jobs (lease_until) WHERE status = 'processing';
CREATE INDEX jobs_failed ON processing_jobs (completed_at) WHERE status = 'failed';
CREATE INDEX jobs_completed ON processing_jobs (completed_at, duration_ms) WHERE status = 'completed';
CREATE INDEX jobs_by_image ON processing_jobs (image_id) WHERE image_id IS NOT NULL;
CREATE INDEX jobs_without_image ON processing_jobs (completed_at) WHERE image_id IS NULL AND completed_at IS NOT NULL;
CREATE INDEX jobs_unfinished_by_owner ON processing_jobs (owner) WHERE status IN ('pending', 'retrying', 'processing');

-- Append-only audit trail; its ids order the events of a job for clients that resume.
CREATE TABLE image_upload_events (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  event_type  TEXT NOT NULL,
  image_id    TEXT,
  job_id      TEXT,
  metadata    TEXT NOT NULL DEFAULT '{}',
  created_at  TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_job ON image_upload_events (job_id, id) WHERE job_id IS NOT NULL;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON image_upload_events
BEGIN
  SELECT RAISE(ABORT, 'image_upload_events is append-only');
END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON image_upload_events
BEGIN
  SELECT RAISE(ABORT, 'image_upload_events is append-only');
END;
-- REPLACE deletes without telling triggers.
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON image_upload_events
WHEN new.id IN (SELECT id FROM image_upload_events WHERE id = new.id)
BEGIN
  SELECT RAISE(ABORT, 'image_upload_events is append-only');
END;

CREATE TABLE upload_rate_limits (
  user_id      TEXT NOT NULL,
  window_start TEXT NOT NULL,
  window_end   TEXT NOT NULL,
  upload_count INTEGER NOT NULL,
  PRIMARY KEY (window_start, user_id)          -- old ones first: that is how they are cleared
) WITHOUT ROWID, STRICT;

-- Job ids that the queue must be told of; the relay removes them once it has. An id is never used again, so that what
-- the relay removes is what it saw. The job may be gone: then nobody finds it, and nothing is lost.
CREATE TABLE outbox (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id      TEXT NOT NULL,
  created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
  owner       TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,                   -- of the request that the answer belongs to
  answer      TEXT NOT NULL,                   -- empty while the request runs
  created_at  TEXT NOT NULL,
  PRIMARY KEY (owner, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Uploads that were allowed ahead of time; one row goes with the bytes that arrive.
CREATE TABLE presigned_uploads (
  image_id     TEXT PRIMARY KEY REFERENCES images (image_id) ON DELETE CASCADE,
  job_id       TEXT NOT NULL,
  content_type TEXT NOT NULL,
  bytes        INTEGER,
  sha256       TEXT,
  expires_at   TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX presigned_uploads_by_expiry ON presigned_uploads (expires_at);

-- Counts that would otherwise take a scan each time somebody looks at the figures.
CREATE TABLE totals (
  name        TEXT PRIMARY KEY,
  value       INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO totals VALUES
  ('images', 0), ('bytes', 0),
  ('jobs.expected', 0), ('jobs.pending', 0), ('jobs.processing', 0), ('jobs.retrying', 0),
  ('jobs.completed', 0), ('jobs.failed', 0), ('jobs.cancelled', 0);

CREATE TRIGGER count_job_in AFTER INSERT ON processing_jobs
BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'jobs.' || new.status;
END;
CREATE TRIGGER count_job_out AFTER DELETE ON processing_jobs
BEGIN
  UPDATE totals SET value = value - 1 WHERE name = 'jobs.' || old.status;
END;
CREATE TRIGGER count_job_over AFTER UPDATE OF status ON processing_jobs WHEN new.status <> old.status
BEGIN
  UPDATE totals SET value = value - 1 WHERE name = 'jobs.' || old.status;
  UPDATE totals SET value = value + 1 WHERE name = 'jobs.' || new.status;
END;
CREATE TRIGGER count_image_in AFTER INSERT ON images WHEN new.status <> 'expected'
BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'images';
END;
CREATE TRIGGER count_image_arrived AFTER UPDATE OF status ON images WHEN old.status = 'expected' AND new.status <> 'expected'
BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'images';
END;
CREATE TRIGGER count_image_out AFTER DELETE ON images WHEN old.status <> 'expected'
BEGIN
  UPDATE totals SET value = value - 1 WHERE name = 'images';
END;
CREATE TRIGGER count_blob_in AFTER INSERT ON blobs
BEGIN
  UPDATE totals SET value = value + new.bytes WHERE name = 'bytes';
END;
CREATE TRIGGER count_blob_out AFTER DELETE ON blobs
BEGIN
  UPDATE totals SET value = value - old.bytes WHERE name = 'bytes';
END;
