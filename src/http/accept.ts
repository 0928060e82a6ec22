/** Which of several formats a client gets (RFC 9110, section 12). */
import { MIME_TYPES, type OutputFormat } from '../contract/plan.ts';

/**
 * Formats that a client has to name: many send `image/*` or `*` + `/*` out of habit, and cannot show these. Browsers
 * that can say so.
 */
const ONLY_WHERE_NAMED: ReadonlySet<string> = new Set(['image/webp', 'image/avif']);

interface MediaRange {
  type: string;
  quality: number;
}

/**
 * @param formats what there is, the one to prefer first
 * @returns the one with the highest quality; where the client accepts none of them, one that everybody can show, since
 *   a picture is of more use than a refusal
 */
export function chooseFormat<F extends string>(accept: string | undefined, formats: readonly [F, ...F[]]): F {
  const ranges = parseAccept(accept ?? '');
  let best: { format: F; quality: number } | undefined;
  for (const format of formats) {
    const quality = qualityOf(mimeOf(format), ranges);
    if (quality > 0 && (!best || quality > best.quality)) best = { format, quality };
  }
  return best?.format ?? formats.find((format) => !ONLY_WHERE_NAMED.has(mimeOf(format))) ?? formats[0];
}

const mimeOf = (format: string): string => MIME_TYPES[format as OutputFormat] ?? `image/${format}`;

/** Of the most specific range that matches. */
function qualityOf(mime: string, ranges: readonly MediaRange[]): number {
  const named = ranges.find(({ type }) => type === mime);
  if (named || ONLY_WHERE_NAMED.has(mime)) return named?.quality ?? 0;
  const wide = ranges.find(({ type }) => type === 'image/*') ?? ranges.find(({ type }) => type === '*/*');
  return wide?.quality ?? (ranges.length === 0 ? 1 : 0);
}

function parseAccept(header: string): MediaRange[] {
  return header.split(',').flatMap((part) => {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    if (!type.includes('/')) return [];
    const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    const quality = q === undefined ? 1 : Number(q);
    return [{ type, quality: quality >= 0 && quality <= 1 ? quality : 0 }];
  });
}
