/**
 * The gain map of an HDR JPEG: a second, mostly smaller JPEG behind the picture, which says how much brighter each part
 * is on a display that can. It is found by its place in the file (CIPA DC-007, multi-picture format) and known by what
 * it says of itself: Adobe's and Google's `hdrgm`, ISO 21496-1, or Apple's.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { Fields } from '../probe/fields.ts';

export interface GainMap {
  /** The gain map's own JPEG. */
  jpeg: Buffer;
  /** Its segments that say how it is meant (XMP, ISO 21496-1, a profile), each with marker and length. */
  segments: Buffer[];
  /** How readers recognise it. */
  kind: 'hdrgm' | 'iso' | 'apple';
  /** The picture's own segment of ISO 21496-1, which gives the version that is needed to read it. */
  isoVersion?: Buffer;
}

export interface JpegSegment {
  marker: number;
  /** What stands after the length. */
  body: Buffer;
  /** With marker and length. */
  whole: Buffer;
  /** Where the marker begins in the file. */
  at: number;
}

const SOS = 0xda;
const EOI = 0xd9;
const APP1 = 0xe1;
const APP2 = 0xe2;
const MAX_SEGMENTS = 1_000;
/** Real ones have up to a few MB, at a quarter of the picture's pixels. */
const MAX_GAIN_MAP_BYTES = 32 * 1024 * 1024;
const MAX_PICTURES = 16;
const MP_ENTRIES = 0xb002;
const MP_ENTRY_BYTES = 16;
const ISO = 'urn:iso:std:iso:ts:21496:-1\0';

/** The gain map of a JPEG, or undefined where it has none or one that cannot be made out. */
export async function readGainMap(path: string): Promise<GainMap | undefined> {
  const file = await open(path);
  try {
    const header = await readHeader(file);
    const index = header.find(({ marker, body }) => marker === APP2 && startsWith(body, 'MPF\0'));
    if (!index) return undefined;
    const isoVersion = header.find(isIso)?.whole;
    for (const picture of picturesOf(index)) {
      const jpeg = await readJpeg(file, picture);
      const kind = jpeg && kindOf(jpegSegments(jpeg));
      if (!kind) continue;
      const segments = jpegSegments(jpeg).filter(isMeaning);
      return { jpeg, segments: segments.map(({ whole }) => whole), kind, ...(isoVersion && { isoVersion }) };
    }
    return undefined;
  } finally {
    await file.close();
  }
}

const startsWith = (bytes: Buffer, text: string): boolean =>
  bytes.toString('latin1', 0, text.length) === text;
const isIso = ({ marker, body }: JpegSegment): boolean => marker === APP2 && startsWith(body, ISO);
const isXmp = ({ marker, body }: JpegSegment): boolean =>
  marker === APP1 && startsWith(body, 'http://ns.adobe.com/xap/1.0/\0');
const isMeaning = (segment: JpegSegment): boolean =>
  isIso(segment) || isXmp(segment) || (segment.marker === APP2 && startsWith(segment.body, 'ICC_PROFILE\0'));

function kindOf(segments: JpegSegment[]): GainMap['kind'] | undefined {
  const xmp = segments.find(isXmp)?.body.toString('utf8') ?? '';
  if (/\bhdrgm:Version\b/.test(xmp)) return 'hdrgm';
  if (segments.some(isIso)) return 'iso';
  return xmp.includes('urn:com:apple:photo:2020:aux:hdrgainmap') ? 'apple' : undefined;
}

/** The segments before a JPEG's picture data that lie wholly in `bytes`. */
export function jpegSegments(bytes: Buffer): JpegSegment[] {
  const segments: JpegSegment[] = [];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && segments.length < MAX_SEGMENTS) {
    const marker = bytes[at + 1]!;
    if (marker === SOS || marker === EOI) break;
    const end = at + 2 + bytes.readUInt16BE(at + 2);
    if (end < at + 4 || end > bytes.length) break;
    segments.push({ marker, body: bytes.subarray(at + 4, end), whole: bytes.subarray(at, end), at });
    at = end;
  }
  return segments;
}

/** As `jpegSegments`, reading no more of the file than these. */
async function readHeader(file: FileHandle): Promise<JpegSegment[]> {
  const segments: JpegSegment[] = [];
  let at = 2;
  for (;;) {
    const head = await read(file, at, 4);
    if (head.length < 4 || head[0] !== 0xff || head[1] === SOS || segments.length >= MAX_SEGMENTS)
      return segments;
    const whole = await read(file, at, 2 + head.readUInt16BE(2));
    if (whole.length < 4) return segments;
    segments.push({ marker: head[1]!, body: whole.subarray(4), whole, at });
    at += whole.length;
  }
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position });
  return buffer.subarray(0, bytesRead);
}

/** Where the pictures after the first lie. Their offsets count from the index's own byte order mark. */
function picturesOf({ body, at }: JpegSegment): { at: number; bytes: number }[] {
  const little = body[4] === 0x49;
  try {
    const index = new Fields(body.subarray(4), little);
    const directory = index.u32(4);
    for (let i = 0; i < index.u16(directory); i++) {
      const entry = directory + 2 + i * 12;
      if (index.u16(entry) !== MP_ENTRIES) continue;
      const count = Math.min(MAX_PICTURES, Math.floor(index.u32(entry + 4) / MP_ENTRY_BYTES));
      const table = index.sub(index.u32(entry + 8), count * MP_ENTRY_BYTES);
      return Array.from({ length: Math.max(0, count - 1) }, (_, picture) => {
        const from = (picture + 1) * MP_ENTRY_BYTES;
        return { at: at + 8 + table.u32(from + 8), bytes: table.u32(from + 4) };
      });
    }
  } catch {
    // An index that points outside of itself is as good as none: the picture does not depend on it.
  }
  return [];
}

async function readJpeg(
  file: FileHandle,
  picture: { at: number; bytes: number },
): Promise<Buffer | undefined> {
  if (picture.bytes < 4 || picture.bytes > MAX_GAIN_MAP_BYTES) return undefined;
  const jpeg = await read(file, picture.at, picture.bytes);
  return jpeg.length === picture.bytes && jpeg.readUInt16BE(0) === 0xffd8 ? jpeg : undefined;
}
