/** HEIC, HEIF and AVIF stills and sequences, and Canon CR3: facts from the boxes, and whether all data is there. */
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import type { Facts, SourceFormat } from '../types.ts';
import { type Box, boxesOf } from './boxes.ts';
import { asOrientation } from './exif.ts';
import { broken, checkPixels, checkSides, type Header, upright } from './header.ts';
import { iccDescription } from './icc.ts';
import { Tiff } from './ifd.ts';
import { type Item, type Items, type Location, readItems } from './items.ts';
import type { Reader } from './reader.ts';
import { readSequence, type Sequence } from './sequence.ts';

/** Items whose picture is made from others. */
const DERIVED = ['grid', 'iovl', 'iden'];
/** Items that are neither pictures nor made for being shown. */
const NOT_PICTURES = ['Exif', 'mime', 'uri ', 'tmap'];
/** Tiles may overlap the border of the picture, not outweigh it. */
const MAX_TILE_OVERHEAD = 2;

const ALPHA_TYPES = ['urn:mpeg:mpegB:cicp:systems:auxiliary:alpha', 'urn:mpeg:hevc:2015:auxid:1'];

export async function probeHeif(reader: Reader, limits: Limits): Promise<Header> {
  let meta: Box | undefined;
  let moov: Box | undefined;
  for await (const box of boxesOf(reader)) {
    if (box.type === 'meta') meta ??= box;
    if (box.type === 'moov') moov ??= box;
  }
  const sequence = moov && (await readSequence(reader, moov, limits));
  if (meta) return probeStill(reader, meta, sequence, limits);
  if (sequence) return fromSequence(sequence, limits);
  throw broken('The file holds no image: it has no list of items.');
}

function fromSequence(sequence: Sequence, limits: Limits): Header {
  checkSides(sequence.width, sequence.height, 'image sequence');
  checkPixels(sequence.width, sequence.height, limits);
  return {
    format: sequence.codec === 'av01' ? 'avif' : 'heic',
    width: sequence.width,
    height: sequence.height,
    orientation: 1,
    pages: sequence.frames,
    animated: sequence.frames > 1,
    alpha: sequence.alpha,
    bitDepth: 8,
    colorSpace: 'rgb',
  };
}

async function probeStill(reader: Reader, meta: Box, sequence: Sequence | undefined, limits: Limits) {
  const items = await readItems(reader, meta);
  const primary = items.primary === undefined ? undefined : items.byId.get(items.primary);
  if (!primary) throw broken('The file does not say which of its items is the picture.');
  const { width, height } = displayedSize(primary, limits);
  const alpha = alphaOf(items, primary);
  const coded = await checkData(reader, items, primary, limits);
  if (alpha) await checkData(reader, items, alpha, limits);
  for (const item of items.byId.values()) {
    // A file that lacks the end of its other pictures was cut short, though this one may be whole.
    if (!NOT_PICTURES.includes(item.type) && item.location) checkExtents(reader, items, item.location);
  }
  const color = colorOf(primary, coded);
  const animated = (sequence?.frames ?? 0) > 1;
  return {
    format: formatOf(primary, coded),
    width,
    height,
    orientation: 1,
    pages: animated ? sequence!.frames : Math.min(countPictures(items), limits.maxFrames + 1),
    animated,
    alpha: alpha !== undefined,
    ...color,
  } satisfies Header;
}

const formatOf = (primary: Item, coded: Item[]): SourceFormat =>
  (coded[0] ?? primary).type === 'av01' ? 'avif' : 'heic';

const property = (item: Item, type: string) => item.properties.find((p) => p.type === type)?.fields;

function storedSize(item: Item): { width: number; height: number } {
  const ispe = property(item, 'ispe');
  if (!ispe) throw broken('The file does not state the size of its picture.');
  return { width: ispe.u32(4), height: ispe.u32(8) };
}

/** The size after clean aperture (clap) and rotation (irot), which are applied in the order of the properties. */
function displayedSize(primary: Item, limits: Limits): { width: number; height: number } {
  let { width, height } = storedSize(primary);
  checkSides(width, height, 'HEIF picture');
  checkPixels(width, height, limits);
  for (const { type, fields } of primary.properties) {
    if (type === 'irot' && fields.u8(0) & 1) [width, height] = [height, width];
    if (type === 'clap') {
      width = aperture(fields.u32(0), fields.u32(4), fields.u32(20), width);
      height = aperture(fields.u32(8), fields.u32(12), fields.u32(28), height);
    }
  }
  return { width, height };
}

