/** The chunks that a PNG is made of (PNG third edition, section 5.3). */
import { crc32 } from 'node:zlib';

export const PNG_SIGNATURE: Uint8Array = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Of length, type and checksum. */
const FRAME_BYTES = 12;

export interface PngChunk {
  type: string;
  body: Buffer;
  /** With its length, type and checksum. */
  whole: Buffer;
  /** The checksum is right. Computed when it is asked for. */
  readonly sound: boolean;
}

/** The chunks of a whole PNG in order, up to the end of the file or to one that reaches past it. */
export function* pngChunks(file: Buffer): Generator<PngChunk, void> {
  let at = PNG_SIGNATURE.length;
  while (at + FRAME_BYTES <= file.length) {
    const length = file.readUInt32BE(at);
    const end = at + FRAME_BYTES + length;
    if (end > file.length) return;
    const whole = file.subarray(at, end);
    yield {
      type: whole.toString('latin1', 4, 8),
      body: whole.subarray(8, 8 + length),
      whole,
      get sound() {
        return crc32(whole.subarray(4, 8 + length)) === whole.readUInt32BE(8 + length);
      },
    };
    at = end;
  }
}

/** A chunk of one or more parts, with its length and checksum. */
export function pngChunk(type: string, ...parts: Uint8Array[]): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), ...parts]);
  return Buffer.concat([uint32(typed.length - 4), typed, uint32(crc32(typed))]);
}

/** 32-bit numbers, the high byte first. */
export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, i * 4);
  return bytes;
}
