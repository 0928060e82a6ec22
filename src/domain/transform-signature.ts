/**
 * Signatures of the URLs that render on the fly. The message is four parts: the plan as a segment, the image's id, the
 * extension and the expiry, both empty where the URL has none. A URL holds where its plan is signed as it is written, or
 * in its canonical spelling: so any spelling of a plan that we have signed holds, and whoever signs elsewhere need not
 * know the canonical one.
 */
import {
  canonicalSegment,
  formatOf,
  readTransformPlan,
  type TransformAddress,
  type TransformPlan,
  transformPath,
} from '../contract/transform-url.ts';
import { isSignatureOf, type SigningKey, signingKey, signParts, type Verdict } from './signature.ts';

/** Of `signingKey`. */
const PURPOSE = 'transform-url';
const EXPIRES = /^[1-9]\d{0,10}$/;

export interface TransformToSign {
  imageId: string;
  /** A plan as in URLs, not percent-encoded: `w_600,h_400,fit_cover,q_80`. */
  plan: string;
  /** `webp`, `jpg`, …: the format. Where there is none and the plan names none, the client's `Accept` decides. */
  ext?: string;
  /** From this second on it does not hold; for ever when absent. */
  expiresAt?: Date;
}

export interface TransformSigner {
  /** URL_SIGNING_KEY of the service. */
  secret: string | Uint8Array;
  /** What clients reach the service by, without a slash at its end; the URL is a path when absent. */
  base?: string;
}

/** @param secret URL_SIGNING_KEY */
export const transformSigningKey = (secret: string | Uint8Array): SigningKey => signingKey(secret, PURPOSE);

/**
 * A URL that renders an image on the fly, for whoever has it: the signature is the permission, for private images too.
 * @throws Problem `invalid_plan` where the plan or the extension cannot be read
 * @throws TypeError where the expiry cannot be written
 */
export function signTransformUrl(
  { imageId, plan: written, ext = '', expiresAt }: TransformToSign,
  { secret, base = '' }: TransformSigner,
): string {
  const plan = readTransformPlan(written);
  formatOf(plan, ext);
  const expires = expiresAt === undefined ? '' : String(Math.floor(expiresAt.getTime() / 1000));
  if (expires !== '' && !EXPIRES.test(expires)) {
    throw new TypeError(`expected a time after 1970, found ${expiresAt}`);
  }
  const segment = canonicalSegment(plan, ext) ?? written;
  const address = { segment, imageId: imageId.toLowerCase(), ext, expires };
  const signature = signParts(transformSigningKey(secret), partsOf(address));
  return base + transformPath({ ...address, signature });
}

/** What a request gave, as it was written. */
export interface SignedTransform extends Omit<TransformAddress, 'expires'> {
  /** Its segment, read; undefined where it cannot be. */
  plan: TransformPlan | undefined;
  /** Undefined where the URL has none; an empty one is none that is ever signed. */
  expires: string | undefined;
}

export function verifyTransform(
  key: SigningKey,
  { segment: written, plan, imageId, ext, expires, signature }: SignedTransform,
  now: Date,
): Verdict {
  if (expires !== undefined && !EXPIRES.test(expires)) return 'invalid';
  const isSigned = (segment: string | undefined): boolean =>
    segment !== undefined &&
    isSignatureOf(key, partsOf({ segment, imageId, ext, expires: expires ?? '' }), signature);
  // The canonical spelling is dear to find, and seldom needed.
  if (!isSigned(written) && !(plan && isSigned(canonicalSegment(plan, ext)))) return 'invalid';
  return expires === undefined || now.getTime() < Number(expires) * 1000 ? 'valid' : 'expired';
}

const partsOf = ({ segment, imageId, ext, expires }: Omit<TransformAddress, 'signature'>): string[] => [
  segment,
  imageId,
  ext,
  expires,
];
