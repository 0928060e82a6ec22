/** TIFF 6.0, BigTIFF, and the camera RAW formats that are TIFF inside: DNG, CR2, NEF, ARW, RW2, ORF, PEF … */
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import type { Facts, SourceFormat } from '../types.ts';
import { asOrientation } from './exif.ts';
import { broken, checkPixels, checkSides, type Header, upright } from './header.ts';
import { iccDescription, MAX_ICC_BYTES } from './icc.ts';
import { type Entry, type Ifd, Tiff } from './ifd.ts';
import { Reader } from './reader.ts';

const TAG = {
  subfileType: 254,
  oldSubfileType: 255,
  width: 256,
  height: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  make: 271,
  stripOffsets: 273,
  orientation: 274,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  planarConfiguration: 284,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
  subIfds: 330,
  extraSamples: 338,
  iccProfile: 34675,
  dngVersion: 50706,
  activeArea: 50829,
} as const;

const PHOTOMETRIC_CFA = 32803;
const PHOTOMETRIC_LINEAR_RAW = 34892;
const COMPRESSION_OLD_JPEG = 6;
/** Of a Panasonic's sensor: top, left, bottom, right; and its bits a sample. */
const RW2_BORDERS = [4, 5, 6, 7];
const RW2_BITS_PER_SAMPLE = 10;
const MAX_SUB_IFDS = 16;
/** Strips or tiles of one picture: 100 megapixels in strips of 100 pixels. */
const MAX_BLOCKS = 1_000_000;
const BLOCKS_AT_ONCE = 16_384;

export async function probeTiff(reader: Reader, limits: Limits): Promise<Header> {
  const tiff = await Tiff.open(reader);
  const first = await tiff.ifd(tiff.first);
  const raw = await rawPicture(tiff, first);
  return raw ? probeRawTiff(tiff, first, raw, limits) : probePages(tiff, first, limits);
}

// --- TIFF ---

async function probePages(tiff: Tiff, first: Ifd, limits: Limits): Promise<Header> {
  const { width, height } = await size(tiff, first);
  checkSides(width, height, 'TIFF');
  checkPixels(width, height, limits);
  await checkBlocks(tiff, first, width, height);
  const orientation = asOrientation(await tiff.number(first, TAG.orientation));
  const bitDepth = await depthOf(tiff, first, TAG.bitsPerSample);
  const photometric = await tiff.number(first, TAG.photometric);
  const iccProfile = await profileName(tiff, first);
  return {
    format: 'tiff',
    ...upright(width, height, orientation),
    orientation,
    pages: await countPages(tiff, limits.maxFrames + 1),
    animated: false,
    alpha: await hasAlpha(tiff, first),
    bitDepth,
    colorSpace: COLOR_SPACES[photometric ?? 1] ?? 'rgb',
    ...(iccProfile && { iccProfile }),
  };
}

const COLOR_SPACES: Readonly<Record<number, Facts['colorSpace']>> = {
  0: 'gray',
  1: 'gray',
  2: 'rgb',
  3: 'palette',
  4: 'gray',
  5: 'cmyk',
  6: 'rgb',
  8: 'lab',
  9: 'lab',
  10: 'lab',
};

async function size(tiff: Tiff, ifd: Ifd): Promise<{ width: number; height: number }> {
  return {
    width: (await tiff.number(ifd, TAG.width)) ?? 0,
    height: (await tiff.number(ifd, TAG.height)) ?? 0,
  };
}

/** The largest of the samples' depths. */
async function depthOf(tiff: Tiff, ifd: Ifd, tag: number): Promise<number> {
  const depth = Math.max(1, ...(await tiff.numbers(ifd, tag)));
  if (depth > 64 || !Number.isInteger(depth)) throw broken(`The file declares ${depth} bits a sample.`);
  return depth;
}

/** Associated or unassociated alpha. A fourth sample of no stated meaning is not taken for transparency. */
async function hasAlpha(tiff: Tiff, ifd: Ifd): Promise<boolean> {
  return (await tiff.numbers(ifd, TAG.extraSamples)).some((kind) => kind === 1 || kind === 2);
}

async function profileName(tiff: Tiff, ifd: Ifd): Promise<string | undefined> {
  const entry = ifd.entries.get(TAG.iccProfile);
  if (!entry || entry.bytes > MAX_ICC_BYTES) return undefined;
  return iccDescription(await tiff.reader.upTo(entry.offset, entry.bytes));
}

