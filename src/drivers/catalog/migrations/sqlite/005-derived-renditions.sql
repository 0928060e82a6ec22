-- What URLs have rendered of an image's version, while there is room: the least recently used goes first. Each row is a
-- reference to its blob. No cascade: a row that went by itself would leave its reference behind.
CREATE TABLE derived_renditions (
  image_id     TEXT NOT NULL,
  version      INTEGER NOT NULL,
  blob_key     TEXT NOT NULL REFERENCES blobs (key),
  bytes        INTEGER NOT NULL,
  last_used_at TEXT NOT NULL,                  -- to some minutes
  created_at   TEXT NOT NULL,
  PRIMARY KEY (image_id, version, blob_key),
  FOREIGN KEY (image_id, version) REFERENCES image_versions (image_id, version)
) WITHOUT ROWID, STRICT;
CREATE INDEX derived_renditions_by_blob ON derived_renditions (blob_key);
CREATE INDEX derived_renditions_by_use ON derived_renditions (last_used_at);

INSERT INTO totals VALUES ('derived_bytes', 0);
CREATE TRIGGER count_derived_in AFTER INSERT ON derived_renditions
BEGIN
  UPDATE totals SET value = value + new.bytes WHERE name = 'derived_bytes';
END;
CREATE TRIGGER count_derived_out AFTER DELETE ON derived_renditions
BEGIN
  UPDATE totals SET value = value - old.bytes WHERE name = 'derived_bytes';
END;
