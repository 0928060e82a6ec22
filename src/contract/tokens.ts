/** Bearer tokens: JSON Web Tokens (RFC 7519), what they are signed with and what they say. */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { SCOPES, type Scope } from './operation.ts';

/** RFC 7518, section 3.1, and RFC 8037. `none` is no algorithm here. */
export const TOKEN_ALGORITHMS = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type TokenAlgorithm = (typeof TOKEN_ALGORITHMS)[number];

/** Whether one secret both signs and verifies. */
export const isSymmetric = (algorithm: TokenAlgorithm): boolean => algorithm.startsWith('HS');

/** Fewer characters of a secret than bytes of the hash would weaken the signature (RFC 7518, section 3.2). */
export const minSecretChars = (algorithm: TokenAlgorithm): number =>
  isSymmetric(algorithm) ? Number(algorithm.slice(2)) / 8 : 32;

/** What a token is verified with. */
export type TokenKey = { secret: Uint8Array } | { publicKey: KeyObject } | { jwksUrl: string };

export const MAX_SUBJECT_CHARS = 255;

/** The `sub` of a token; the owner of what it uploads. */
export const subjectSchema = z
  .string()
  .min(1)
  .max(MAX_SUBJECT_CHARS)
  .regex(/^[^\p{Cc}]+$/u);

/** Scopes of other services may stand among ours: they mean nothing here. */
const scopeListSchema = z
  .union([z.string().transform((text) => text.split(' ')), z.array(z.string())])
  .transform((words) => SCOPES.filter((scope) => words.includes(scope)));

export const tokenClaimsSchema = z.object({
  sub: subjectSchema,
  /** Separated by spaces (RFC 8693, section 4.2), or a list. */
  scope: scopeListSchema.default([]),
  /** The only buckets that the token is for; all of them when absent. */
  buckets: z.array(z.string()).optional(),
});

const IMPLIED: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ['read'],
  write: ['read', 'write'],
  admin: ['read', 'write', 'admin'],
};

/** With those that they imply: who may write may read, an admin may do both. */
export const allScopes = (scopes: readonly Scope[]): ReadonlySet<Scope> =>
  new Set(scopes.flatMap((scope) => IMPLIED[scope]));
