/** Animations, built byte by byte and read back without an imaging library. */
import { crc32, deflateSync } from 'node:zlib';

/** What a file says of its animation. A GIF's repeats are counted as plays. */
export interface Timing {
  delayMs: number[];
  /** Times that it plays; 0 for ever. */
  plays: number;
}

export function timingOf(file: Buffer): Timing {
  if (file.toString('latin1', 0, 3) === 'GIF') return gifTiming(file);
  if (file.toString('latin1', 8, 12) === 'WEBP') return webpTiming(file);
  return apngTiming(file);
}

function gifTiming(gif: Buffer): Timing {
  const timing: Timing = { delayMs: [], plays: 1 };
  const palette = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let at = 13 + palette(gif[10]!);
  let delay = 0;
  while (gif[at] !== 0x3b) {
    if (gif[at] === 0x2c) {
      timing.delayMs.push(delay * 10);
      delay = 0;
      at += 10 + palette(gif[at + 9]!) + 1;
    } else {
      if (gif[at + 1] === 0xf9) delay = gif.readUInt16LE(at + 4);
      if (gif.toString('latin1', at + 3, at + 14) === 'NETSCAPE2.0') {
        const repeats = gif.readUInt16LE(at + 16);
        timing.plays = repeats === 0 ? 0 : repeats + 1;
      }
      at += 2;
    }
    while (gif[at]! > 0) at += gif[at]! + 1;
    at += 1;
  }
  return timing;
}

function webpTiming(webp: Buffer): Timing {
  const timing: Timing = { delayMs: [], plays: 1 };
  for (let at = 12; at + 8 <= webp.length; ) {
    const type = webp.toString('latin1', at, at + 4);
    const length = webp.readUInt32LE(at + 4);
    if (type === 'ANIM') timing.plays = webp.readUInt16LE(at + 12);
    if (type === 'ANMF') timing.delayMs.push(webp.readUIntLE(at + 20, 3));
    at += 8 + length + (length % 2);
  }
  return timing;
}

function apngTiming(png: Buffer): Timing {
  const timing: Timing = { delayMs: [], plays: 1 };
  for (const { type, body } of chunksOf(png)) {
    if (type === 'acTL') timing.plays = body.readUInt32BE(4);
    if (type === 'fcTL') {
      timing.delayMs.push((body.readUInt16BE(20) * 1000) / (body.readUInt16BE(22) || 100));
    }
  }
  return timing;
}

/** Chunks of a PNG; a wrong checksum throws. */
export function chunksOf(png: Buffer): { type: string; body: Buffer }[] {
  const chunks: { type: string; body: Buffer }[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const end = at + 8 + length;
    if (crc32(png.subarray(at + 4, end)) !== png.readUInt32BE(end)) throw new RangeError('wrong checksum');
    chunks.push({ type: png.toString('latin1', at + 4, at + 8), body: png.subarray(at + 8, end) });
    at = end + 4;
  }
  return chunks;
}

export interface ApngFrame {
  left?: number;
  top?: number;
  width: number;
  height: number;
  /** Rows of samples as the colour type has them, each sample big-endian where it has two bytes. */
  samples: Uint8Array;
  /** Seconds as a fraction. */
  delay?: [number, number];
  dispose?: 'none' | 'background' | 'previous';
  blend?: 'source' | 'over';
}

export interface ApngOptions {
  width: number;
  height: number;
  frames: ApngFrame[];
  plays?: number;
  colorType?: number;
  depth?: number;
  /** Samples of a still picture that is no frame. */
  still?: Uint8Array;
  /** Whole chunks before the data. */
  before?: Buffer[];
  /** What acTL says in place of the truth. */
  declared?: number;
}

const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DISPOSALS = ['none', 'background', 'previous'];

