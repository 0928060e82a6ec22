/** BMP headers, from OS/2 1.x (12 bytes) to Windows V5 (124 bytes); the decoder reads by the same ones. */
import type { Limits } from '../limits.ts';
import type { Fields } from './fields.ts';
import { broken, checkPixels, checkSides, type Header } from './header.ts';
import { iccDescription, MAX_ICC_BYTES } from './icc.ts';
import type { Reader } from './reader.ts';

const FILE_HEADER_BYTES = 14;
/** `MBED`, as a number. */
const PROFILE_EMBEDDED = 0x4d424544;

/** `jpeg` and `png` are whole files in the place of the pixels; `rle24` is OS/2's. */
export type BmpCompression = 'rgb' | 'rle8' | 'rle4' | 'rle24' | 'bitfields' | 'jpeg' | 'png';

export interface BmpHeader {
  width: number;
  height: number;
  topDown: boolean;
  /** Nothing where a JPEG or a PNG has its own. */
  bitsPerPixel: 0 | 1 | 2 | 4 | 8 | 16 | 24 | 32;
  compression: BmpCompression;
  /** Red, green, blue, alpha; all zero where the depth has a palette, alpha zero for none. */
  masks: readonly [number, number, number, number];
  /** Entries from `paletteOffset` on. */
  paletteLength: number;
  paletteOffset: number;
  /** 3 in OS/2 1.x, else 4; blue first. */
  paletteEntryBytes: 3 | 4;
  pixelOffset: number;
  /** Bytes of a stored row, padded to four; 0 where rows are not stored as such. */
  rowBytes: number;
  /** Of a V5 header that embeds one. */
  icc?: { offset: number; bytes: number };
}

/** @throws Problem undecodable_image, image_too_large */
export async function readBmpHeader(reader: Reader, limits: Pick<Limits, 'maxPixels'>): Promise<BmpHeader> {
  const start = await reader.fields(0, 18, true);
  const headerBytes = start.u32(14);
  const isCore = headerBytes === 12;
  // OS/2 2.x headers may stop after any field from the sixteenth byte on.
  const known =
    isCore || (headerBytes >= 16 && headerBytes <= 64) || headerBytes === 108 || headerBytes === 124;
  if (!known) throw broken(`The BMP has a header of ${headerBytes} bytes, which no version has.`);
  const info = await reader.fields(FILE_HEADER_BYTES, headerBytes, true);
  const field = (at: number) => (at + 4 <= headerBytes ? info.u32(at) : 0);
  const width = isCore ? info.u16(4) : info.i32(4);
  const rows = isCore ? info.u16(6) : info.i32(8);
  const height = Math.abs(rows);
  if (width < 0) throw broken(`The BMP declares a width of ${width} pixels.`);
  checkSides(width, height, 'BMP');
  checkPixels(width, height, limits);
  const depth = info.u16(isCore ? 10 : 14);
  const compression = readCompression(isCore ? 0 : field(16), depth, headerBytes);
  const isFile = compression === 'jpeg' || compression === 'png';
  const bitsPerPixel = isFile ? 0 : depth;
  if (!isDepth(bitsPerPixel)) throw broken(`BMP with ${bitsPerPixel} bits a pixel is not supported.`);
  const isRuns = compression.startsWith('rle');
  if (rows < 0 && isRuns) throw broken('A run-length encoded BMP cannot be stored top-down.');
  const bitfields = compression === 'bitfields';
  // After a 40-byte header, masks lie where the palette would begin.
  const alphaField = info.length >= 56 && headerBytes !== 64;
  const outside = bitfields && headerBytes === 40 ? (field(16) === 6 ? 16 : 12) : 0;
  const masks = bitfields
    ? await readMasks(reader, outside, headerBytes)
    : defaultMasks(bitsPerPixel, alphaField ? info : undefined);
  const paletteOffset = FILE_HEADER_BYTES + headerBytes + outside;
  const paletteEntryBytes = isCore ? 3 : 4;
  const declared = isCore ? 0 : field(32);
  const isPalette = bitsPerPixel > 0 && bitsPerPixel <= 8;
  const colors = isPalette ? Math.min(declared || Infinity, 2 ** bitsPerPixel) : 0;
  const pixelOffset = start.u32(10) || paletteOffset + colors * paletteEntryBytes;
  const rowBytes = isRuns ? 0 : Math.ceil((width * bitsPerPixel) / 32) * 4;
  // The padding of the last row may be missing.
  const pixelBytes = rowBytes === 0 ? 1 : rowBytes * (height - 1) + Math.ceil((width * bitsPerPixel) / 8);
  if (pixelOffset + pixelBytes > reader.size) throw broken('The file ends before its picture does.');
  return {
    width,
    height,
    topDown: rows < 0,
    bitsPerPixel,
    compression,
    masks,
    // It ends where the pixels begin, if they do not begin before it.
    paletteLength:
      pixelOffset > paletteOffset
        ? Math.min(colors, Math.floor((pixelOffset - paletteOffset) / paletteEntryBytes))
        : colors,
    paletteOffset,
    paletteEntryBytes,
    pixelOffset,
    rowBytes,
    ...(headerBytes === 124 && field(56) === PROFILE_EMBEDDED && { icc: embeddedProfile(info) }),
  };
}