function aperture(numerator: number, denominator: number, offsetDenominator: number, side: number): number {
  const size = Math.round(numerator / denominator);
  if (denominator === 0 || offsetDenominator === 0 || size < 1)
    throw broken('The crop (clap) of the file is invalid.');
  return Math.min(size, side);
}

function alphaOf(items: Items, primary: Item): Item | undefined {
  for (const reference of items.references) {
    if (reference.type !== 'auxl' || !reference.to.includes(primary.id)) continue;
    const item = items.byId.get(reference.from);
    const auxC = item && property(item, 'auxC');
    if (auxC && ALPHA_TYPES.includes(auxC.ascii(4, auxC.length - 4).split('\0')[0]!)) return item;
  }
  return undefined;
}

/**
 * Sees that all data of a picture and of what it is made of lies in the file: decoders show a picture with
 * missing tiles as if nothing were wrong. Returns the coded items.
 */
async function checkData(reader: Reader, items: Items, wanted: Item, limits: Limits): Promise<Item[]> {
  const sources = new Map<number, number[]>();
  for (const { type, from, to } of items.references) if (type === 'dimg') sources.set(from, to);
  const coded: Item[] = [];
  const seen = new Set<Item>([wanted]);
  let pixels = 0;
  // A Set may grow while it is walked.
  for (const item of seen) {
    if (item.type !== 'iden') checkLocation(reader, items, item);
    if (!DERIVED.includes(item.type)) {
      const ispe = property(item, 'ispe');
      if (ispe) checkPixels(ispe.u32(4), ispe.u32(8), limits);
      coded.push(item);
      continue;
    }
    const parts = sources.get(item.id) ?? [];
    if (parts.length === 0) throw broken('The picture of the file is made of others that it does not name.');
    if (item.type === 'grid') await checkGrid(reader, items, item, parts.length, limits);
    for (const id of parts) {
      const part = items.byId.get(id);
      if (!part) throw broken('A part of the picture is missing from the file.');
      if (item.type !== 'iden' && DERIVED.includes(part.type)) {
        throw broken('The picture of the file is made of others that are made of others again.');
      }
      const { width, height } = storedSize(part);
      pixels += width * height;
      seen.add(part);
    }
  }
  if (pixels > limits.maxPixels * MAX_TILE_OVERHEAD) {
    throw new Problem('image_too_large', { detail: 'The parts of the picture have too many pixels in all.' });
  }
  return coded;
}

function checkLocation(reader: Reader, items: Items, { location }: Item): void {
  if (!location || location.extents.length === 0) throw broken('A part of the picture has no data.');
  if (location.external) throw broken('A part of the picture lies in another file.');
  checkExtents(reader, items, location);
}

function checkExtents(reader: Reader, items: Items, { method, external, extents }: Location): void {
  if (external || method === 2) return;
  const end = method === 1 ? (items.idat ? items.idat.end - items.idat.body : 0) : reader.size;
  for (const { offset, length } of extents) {
    if (offset + length > end || offset >= end) throw broken('The file ends before its picture does.');
  }
}

/** ImageGrid (ISO/IEC 23008-12 section 6.6.2.3.2). */
async function checkGrid(
  reader: Reader,
  items: Items,
  item: Item,
  parts: number,
  limits: Limits,
): Promise<void> {
  const { method, extents } = item.location!;
  if (method === 2) return;
  const { offset, length } = extents[0]!;
  const base = method === 1 ? items.idat!.body : 0;
  const grid = await reader.fields(base + offset, Math.min(length || 12, 12));
  const wide = (grid.u8(1) & 1) === 1;
  const tiles = (grid.u8(2) + 1) * (grid.u8(3) + 1);
  if (tiles !== parts) throw broken(`The picture is a grid of ${tiles} tiles; the file names ${parts}.`);
  const [width, height] = wide ? [grid.u32(4), grid.u32(8)] : [grid.u16(4), grid.u16(6)];
  checkSides(width, height, 'grid of the file');
  checkPixels(width, height, limits);
}

