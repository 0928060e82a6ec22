/** Bearer tokens that are JSON Web Tokens, by one fixed algorithm and a secret, a public key or a key set. */
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
  type RemoteJWKSet,
} from 'jose';
import {
  allScopes,
  isSymmetric,
  type TokenAlgorithm,
  type TokenKey,
  tokenClaimsSchema,
} from '../../contract/tokens.ts';
import type { Authorizer, Principal } from '../../ports/authorizer.ts';
import { Problem } from '../../problem.ts';

/** For clocks that do not quite agree. */
const LEEWAY_SECONDS = 5;
const JWKS_TIMEOUT_MS = 5_000;
/** A token that names an unknown key makes us look for new keys, this often at most. */
const JWKS_COOLDOWN_MS = 30_000;
/** How long a key that was withdrawn may still be good. */
const JWKS_MAX_AGE_MS = 10 * 60_000;
/** A key set that could not be had is not asked for again so soon: each request would wait for it. */
const JWKS_FAILURE_PAUSE_MS = 2_000;

const MAX_KNOWN_TOKENS = 1_000;
const MAX_KNOWN_TOKEN_CHARS = 4_096;

export interface JwtAuthorizerOptions {
  /** The only one that is accepted, whatever a token's header says (RFC 8725, section 3.1). */
  algorithm: TokenAlgorithm;
  key: TokenKey;
  /** The `iss` that is required; any when absent. */
  issuer?: string | undefined;
  /** What `aud` must name; anything when absent. */
  audience?: string | undefined;
  jwks?: { timeoutMs?: number; cooldownMs?: number; maxAgeMs?: number; failurePauseMs?: number };
}

type Verify = (token: string, options: JWTVerifyOptions) => Promise<JWTPayload>;

/** Keys were checked against the algorithm by whoever read them. */
export async function jwtAuthorizer({
  algorithm,
  key,
  issuer,
  audience,
  jwks = {},
}: JwtAuthorizerOptions): Promise<Authorizer> {
  const verify = await verifier(algorithm, key, jwks);
  const options: JWTVerifyOptions = {
    // RFC 9864 names the curve that EdDSA stands for here.
    algorithms: algorithm === 'EdDSA' ? ['EdDSA', 'Ed25519'] : [algorithm],
    clockTolerance: LEEWAY_SECONDS,
    ...(issuer !== undefined && { issuer }),
    ...(audience !== undefined && { audience }),
  };
  // The keys of a set come and go: what they signed is checked each time.
  const checked = 'jwksUrl' in key ? undefined : new CheckedTokens();
  return {
    async authenticate(header, signal) {
      const token = tokenOf(header);
      signal.throwIfAborted();
      const known = checked?.get(token);
      if (known) return known;
      const payload = await verify(token, options).catch((error) => {
        throw problemOf(error, algorithm, 'jwksUrl' in key);
      });
      signal.throwIfAborted();
      const principal = principalOf(payload);
      checked?.add(token, principal, payload.exp);
      return principal;
    },
  };
}

/**
 * Tokens whose signature and claims were right, until they expire: a client sends the same one again and again, and
 * to check it costs 65 µs of CPU, more than a read of the catalog.
 */
class CheckedTokens {
  readonly #known = new Map<string, { principal: Principal; expiresAtMs: number }>();

  get(token: string): Principal | undefined {
    const entry = this.#known.get(token);
    if (entry && Date.now() < entry.expiresAtMs) return entry.principal;
    this.#known.delete(token);
    return undefined;
  }

