/**
 * Dots an inch, written into a finished file: sharp would add a colour profile and EXIF with them. What metadata that was
 * kept says of the resolution is set to the same, since some programs believe the one and some the other.
 */
import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { OutputFormat } from '../../contract/plan.ts';

/** Bytes that replace as many at `at`, or come before it. */
interface Edit {
  at: number;
  bytes: Buffer;
  insert?: true;
}

type Read = (at: number, length: number) => Promise<Buffer>;

/**
 * Sets the resolution of a JPEG, PNG, TIFF or BMP that this service has written; the file may grow by some bytes. The
 * other formats have no place for it outside of metadata, and are left as they are.
 */
export async function setDensity(path: string, format: OutputFormat, dpi: number): Promise<void> {
  const editsFor = EDITS[format];
  if (!editsFor) return;
  const file = await open(path, 'r+');
  let inserts: Edit[];
  try {
    const edits = await editsFor(reader(file), dpi);
    for (const { at, bytes } of edits.filter(({ insert }) => !insert)) {
      await file.write(bytes, 0, bytes.length, at);
    }
    inserts = edits.filter(({ insert }) => insert);
  } finally {
    await file.close();
  }
  for (const { at, bytes } of inserts) {
    const whole = await readFile(path);
    await writeFile(path, Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at)]));
  }
}

/** Fewer bytes where the file ends. */
const reader =
  (file: FileHandle): Read =>
  async (at, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
    return buffer.subarray(0, bytesRead);
  };

const EDITS: Partial<Record<OutputFormat, (read: Read, dpi: number) => Promise<Edit[]>>> = {
  jpeg: jpegEdits,
  png: pngEdits,
  apng: pngEdits,
  tiff: (read, dpi) => tiffEdits(read, 0, dpi),
  bmp: async (_read, dpi) => [{ at: 38, bytes: u32s('LE', perMetre(dpi), perMetre(dpi)) }],
};

const perMetre = (dpi: number) => Math.round(dpi / 0.0254);

function u32s(order: 'LE' | 'BE', ...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) {
    if (order === 'LE') bytes.writeUInt32LE(value, i * 4);
    else bytes.writeUInt32BE(value, i * 4);
  }
  return bytes;
}

const APP0 = 0xe0;
const APP1 = 0xe1;
const START_OF_SCAN = 0xda;
const DOTS_PER_INCH = 1;

/** JFIF 1.02: units, then the densities, in the APP0 segment that comes first. */
async function jpegEdits(read: Read, dpi: number): Promise<Edit[]> {
  const edits: Edit[] = [];
  const density = Buffer.from([DOTS_PER_INCH, dpi >> 8, dpi & 255, dpi >> 8, dpi & 255]);
  let hasJfif = false;
  for (let at = 2; ; ) {
    const segment = await read(at, 10);
    const marker = segment[1];
    if (segment.length < 10 || segment[0] !== 0xff || marker === START_OF_SCAN) break;
    const name = segment.toString('latin1', 4);
    if (marker === APP0 && name.startsWith('JFIF\0')) {
      edits.push({ at: at + 11, bytes: density });
      hasJfif = true;
    } else if (marker === APP1 && name.startsWith('Exif\0\0')) {
      edits.push(...(await tiffEdits(read, at + 10, dpi)));
    }
    at += 2 + segment.readUInt16BE(2);
  }
  if (!hasJfif) {
    const head = Buffer.from([0xff, APP0, 0, 16, ...Buffer.from('JFIF\0'), 1, 2]);
    edits.push({ at: 2, bytes: Buffer.concat([head, density, Buffer.alloc(2)]), insert: true });
  }
  return edits;
}

const PNG_SIGNATURE_BYTES = 8;

/** PNG 1.2, 4.2.4.2: pHYs, in pixels a metre, before the picture. */
async function pngEdits(read: Read, dpi: number): Promise<Edit[]> {
  const edits: Edit[] = [];
  const phys = chunk('pHYs', Buffer.concat([u32s('BE', perMetre(dpi), perMetre(dpi)), Buffer.of(1)]));
  let hasPhys = false;
  let picture: number | undefined;
  for (let at = PNG_SIGNATURE_BYTES; ; ) {
    const head = await read(at, 8);
    if (head.length < 8) break;
    const length = head.readUInt32BE(0);
    const type = head.toString('latin1', 4);
    if (type === 'IEND') break;
    if (type === 'IDAT') picture ??= at;
    if (type === 'pHYs') {
      edits.push({ at, bytes: phys });
      hasPhys = true;
    } else if (type === 'eXIf') edits.push(await exifChunk(read, at, length, dpi));
    at += 12 + length;
  }
  if (!hasPhys && picture !== undefined) edits.push({ at: picture, bytes: phys, insert: true });
  return edits;
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  return Buffer.concat([u32s('BE', data.length), body, u32s('BE', crc32(body))]);
}

async function exifChunk(read: Read, at: number, length: number, dpi: number): Promise<Edit> {
  const data = await read(at + 8, length);
  const within: Read = async (from, bytes) => data.subarray(from, from + bytes);
  for (const { at: place, bytes } of await tiffEdits(within, 0, dpi)) data.set(bytes, place);
  return { at, bytes: chunk('eXIf', data) };
}

const X_RESOLUTION = 282;
const Y_RESOLUTION = 283;
const RESOLUTION_UNIT = 296;
const RATIONAL = 5;
const SHORT = 3;
const INCH = 2;

/**
 * The resolution tags of a TIFF structure that begins at `start`, in all its directories, where they are there: libvips
 * writes them into each TIFF.
 */
async function tiffEdits(read: Read, start: number, dpi: number): Promise<Edit[]> {
  const edits: Edit[] = [];
  const order = (await read(start, 2)).toString('latin1') === 'MM' ? 'BE' : 'LE';
  const u16 = (bytes: Buffer, at: number) =>
    order === 'BE' ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at);
  const u32 = (bytes: Buffer, at: number) =>
    order === 'BE' ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
  const unit = order === 'BE' ? Buffer.of(0, INCH) : Buffer.of(INCH, 0);
  const seen = new Set<number>();
  let directory = u32(await read(start + 4, 4), 0);
  while (directory !== 0 && !seen.has(directory)) {
    seen.add(directory);
    const count = u16(await read(start + directory, 2), 0);
    const entries = await read(start + directory + 2, count * 12 + 4);
    for (let at = 0; at < count * 12; at += 12) {
      const [tag, type] = [u16(entries, at), u16(entries, at + 2)];
      if ((tag === X_RESOLUTION || tag === Y_RESOLUTION) && type === RATIONAL) {
        edits.push({ at: start + u32(entries, at + 8), bytes: u32s(order, dpi, 1) });
      } else if (tag === RESOLUTION_UNIT && type === SHORT) {
        edits.push({ at: start + directory + 2 + at + 8, bytes: unit });
      }
    }
    directory = u32(entries, count * 12);
  }
  return edits;
}