/** Pictures that stand for themselves: not a tile, an alpha plane, a depth map or a thumbnail. */
function countPictures({ byId, references }: Items): number {
  const parts = new Set<number>();
  for (const { type, from, to } of references) {
    if (type === 'auxl' || type === 'thmb') parts.add(from);
    if (type === 'dimg' && byId.get(from)?.type !== 'tmap') for (const id of to) parts.add(id);
  }
  let pictures = 0;
  for (const item of byId.values()) {
    if (!item.hidden && !parts.has(item.id) && !NOT_PICTURES.includes(item.type)) pictures += 1;
  }
  return Math.max(1, pictures);
}

/** Depth and colour: the picture's own properties, else those of the first coded part. */
function colorOf(
  primary: Item,
  coded: Item[],
): Pick<Facts, 'bitDepth' | 'colorSpace' | 'iccProfile' | 'cicp'> {
  const part = coded[0] ?? primary;
  const pixi = property(primary, 'pixi') ?? property(part, 'pixi');
  const codec = codecColor(primary) ?? codecColor(part);
  const channels = pixi?.u8(4) ?? 1;
  const bits = pixi ? Array.from({ length: channels }, (_, i) => pixi.u8(5 + i)) : [codec?.bitDepth ?? 8];
  const profiles = [...primary.properties, ...part.properties].filter((p) => p.type === 'colr');
  const nclx = profiles.find((p) => p.fields.ascii(0, 4) === 'nclx')?.fields;
  const icc = profiles.find((p) => /^(prof|rICC)$/.test(p.fields.ascii(0, 4)))?.fields;
  const iccProfile = icc && iccDescription(icc.bytes.subarray(4));
  return {
    bitDepth: Math.max(1, ...bits),
    // Alpha planes share their pixi with the picture in some files: the codec knows better.
    colorSpace: (codec?.gray ?? (pixi && channels === 1)) ? 'gray' : 'rgb',
    ...(iccProfile && { iccProfile }),
    ...(nclx && {
      cicp: {
        primaries: nclx.u16(4),
        transfer: nclx.u16(6),
        matrix: nclx.u16(8),
        fullRange: nclx.u8(10) >= 0x80,
      },
    }),
  };
}

function codecColor(item: Item): { bitDepth: number; gray: boolean } | undefined {
  const av1C = property(item, 'av1C');
  if (av1C) {
    const flags = av1C.u8(2);
    return { bitDepth: flags & 0x40 ? (flags & 0x20 ? 12 : 10) : 8, gray: (flags & 0x10) !== 0 };
  }
  const hvcC = property(item, 'hvcC');
  if (!hvcC) return undefined;
  return { bitDepth: 8 + (hvcC.u8(17) & 7), gray: (hvcC.u8(16) & 3) === 0 };
}

const CR3_METADATA = '85c0b687820f11e08111f4ce462b6a48';

/** Canon CR3: the first EXIF directory lies in `CMT1` of Canon's `uuid` box inside of `moov`. */
export async function probeCr3(reader: Reader, limits: Limits): Promise<Header> {
  for await (const moov of boxesOf(reader)) {
    if (moov.type !== 'moov') continue;
    for await (const uuid of boxesOf(reader, moov.body, moov.end)) {
      if (uuid.type !== 'uuid') continue;
      const name = Buffer.from(await reader.bytes(uuid.body, 16)).toString('hex');
      if (name !== CR3_METADATA) continue;
      for await (const box of boxesOf(reader, uuid.body + 16, uuid.end)) {
        if (box.type === 'CMT1') return fromCmt1(await Tiff.open(reader, box.body), limits);
      }
    }
  }
  throw broken('The CR3 file does not describe its picture.');
}

async function fromCmt1(tiff: Tiff, limits: Limits): Promise<Header> {
  const ifd = await tiff.ifd(tiff.first);
  const width = (await tiff.number(ifd, 0x100)) ?? 0;
  const height = (await tiff.number(ifd, 0x101)) ?? 0;
  checkSides(width, height, 'CR3 file');
  checkPixels(width, height, limits);
  return {
    format: 'cr3',
    ...upright(width, height, asOrientation(await tiff.number(ifd, 0x112))),
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: 14,
    colorSpace: 'cfa',
  };
}
