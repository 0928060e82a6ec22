/**
 * APNG (PNG third edition, sections 4.9 and 11.3.2). libvips reads a PNG's still picture only, so each frame's data is
 * refiled as a PNG of its own, decoded by libvips, and composed here: straight alpha, in sRGB, 8 bits a channel.
 *
 * Checksums count as they do for libpng: a chunk that the pixels depend on is refused with a wrong one; the others go
 * to libpng as they are, which skips what is damaged.
 */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import { iccFromCicp } from '../metadata/icc.ts';
import { PNG_SIGNATURE, type PngChunk, pngChunk, pngChunks } from '../png-chunks.ts';
import { Fields } from '../probe/fields.ts';
import { broken } from '../probe/header.ts';
import type { Facts, FrameSequence, Pixels } from '../types.ts';
import { checkFrames } from './motion.ts';
import { pipelineOf } from './pixels.ts';

export interface ApngOptions {
  limits: Pick<Limits, 'maxFrames' | 'maxPixels'>;
  signal?: AbortSignal;
}

/**
 * All frames, each a whole RGBA canvas in sRGB; as stored, where the file has an Orientation. A still picture beside
 * the animation, for viewers that know none, is not among them.
 * @throws Problem `too_many_frames`, `image_too_large`, `undecodable_image`, `cancelled`; libvips' own errors as they
 *   come
 */
export async function decodeApng(path: string, facts: Facts, options: ApngOptions): Promise<FrameSequence> {
  const animation = parse(await readFile(path));
  const { width, height, frames, loop } = animation;
  checkFrames({ width, height, pages: frames.length }, options.limits);
  const frameBytes = width * height * 4;
  const data = new Uint8Array(frameBytes * frames.length);
  await compose(animation, options.signal, (canvas, i) => data.set(canvas, i * frameBytes));
  return {
    pixels: await inSrgb({ data, width, height: height * frames.length, channels: 4, depth: 8 }, facts),
    frameHeight: height,
    delayMs: frames.map((frame) => frame.delayMs),
    loop,
  };
}

/**
 * One frame as it is shown, from 0. What comes after it in the file is not looked at.
 * @throws Problem as `decodeApng`, and `undecodable_image` where there are fewer frames
 */
export async function decodeApngFrame(
  path: string,
  facts: Facts,
  page: number,
  options: ApngOptions,
): Promise<Pixels> {
  const animation = parse(await readFile(path), page + 1);
  const { width, height } = animation;
  let data = new Uint8Array();
  await compose(animation, options.signal, (canvas, i) => {
    if (i === page) data = canvas.slice();
  });
  return inSrgb({ data, width, height, channels: 4, depth: 8 }, facts);
}

// --- the file ---

const DISPOSE_NONE = 0;
const DISPOSE_PREVIOUS = 2;
const BLEND_OVER = 1;
const DEFAULT_DELAY_DENOMINATOR = 100;

interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Frame extends Area {
  delayMs: number;
  dispose: number;
  blend: number;
  /** Of one kind of chunk only. */
  dataType?: string;
  /** Parts of one zlib stream. */
  data: Uint8Array[];
}

interface Animation {
  width: number;
  height: number;
  loop: number;
  frames: Frame[];
  /** The body of IHDR; frames differ from it in their size. */
  header: Uint8Array;
  /** Whole chunks before the data that decide what the pixels mean. */
  shared: Uint8Array[];
}

const SHARED = new Set(['PLTE', 'tRNS', 'iCCP', 'sRGB', 'gAMA', 'cHRM']);
const ESSENTIAL = new Set(['IHDR', 'PLTE', 'IDAT', 'acTL', 'fcTL', 'fdAT']);

/** @param max frames to take at most; all that the file declares by default */
function parse(file: Buffer, max = Infinity): Animation {
  const found: Animation = { width: 0, height: 0, loop: 0, frames: [], header: new Uint8Array(), shared: [] };
  let declared = 0;
  let sequence = 0;
  let hasData = false;
  for (const chunk of pngChunks(file)) {
    const { type } = chunk;
    if (type === 'IEND') break;
    if (type === 'fcTL' && declared > 0 && found.frames.length >= Math.min(declared, max)) break;
    if (ESSENTIAL.has(type) && !chunk.sound)
      throw broken(`The checksum of a ${type} chunk of the PNG is wrong.`);
    const body = new Fields(chunk.body);
    if (type === 'IHDR') {
      if (found.header.length > 0) throw broken('The animated PNG has two headers (IHDR).');
      found.header = chunk.body;
      found.width = body.u32(0);
      found.height = body.u32(4);
    } else if (type === 'acTL' && !hasData) {
      declared = body.u32(0);
      found.loop = body.u32(4);
    } else if (type === 'fcTL' || type === 'fdAT') {
      if (body.u32(0) !== sequence++) throw broken('The frames of the animated PNG are out of order.');
      if (type === 'fcTL') found.frames.push(readControl(body, found, !hasData));
      else addData(found, chunk, 4);
    } else if (type === 'IDAT') {
      hasData = true;
      // Without a frame before it, it is the picture for viewers that know no animation.
      if (found.frames.length > 0) addData(found, chunk, 0);
    } else if (SHARED.has(type) && !hasData) {
      found.shared.push(chunk.whole);
    }
  }
  const wanted = Math.min(declared, max);
  const complete = found.frames.filter((frame) => frame.data.length > 0).length;
  if (wanted === 0 || complete < wanted || complete < found.frames.length) {
    throw broken(`The animated PNG declares ${declared} frames; ${complete} are there.`);
  }
  return found;
}

