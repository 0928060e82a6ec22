/** Gives every error that comes out of libvips a code. Its texts are the only thing to go by. */
import { Problem } from '../../problem.ts';

const DETAIL_MAX = 200;

/** A Problem as it is; a libvips error as what it says of the picture; anything else is our own fault. */
export function classify(error: unknown, format: string): Problem {
  if (error instanceof Problem) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOSPC' || /No space left on device|ENOSPC|Disk quota exceeded/i.test(text)) {
    return new Problem('storage_full', { cause: error });
  }
  if (/out of memory|unable to malloc|Cannot allocate|allocation failed/i.test(text)) {
    return new Problem('memory_exceeded', {
      detail: 'Processing this image takes more memory than there is.',
      cause: error,
    });
  }
  if (code !== undefined || error instanceof TypeError || error instanceof RangeError) {
    return new Problem('internal', { cause: error });
  }
  if (/exceeds pixel limit/i.test(text)) {
    return new Problem('image_too_large', {
      detail: `The ${format.toUpperCase()} has more pixels than allowed.`,
      cause: error,
    });
  }
  if (/too large for the \w+ format|dimension/i.test(text) && /Processed image/i.test(text)) {
    return new Problem('invalid_plan', { detail: oneLine(text), cause: error });
  }
  const isCut = /premature end/i.test(text);
  return new Problem('undecodable_image', {
    detail: `${format.toUpperCase()}: ${isCut ? 'the file ends before its picture does.' : oneLine(text)}`,
    cause: error,
  });
}

/**
 * Bytes between a JPEG's markers that belong to nothing: cameras leave them, every viewer skips them, and all pixels
 * are there.
 */
export function isHarmless(error: unknown): boolean {
  return error instanceof Error && /extraneous bytes before marker/.test(error.message);
}

/** The first line, without file names, for a client to read. */
function oneLine(text: string): string {
  const line = text
    .split('\n')[0]!
    .replace(/(?:[\w.-]*\/)+[\w.-]+/g, 'the file')
    .trim();
  return line.length > DETAIL_MAX ? `${line.slice(0, DETAIL_MAX)}…` : line;
}
