/** What the file system's error codes mean for somebody who stores something. */
import { Problem } from '../../problem.ts';

const FULL = new Set(['ENOSPC', 'EDQUOT']);
const DOWN = new Set([
  'EROFS',
  'EACCES',
  'EPERM',
  'EIO',
  'ENODEV',
  'ENXIO',
  'ESTALE',
  'ENOTCONN',
  'EHOSTDOWN',
  'ETIMEDOUT',
  // A file system that knows no hard links.
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EXDEV',
  // No descriptor is left, in the process or the machine.
  'EMFILE',
  'ENFILE',
]);
const RETRY_FULL_SECONDS = 30;
const RETRY_DOWN_SECONDS = 5;

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;

/** For `catch`: swallows the named codes, and nothing else. */
export const ignoring =
  (...codes: string[]) =>
  (error: unknown): undefined => {
    if (!codes.includes(codeOf(error) ?? '')) throw error;
  };

export const storageFull = (cause?: unknown): Problem =>
  new Problem('storage_full', {
    detail: 'The storage has no room left.',
    retryAfterSeconds: RETRY_FULL_SECONDS,
    cause,
  });

/** Runs work on files; what the file system refuses becomes a Problem, and an unknown code `internal`. */
export async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw problemOf(error);
  }
}

function problemOf(error: unknown): Problem {
  const code = codeOf(error) ?? '';
  if (error instanceof Problem) return error;
  if (FULL.has(code)) return storageFull(error);
  if (!DOWN.has(code)) return Problem.from(error);
  return new Problem('dependency_down', {
    detail: 'The storage cannot be used at the moment.',
    retryAfterSeconds: RETRY_DOWN_SECONDS,
    cause: error,
  });
}