  add(token: string, principal: Principal, expSeconds = Number.POSITIVE_INFINITY): void {
    if (token.length > MAX_KNOWN_TOKEN_CHARS) return;
    // A Map keeps its order: the one that was added first makes room.
    if (this.#known.size >= MAX_KNOWN_TOKENS) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(token, { principal, expiresAtMs: expSeconds * 1000 });
  }
}

async function verifier(
  algorithm: TokenAlgorithm,
  key: TokenKey,
  jwks: NonNullable<JwtAuthorizerOptions['jwks']>,
): Promise<Verify> {
  if ('jwksUrl' in key) return keySetVerifier(remoteKeys(key.jwksUrl, jwks));
  if ('publicKey' in key) {
    return async (token, options) => (await jwtVerify(token, key.publicKey, options)).payload;
  }
  if (!isSymmetric(algorithm)) throw new TypeError(`${algorithm} is not verified with a secret`);
  // Imported once; jose would import the bytes anew for each token.
  const hmac = { name: 'HMAC', hash: `SHA-${algorithm.slice(2)}` };
  const secret = await crypto.subtle.importKey('raw', new Uint8Array(key.secret), hmac, false, ['verify']);
  return async (token, options) => (await jwtVerify(token, secret, options)).payload;
}

function keySetVerifier(keys: RemoteJWKSet): Verify {
  return async (token, options) => {
    try {
      return (await jwtVerify(token, keys, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // The token names no key: any of those that fit may be the one.
      for await (const publicKey of error) {
        try {
          return (await jwtVerify(token, publicKey, options)).payload;
        } catch (inner) {
          if (!(inner instanceof errors.JWSSignatureVerificationFailed)) throw inner;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  };
}

function remoteKeys(url: string, jwks: NonNullable<JwtAuthorizerOptions['jwks']>): RemoteJWKSet {
  const pauseMs = jwks.failurePauseMs ?? JWKS_FAILURE_PAUSE_MS;
  let failure: { error: unknown; untilMs: number } | undefined;
  return createRemoteJWKSet(new URL(url), {
    timeoutDuration: jwks.timeoutMs ?? JWKS_TIMEOUT_MS,
    cooldownDuration: jwks.cooldownMs ?? JWKS_COOLDOWN_MS,
    cacheMaxAge: jwks.maxAgeMs ?? JWKS_MAX_AGE_MS,
    [customFetch]: async (address, init) => {
      if (failure && performance.now() < failure.untilMs) throw failure.error;
      try {
        const response = await fetch(address, init);
        if (response.status !== 200) {
          await response.body?.cancel();
          throw new Error(`the key set answered with status ${response.status}`);
        }
        failure = undefined;
        return response;
      } catch (error) {
        failure = { error, untilMs: performance.now() + pauseMs };
        throw error;
      }
    },
  });
}

/** RFC 6750, section 2.1. */
function tokenOf(header: string | undefined): string {
  if (header === undefined || header.trim() === '') {
    throw new Problem('unauthorized', { detail: 'This needs a token: Authorization: Bearer <token>.' });
  }
  const token = /^Bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(header.trim())?.[1];
  if (token !== undefined) return token;
  throw new Problem('unauthorized', {
    detail: 'Expected "Bearer" and a JSON Web Token in Authorization, got something else.',
  });
}

function principalOf(payload: JWTPayload): Principal {
  const claims = tokenClaimsSchema.safeParse(payload);
  if (!claims.success) {
    const [issue] = claims.error.issues;
    throw new Problem('unauthorized', {
      detail: `The token's claim ${String(issue?.path[0] ?? 'sub')} is missing or not of the expected form.`,
    });
  }
  const { sub, scope, buckets } = claims.data;
  return { subject: sub, scopes: allScopes(scope), ...(buckets && { buckets: new Set(buckets) }) };
}

/** A fault of the token is the client's; that the keys cannot be had, or are unusable, is not. */
function problemOf(cause: unknown, algorithm: TokenAlgorithm, remote: boolean): unknown {
  const detail = tokenFault(cause, algorithm);
  if (detail !== undefined) return new Problem('unauthorized', { detail, cause });
  if (!remote) return cause;
  return new Problem('dependency_down', { detail: 'The keys of the tokens cannot be had.', cause });
}

function tokenFault(error: unknown, algorithm: TokenAlgorithm): string | undefined {
  if (error instanceof errors.JWTExpired) return 'The token has expired.';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'nbf' && error.reason === 'check_failed') return 'The token is not valid yet.';
    return `The token's claim ${error.claim} is not what is expected here.`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return `The token is not signed with ${algorithm}.`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token's signature does not fit.";
  if (error instanceof errors.JWKSNoMatchingKey) return 'The token is signed with a key that is not known.';
  const malformed = [errors.JWSInvalid, errors.JWTInvalid, errors.JOSENotSupported];
  return malformed.some((kind) => error instanceof kind) ? 'The token is not a valid one.' : undefined;
}
