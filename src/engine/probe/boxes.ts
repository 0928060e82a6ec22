/** Boxes of ISO base media files (ISO/IEC 14496-12): HEIF, AVIF, CR3. */
import type { Fields } from './fields.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';

const MAX_BOXES = 10_000;

export interface Box {
  type: string;
  /** Offset of the body in the file, and of the box's end. */
  body: number;
  end: number;
}

/**
 * Boxes of the file from `from` to `to`. At the top level one that reaches past the end of the file ends there
 * (whether the picture does too is told by where its data lies), and what is no box at all is the trailer that
 * some phones append. Inside of another box both are errors.
 */
export async function* boxesOf(reader: Reader, from = 0, to = reader.size): AsyncGenerator<Box> {
  const nested = from > 0;
  let at = from;
  for (let count = 0; at + 8 <= to; count++) {
    if (count > MAX_BOXES) throw broken(`The file has more than ${MAX_BOXES} boxes.`);
    const head = await reader.fields(at, 8);
    const long = head.u32(0) === 1 && at + 16 <= to ? await reader.fields(at + 8, 8) : undefined;
    const size = long ? long.u64(0) : head.u32(0) || to - at;
    const headBytes = long ? 16 : 8;
    if (size < headBytes && !nested) return;
    if (size < headBytes) throw broken(`A box of the file declares ${size} bytes.`);
    if (at + size > to && nested) throw broken('A box of the file is longer than the box around it.');
    yield { type: head.ascii(4, 4), body: at + headBytes, end: Math.min(at + size, to) };
    at += size;
  }
}

export interface Part {
  type: string;
  fields: Fields;
}

/** Boxes in a block that has been read, from `from` on. */
export function* partsOf(block: Fields, from = 0): Generator<Part> {
  let at = from;
  for (let count = 0; at + 8 <= block.length; count++) {
    if (count > MAX_BOXES) throw broken(`The file has more than ${MAX_BOXES} boxes.`);
    const short = block.u32(at);
    const headBytes = short === 1 ? 16 : 8;
    const size = short === 1 ? block.u64(at + 8) : short || block.length - at;
    if (size < headBytes || at + size > block.length)
      throw broken('A box of the file has an impossible size.');
    yield { type: block.ascii(at + 4, 4), fields: block.sub(at + headBytes, size - headBytes) };
    at += size;
  }
}
