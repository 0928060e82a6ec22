/** Frames in time in memory: one below the other in one tall picture, as libvips lays them, with their timing. */
import sharp, { type Sharp } from 'sharp';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import { Reader } from '../probe/reader.ts';
import type { Facts, FrameSequence, Pixels } from '../types.ts';

/** When each frame changes, and how often all of them play. */
export interface Motion {
  /** Milliseconds that each frame stays, in its file's own precision. */
  delayMs: number[];
  /** Times that the animation plays; 0 for ever. */
  loop: number;
}

const MAX_CHUNKS = 200_000;

/**
 * Frames in time are held together: their count and their pixels in all are bounded before the first is decoded.
 * @throws Problem `too_many_frames`, `image_too_large`
 */
export function checkFrames(
  { width, height, pages }: Pick<Facts, 'width' | 'height' | 'pages'>,
  limits: Pick<Limits, 'maxFrames' | 'maxPixels'>,
): void {
  if (pages > limits.maxFrames) {
    throw new Problem('too_many_frames', {
      detail: `The animation has more than ${limits.maxFrames} frames. Ask for one with frame, or for a format without animation.`,
    });
  }
  const pixels = width * height * pages;
  if (pixels > limits.maxPixels) {
    throw new Problem('image_too_large', {
      detail: `The animation has ${Math.round(pixels / 1e6)} megapixels in ${pages} frames; at most ${Math.round(limits.maxPixels / 1e6)} are allowed.`,
    });
  }
}

/** How many frames there are. */
export const frameCount = ({ pixels, frameHeight }: FrameSequence): number =>
  Math.floor(pixels.height / frameHeight);

/** Each frame as a view into the tall picture: nothing is copied. */
export function framesOf(sequence: FrameSequence): Pixels[] {
  const { pixels, frameHeight } = sequence;
  const { data, width, channels, depth } = pixels;
  const frameBytes = width * frameHeight * channels * (depth / 8);
  return Array.from({ length: frameCount(sequence) }, (_, i) => ({
    ...pixels,
    data: data.subarray(i * frameBytes, (i + 1) * frameBytes),
    height: frameHeight,
  }));
}

/** A pipeline that knows its frames. The timing is not in it: an encoder is told. */
export function pipelineOfFrames({ pixels, frameHeight }: FrameSequence): Sharp {
  const { data, width, height, channels } = pixels;
  // A frame by itself is no page: sharp would tell its height for that of whatever is made of it.
  const pages = frameHeight < height ? { pageHeight: frameHeight } : {};
  return sharp(data, {
    raw: { width, height, channels, ...pages },
    limitInputPixels: false,
  });
}

/**
 * The timing of a GIF or WebP, as its file states it. Not libvips' word for a WebP: it reads 10 ms and less as 100,
 * which is a player's habit and not in the file.
 */
export async function readMotion(path: string, facts: Facts, signal?: AbortSignal): Promise<Motion> {
  if (facts.format === 'webp') return readWebpMotion(path, signal);
  const { delay = [], loop = 1 } = await sharp(path, { pages: -1, limitInputPixels: false }).metadata();
  return { delayMs: delay, loop };
}

/** RFC 9649: ANIM holds how often it plays, each ANMF the milliseconds of its frame. */
async function readWebpMotion(path: string, signal?: AbortSignal): Promise<Motion> {
  await using reader = await Reader.open(path, signal);
  const end = Math.min(8 + (await reader.fields(4, 4, true)).u32(0), reader.size);
  const motion: Motion = { delayMs: [], loop: 1 };
  let at = 12;
  for (let chunks = 0; at + 8 <= end && chunks < MAX_CHUNKS; chunks++) {
    const chunk = await reader.fields(at, 8, true);
    const type = chunk.ascii(0, 4);
    const length = chunk.u32(4);
    if (type === 'ANIM' && length >= 6) motion.loop = (await reader.fields(at + 12, 2, true)).u16(0);
    if (type === 'ANMF' && length >= 16) {
      motion.delayMs.push((await reader.fields(at + 20, 3, true)).u24(0));
    }
    at += 8 + length + (length & 1);
  }
  return motion;
}