const embeddedProfile = (info: Fields) => ({
  offset: FILE_HEADER_BYTES + info.u32(112),
  bytes: info.u32(116),
});

const isDepth = (bits: number): bits is BmpHeader['bitsPerPixel'] =>
  [0, 1, 2, 4, 8, 16, 24, 32].includes(bits);

/** The same numbers mean other things in OS/2 2.x, whose headers are those that no Windows version has. */
function readCompression(code: number, depth: number, headerBytes: number): BmpCompression {
  const os2 = headerBytes < 40 || headerBytes === 64;
  if (code === 0 && depth !== 0) return 'rgb';
  if (code === 1 && depth === 8) return 'rle8';
  if (code === 2 && depth === 4) return 'rle4';
  if (os2 && code === 4 && depth === 24) return 'rle24';
  if (os2 && code === 3) throw broken('BMP with Huffman compression, of OS/2, is not supported.');
  if (!os2 && (code === 3 || code === 6) && (depth === 16 || depth === 32)) return 'bitfields';
  if (!os2 && code === 4) return 'jpeg';
  if (!os2 && code === 5) return 'png';
  throw broken(`BMP compression ${code} with ${depth} bits a pixel is not supported.`);
}

async function readMasks(reader: Reader, outside: number, headerBytes: number): Promise<BmpHeader['masks']> {
  const count = outside > 0 ? outside / 4 : Math.min(4, Math.floor((headerBytes - 40) / 4));
  if (count < 3) throw broken('The BMP declares bit fields and has no masks.');
  const fields = await reader.fields(FILE_HEADER_BYTES + 40, count * 4, true);
  const masks = [fields.u32(0), fields.u32(4), fields.u32(8), count > 3 ? fields.u32(12) : 0] as const;
  if (masks[0] + masks[1] + masks[2] === 0) throw broken('The BMP declares empty bit fields.');
  for (const mask of masks) {
    const { bits, shift } = bitField(mask);
    if ((2 ** bits - 1) * 2 ** shift !== mask) throw broken('A bit field of the BMP is not contiguous.');
  }
  return masks;
}

/** Where a mask's lowest bit is, and how many bits it has from there. */
export function bitField(mask: number): { shift: number; bits: number } {
  if (mask === 0) return { shift: 0, bits: 0 };
  const shift = 31 - Math.clz32(mask & -mask);
  return { shift, bits: 32 - Math.clz32(mask >>> shift) };
}

/** 16 bits are 5-5-5; 32 bits leave a byte unused unless a V3 to V5 header gives it to alpha. */
function defaultMasks(bitsPerPixel: number, withAlpha: Fields | undefined): BmpHeader['masks'] {
  if (bitsPerPixel === 16) return [0x7c00, 0x03e0, 0x001f, 0];
  if (bitsPerPixel !== 32) return [0, 0, 0, 0];
  return [0xff0000, 0xff00, 0xff, withAlpha?.u32(52) === 0xff000000 ? 0xff000000 : 0];
}

export async function probeBmp(reader: Reader, limits: Limits): Promise<Header> {
  const header = await readBmpHeader(reader, limits);
  const profile = header.icc && header.icc.bytes <= MAX_ICC_BYTES ? header.icc : undefined;
  const iccProfile = profile && iccDescription(await reader.upTo(profile.offset, profile.bytes));
  return {
    format: 'bmp',
    width: header.width,
    height: header.height,
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: header.masks[3] !== 0,
    bitDepth: 8,
    colorSpace: header.bitsPerPixel > 0 && header.bitsPerPixel <= 8 ? 'palette' : 'rgb',
    ...(iccProfile && { iccProfile }),
  };
}