/**
 * Which of a TIFF's pages, from 0, are pictures of their own: thumbnails, smaller copies and masks, which other
 * directories of the chain may hold, are not. The first always counts.
 */
export async function tiffPages(path: string, maxPages: number, signal?: AbortSignal): Promise<number[]> {
  await using reader = await Reader.open(path, signal);
  const tiff = await Tiff.open(reader);
  const pages: number[] = [];
  let index = 0;
  for await (const ifd of chain(tiff, maxPages)) {
    if (index === 0 || !(await isSecondary(tiff, ifd))) pages.push(index);
    index += 1;
  }
  return pages;
}

const REDUCED_OR_MASK = 1 | 4;
const OLD_REDUCED = 2;

async function isSecondary(tiff: Tiff, ifd: Ifd): Promise<boolean> {
  const kind = (await tiff.number(ifd, TAG.subfileType)) ?? 0;
  return (kind & REDUCED_OR_MASK) !== 0 || (await tiff.number(ifd, TAG.oldSubfileType)) === OLD_REDUCED;
}

async function countPages(tiff: Tiff, max: number): Promise<number> {
  let pages = 0;
  for await (const _ of chain(tiff, max)) pages += 1;
  return pages;
}

/** Directories of the main chain; one that leads back, or cannot be read, ends it. */
async function* chain(tiff: Tiff, max: number): AsyncGenerator<Ifd> {
  const seen = new Set<number>();
  for (let at = tiff.first; at !== 0 && !seen.has(at) && seen.size < max; ) {
    seen.add(at);
    let ifd: Ifd;
    try {
      ifd = await tiff.ifd(at);
    } catch (error) {
      if (error instanceof Problem && error.code === 'undecodable_image') return;
      throw error;
    }
    yield ifd;
    at = ifd.next;
  }
}

/** @throws Problem where a strip or tile of the first page lies outside of the file. */
async function checkBlocks(tiff: Tiff, ifd: Ifd, width: number, height: number): Promise<void> {
  const tiled = ifd.entries.has(TAG.tileOffsets);
  const offsets = ifd.entries.get(tiled ? TAG.tileOffsets : TAG.stripOffsets);
  if ((await tiff.number(ifd, TAG.compression)) === COMPRESSION_OLD_JPEG) return;
  if (!offsets || offsets.count === 0) throw broken('The TIFF has no picture data (strips or tiles).');
  const counts = ifd.entries.get(tiled ? TAG.tileByteCounts : TAG.stripByteCounts);
  const needed = Math.min(offsets.count, await blocksNeeded(tiff, ifd, tiled, width, height));
  if (needed > MAX_BLOCKS)
    throw broken(`The TIFF is cut into ${needed} pieces; at most ${MAX_BLOCKS} are read.`);
  for (let from = 0; from < needed; from += BLOCKS_AT_ONCE) {
    await checkExtents(tiff, offsets, counts, from, Math.min(BLOCKS_AT_ONCE, needed - from));
  }
}

async function checkExtents(tiff: Tiff, offsets: Entry, counts: Entry | undefined, from: number, n: number) {
  const starts = await tiff.values(offsets, from, n);
  const lengths = counts ? await tiff.values(counts, from, n) : [];
  for (const [i, start] of starts.entries()) {
    if (start + (lengths[i] ?? 1) > tiff.reader.size) throw broken('The file ends before its picture does.');
  }
}

async function blocksNeeded(tiff: Tiff, ifd: Ifd, tiled: boolean, width: number, height: number) {
  const separate = (await tiff.number(ifd, TAG.planarConfiguration)) === 2;
  const planes = separate ? ((await tiff.number(ifd, TAG.samplesPerPixel)) ?? 1) : 1;
  if (!tiled) {
    const rows = (await tiff.number(ifd, TAG.rowsPerStrip)) ?? height;
    return Math.ceil(height / Math.max(1, rows)) * planes;
  }
  const tileWidth = (await tiff.number(ifd, TAG.tileWidth)) ?? 0;
  const tileHeight = (await tiff.number(ifd, TAG.tileHeight)) ?? 0;
  checkSides(tileWidth, tileHeight, 'tile of the TIFF');
  return Math.ceil(width / tileWidth) * Math.ceil(height / tileHeight) * planes;
}

