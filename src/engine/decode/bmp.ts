/** Decodes BMP: no library at hand reads all of its kinds. Headers are `probe/bmp.ts`'s. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { Problem } from '../../problem.ts';
import { type BmpHeader, bitField, readBmpHeader } from '../probe/bmp.ts';
import { Reader } from '../probe/reader.ts';
import { HEAD_BYTES, sniff } from '../probe/sniff.ts';
import type { Facts, Pixels } from '../types.ts';
import { classify } from './faults.ts';

/**
 * Upright RGB, or RGBA where the bit fields give bits to alpha. An alpha channel that is zero everywhere was
 * never filled in: it counts as opaque.
 * @throws Problem undecodable_image where the pixels are cut short or the run-length encoding is broken
 */
export async function decodeBmp(path: string, facts: Facts): Promise<Pixels> {
  const file = await readFile(path);
  const header = await readBmpHeader(Reader.over(file), { maxPixels: facts.width * facts.height });
  const { width, height, compression } = header;
  const stored = file.subarray(header.pixelOffset);
  if (compression === 'jpeg' || compression === 'png') {
    return decodeFile(stored, header).catch((error: unknown) => {
      throw classify(error, compression);
    });
  }
  const alpha = header.masks[3] !== 0;
  const channels = alpha ? 4 : 3;
  const data = new Uint8Array(width * height * channels);
  if (compression === 'rle24') {
    runLengths(stored, header, 3, (at, from) => copyPixel24(stored, from, data, at * 3));
  } else if (header.bitsPerPixel <= 8) {
    const indices = header.rowBytes === 0 ? runIndices(stored, header) : unpacked(stored, header);
    paint(indices, palette(file, header), data);
  } else if (header.bitsPerPixel === 24) {
    copyRows24(stored, header, data);
  } else {
    copyRowsMasked(stored, header, data);
    if (alpha) repairAlpha(data);
  }
  const icc = header.icc && file.subarray(header.icc.offset, header.icc.offset + header.icc.bytes);
  return {
    data,
    width: header.width,
    height: header.height,
    channels,
    depth: 8,
    ...(icc && icc.length === header.icc!.bytes && { icc }),
  };
}

/** A JPEG or a PNG in the place of the pixels: meant for printers, so on paper where it is transparent. */
async function decodeFile(stored: Uint8Array, { width, height, compression }: BmpHeader): Promise<Pixels> {
  // Nothing else that libvips would know is let through.
  if (sniff(stored.subarray(0, HEAD_BYTES))?.format !== compression) {
    throw broken(`The BMP declares a ${compression.toUpperCase()} and does not hold one.`);
  }
  const image = sharp(stored, { limitInputPixels: false, failOn: 'warning' });
  const found = await image.metadata();
  // The declared size is within the limits, and nothing is decoded before it is known to be true.
  if (found.width !== width || found.height !== height) {
    throw broken(
      `The BMP declares ${width} × ${height} pixels; the picture in it has ${found.width} × ${found.height}.`,
    );
  }
  const data = await image
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer();
  return { data, width, height, channels: 3, depth: 8 };
}

const broken = (detail: string) => new Problem('undecodable_image', { detail });

/** The row of the picture, from above, that the row numbered `row` in the file is. */
const pictureRow = ({ height, topDown }: BmpHeader, row: number) => (topDown ? row : height - 1 - row);

/** 256 colours of red, green and blue; black where the file has fewer. */
function palette(file: Uint8Array, header: BmpHeader): Uint8Array {
  const colors = new Uint8Array(256 * 3);
  for (let i = 0; i < header.paletteLength; i++) {
    const at = header.paletteOffset + i * header.paletteEntryBytes;
    colors[i * 3] = file[at + 2] ?? 0;
    colors[i * 3 + 1] = file[at + 1] ?? 0;
    colors[i * 3 + 2] = file[at] ?? 0;
  }
  return colors;
}

function paint(indices: Uint8Array, colors: Uint8Array, data: Uint8Array): void {
  for (let i = 0, to = 0; i < indices.length; i++, to += 3) {
    const from = indices[i]! * 3;
    data[to] = colors[from]!;
    data[to + 1] = colors[from + 1]!;
    data[to + 2] = colors[from + 2]!;
  }
}

/** Palette indices of 1, 2, 4 or 8 bits, the leftmost in the highest bits. */
function unpacked(stored: Uint8Array, header: BmpHeader): Uint8Array {
  const { width, height, bitsPerPixel, rowBytes } = header;
  const indices = new Uint8Array(width * height);
  const perByte = 8 / bitsPerPixel;
  const mask = 2 ** bitsPerPixel - 1;
  for (let row = 0; row < height; row++) {
    const from = row * rowBytes;
    const to = pictureRow(header, row) * width;
    for (let x = 0; x < width; x++) {
      const shift = (perByte - 1 - (x % perByte)) * bitsPerPixel;
      indices[to + x] = (stored[from + Math.floor(x / perByte)]! >> shift) & mask;
    }
  }
  return indices;
}

