-- While a row here has not run out, no object is deleted: a backup is copying what its snapshot refers to.
CREATE TABLE deletion_holds (
  id          TEXT PRIMARY KEY,
  held_until  TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX deletion_holds_by_end ON deletion_holds (held_until);
