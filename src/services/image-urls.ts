/** Where the bytes of a rendition are read, also by those who have no token: a private image's URL is signed. */
import type { SigningKey, Verdict } from '../domain/signature.ts';
import { sign, signingKey, verify } from '../domain/signature.ts';
import type { ImageRow } from '../ports/catalog.ts';
import type { Services } from './context.ts';

/** A signed URL holds at least this long. */
const IMAGE_URL_TTL_MS = 3_600_000;
/** Expiries fall on these steps, so that for a while the same URL is given: what a browser has, it need not fetch again. */
const EXPIRY_STEP_MS = 300_000;

/** What a URL names. Without a format, the client's `Accept` chooses among those that the size has. */
export interface RenditionAddress {
  imageId: string;
  version: number;
  size: string;
  format?: string | undefined;
}

/** The query of a request for bytes, as it came. */
export interface AddressQuery {
  version?: number | undefined;
  size?: string | undefined;
  format?: string | undefined;
  expires?: string | undefined;
  signature?: string | undefined;
}

export class ImageUrls {
  readonly #key: SigningKey;
  readonly #clock: Services['clock'];

  constructor({ urlSigningKey, clock }: Pick<Services, 'urlSigningKey' | 'clock'>) {
    this.#key = signingKey(urlSigningKey, 'image-url');
    this.#clock = clock;
  }

  /**
   * Give it only to somebody who may see the image: with the signature anybody can read this one size of it.
   * @param base what clients reach the service by, without a slash at its end
   */
  urlOf({ visibility }: Pick<ImageRow, 'visibility'>, address: RenditionAddress, base: string): string {
    const { imageId, version, size, format } = address;
    const query = new URLSearchParams({ size });
    if (format !== undefined) query.set('format', format);
    // Names the version: what lies in a cache under this URL can never be out of date.
    query.set('version', String(version));
    if (visibility === 'private') {
      const expiresAtMs = this.#clock.now().getTime() + IMAGE_URL_TTL_MS;
      const step = Math.ceil(expiresAtMs / EXPIRY_STEP_MS) * EXPIRY_STEP_MS;
      const signed = sign(this.#key, partsOf(imageId, { version, size, format }), new Date(step));
      query.set('expires', signed.expires);
      query.set('signature', signed.signature);
    }
    return `${base}/api/v1/images/${imageId}/direct?${query}`;
  }

  verify(imageId: string, query: AddressQuery): Verdict {
    return verify(this.#key, partsOf(imageId, query), query, this.#clock.now());
  }
}

const partsOf = (imageId: string, { version, size, format }: AddressQuery): string[] => [
  imageId,
  size ?? '',
  format ?? '',
  String(version ?? ''),
];