/** RLE8 and RLE4, whose runs are of two pixels in turn. What is skipped has index 0, the colour of the background. */
function runIndices(stored: Uint8Array, header: BmpHeader): Uint8Array {
  const indices = new Uint8Array(header.width * header.height);
  if (header.compression === 'rle8') {
    runLengths(stored, header, 1, (at, from) => {
      indices[at] = stored[from]!;
    });
  } else {
    runLengths(stored, header, 0.5, (at, from, i) => {
      indices[at] = i % 2 === 0 ? stored[from]! >> 4 : stored[from]! & 15;
    });
  }
  return indices;
}

/**
 * Follows runs, literals, jumps and ends of lines.
 * @param pixelBytes that a literal pixel takes; two pixels share a byte where it is a half
 * @param put gives the pixel numbered `at` in the picture what lies at byte `from`; `i` counts within the run
 */
function runLengths(
  stored: Uint8Array,
  header: BmpHeader,
  pixelBytes: number,
  put: (at: number, from: number, i: number) => void,
): void {
  const { width, height } = header;
  const valueBytes = Math.max(1, pixelBytes);
  let [x, row, at] = [0, 0, 0];
  const place = () => {
    if (x >= width || row >= height) throw broken('A run of the BMP goes past the edge of the picture.');
    return pictureRow(header, row) * width + x++;
  };
  while (at + 1 < stored.length) {
    const count = stored[at]!;
    const value = stored[at + 1]!;
    if (count > 0) {
      at += 1;
      if (at + valueBytes > stored.length) break;
      for (let i = 0; i < count; i++) put(place(), at, i);
      at += valueBytes;
      continue;
    }
    at += 2;
    if (value === 0) {
      x = 0;
      row += 1;
    } else if (value === 1) {
      return;
    } else if (value === 2) {
      if (at + 1 >= stored.length) break;
      x += stored[at]!;
      row += stored[at + 1]!;
      at += 2;
    } else {
      const bytes = Math.ceil(value * pixelBytes);
      if (at + bytes > stored.length) break;
      for (let i = 0; i < value; i++) put(place(), at + Math.floor(i * pixelBytes), i);
      at += bytes + (bytes % 2);
    }
  }
  // The mark for the end may be missing where all rows are there.
  if (row < height - 1 || (row === height - 1 && x < width))
    throw broken('The file ends before its picture does.');
}

function copyPixel24(stored: Uint8Array, from: number, data: Uint8Array, to: number): void {
  data[to] = stored[from + 2]!;
  data[to + 1] = stored[from + 1]!;
  data[to + 2] = stored[from]!;
}

function copyRows24(stored: Uint8Array, header: BmpHeader, data: Uint8Array): void {
  for (let row = 0; row < header.height; row++) {
    let to = pictureRow(header, row) * header.width * 3;
    const end = row * header.rowBytes + header.width * 3;
    for (let from = row * header.rowBytes; from < end; from += 3, to += 3) {
      copyPixel24(stored, from, data, to);
    }
  }
}

/** Of 16 or 32 bits a pixel, taken apart by the masks. */
function copyRowsMasked(stored: Uint8Array, header: BmpHeader, data: Uint8Array): void {
  const { width, height, rowBytes } = header;
  const pixelBytes = header.bitsPerPixel / 8;
  const fields = header.masks.slice(0, data.length / (width * height)).map(scale);
  for (let row = 0; row < height; row++) {
    let to = pictureRow(header, row) * width * fields.length;
    for (let x = 0; x < width; x++) {
      const at = row * rowBytes + x * pixelBytes;
      const low = stored[at]! | (stored[at + 1]! << 8);
      const value = pixelBytes === 2 ? low : low | (stored[at + 2]! << 16) | (stored[at + 3]! << 24);
      for (const { shift, mask, levels } of fields) data[to++] = levels[(value >>> shift) & mask]!;
    }
  }
}

const MAX_FIELD_BITS = 12;

/** How one bit field becomes 0 to 255. Of wide fields the upper bits are enough. */
function scale(mask: number): { shift: number; mask: number; levels: Uint8Array } {
  const { shift, bits } = bitField(mask);
  const used = Math.min(bits, MAX_FIELD_BITS);
  const max = 2 ** used - 1;
  const levels = Uint8Array.from({ length: max + 1 }, (_, value) =>
    max === 0 ? 0 : Math.round((value * 255) / max),
  );
  return { shift: shift + bits - used, mask: max, levels };
}

function repairAlpha(data: Uint8Array): void {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 0) return;
  for (let at = 3; at < data.length; at += 4) data[at] = 255;
}
