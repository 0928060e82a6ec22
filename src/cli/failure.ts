/** Says to a person why something failed. */
import { PROBLEMS, Problem, type ProblemCode } from '../problem.ts';
import { VARIABLE_OF } from './limits.ts';

/** Why one file failed, for the report. */
export interface Failure {
  code: ProblemCode | 'exists' | 'file_system' | 'refused' | 'unusable_input';
  /** A sentence without its full stop. */
  reason: string;
}

/** A file that must not be written over, or a target that makes no sense. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: 'exists' | 'refused';

  constructor(code: 'exists' | 'refused', reason: string) {
    super(reason);
    this.code = code;
  }
}

export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) return { code: error.code, reason: error.message };
  if (error instanceof Problem) return { code: error.code, reason: problemReason(error) };
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return { code: 'storage_full', reason: fileSystemReason(error) };
  if (code !== undefined && code in REASONS) return { code: 'file_system', reason: fileSystemReason(error) };
  return { code: 'internal', reason: `${PROBLEMS.internal.title}: ${(error as Error)?.message ?? error}` };
}

function problemReason({ code, title, detail, extra, cause }: Problem): string {
  // The engine speaks of options as queries spell them.
  const told = detail?.replaceAll('preview=embedded', '--preview embedded');
  const parts = [told === undefined ? title : `${title}: ${told}`];
  // Here the person is the operator: what the server would only log is theirs to read.
  if (code === 'internal' && cause !== undefined) parts.push(String((cause as Error).message ?? cause));
  if (extra?.preview_available === true && !told?.includes('--preview')) {
    parts.push('its embedded preview can be had with --preview embedded');
  }
  const variable = VARIABLE_OF[code];
  if (variable) parts.push(`the limit is set by ${variable}`);
  return parts.map((part) => part.trim().replace(/\.$/, '')).join('; ');
}

const REASONS: Record<string, string> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of its path is no folder',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file is too large for the file system',
  ENAMETOOLONG: 'the name is too long for the file system',
  ELOOP: 'its links lead in a circle',
  EISDIR: 'a folder has this name',
  EEXIST: 'a file of this name exists',
  EMFILE: 'too many files are open',
  EIO: 'the disk cannot be read or written',
  EINVAL: 'the file system does not take this name',
  EILSEQ: 'the file system does not take this name',
};

/** What went wrong on the file system, for people. */
export function fileSystemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code !== undefined && REASONS[code]) || message;
}
