/** JPEG (ITU-T T.81): markers up to the first scan, and the count of scans. */
import type { Limits } from '../limits.ts';
import type { Facts, Orientation } from '../types.ts';
import { exifOrientation, exifSaysAdobeRgb } from './exif.ts';
import { broken, checkPixels, checkSides, type Header, upright } from './header.ts';
import { iccDescription, MAX_ICC_BYTES } from './icc.ts';
import type { Reader } from './reader.ts';

/** Every scan of a progressive picture costs a pass over all its coefficients; encoders write about ten. */
const MAX_SCANS = 100;
const MAX_SEGMENTS = 10_000;

const SOS = 0xda;
const EOI = 0xd9;

interface Frame {
  width: number;
  height: number;
  components: number;
  progressive: boolean;
}

export async function probeJpeg(reader: Reader, limits: Limits): Promise<Header> {
  let frame: Frame | undefined;
  let orientation: Orientation | undefined;
  let adobeRgb = false;
  const icc = new Map<number, Uint8Array>();
  let iccBytes = 0;
  let at = 2;
  for (let segments = 0; ; segments++) {
    if (segments > MAX_SEGMENTS) throw broken(`The JPEG has more than ${MAX_SEGMENTS} header segments.`);
    const marker = await nextMarker(reader, at);
    if (!marker && at >= reader.size && at > 4) throw broken('The file ends before its picture does.');
    if (!marker || marker.code === EOI) {
      throw broken(frame ? 'The JPEG has no picture data.' : 'The JPEG has no frame header (SOF).');
    }
    at = marker.end;
    if (isStandalone(marker.code)) continue;
    const length = (await reader.fields(at, 2)).u16(0);
    if (length < 2) throw broken('A JPEG segment declares a length below 2.');
    if (marker.code === SOS) {
      if (!frame) throw broken('The JPEG has no frame header (SOF) before its picture data.');
      const components = (await reader.fields(at, 3)).u8(2);
      // A decoder stops after a sequential scan that holds every component.
      if (frame.progressive || components < frame.components) await checkScans(reader, at + length);
      break;
    }
    if (isFrame(marker.code)) {
      frame ??= await readFrame(reader, at, marker.code);
    } else if (marker.code === 0xe1 && orientation === undefined && length >= 16) {
      const name = (await reader.fields(at + 2, 6)).ascii(0, 6);
      if (name.startsWith('Exif\0')) {
        orientation = await exifOrientation(reader, at + 8);
        adobeRgb = await exifSaysAdobeRgb(reader, at + 8);
      }
    } else if (marker.code === 0xe2 && length > 16) {
      const head = await reader.fields(at + 2, 14);
      if (head.ascii(0, 12) === 'ICC_PROFILE\0' && iccBytes + length <= MAX_ICC_BYTES) {
        iccBytes += length;
        icc.set(head.u8(12), await reader.bytes(at + 16, length - 16));
      }
    }
    at += length;
  }
  checkSides(frame.width, frame.height, 'JPEG');
  checkPixels(frame.width, frame.height, limits);
  const profile = Buffer.concat([...icc].sort(([a], [b]) => a - b).map(([, bytes]) => bytes));
  const iccProfile = iccDescription(profile);
  return {
    format: 'jpeg',
    ...upright(frame.width, frame.height, orientation ?? 1),
    orientation: orientation ?? 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: 8,
    colorSpace: COLOR_SPACES[frame.components]!,
    ...(iccProfile && { iccProfile }),
    ...(adobeRgb && icc.size === 0 && frame.components === 3 && { adobeRgb }),
  };
}

const COLOR_SPACES: Readonly<Record<number, Facts['colorSpace']>> = { 1: 'gray', 3: 'rgb', 4: 'cmyk' };

/** Markers without a length: TEM, RSTn and SOI. */
const isStandalone = (code: number) => code === 0x01 || (code >= 0xd0 && code <= 0xd8);

/** SOF0 to SOF15; DHT, JPG and DAC lie among them. */
const isFrame = (code: number) =>
  code >= 0xc0 && code <= 0xcf && code !== 0xc4 && code !== 0xc8 && code !== 0xcc;

async function readFrame(reader: Reader, at: number, code: number): Promise<Frame> {
  const sof = await reader.fields(at + 2, 6);
  const precision = sof.u8(0);
  const components = sof.u8(5);
  const kind = code - 0xc0;
  if (kind === 3 || kind === 7 || kind === 11 || kind === 15)
    throw broken('Lossless JPEG (SOF3) is not supported.');
  if (kind === 5 || kind === 6 || kind === 13 || kind === 14)
    throw broken('Hierarchical JPEG is not supported.');
  if (precision !== 8) throw broken(`JPEG with ${precision} bits a sample is not supported, only 8.`);
  if (!COLOR_SPACES[components])
    throw broken(`JPEG with ${components} components is not supported, only 1, 3 or 4.`);
  const progressive = kind === 2 || kind === 10;
  return { height: sof.u16(1), width: sof.u16(3), components, progressive };
}

/**
 * Finds the next marker from `at` on, over fill bytes, stuffed zeros and stray data alike, as decoders do.
 * `end` is the offset after the marker.
 */
async function nextMarker(reader: Reader, at: number): Promise<{ code: number; end: number } | undefined> {
  let offset = at;
  while (offset < reader.size) {
    const chunk = await reader.chunk(offset, 2);
    let i = chunk.indexOf(0xff);
    while (i >= 0 && i + 1 < chunk.length) {
      const code = chunk[i + 1]!;
      if (code !== 0 && code !== 0xff) return { code, end: offset + i + 2 };
      i += code === 0 ? 2 : 1;
      // Calls cost more than steps where one follows the other.
      if (chunk[i] !== 0xff) i = chunk.indexOf(0xff, i);
    }
    // An 0xff that ends the chunk may begin a marker in the next.
    const split = chunk.at(-1) === 0xff && offset + chunk.length < reader.size;
    offset += split ? chunk.length - 1 : chunk.length;
  }
  return undefined;
}

/** Walks the scans up to the end of the picture. */
async function checkScans(reader: Reader, firstScanData: number): Promise<void> {
  let scans = 1;
  let at = firstScanData;
  for (;;) {
    const marker = await nextMarker(reader, at);
    if (!marker || marker.code === EOI) return;
    at = marker.end;
    if (isStandalone(marker.code)) continue;
    if (marker.code === SOS && ++scans > MAX_SCANS) {
      throw broken(`The JPEG has more than ${MAX_SCANS} scans, far more than encoders write.`);
    }
    const head = await reader.upTo(at, 2);
    if (head.length < 2) return;
    at += Math.max(2, (head[0]! << 8) | head[1]!);
  }
}
