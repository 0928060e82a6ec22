/** Variables of backends that this version does not have. */
import type { FieldError } from '../problem.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Names that are known and set to no effect, with what holds instead. */
const WITHOUT_EFFECT: readonly (readonly [name: RegExp, instead: string])[] = [
  [/^DATABASE_URL$/, 'the catalog is the SQLite file of DATABASE_PATH'],
  [/^S3_[A-Z_]+$/, 'files are stored in the folder of STORAGE_PATH'],
  [/^(REDIS_URL|SQS_[A-Z_]+)$/, 'the queue is embedded'],
  [/^(CLAMD_HOST|CLAMD_PORT|VIRUS_SCAN_FAIL_MODE)$/, 'uploads are not scanned for viruses'],
];

/** Why a variable that is set has no effect, as a sentence that does not hold its value; undefined for any other name. */
export function withoutEffect(name: string): string | undefined {
  const instead = WITHOUT_EFFECT.find(([pattern]) => pattern.test(name))?.[1];
  return instead && `${name} has no effect in this version: ${instead}.`;
}

/** What somebody relies on for their safety must not be passed over in silence. */
export function missingSafeguards(env: Environment): FieldError[] {
  const errors: FieldError[] = [];
  if (env.AUTHZ_URL?.trim()) {
    errors.push({ path: 'AUTHZ_URL', message: 'expected nothing: in this version tokens alone decide' });
  }
  if (!/^(false|0|no|off|)$/i.test(env.VIRUS_SCAN_ENABLED?.trim() ?? '')) {
    errors.push({
      path: 'VIRUS_SCAN_ENABLED',
      message: 'expected false: this version does not scan uploads for viruses',
    });
  }
  return errors;
}