function readControl(body: Fields, canvas: Animation, isFirst: boolean): Frame {
  const [width, height, left, top] = [body.u32(4), body.u32(8), body.u32(12), body.u32(16)];
  const fits = width > 0 && height > 0 && left + width <= canvas.width && top + height <= canvas.height;
  if (!fits || (isFirst && (width !== canvas.width || height !== canvas.height))) {
    throw broken(
      `A frame of the animated PNG is ${width}×${height} px at ${left},${top}; its canvas is ${canvas.width}×${canvas.height}.`,
    );
  }
  const [dispose, blend] = [body.u8(24), body.u8(25)];
  if (dispose > DISPOSE_PREVIOUS || blend > BLEND_OVER) {
    throw broken('A frame of the animated PNG is composed in a way that does not exist.');
  }
  const delayMs = (body.u16(20) * 1000) / (body.u16(22) || DEFAULT_DELAY_DENOMINATOR);
  return { left, top, width, height, delayMs, dispose, blend, data: [] };
}

function addData({ frames }: Animation, chunk: PngChunk, skip: number): void {
  const frame = frames.at(-1);
  if (!frame) throw broken('The animated PNG has data before its first frame.');
  frame.dataType ??= chunk.type;
  if (frame.dataType !== chunk.type) throw broken('The frames of the animated PNG are out of order.');
  frame.data.push(chunk.body.subarray(skip));
}

// --- the pictures ---

/** Calls back with the canvas as each frame leaves it; it is the same array every time. */
async function compose(
  animation: Animation,
  signal: AbortSignal | undefined,
  show: (canvas: Uint8Array, index: number) => void,
): Promise<void> {
  const { width, height, frames } = animation;
  const canvas = new Uint8Array(width * height * 4);
  for (const [i, frame] of frames.entries()) {
    if (signal?.aborted) throw new Problem('cancelled', { cause: signal.reason });
    const rgba = await decodeFrame(animation, frame);
    const restores = frame.dispose === DISPOSE_PREVIOUS && i > 0;
    const before = restores ? copyOf(canvas, width, frame) : undefined;
    for (let y = 0; y < frame.height; y++) {
      const row = rgba.subarray(y * frame.width * 4, (y + 1) * frame.width * 4);
      const at = ((frame.top + y) * width + frame.left) * 4;
      if (frame.blend === BLEND_OVER) blendOver(canvas.subarray(at, at + row.length), row);
      else canvas.set(row, at);
    }
    show(canvas, i);
    // What was before the first frame is a clear canvas.
    if (frame.dispose !== DISPOSE_NONE) restore(canvas, width, frame, before);
  }
}

async function decodeFrame(animation: Animation, frame: Frame): Promise<Uint8Array> {
  const header = Buffer.from(animation.header);
  header.writeUInt32BE(frame.width, 0);
  header.writeUInt32BE(frame.height, 4);
  const png = Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', header),
    ...animation.shared,
    pngChunk('IDAT', ...frame.data),
    pngChunk('IEND'),
  ]);
  return await sharp(png, { failOn: 'error', limitInputPixels: frame.width * frame.height })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer();
}

function copyOf(canvas: Uint8Array, width: number, { left, top, width: columns, height }: Area): Uint8Array {
  const copy = new Uint8Array(columns * height * 4);
  for (let y = 0; y < height; y++) {
    const at = ((top + y) * width + left) * 4;
    copy.set(canvas.subarray(at, at + columns * 4), y * columns * 4);
  }
  return copy;
}

/** Puts back what was there, or clears the area. */
function restore(canvas: Uint8Array, width: number, area: Area, before: Uint8Array | undefined): void {
  const rowBytes = area.width * 4;
  for (let y = 0; y < area.height; y++) {
    const at = ((area.top + y) * width + area.left) * 4;
    if (before) canvas.set(before.subarray(y * rowBytes, (y + 1) * rowBytes), at);
    else canvas.fill(0, at, at + rowBytes);
  }
}

/** The specification's own formula (section 13.16) for straight alpha. */
function blendOver(below: Uint8Array, above: Uint8Array): void {
  for (let at = 0; at < above.length; at += 4) {
    const alpha = above[at + 3]!;
    if (alpha === 0) continue;
    const over = alpha * 255;
    const under = (255 - alpha) * below[at + 3]!;
    const sum = over + under;
    for (let c = at; c < at + 3; c++) below[c] = Math.round((above[c]! * over + below[c]! * under) / sum);
    below[at + 3] = Math.round(sum / 255);
  }
}

/** Where code points (cICP) stand in for a profile, libvips has not converted yet. */
async function inSrgb(pixels: Pixels, { cicp, iccProfile }: Facts): Promise<Pixels> {
  const icc = cicp && !iccProfile ? iccFromCicp(cicp) : undefined;
  if (!icc) return pixels;
  const data = await pipelineOf({ ...pixels, icc })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer();
  return { ...pixels, data };
}
