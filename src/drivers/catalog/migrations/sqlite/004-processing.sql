-- Jobs that make a new version of an image, and batches of jobs. SQLite cannot change a table's CHECK: the table is made
-- anew, with what belongs to it.

-- The highest number that was given to a version, whatever became of it: none is given twice.
ALTER TABLE images ADD COLUMN last_version INTEGER NOT NULL DEFAULT 1;

-- Of each version what stands in its place until it has come; that of the image is the current one's.
ALTER TABLE image_versions ADD COLUMN dominant_color TEXT;
ALTER TABLE image_versions ADD COLUMN thumbhash TEXT;
ALTER TABLE image_versions ADD COLUMN blurhash TEXT;
UPDATE image_versions SET (dominant_color, thumbhash, blurhash) =
  (SELECT dominant_color, thumbhash, blurhash FROM images i WHERE i.image_id = image_versions.image_id);

CREATE TABLE jobs_with_processing (
  job_id              TEXT PRIMARY KEY,
  image_id            TEXT REFERENCES images (image_id) ON DELETE CASCADE,
  version             INTEGER NOT NULL DEFAULT 1,  -- of the image, that the renditions are of; one that is yet to be made, of a process job
  kind                TEXT NOT NULL CHECK (kind IN ('upload', 'convert', 'process')),
  status              TEXT NOT NULL CHECK (status IN ('expected', 'pending', 'processing', 'retrying', 'completed', 'failed', 'cancelled')),
  owner               TEXT NOT NULL,
  storage_bucket      TEXT NOT NULL,
  staging_path        TEXT,                        -- key of the source where it belongs to no image (async conversion)
  processed_paths     TEXT NOT NULL DEFAULT '{}',  -- {"<name>.<format>": key}; referred to by a job without an image, and by a process job until it has ended
  processing_metadata TEXT NOT NULL DEFAULT '{}',
  plans               TEXT NOT NULL DEFAULT '[]',  -- [{name, plan}]
  making              TEXT,                        -- of a process job: {plan, sourceVersion, assets}
  batch_id            TEXT,                        -- jobs that were accepted by one request
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
  duration_ms         INTEGER,                     -- of the attempt that completed it
  CHECK ((kind = 'process') = (making IS NOT NULL))
) STRICT;
INSERT INTO jobs_with_processing (
  job_id, image_id, version, kind, status, owner, storage_bucket, staging_path, processed_paths, processing_metadata,
  plans, priority, progress, step, attempt_count, max_retries, lost_leases, last_error, lease_owner, lease_until,
  next_attempt_at, cancel_requested, created_at, queued_at, started_at, completed_at, duration_ms
) SELECT
  job_id, image_id, version, kind, status, owner, storage_bucket, staging_path, processed_paths, processing_metadata,
  plans, priority, progress, step, attempt_count, max_retries, lost_leases, last_error, lease_owner, lease_until,
  next_attempt_at, cancel_requested, created_at, queued_at, started_at, completed_at, duration_ms
FROM processing_jobs;
DROP TABLE processing_jobs;
ALTER TABLE jobs_with_processing RENAME TO processing_jobs;

CREATE INDEX jobs_waiting ON processing_jobs (priority, queued_at, job_id) WHERE status = 'pending';
CREATE INDEX jobs_retrying ON processing_jobs (next_attempt_at) WHERE status = 'retrying';
CREATE INDEX jobs_leased ON processing_jobs (lease_until) WHERE status = 'processing';
CREATE INDEX jobs_failed ON processing_jobs (completed_at) WHERE status = 'failed';
CREATE INDEX jobs_completed ON processing_jobs (completed_at, duration_ms) WHERE status = 'completed';
CREATE INDEX jobs_by_image ON processing_jobs (image_id) WHERE image_id IS NOT NULL;
CREATE INDEX jobs_without_image ON processing_jobs (completed_at) WHERE image_id IS NULL AND completed_at IS NOT NULL;
CREATE INDEX jobs_unfinished_by_owner ON processing_jobs (owner) WHERE status IN ('pending', 'retrying', 'processing');
CREATE INDEX jobs_by_batch ON processing_jobs (batch_id, job_id) WHERE batch_id IS NOT NULL;

-- As before: they went with the table.
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