// --- camera RAW ---

interface RawPicture {
  format: SourceFormat;
  /** The directory that describes the sensor's picture. */
  ifd: Ifd;
}

/** Which RAW format it is, by its magic or by a directory that holds sensor data; undefined for a plain TIFF. */
async function rawPicture(tiff: Tiff, first: Ifd): Promise<RawPicture | undefined> {
  const head = Buffer.from(await tiff.reader.upTo(0, 12)).toString('latin1');
  if (head.startsWith('IIU\0')) return { format: 'rw2', ifd: first };
  if (/^(IIRO|IIRS|MMOR)/.test(head)) return { format: 'orf', ifd: first };
  if (head.startsWith('CR', 8)) return { format: 'cr2', ifd: first };
  const sensor = await sensorIfd(tiff, first);
  if (first.entries.has(TAG.dngVersion)) return { format: 'dng', ifd: sensor ?? first };
  if (head.startsWith('IIII', 8) || head.startsWith('MMMM', 8))
    return { format: 'raw', ifd: sensor ?? first };
  if (!sensor) return undefined;
  const make = (await tiff.text(first, TAG.make)).toUpperCase();
  const format = make.startsWith('NIKON') ? 'nef' : make.startsWith('SONY') ? 'arw' : 'raw';
  return { format, ifd: sensor };
}

/** The largest full picture among the first directory and its children that is sensor data. */
async function sensorIfd(tiff: Tiff, first: Ifd): Promise<Ifd | undefined> {
  let best: { ifd: Ifd; area: number } | undefined;
  for (const ifd of [first, ...(await children(tiff, first))]) {
    const photometric = await tiff.number(ifd, TAG.photometric);
    if (photometric !== PHOTOMETRIC_CFA && photometric !== PHOTOMETRIC_LINEAR_RAW) continue;
    const isReduced = (((await tiff.number(ifd, TAG.subfileType)) ?? 0) & 1) === 1;
    const { width, height } = await size(tiff, ifd);
    const area = isReduced ? 0 : width * height;
    if (!best || area > best.area) best = { ifd, area };
  }
  return best?.ifd;
}

async function children(tiff: Tiff, ifd: Ifd): Promise<Ifd[]> {
  const found: Ifd[] = [];
  for (const offset of await tiff.numbers(ifd, TAG.subIfds, MAX_SUB_IFDS)) {
    try {
      found.push(await tiff.ifd(offset));
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'undecodable_image') throw error;
    }
  }
  return found;
}

/**
 * What the headers say of a RAW picture's size: a DNG's active area, a Panasonic's sensor borders, else the
 * stored size. Where a camera's margins are known only to LibRaw, its picture is some pixels smaller or larger.
 */
async function probeRawTiff(tiff: Tiff, first: Ifd, raw: RawPicture, limits: Limits): Promise<Header> {
  const { width, height } = await rawSize(tiff, raw);
  checkSides(width, height, 'RAW file');
  checkPixels(width, height, limits);
  const stored = await size(tiff, raw.ifd);
  checkPixels(stored.width, stored.height, limits);
  const depthTag = raw.format === 'rw2' ? RW2_BITS_PER_SAMPLE : TAG.bitsPerSample;
  const linear = (await tiff.number(raw.ifd, TAG.photometric)) === PHOTOMETRIC_LINEAR_RAW;
  return {
    format: raw.format,
    ...upright(width, height, asOrientation(await tiff.number(first, TAG.orientation))),
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: await depthOf(tiff, raw.ifd, depthTag),
    colorSpace: linear ? 'rgb' : 'cfa',
  };
}

async function rawSize(tiff: Tiff, { format, ifd }: RawPicture): Promise<{ width: number; height: number }> {
  if (format === 'rw2') {
    const borders: number[] = [];
    for (const tag of RW2_BORDERS) borders.push((await tiff.number(ifd, tag)) ?? 0);
    const [top, left, bottom, right] = borders as [number, number, number, number];
    return { width: right - left, height: bottom - top };
  }
  const [top, left, bottom, right] = await tiff.numbers(ifd, TAG.activeArea, 4);
  if (right !== undefined && right > left! && bottom! > top!)
    return { width: right - left!, height: bottom! - top! };
  return size(tiff, ifd);
}
