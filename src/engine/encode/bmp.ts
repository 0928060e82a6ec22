/**
 * BMP, bottom-up and uncompressed; libvips writes none. 1 and 24 bits a pixel under a BITMAPINFOHEADER, which everything
 * reads; 32 bits under a BITMAPV4HEADER, which says that the fourth byte is alpha and that the colours are sRGB.
 */
import { open } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import { bitonal } from './bitonal.ts';

export type BmpDepth = 1 | 24 | 32;

const FILE_HEADER_BYTES = 14;
const INFO_BYTES = 40;
const V4_BYTES = 108;
const BI_RGB = 0;
const BI_BITFIELDS = 3;
/** `sRGB`, as a number. */
const LCS_SRGB = 0x73524742;
/** 72 dpi; see `setDensity`. */
const PIXELS_PER_METRE = 2_835;
const ROWS_PER_WRITE = 256;

/** Writes a row of pixels to `rows` at `to`. */
type WriteRow = (data: Uint8Array, from: number, rows: Buffer, to: number, width: number) => void;

/** @param image opaque unless `depth` is 32; with depth 1, levels from 128 on are white */
export async function writeBmp(image: Sharp, path: string, depth: BmpDepth = 24): Promise<void> {
  const { data, info } = await pixelsFor(image, depth)
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const rowBytes = Math.ceil((width * depth) / 32) * 4;
  const file = await open(path, 'w');
  try {
    await file.write(headerOf(width, height, depth, rowBytes));
    const rows = Buffer.alloc(rowBytes * Math.min(ROWS_PER_WRITE, height));
    const writeRow = WRITERS[depth];
    for (let bottom = height; bottom > 0; ) {
      const count = Math.min(ROWS_PER_WRITE, bottom);
      for (let i = 0; i < count; i++) {
        writeRow(data, (bottom - 1 - i) * width * channels, rows, i * rowBytes, width);
      }
      await file.write(rows.subarray(0, count * rowBytes));
      bottom -= count;
    }
  } finally {
    await file.close();
  }
}

function pixelsFor(image: Sharp, depth: BmpDepth): Sharp {
  if (depth === 1) return bitonal(image);
  const rgb = image.toColourspace('srgb');
  return depth === 32 ? rgb.ensureAlpha() : rgb.removeAlpha();
}

function headerOf(width: number, height: number, depth: BmpDepth, rowBytes: number): Buffer {
  const infoBytes = depth === 32 ? V4_BYTES : INFO_BYTES;
  const palette = depth === 1 ? [0x000000, 0xffffff] : [];
  const pixelsAt = FILE_HEADER_BYTES + infoBytes + palette.length * 4;
  const header = Buffer.alloc(pixelsAt);
  header.write('BM', 'latin1');
  header.writeUInt32LE(Math.min(pixelsAt + rowBytes * height, 0xffffffff), 2);
  header.writeUInt32LE(pixelsAt, 10);
  header.writeUInt32LE(infoBytes, 14);
  header.writeInt32LE(width, 18);
  header.writeInt32LE(height, 22);
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(depth, 28);
  header.writeUInt32LE(depth === 32 ? BI_BITFIELDS : BI_RGB, 30);
  header.writeUInt32LE(Math.min(rowBytes * height, 0xffffffff), 34);
  header.writeInt32LE(PIXELS_PER_METRE, 38);
  header.writeInt32LE(PIXELS_PER_METRE, 42);
  header.writeUInt32LE(palette.length, 46);
  if (depth === 32) {
    const masks = [0x00ff0000, 0x0000ff00, 0x000000ff, 0xff000000];
    for (const [i, mask] of masks.entries()) header.writeUInt32LE(mask, 54 + i * 4);
    header.writeUInt32LE(LCS_SRGB, 70);
  }
  for (const [i, color] of palette.entries()) header.writeUInt32LE(color, 54 + i * 4);
  return header;
}

const WRITERS: Record<BmpDepth, WriteRow> = {
  1: (data, from, rows, to, width) => {
    for (let x = 0; x < width; x += 8) {
      let byte = 0;
      for (let bit = 0; bit < 8 && x + bit < width; bit++) if (data[from + x + bit]! > 0) byte |= 0x80 >> bit;
      rows[to + (x >> 3)] = byte;
    }
  },
  24: (data, from, rows, to, width) => {
    for (let x = 0; x < width; x++, from += 3, to += 3) {
      rows[to] = data[from + 2]!;
      rows[to + 1] = data[from + 1]!;
      rows[to + 2] = data[from]!;
    }
  },
  32: (data, from, rows, to, width) => {
    for (let x = 0; x < width; x++, from += 4, to += 4) {
      rows[to] = data[from + 2]!;
      rows[to + 1] = data[from + 1]!;
      rows[to + 2] = data[from]!;
      rows[to + 3] = data[from + 3]!;
    }
  },
};
