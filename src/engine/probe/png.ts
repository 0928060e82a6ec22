/** PNG (W3C PNG third edition): all chunks are walked, none is inflated but the colour profile. */
import { crc32, inflateSync } from 'node:zlib';
import type { Limits } from '../limits.ts';
import type { Facts, Orientation } from '../types.ts';
import { exifOrientation } from './exif.ts';
import type { Fields } from './fields.ts';
import { broken, checkPixels, checkSides, type Header, upright } from './header.ts';
import { iccDescription } from './icc.ts';
import type { Reader } from './reader.ts';

const SIGNATURE_BYTES = 8;
/** Of length, type and checksum. */
const CHUNK_BYTES = 12;
const MAX_CHUNKS = 200_000;
const MAX_PROFILE_BYTES = 1024 * 1024;

const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
const COLOR_SPACES: Readonly<Record<number, Facts['colorSpace']>> = {
  0: 'gray',
  2: 'rgb',
  3: 'palette',
  4: 'gray',
  6: 'rgb',
};

export async function probePng(reader: Reader, limits: Limits): Promise<Header> {
  const head = await readHead(reader);
  checkSides(head.width, head.height, 'PNG');
  checkPixels(head.width, head.height, limits);
  let alpha = head.colorType >= 4;
  let frames: number | undefined;
  let orientation: Orientation = 1;
  let iccProfile: string | undefined;
  let cicp: Facts['cicp'];
  let hasData = false;
  let at = SIGNATURE_BYTES + CHUNK_BYTES + 13;
  for (let chunks = 0; ; chunks++) {
    if (chunks > MAX_CHUNKS) throw broken(`The PNG has more than ${MAX_CHUNKS} chunks.`);
    const bytes = reader.peek(at, 8) ?? (await reader.upTo(at, 8));
    if (bytes.length < 8) break;
    const length = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
    const type = String.fromCharCode(bytes[4]!, bytes[5]!, bytes[6]!, bytes[7]!);
    if (type === 'IEND') break;
    if (length > 0x7fff_ffff || at + CHUNK_BYTES + length > reader.size) {
      // What is cut short after the picture does not concern it.
      if (hasData && type !== 'IDAT') break;
      throw broken(`The PNG declares ${length} bytes for its ${printable(type)} chunk; the file has fewer.`);
    }
    const body = at + 8;
    if (type === 'IDAT') hasData = true;
    else if (type === 'tRNS' && head.colorType < 4) alpha = true;
    else if (type === 'acTL' && !hasData && length === 8) frames = (await frameCount(reader, at)) ?? frames;
    else if (type === 'eXIf') orientation = await exifOrientation(reader, body);
    else if (type === 'iCCP' && !hasData) iccProfile = await readProfile(reader, body, length);
    else if (type === 'cICP' && !hasData && length === 4) cicp = readCicp(await reader.fields(body, 4));
    at += CHUNK_BYTES + length;
  }
  if (frames === 0) throw broken('The animated PNG declares no frames.');
  if (!hasData) throw broken('The PNG has no picture data (IDAT).');
  return {
    format: 'png',
    ...upright(head.width, head.height, orientation),
    orientation,
    pages: Math.min(frames ?? 1, limits.maxFrames + 1),
    animated: (frames ?? 1) > 1,
    alpha,
    bitDepth: head.depth,
    colorSpace: COLOR_SPACES[head.colorType]!,
    ...(iccProfile && { iccProfile }),
    ...(cicp && { cicp }),
  };
}

async function readHead(reader: Reader) {
  const ihdr = await reader.fields(SIGNATURE_BYTES, CHUNK_BYTES + 13);
  if (ihdr.u32(0) !== 13 || ihdr.ascii(4, 4) !== 'IHDR')
    throw broken('The PNG does not begin with its header (IHDR).');
  if (crc32(ihdr.bytes.subarray(4, 21)) !== ihdr.u32(21))
    throw broken('The checksum of the PNG header is wrong.');
  const [depth, colorType] = [ihdr.u8(16), ihdr.u8(17)];
  if (!DEPTHS[colorType]?.includes(depth)) {
    throw broken(`The PNG declares colour type ${colorType} with ${depth} bits, which does not exist.`);
  }
  return { width: ihdr.u32(8), height: ihdr.u32(12), depth, colorType };
}

/** An animation header (acTL) with a wrong checksum is skipped, as libpng does: the picture stands still. */
async function frameCount(reader: Reader, at: number): Promise<number | undefined> {
  const chunk = await reader.fields(at + 4, 16);
  return crc32(chunk.bytes.subarray(0, 12)) === chunk.u32(12) ? chunk.u32(4) : undefined;
}

const readCicp = (cicp: Fields) => ({
  primaries: cicp.u8(0),
  transfer: cicp.u8(1),
  matrix: cicp.u8(2),
  fullRange: cicp.u8(3) === 1,
});

/** The profile's own description, or the name that the chunk gives it where it cannot be inflated within bounds. */
async function readProfile(reader: Reader, at: number, length: number): Promise<string | undefined> {
  const bytes = await reader.bytes(at, Math.min(length, MAX_PROFILE_BYTES));
  const end = bytes.indexOf(0);
  if (end < 1 || end > 79) return undefined;
  const name = printable(Buffer.from(bytes.subarray(0, end)).toString('latin1'));
  try {
    const profile = inflateSync(bytes.subarray(end + 2), { maxOutputLength: MAX_PROFILE_BYTES });
    return iccDescription(profile) ?? name;
  } catch {
    return name;
  }
}

const printable = (text: string) => text.replace(/[^\x20-\x7e\xa0-\xff]/g, '?');
