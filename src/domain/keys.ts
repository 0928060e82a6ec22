/**
 * Names of stored objects. A key says what the bytes are, so that the same bytes, or the same work on the same bytes,
 * lie in one place however often they are asked for; it holds nothing that a client chose.
 *
 *   originals/<aa>/<sha256>                                  an upload, as it came
 *   renditions/<aa>/<source's sha256>/<plan hash>.<ext>      what a Plan makes of it
 *
 * `<aa>` is the first two digits of the SHA-256: it keeps folders small. All digits are lower-case hex.
 */

export type BlobKey =
  | { kind: 'original'; sha256: string }
  | { kind: 'rendition'; sourceSha256: string; planHash: string; ext: string };

const SHA256 = /^[0-9a-f]{64}$/;
const PLAN_HASH = /^[0-9a-f]{32}$/;
const EXT = /^[a-z0-9]{2,5}$/;
const ORIGINAL = /^originals\/([0-9a-f]{2})\/(\1[0-9a-f]{62})$/;
const RENDITION = /^renditions\/([0-9a-f]{2})\/(\1[0-9a-f]{62})\/([0-9a-f]{32})\.([a-z0-9]{2,5})$/;

/** @param sha256 of the bytes, 64 lower-case hex digits. @throws TypeError on anything else: keys are made by us */
export function originalKey(sha256: string): string {
  expectMatch('sha256', sha256, SHA256);
  return `originals/${sha256.slice(0, 2)}/${sha256}`;
}

/**
 * @param sourceSha256 of the bytes that the Plan is applied to
 * @param planHash what `planHash()` gives, 32 hex digits
 * @param ext without the dot, e.g. `webp`
 * @throws TypeError where one of them has another form
 */
export function renditionKey(sourceSha256: string, planHash: string, ext: string): string {
  expectMatch('sourceSha256', sourceSha256, SHA256);
  expectMatch('planHash', planHash, PLAN_HASH);
  expectMatch('ext', ext, EXT);
  return `renditions/${sourceSha256.slice(0, 2)}/${sourceSha256}/${planHash}.${ext}`;
}

/** What a key says, or undefined where the text is none. */
export function parseKey(text: string): BlobKey | undefined {
  const original = ORIGINAL.exec(text);
  if (original) return { kind: 'original', sha256: original[2]! };
  const rendition = RENDITION.exec(text);
  if (!rendition) return undefined;
  const [, , sourceSha256, planHash, ext] = rendition;
  return { kind: 'rendition', sourceSha256: sourceSha256!, planHash: planHash!, ext: ext! };
}

export const isKey = (text: string): boolean => parseKey(text) !== undefined;

function expectMatch(name: string, text: string, form: RegExp): void {
  if (!form.test(text))
    throw new TypeError(`${name} of a key: expected ${form}, found ${JSON.stringify(text)}`);
}
