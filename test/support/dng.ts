/** Writes DNG files for tests: Bayer, 16 bit, uncompressed (Adobe DNG 1.4 over TIFF 6.0, little endian). */
import { open } from 'node:fs/promises';

export interface DngOptions {
  /** Even, as the colour filter repeats every two pixels. */
  width: number;
  height: number;
  /** Linear sRGB of a pixel, 0–65535 a channel. The sensor keeps the one that its filter lets through. */
  pixel: (x: number, y: number) => readonly [red: number, green: number, blue: number];
  /** EXIF orientation; 1 when absent. */
  orientation?: number;
  /** Embedded as cameras do it: first in the file, with the sensor's picture in a directory below. */
  preview?: { jpeg: Uint8Array; width: number; height: number };
}

const BYTE = 1;
const ASCII = 2;
const SHORT = 3;
const LONG = 4;
const RATIONAL = 5;
const SRATIONAL = 10;
const TYPE_BYTES: Record<number, number> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 8 };

interface Field {
  tag: number;
  type: number;
  values: number[];
}

/** XYZ under D65 to linear sRGB (IEC 61966-2-1): with it as the camera's matrix, sensor values are linear sRGB. */
const SRGB_FROM_XYZ = [
  3.2404542, -1.5371385, -0.4985314, -0.969266, 1.8760108, 0.041556, 0.0556434, -0.2040259, 1.0572252,
];
const D65 = 21;
const CFA = 32803;
const ROWS_AT_ONCE = 64;

export async function writeDng(path: string, options: DngOptions): Promise<void> {
  const { width, height, pixel, preview } = options;
  if (width % 2 !== 0 || height % 2 !== 0)
    throw new RangeError(`expected even sides, found ${width} × ${height}`);
  const head = preview ? headWithPreview(options, preview) : plainHead(options);

  await using file = await open(path, 'w');
  await file.write(head);
  for (let top = 0; top < height; top += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, height - top);
    const samples = Buffer.alloc(rows * width * 2);
    for (let y = top; y < top + rows; y++) {
      for (let x = 0; x < width; x++) {
        samples.writeUInt16LE(pixel(x, y)[(y & 1) + (x & 1)]!, ((y - top) * width + x) * 2);
      }
    }
    await file.write(samples);
  }
}

const ascii = (tag: number, text: string): Field => ({
  tag,
  type: ASCII,
  values: [...Buffer.from(`${text}\0`)],
});

function sensorFields({ width, height }: DngOptions, dataOffset: number): Field[] {
  return [
    { tag: 254, type: LONG, values: [0] },
    { tag: 256, type: LONG, values: [width] },
    { tag: 257, type: LONG, values: [height] },
    { tag: 258, type: SHORT, values: [16] },
    { tag: 259, type: SHORT, values: [1] },
    { tag: 262, type: SHORT, values: [CFA] },
    { tag: 273, type: LONG, values: [dataOffset] },
    { tag: 277, type: SHORT, values: [1] },
    { tag: 278, type: LONG, values: [height] },
    { tag: 279, type: LONG, values: [width * height * 2] },
    { tag: 33421, type: SHORT, values: [2, 2] },
    // Red, green / green, blue.
    { tag: 33422, type: BYTE, values: [0, 1, 1, 2] },
    { tag: 50714, type: SHORT, values: [0] },
    { tag: 50717, type: LONG, values: [65_535] },
  ];
}

function cameraFields({ orientation = 1 }: DngOptions): Field[] {
  return [
    ascii(271, 'Tintype'),
    ascii(272, 'Test Camera'),
    { tag: 274, type: SHORT, values: [orientation] },
    { tag: 50706, type: BYTE, values: [1, 4, 0, 0] },
    { tag: 50707, type: BYTE, values: [1, 1, 0, 0] },
    ascii(50708, 'Tintype Test Camera'),
    { tag: 50721, type: SRATIONAL, values: SRGB_FROM_XYZ.flatMap((v) => [Math.round(v * 1e6), 1_000_000]) },
    { tag: 50728, type: RATIONAL, values: [1, 1, 1, 1, 1, 1] },
    { tag: 50778, type: SHORT, values: [D65] },
  ];
}

function previewFields(preview: NonNullable<DngOptions['preview']>, offset: number, subIfd: number): Field[] {
  return [
    { tag: 254, type: LONG, values: [1] },
    { tag: 256, type: LONG, values: [preview.width] },
    { tag: 257, type: LONG, values: [preview.height] },
    { tag: 258, type: SHORT, values: [8, 8, 8] },
    { tag: 259, type: SHORT, values: [7] },
    { tag: 262, type: SHORT, values: [6] },
    { tag: 273, type: LONG, values: [offset] },
    { tag: 277, type: SHORT, values: [3] },
    { tag: 278, type: LONG, values: [preview.height] },
    { tag: 279, type: LONG, values: [preview.jpeg.length] },
    { tag: 330, type: LONG, values: [subIfd] },
  ];
}

const HEADER = Buffer.from([0x49, 0x49, 42, 0, 8, 0, 0, 0]);

function plainHead(options: DngOptions): Buffer {
  const ifd = (dataOffset: number) =>
    directory([...sensorFields(options, dataOffset), ...cameraFields(options)], 8);
  return Buffer.concat([HEADER, ifd(8 + ifd(0).length)]);
}

function headWithPreview(options: DngOptions, preview: NonNullable<DngOptions['preview']>): Buffer {
  const first = (jpegAt: number, subIfd: number) =>
    directory([...previewFields(preview, jpegAt, subIfd), ...cameraFields(options)], 8);
  const subIfd = 8 + first(0, 0).length;
  const second = (dataOffset: number) => directory(sensorFields(options, dataOffset), subIfd);
  const jpegAt = subIfd + second(0).length;
  const jpeg = Buffer.concat([preview.jpeg, Buffer.alloc(preview.jpeg.length & 1)]);
  return Buffer.concat([HEADER, first(jpegAt, subIfd), second(jpegAt + jpeg.length), jpeg]);
}

/** A directory that begins at the offset `at` of the file, with the values that do not fit into it behind. */
function directory(fields: Field[], at: number): Buffer {
  const sorted = fields.toSorted((a, b) => a.tag - b.tag);
  const tail = 2 + sorted.length * 12 + 4;
  const far = sorted.reduce((sum, field) => sum + farBytes(field), 0);
  const out = Buffer.alloc(tail + far);
  out.writeUInt16LE(sorted.length, 0);
  let free = tail;
  for (const [i, field] of sorted.entries()) {
    const entry = 2 + i * 12;
    out.writeUInt16LE(field.tag, entry);
    out.writeUInt16LE(field.type, entry + 2);
    out.writeUInt32LE(bytes(field) / TYPE_BYTES[field.type]!, entry + 4);
    let to = entry + 8;
    if (farBytes(field) > 0) {
      out.writeUInt32LE(at + free, to);
      to = free;
      free += farBytes(field);
    }
    const width = Math.min(4, TYPE_BYTES[field.type]!);
    for (const value of field.values) {
      if (value < 0) out.writeInt32LE(value, to);
      else out.writeUIntLE(value, to, width);
      to += width;
    }
  }
  return out;
}

/** A rational is two values. */
const bytes = ({ type, values }: Field): number => values.length * Math.min(4, TYPE_BYTES[type]!);

const farBytes = (field: Field): number => (bytes(field) > 4 ? bytes(field) + (bytes(field) & 1) : 0);
