/**
 * Signatures that let a URL act for somebody: reading a private image, or sending one upload. HMAC-SHA256 over what the
 * URL permits and until when. The query carries them as `expires` (unix seconds) and `signature` (base64url, 43
 * characters).
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

/** What a key signs. Each purpose has a key of its own, so that a URL made for one is worth nothing for another. */
export type SigningPurpose = 'image-url' | 'presigned-upload' | 'transform-url';

/** 32 bytes. */
export type SigningKey = Uint8Array;

export interface SignedQuery {
  /** Unix seconds, decimal. */
  expires: string;
  signature: string;
}

/** `expired` is said only of a signature that is genuine. */
export type Verdict = 'valid' | 'expired' | 'invalid';

const EXPIRES = /^[1-9]\d{0,10}$/;
const SIGNATURE = /^[A-Za-z0-9_-]{43}$/;

/** @param secret URL_SIGNING_KEY. HKDF (RFC 5869) with SHA-256, no salt, the purpose as info */
export function signingKey(secret: string | Uint8Array, purpose: SigningPurpose): SigningKey {
  return new Uint8Array(hkdfSync('sha256', secret, '', `tintype ${purpose} v1`, 32));
}

/**
 * @param parts what the signature permits, in a fixed order, e.g. `['GET', imageId, size]`
 * @param expiresAt counted in whole seconds, rounded down
 * @throws TypeError where a part holds half a surrogate pair, or the time cannot be written
 */
export function sign(key: SigningKey, parts: readonly string[], expiresAt: Date): SignedQuery {
  const expires = String(Math.floor(expiresAt.getTime() / 1000));
  if (!EXPIRES.test(expires)) throw new TypeError(`expected a time after 1970, found ${expiresAt}`);
  return { expires, signature: signParts(key, [...parts, expires]) };
}

/**
 * Without a time of its own: what should end says so in one of its parts.
 * @throws TypeError where a part holds half a surrogate pair
 */
export function signParts(key: SigningKey, parts: readonly string[]): string {
  const message = encode(parts);
  if (!message) throw new TypeError('a signed part must be well-formed Unicode');
  return mac(key, message);
}

/**
 * Takes the query as it came, whatever was in it. Valid before the second `expires`, not in it.
 * @param parts the same as were signed
 */
export function verify(
  key: SigningKey,
  parts: readonly string[],
  query: { expires?: unknown; signature?: unknown },
  now: Date,
): Verdict {
  const { expires, signature } = query;
  if (typeof expires !== 'string' || !EXPIRES.test(expires)) return 'invalid';
  if (!isSignatureOf(key, [...parts, expires], signature)) return 'invalid';
  return now.getTime() < Number(expires) * 1000 ? 'valid' : 'expired';
}

/** Takes whatever was given as a signature; it is compared in constant time. */
export function isSignatureOf(key: SigningKey, parts: readonly string[], signature: unknown): boolean {
  if (typeof signature !== 'string' || !SIGNATURE.test(signature)) return false;
  const message = encode(parts);
  if (!message) return false;
  // Compared as text: base64url of 32 bytes leaves two bits over, and several spellings decode to the same bytes.
  return timingSafeEqual(Buffer.from(mac(key, message)), Buffer.from(signature));
}

const mac = (key: SigningKey, message: Uint8Array): string =>
  createHmac('sha256', key).update(message).digest('base64url');

/**
 * Each part with its length in bytes before it, 32 bits big-endian, so that no two lists give the same message. Half a
 * surrogate pair has no UTF-8 and would be written as U+FFFD, like others: there is no message then.
 */
function encode(parts: readonly string[]): Uint8Array | undefined {
  if (!parts.every((part) => part.isWellFormed())) return undefined;
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = Buffer.from(part);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}
