/** Whether a catalog's file is sound and its rows agree with each other. Reads everything: for operators and tests. */
import type { DatabaseSync } from 'node:sqlite';

/** Each finds what must not be; `n` says how often. */
const RULES: readonly { complaint: string; sql: string }[] = [
  {
    complaint: 'blobs whose reference count is wrong',
    sql: `
      with reference (key, n) as (
        select key, refs from blobs
        union all select blob_key, -1 from image_versions
        union all select blob_key, -1 from renditions
        union all select blob_key, -1 from derived_renditions
        union all select staging_path, -1 from processing_jobs where image_id is null and staging_path is not null
        union all select r.value, -1 from processing_jobs j, json_each(j.processed_paths) r
          where (j.image_id is null or (j.kind = 'process' and j.status <> 'completed')) and json_valid(j.processed_paths)
      )
      select count(*) as n from (select 1 from reference group by key having sum(n) <> 0)`,
  },
  { complaint: 'blobs that nothing refers to', sql: 'select count(*) as n from blobs where refs = 0' },
  {
    complaint: 'blobs that are in use and queued for deletion',
    sql: 'select count(*) as n from blobs join blob_deletions using (key)',
  },
  {
    complaint: 'images without a version',
    sql: `
      select count(*) as n from images i where status <> 'expected'
        and not exists (select 1 from image_versions v where v.image_id = i.image_id and v.version = i.current_version)`,
  },
  {
    complaint: 'versions that were never given out',
    sql: `
      select count(*) as n from (
        select image_id, version from image_versions
        union all select image_id, version from processing_jobs where image_id is not null
      ) v join images i using (image_id) where v.version > i.last_version`,
  },
  {
    complaint: 'jobs being processed without a lease',
    sql: `select count(*) as n from processing_jobs
      where (status = 'processing') <> (lease_owner is not null and lease_until is not null)`,
  },
  {
    complaint: 'totals that are wrong',
    sql: `
      with counted (name, value) as (
        select 'images', count(*) from images where status <> 'expected'
        union all select 'bytes', coalesce(sum(bytes), 0) from blobs
        union all select 'derived_bytes', coalesce(sum(bytes), 0) from derived_renditions
        union all select 'jobs.' || status, count(*) from processing_jobs group by status
      )
      select count(*) as n from totals t left join counted c on t.name = c.name where t.value <> coalesce(c.value, 0)`,
  },
];

/** `ok`, or what is wrong. */
export function integrityOf(db: DatabaseSync): string {
  let file: string;
  try {
    const [row] = db.prepare('pragma integrity_check(1)').all() as { integrity_check: string }[];
    file = row?.integrity_check ?? 'no answer';
  } catch (error) {
    file = (error as Error).message;
  }
  if (file !== 'ok') return file;
  const broken: string[] = [];
  const dangling = db.prepare('pragma foreign_key_check').all().length;
  if (dangling > 0) broken.push(`${dangling} dangling references`);
  // One snapshot: what is written meanwhile must not be seen in one table and not in the other.
  db.exec('begin');
  try {
    for (const { complaint, sql } of RULES) {
      const { n } = db.prepare(sql).get() as { n: number };
      if (n > 0) broken.push(`${n} ${complaint}`);
    }
  } finally {
    db.exec('rollback');
  }
  return broken.length > 0 ? broken.join('; ') : 'ok';
}
