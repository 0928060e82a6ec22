/** What SQLite's own errors mean to callers. Codes: https://www.sqlite.org/rescode.html */
import { Problem } from '../../problem.ts';

const BUSY = 5;
const FULL = 13;
const CONSTRAINT = 19;
const IOERR_WRITE = 778;
const IOERR_SHMSIZE = 4874;
const CONSTRAINT_PRIMARYKEY = 1555;
const CONSTRAINT_UNIQUE = 2067;

function codeOf(error: unknown): { extended: number; primary: number } | undefined {
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown };
  if (code !== 'ERR_SQLITE_ERROR' || typeof errcode !== 'number') return undefined;
  return { extended: errcode, primary: errcode & 0xff };
}

export const isBusy = (error: unknown): boolean => codeOf(error)?.primary === BUSY;

/** SQLite's errors as Problems; everything else as it is. */
export function problemOf(error: unknown): unknown {
  const code = codeOf(error);
  if (!code) return error;
  const { extended, primary } = code;
  // The last two: a quota, and a filesystem that has no room for the write-ahead log's index.
  if (primary === FULL || extended === IOERR_WRITE || extended === IOERR_SHMSIZE) {
    return new Problem('storage_full', { retryAfterSeconds: 60, cause: error });
  }
  if (extended === CONSTRAINT_PRIMARYKEY || extended === CONSTRAINT_UNIQUE) {
    return new Problem('conflict', { detail: 'It exists already.', cause: error });
  }
  if (primary === CONSTRAINT) return new Problem('internal', { cause: error });
  return new Problem('dependency_down', {
    detail: 'The catalog does not answer.',
    retryAfterSeconds: 5,
    cause: error,
  });
}
