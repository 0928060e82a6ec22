/** `tintype token`: a token for the service as it is configured here. */
import { SignJWT } from 'jose';
import { loadConfig } from '../config.ts';
import { SCOPES, type Scope } from '../contract/operation.ts';
import { BUCKET_NAME } from '../contract/policies.ts';
import { isSymmetric, MAX_SUBJECT_CHARS, subjectSchema } from '../contract/tokens.ts';
import { Problem } from '../problem.ts';
import { resolveSecrets } from '../secrets.ts';
import { didYouMean, type OptionSpec, type ParsedArgs, parseCommandLine, UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { printable } from './text.ts';

const DEFAULT_EXPIRY = '24h';
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const MAX_EXPIRY_SECONDS = 10 * 366 * 86_400;

export const TOKEN_OPTIONS: readonly OptionSpec[] = [
  { name: 'sub', value: 'name', help: 'who the token is for; images that it uploads belong to that name' },
  {
    name: 'scope',
    value: 'scopes',
    help: `what it may do: ${SCOPES.join(', ')}, separated by spaces or commas; write brings read, admin both`,
  },
  { name: 'admin', help: 'the same as --scope admin: everybody’s images, and the service itself' },
  {
    name: 'bucket',
    value: 'bucket',
    help: 'holds it to a bucket; may be given several times; without it the token is for all buckets',
  },
  {
    name: 'expires',
    value: 'time',
    help: `how long it is valid, as 30m, 1h or 30d; ${DEFAULT_EXPIRY} by default`,
  },
  { name: 'help', alias: 'h', help: 'this text' },
];

interface TokenRequest {
  subject: string;
  scopes: Scope[];
  buckets: string[];
  expiresInSeconds: number;
}

/** @throws UsageError, HelpRequested, Problem `invalid_configuration` */
export async function token(args: string[], { env, stdout, stderr }: CommandContext): Promise<number> {
  const request = readTokenRequest(args);
  const config = loadConfig(env);
  const { jwtAlgorithm, jwtIssuer, jwtAudience, jwtJwksUrl } = config;
  if (!isSymmetric(jwtAlgorithm)) {
    const what = jwtJwksUrl === undefined ? 'JWT_PUBLIC_KEY' : 'JWT_JWKS_URL';
    throw new Problem('invalid_configuration', {
      detail: `Tokens are made by whoever holds the private key; ${what} only verifies them (JWT_ALGORITHM is ${jwtAlgorithm}).`,
    });
  }
  const { jwtKey, created } = resolveSecrets(config);
  if (!('secret' in jwtKey)) throw new TypeError(`${jwtAlgorithm} needs a secret`);
  if (created) stderr.write('JWT_SECRET_KEY is not set: made a secret in DATA_DIR to sign tokens with\n');
  const { subject, scopes, buckets, expiresInSeconds } = request;
  const nowSeconds = Math.floor(Date.now() / 1000);
  const jwt = new SignJWT({ scope: scopes.join(' '), ...(buckets.length > 0 && { buckets }) })
    .setProtectedHeader({ alg: jwtAlgorithm, typ: 'JWT' })
    .setSubject(subject)
    .setIssuedAt(nowSeconds)
    .setExpirationTime(nowSeconds + expiresInSeconds);
  if (jwtIssuer !== undefined) jwt.setIssuer(jwtIssuer);
  if (jwtAudience !== undefined) jwt.setAudience(jwtAudience);
  stdout.write(`${await jwt.sign(jwtKey.secret)}\n`);
  return EXIT.ok;
}

/** @throws UsageError, HelpRequested */
export function readTokenRequest(args: string[]): TokenRequest {
  const parsed = parseCommandLine(args, TOKEN_OPTIONS);
  const [argument] = parsed.positionals;
  if (argument !== undefined) {
    throw new UsageError(
      `token takes no arguments, got ${printable(argument)}; several scopes are one value: --scope "read write"`,
    );
  }
  const subject = parsed.value('sub');
  if (subject === undefined) throw new UsageError('token needs to know whom it is for: --sub <name>');
  if (!subjectSchema.safeParse(subject).success) {
    throw new UsageError(
      `--sub: expected 1 to ${MAX_SUBJECT_CHARS} characters, none of them a control character`,
    );
  }
  return {
    subject,
    scopes: readScopes(parsed),
    buckets: readBuckets(parsed),
    expiresInSeconds: readExpiry(parsed.value('expires') ?? DEFAULT_EXPIRY),
  };
}

/** The values of an option that may be given several times. */
const valuesOf = ({ options }: ParsedArgs, name: string): string[] =>
  options.flatMap((option) => (option.name === name && option.value !== true ? [option.value] : []));

function readScopes(parsed: ParsedArgs): Scope[] {
  const words = valuesOf(parsed, 'scope').flatMap((text) => text.split(/[\s,]+/).filter(Boolean));
  if (parsed.has('admin')) words.push('admin');
  const unknown = words.find((word) => !SCOPES.some((scope) => scope === word));
  if (unknown !== undefined) {
    throw new UsageError(
      `--scope: expected ${SCOPES.join(', ')}, got ${printable(unknown)}${didYouMean(unknown, SCOPES)}`,
    );
  }
  if (words.length === 0) throw new UsageError('token needs to know what it may do: --scope <scopes>');
  return SCOPES.filter((scope) => words.includes(scope));
}

function readBuckets(parsed: ParsedArgs): string[] {
  const buckets = valuesOf(parsed, 'bucket');
  const wrong = buckets.find((bucket) => !BUCKET_NAME.test(bucket));
  if (wrong === undefined) return [...new Set(buckets)];
  throw new UsageError(
    `--bucket: expected 3 to 63 lower-case letters, digits and dashes, got ${printable(wrong)}`,
  );
}

/** Seconds. @throws UsageError */
export function readExpiry(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/i.exec(text) ?? [];
  const seconds = Number(count) * (UNIT_SECONDS[unit?.toLowerCase() ?? ''] ?? Number.NaN);
  if (seconds >= 1 && seconds <= MAX_EXPIRY_SECONDS) return seconds;
  throw new UsageError(
    `--expires: expected a time such as 30m, 1h or 30d, ten years at most, got ${printable(text)}`,
  );
}