export function apng(options: ApngOptions): Buffer {
  const { width, height, frames, colorType = 6, depth = 8, still } = options;
  const packed = (samples: Uint8Array, columns: number) => {
    const stride = Math.ceil((columns * CHANNELS[colorType]! * depth) / 8);
    const rows = Array.from({ length: samples.length / stride }, (_, y) => [
      Buffer.alloc(1),
      samples.subarray(y * stride, (y + 1) * stride),
    ]);
    return deflateSync(Buffer.concat(rows.flat()));
  };
  const ihdr = Buffer.concat([u32(width, height), Buffer.from([depth, colorType, 0, 0, 0])]);
  const parts: Buffer[] = [
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', ihdr),
    chunk('acTL', u32(options.declared ?? frames.length, options.plays ?? 0)),
    ...(options.before ?? []),
  ];
  if (still) parts.push(chunk('IDAT', packed(still, width)));
  let sequence = 0;
  for (const [i, frame] of frames.entries()) {
    const control = Buffer.alloc(26);
    const numbers = [sequence++, frame.width, frame.height, frame.left ?? 0, frame.top ?? 0];
    u32(...numbers).copy(control);
    const [numerator, denominator] = frame.delay ?? [1, 10];
    control.writeUInt16BE(numerator, 20);
    control.writeUInt16BE(denominator, 22);
    control[24] = DISPOSALS.indexOf(frame.dispose ?? 'none');
    control[25] = frame.blend === 'over' ? 1 : 0;
    parts.push(chunk('fcTL', control));
    const data = packed(frame.samples, frame.width);
    if (i === 0 && !still) parts.push(chunk('IDAT', data));
    else {
      // In two chunks, as a writer may.
      const half = data.length >> 1;
      for (const part of [data.subarray(0, half), data.subarray(half)])
        parts.push(chunk('fdAT', Buffer.concat([u32(sequence++), part])));
    }
  }
  return Buffer.concat([...parts, chunk('IEND', Buffer.alloc(0))]);
}

export function chunk(type: string, body: Uint8Array): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), body]);
  return Buffer.concat([u32(body.length), typed, u32(crc32(typed))]);
}

function u32(...values: number[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) out.writeUInt32BE(value, i * 4);
  return out;
}

export type Color = readonly number[];

/** A rectangle of one colour, as samples. */
export function filled(width: number, height: number, color: Color): Uint8Array {
  return Uint8Array.from({ length: width * height * color.length }, (_, i) => color[i % color.length]!);
}

export interface GifFrame {
  left?: number;
  top?: number;
  width: number;
  height: number;
  /** Index into the palette, of every pixel. */
  index: number;
  centiseconds: number;
  /** 1 stay, 2 to the background, 3 to what was before. */
  dispose?: 1 | 2 | 3;
}

/** A GIF of plain rectangles over a palette of at most four colours, of which the last is clear. */
export function gif(
  width: number,
  height: number,
  palette: readonly Color[],
  frames: readonly GifFrame[],
  repeats?: number,
): Buffer {
  const u16 = (...values: number[]) => Buffer.from(values.flatMap((v) => [v & 255, v >> 8]));
  const colors = Array.from({ length: 4 }, (_, i) => palette[i] ?? [0, 0, 0]).flat();
  const parts: Buffer[] = [
    Buffer.from('GIF89a', 'latin1'),
    u16(width, height),
    Buffer.from([0x81, 0, 0, ...colors]),
  ];
  if (repeats !== undefined) {
    parts.push(Buffer.from([0x21, 0xff, 11]), Buffer.from('NETSCAPE2.0', 'latin1'));
    parts.push(Buffer.from([3, 1]), u16(repeats), Buffer.from([0]));
  }
  for (const frame of frames) {
    parts.push(Buffer.from([0x21, 0xf9, 4, ((frame.dispose ?? 1) << 2) | 1]), u16(frame.centiseconds));
    parts.push(Buffer.from([3, 0, 0x2c]), u16(frame.left ?? 0, frame.top ?? 0, frame.width, frame.height));
    parts.push(Buffer.from([0, 2]));
    const data = lzw(frame.width * frame.height, frame.index);
    for (let at = 0; at < data.length; at += 255) {
      const block = data.subarray(at, at + 255);
      parts.push(Buffer.from([block.length]), block);
    }
    parts.push(Buffer.from([0]));
  }
  return Buffer.concat([...parts, Buffer.from([0x3b])]);
}

/** Codes of three bits; the table is cleared before every pixel, so that they stay so. */
function lzw(pixels: number, index: number): Buffer {
  const codes = [...Array.from({ length: pixels }, () => [4, index]).flat(), 5];
  const out = Buffer.alloc(Math.ceil((codes.length * 3) / 8));
  for (const [i, code] of codes.entries()) {
    const bit = i * 3;
    const wide = code << (bit % 8);
    out[bit >> 3] = out[bit >> 3]! | (wide & 255);
    if (wide > 255) out[(bit >> 3) + 1] = wide >> 8;
  }
  return out;
}
