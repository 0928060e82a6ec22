/** WebP (RFC 9649): RIFF chunks, the frame headers of VP8 and VP8L, VP8X's canvas. */
import type { Limits } from '../limits.ts';
import type { Orientation } from '../types.ts';
import { exifOrientation } from './exif.ts';
import { broken, checkPixels, type Header, upright } from './header.ts';
import { iccDescription, MAX_ICC_BYTES } from './icc.ts';
import type { Reader } from './reader.ts';

const FLAG_ANIMATION = 0x02;
const FLAG_ALPHA = 0x10;
const MAX_CHUNKS = 100_000;

interface Canvas {
  width: number;
  height: number;
  alpha: boolean;
}

export async function probeWebp(reader: Reader, limits: Limits): Promise<Header> {
  const riff = await reader.fields(0, 12, true);
  const end = 8 + riff.u32(4);
  if (end > reader.size) throw broken('The file ends before its picture does.');
  let extended: (Canvas & { animation: boolean }) | undefined;
  let still: Canvas | undefined;
  let alphaChunk = false;
  let frames = 0;
  let orientation: Orientation = 1;
  let iccProfile: string | undefined;
  let at = 12;
  for (let chunks = 0; at + 8 <= end && frames <= limits.maxFrames; chunks++) {
    if (chunks > MAX_CHUNKS) throw broken(`The WebP has more than ${MAX_CHUNKS} chunks.`);
    const chunk = await reader.fields(at, 8, true);
    const type = chunk.ascii(0, 4);
    const length = chunk.u32(4);
    const body = at + 8;
    if (body + length > end) {
      if (still || frames > 0) break;
      throw broken('A chunk of the WebP is longer than the file.');
    }
    if (type === 'VP8X' && at === 12) {
      const vp8x = await reader.fields(body, 10, true);
      const flags = vp8x.u8(0);
      extended = {
        width: vp8x.u24(4) + 1,
        height: vp8x.u24(7) + 1,
        alpha: (flags & FLAG_ALPHA) !== 0,
        animation: (flags & FLAG_ANIMATION) !== 0,
      };
      checkPixels(extended.width, extended.height, limits);
    } else if (type === 'VP8 ' || type === 'VP8L') {
      still ??= type === 'VP8 ' ? await readVp8(reader, body) : await readVp8l(reader, body);
      if (!extended) break;
    } else if (type === 'ALPH') {
      alphaChunk = true;
    } else if (type === 'ANMF') {
      frames += 1;
    } else if (type === 'EXIF' && length > 8) {
      const prefixed = (await reader.fields(body, 6)).ascii(0, 6) === 'Exif\0\0';
      orientation = await exifOrientation(reader, prefixed ? body + 6 : body);
    } else if (type === 'ICCP' && length <= MAX_ICC_BYTES) {
      iccProfile = iccDescription(await reader.bytes(body, length));
    }
    at = body + length + (length & 1);
  }
  const animation = extended?.animation ?? false;
  if (animation ? frames === 0 : !still) throw broken('The WebP has no picture data.');
  const canvas = extended ?? still!;
  checkPixels(canvas.width, canvas.height, limits);
  if (extended && !animation && still && (still.width !== canvas.width || still.height !== canvas.height)) {
    throw broken('The WebP declares one size for its canvas and another for its picture.');
  }
  return {
    format: 'webp',
    ...upright(canvas.width, canvas.height, orientation),
    orientation,
    pages: animation ? frames : 1,
    animated: animation && frames > 1,
    alpha: canvas.alpha || (!animation && (alphaChunk || still!.alpha)),
    bitDepth: 8,
    colorSpace: 'rgb',
    ...(iccProfile && { iccProfile }),
  };
}

async function readVp8(reader: Reader, at: number): Promise<Canvas> {
  const frame = await reader.fields(at, 10, true);
  if (frame.u24(3) !== 0x2a019d) throw broken('The VP8 frame of the WebP has no start code.');
  const [width, height] = [frame.u16(6) & 0x3fff, frame.u16(8) & 0x3fff];
  if (width === 0 || height === 0) throw broken(`The WebP declares a size of ${width} × ${height} pixels.`);
  return { width, height, alpha: false };
}

async function readVp8l(reader: Reader, at: number): Promise<Canvas> {
  const frame = await reader.fields(at, 5, true);
  if (frame.u8(0) !== 0x2f) throw broken('The VP8L frame of the WebP has no signature.');
  const bits = frame.u32(1);
  return {
    width: (bits & 0x3fff) + 1,
    height: ((bits >>> 14) & 0x3fff) + 1,
    alpha: ((bits >>> 28) & 1) === 1,
  };
}
