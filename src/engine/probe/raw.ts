/** Camera RAW formats with containers of their own: Fuji RAF, Canon CRW (CIFF), Minolta MRW, Sigma X3F. */
import type { Limits } from '../limits.ts';
import type { Orientation, SourceFormat } from '../types.ts';
import { exifOrientation } from './exif.ts';
import { broken, checkPixels, checkSides, type Header, upright } from './header.ts';
import type { Reader } from './reader.ts';

interface RawHead {
  format: SourceFormat;
  width: number;
  height: number;
  orientation: Orientation;
  bitDepth?: number;
}

/** Sizes as the camera states them; LibRaw's own may differ by the sensor's margins. */
export async function probeRaw(reader: Reader, limits: Limits): Promise<Header> {
  const head = await readHead(reader);
  checkSides(head.width, head.height, 'RAW file');
  checkPixels(head.width, head.height, limits);
  return {
    format: head.format,
    ...upright(head.width, head.height, head.orientation),
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: head.bitDepth ?? 12,
    colorSpace: 'cfa',
  };
}

async function readHead(reader: Reader): Promise<RawHead> {
  const magic = (await reader.fields(0, 16)).ascii(0, 16);
  if (magic.startsWith('FUJIFILM')) return readRaf(reader);
  if (magic.startsWith('HEAPCCDR', 6)) return readCrw(reader);
  if (magic.startsWith('\0MRM')) return readMrw(reader);
  return readX3f(reader);
}

const MAX_RECORDS = 4_096;

/** A directory of records at the offset in byte 92; record 0x111 is the picture's size. */
async function readRaf(reader: Reader): Promise<RawHead> {
  const head = await reader.fields(84, 12);
  const jpegAt = head.u32(0);
  let at = head.u32(8);
  const records = (await reader.fields(at, 4)).u32(0);
  if (records > MAX_RECORDS) throw broken(`The RAF file declares ${records} records.`);
  at += 4;
  for (let i = 0; i < records; i++) {
    const record = await reader.fields(at, 4);
    if (record.u16(0) === 0x111) {
      const size = await reader.fields(at + 4, 4);
      const exif = await reader.upTo(jpegAt + 2, 10);
      const hasExif = Buffer.from(exif).toString('latin1', 4, 8) === 'Exif';
      const orientation = hasExif ? await exifOrientation(reader, jpegAt + 12) : 1;
      return { format: 'raf', height: size.u16(0), width: size.u16(2), orientation, bitDepth: 14 };
    }
    at += 4 + record.u16(2);
  }
  throw broken('The RAF file does not state the size of its picture.');
}

const CIFF_IMAGE_INFO = 0x1810;
const CIFF_TURNS: Readonly<Record<number, Orientation>> = { 90: 6, 180: 3, 270: 8 };

/** CIFF: heaps within heaps, each with its directory at its end. */
async function readCrw(reader: Reader): Promise<RawHead> {
  const start = (await reader.fields(2, 4, true)).u32(0);
  const heaps = [{ start, end: reader.size }];
  for (let seen = 0; heaps.length > 0 && seen < 32; seen++) {
    const heap = heaps.pop()!;
    const directory = heap.start + (await reader.fields(heap.end - 4, 4, true)).u32(0);
    const records = (await reader.fields(directory, 2, true)).u16(0);
    if (records > MAX_RECORDS) throw broken(`The CRW file declares ${records} records.`);
    const table = await reader.fields(directory + 2, records * 10, true);
    for (let i = 0; i < records; i++) {
      const type = table.u16(i * 10);
      const at = heap.start + table.u32(i * 10 + 6);
      if (type === CIFF_IMAGE_INFO) {
        const info = await reader.fields(at, 16, true);
        const orientation = CIFF_TURNS[info.i32(12)] ?? 1;
        return { format: 'crw', width: info.u32(0), height: info.u32(4), orientation };
      }
      const isHeap = (type & 0x3800) === 0x2800 || (type & 0x3800) === 0x3000;
      const end = at + table.u32(i * 10 + 2);
      if (isHeap && end <= reader.size && heaps.length < 32) heaps.push({ start: at, end });
    }
  }
  throw broken('The CRW file does not state the size of its picture.');
}

/** Blocks with names of four bytes; PRD holds the sizes, TTW the EXIF block. */
async function readMrw(reader: Reader): Promise<RawHead> {
  const end = Math.min(reader.size, 8 + (await reader.fields(4, 4)).u32(0));
  let size: { width: number; height: number } | undefined;
  let orientation: Orientation = 1;
  let at = 8;
  for (let i = 0; i < 32 && at + 8 <= end; i++) {
    const block = await reader.fields(at, 8);
    const name = block.ascii(0, 4);
    if (name === '\0PRD') {
      const picture = await reader.fields(at + 8 + 12, 4);
      size = { height: picture.u16(0), width: picture.u16(2) };
    } else if (name === '\0TTW') {
      orientation = await exifOrientation(reader, at + 8);
    }
    at += 8 + block.u32(4);
  }
  if (!size) throw broken('The MRW file does not state the size of its picture.');
  return { format: 'raw', ...size, orientation };
}

async function readX3f(reader: Reader): Promise<RawHead> {
  const head = await reader.fields(0, 40, true);
  const orientation = CIFF_TURNS[head.u32(36)] ?? 1;
  return { format: 'raw', width: head.u32(28), height: head.u32(32), orientation };
}
