/** `Content-Disposition` for a download whose name comes from a stranger. */

const FALLBACK_STEM = 'image';
const MAX_STEM_CHARS = 100;
/** File systems stop at 255 bytes; the extension and a browser's ` (1)` need some of them. */
const MAX_STEM_BYTES = 200;

/** C0, C1, bidirectional controls, line separators, zero-width marks and lone surrogates' replacement. */
const UNSAFE = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]/gu;
/** What Windows does not allow in a name, and what shells and headers act upon. */
const RESERVED = /["*:<>?|`$;&\\/]/g;
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * The client's file name with another extension, harmless as a header and as a name on any disk: no path, no control
 * or direction marks, no leading dot or dash, bounded.
 */
export function downloadName(filename: string | undefined, extension: string): string {
  const base = (filename ?? '').toWellFormed().normalize('NFC').split(/[/\\]/).at(-1) ?? '';
  const clean = base.replaceAll(UNSAFE, '').replaceAll(RESERVED, '_');
  const stem = bounded(
    clean
      .trim()
      .replace(/\.[^.\s]{1,8}$/, '')
      .replace(/^[\s.-]+/, ''),
  ).replace(/[\s.]+$/, '');
  const safe = WINDOWS_DEVICE.test(stem) ? `_${stem}` : stem;
  return `${safe || FALLBACK_STEM}.${extension}`;
}

/** What files of cameras and phones are called; none of them is run by a double click. */
const IMAGE_EXTENSION =
  /\.(jpe?g|jpe|jfif|mpo|png|apng|gif|webp|avifs?|tiff?|bmp|dib|hei[cf]|hif|dng|cr[23w]|nef|nrw|arw|sr2|srf|raf|rw2|orf|pef|srw|3fr|iiq|rwl|x3f|raw|kdc|dcr|mrw|svg)$/i;

/** As `downloadName`; an extension that images have stays as the client wrote it. */
export function uploadName(filename: string | undefined, extension: string): string {
  const [, own] = IMAGE_EXTENSION.exec(filename?.trim() ?? '') ?? [];
  return downloadName(filename, own ?? extension);
}

const MAX_SHOWN_CHARS = 255;

/** The client's file name to be shown: only its last part, without control and direction marks, bounded. */
export function displayName(filename: string | undefined): string {
  const base = (filename ?? '').toWellFormed().normalize('NFC').split(/[/\\]/).at(-1) ?? '';
  const clean = [...base.replaceAll(UNSAFE, '').trim()].slice(0, MAX_SHOWN_CHARS).join('');
  return clean || FALLBACK_STEM;
}

/** RFC 6266: an ASCII `filename` for all, and `filename*` (RFC 8187) where that loses something. */
export function contentDisposition(name: string, type: 'attachment' | 'inline' = 'attachment'): string {
  const ascii = name.replaceAll(/[^\x20-\x7e]/gu, '_').replaceAll(/["\\%]/g, '_');
  const plain = `${type}; filename="${ascii}"`;
  return ascii === name ? plain : `${plain}; filename*=UTF-8''${encodeExtended(name)}`;
}

/** `attr-char` of RFC 8187 stays; `'()*` do not belong to it though encodeURIComponent leaves them. */
function encodeExtended(name: string): string {
  const percent = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(name).replaceAll(/['()*]/g, percent);
}

function bounded(stem: string): string {
  let short = [...stem].slice(0, MAX_STEM_CHARS);
  while (Buffer.byteLength(short.join('')) > MAX_STEM_BYTES) short = short.slice(0, -1);
  return short.join('');
}
