/**
 * Tells files that end before their picture does. Decoders often do not: what is missing comes out grey,
 * black or as noise, and the picture counts as decoded.
 */
import { Problem } from '../../problem.ts';
import { type Ifd, Tiff } from '../probe/ifd.ts';
import { Reader } from '../probe/reader.ts';
import type { SourceFormat } from '../types.ts';

/** A box that holds picture data or says where it lies reaches past the end of an ISO base media file. */
export async function isTruncatedBmff(path: string, signal?: AbortSignal): Promise<boolean> {
  await using reader = await Reader.open(path, signal);
  return await endsInsideBox(reader);
}

/**
 * The sensor's data of a RAW file lies, in part or all, outside of the file. For formats that do not state
 * where it lies, and for files whose structure cannot be followed, the answer is no: LibRaw will find out.
 */
export async function isTruncatedRaw(
  path: string,
  format: SourceFormat,
  signal?: AbortSignal,
): Promise<boolean> {
  await using reader = await Reader.open(path, signal);
  try {
    switch (format) {
      case 'cr3':
        return await endsInsideBox(reader);
      case 'raf':
        return await endsInsideRaf(reader);
      case 'rw2':
        return await endsInsideRw2(reader);
      case 'crw':
        // Its directory is at the end.
        return false;
      default:
        return await endsInsideTiff(reader);
    }
  } catch (error) {
    if (error instanceof Problem && error.code === 'undecodable_image') return false;
    throw error;
  }
}

/** Stops at the first box of another kind: cameras append data of their own that is no box at all. */
const KNOWN_BOXES = new Set(['ftyp', 'styp', 'meta', 'moov', 'mdat', 'free', 'skip', 'uuid', 'wide', 'idat']);

async function endsInsideBox(reader: Reader): Promise<boolean> {
  let at = 0;
  while (at + 8 <= reader.size) {
    const head = await reader.fields(at, 8);
    if (!KNOWN_BOXES.has(head.ascii(4, 4))) return false;
    const declared = head.u32(0);
    // 0: to the end of the file; 1: the size follows in 64 bits.
    if (declared === 0) return false;
    const size = declared === 1 ? (await reader.fields(at + 8, 8)).u64(0) : declared;
    if (size < 8) return false;
    at += size;
  }
  return at > reader.size;
}

/** Bytes 100–107 of the header: offset and length of the sensor's data. */
async function endsInsideRaf(reader: Reader): Promise<boolean> {
  const head = await reader.fields(100, 8);
  return head.u32(0) + head.u32(4) > reader.size;
}

const RW2 = { sensorWidth: 2, sensorHeight: 3, rawFormat: 45, rawDataOffset: 280 } as const;
/** From here on the data is entropy-coded and of no predictable size. */
const RW2_FORMAT_VARIABLE = 8;

/** StripByteCounts of an RW2 is the size of the picture unpacked. Packed it has 9 to 14 pixels in 16 bytes. */
async function endsInsideRw2(reader: Reader): Promise<boolean> {
  const tiff = await Tiff.open(reader);
  const ifd = await tiff.ifd(tiff.first);
  const offset = await tiff.number(ifd, RW2.rawDataOffset);
  const width = await tiff.number(ifd, RW2.sensorWidth);
  const height = await tiff.number(ifd, RW2.sensorHeight);
  const format = await tiff.number(ifd, RW2.rawFormat);
  if (offset === undefined || width === undefined || height === undefined) return false;
  const variable = (format ?? 0) >= RW2_FORMAT_VARIABLE;
  return offset + (variable ? 1 : Math.floor((width * height * 16) / 14)) > reader.size;
}

const TIFF = {
  width: 256,
  height: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  stripOffsets: 273,
  samplesPerPixel: 277,
  stripByteCounts: 279,
  tileOffsets: 324,
  tileByteCounts: 325,
  subIfds: 330,
} as const;

const SENSOR_PHOTOMETRICS = [32803, 34892];
const UNCOMPRESSED = 1;
const MAX_IFDS = 32;
const MAX_BLOCKS = 1_000_000;
/** No coding of a sensor's noise comes near: fewer bytes are what is left when the data was cut out. */
const MAX_PIXELS_PER_BYTE = 256;

/** Judges the directories that are marked as sensor data, or where there are none, the one with most data. */
async function endsInsideTiff(reader: Reader): Promise<boolean> {
  const tiff = await Tiff.open(reader);
  const pictures: Blocks[] = [];
  for (const ifd of await allIfds(tiff)) pictures.push(await blocksOf(tiff, ifd));
  const sensor = pictures.filter((picture) => picture.isSensor);
  if (sensor.length > 0) return sensor.some((picture) => isCut(picture, reader.size));
  const largest = pictures.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  return isCut(largest, reader.size);
}

interface Blocks {
  isSensor: boolean;
  bytes: number;
  /** Where the last byte should be. */
  end: number;
  pixels: number;
  /** Bytes that the picture takes when it is not compressed; 0 where it is not. */
  unpackedBytes: number;
}

function isCut({ bytes, end, pixels, unpackedBytes, isSensor }: Blocks, fileBytes: number): boolean {
  if (isSensor && bytes < pixels / MAX_PIXELS_PER_BYTE) return true;
  // A compressed picture that claims its unpacked size does not state how much there is.
  const claimsTooMuch = unpackedBytes > 0 && bytes >= unpackedBytes;
  return end > fileBytes && !claimsTooMuch;
}

async function allIfds(tiff: Tiff): Promise<Ifd[]> {
  const found = new Map<number, Ifd>();
  const queue = [tiff.first];
  for (let at = queue.shift(); at !== undefined && found.size < MAX_IFDS; at = queue.shift()) {
    if (at === 0 || found.has(at)) continue;
    try {
      const ifd = await tiff.ifd(at);
      found.set(at, ifd);
      queue.push(ifd.next, ...(await tiff.numbers(ifd, TIFF.subIfds)));
    } catch (error) {
      // A directory that cannot be read ends its chain, not the search; without the first there is none.
      if (found.size === 0 || !(error instanceof Problem) || error.code !== 'undecodable_image') throw error;
    }
  }
  return [...found.values()];
}

async function blocksOf(tiff: Tiff, ifd: Ifd): Promise<Blocks> {
  const tiled = ifd.entries.has(TIFF.tileOffsets);
  const offsets = await tiff.numbers(ifd, tiled ? TIFF.tileOffsets : TIFF.stripOffsets, MAX_BLOCKS);
  const counts = await tiff.numbers(ifd, tiled ? TIFF.tileByteCounts : TIFF.stripByteCounts, MAX_BLOCKS);
  let bytes = 0;
  let end = 0;
  for (const [i, offset] of offsets.entries()) {
    const count = counts[i] ?? 0;
    bytes += count;
    end = Math.max(end, tiff.base + offset + count);
  }
  const pixels = ((await tiff.number(ifd, TIFF.width)) ?? 0) * ((await tiff.number(ifd, TIFF.height)) ?? 0);
  const compressed = ((await tiff.number(ifd, TIFF.compression)) ?? UNCOMPRESSED) !== UNCOMPRESSED;
  const bits = (await tiff.number(ifd, TIFF.bitsPerSample)) ?? 16;
  const samples = (await tiff.number(ifd, TIFF.samplesPerPixel)) ?? 1;
  const photometric = await tiff.number(ifd, TIFF.photometric);
  return {
    isSensor: SENSOR_PHOTOMETRICS.includes(photometric ?? -1),
    bytes,
    end,
    pixels,
    unpackedBytes: compressed ? Math.floor((pixels * samples * bits) / 8) : 0,
  };
}
