/**
 * Animations. libvips holds all frames in one tall picture; what looks at a pixel's neighbours (a scale, a blur), or
 * turns the picture, would mix the last rows of one frame with the first rows of the next, so that it is done here on
 * each frame by itself.
 */
import type { Sharp } from 'sharp';
import { Problem } from '../../problem.ts';
import { framesOf, type Motion, pipelineOfFrames } from '../decode/motion.ts';
import type { Source } from '../decode/open.ts';
import type { FrameSequence, Pixels } from '../types.ts';
import { stagesOf } from './pipeline.ts';
import type { Primitive, Size } from './primitive.ts';

/** What libvips does page by page. */
const TALL: ReadonlySet<Primitive['do']> = new Set(['extract', 'extend']);

/** True where the primitives must be run frame by frame. */
export function isPerPage(primitives: Primitive[]): boolean {
  return stagesOf(primitives).length > 1 || primitives.some((p) => !TALL.has(p.do));
}

/** One frame's work. The frame is nobody else's: it may be written over. */
export type FrameWork = (frame: Pixels, index: number) => Promise<Pixels>;

export interface Frames {
  image: Sharp;
  /** Of one frame. */
  size: Size;
}

/**
 * A pipeline over the finished frames of a source; their timing stays the source's.
 * @throws Problem as `mapFrames`
 */
export async function renderFrames(source: Source, work: FrameWork, signal?: AbortSignal): Promise<Frames> {
  const motion = source.motion ?? { delayMs: [], loop: 0 };
  const sequence = await toSequence(source.pipeline(), source.stored.height, motion);
  const done = await mapFrames(sequence, work, signal);
  return { image: pipelineOfFrames(done), size: { width: done.pixels.width, height: done.frameHeight } };
}

/** All frames of a pipeline that gives them one below the other, in 8-bit sRGB. */
export async function toSequence(image: Sharp, frameHeight: number, motion: Motion): Promise<FrameSequence> {
  const { data, info } = await image
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return { pixels: { data, width, height, channels, depth: 8 }, frameHeight, ...motion };
}

/**
 * Every frame by itself through `work`, with the timing as it was.
 * @throws Problem `invalid_plan` where the results differ in size: an animation has one canvas; `cancelled`
 */
export async function mapFrames(
  sequence: FrameSequence,
  work: FrameWork,
  signal?: AbortSignal,
): Promise<FrameSequence> {
  const frames = framesOf(sequence);
  let first: Pixels | undefined;
  let data = new Uint8Array();
  for (const [index, frame] of frames.entries()) {
    if (signal?.aborted) throw new Problem('cancelled', { cause: signal.reason });
    const done = await work(frame, index);
    if (!first) {
      first = done;
      data = new Uint8Array(done.data.byteLength * frames.length);
    }
    checkAlike(done, first);
    data.set(done.data, index * first.data.byteLength);
  }
  if (!first) return sequence;
  const pixels = { ...first, data, height: first.height * frames.length };
  return { ...sequence, pixels, frameHeight: first.height };
}

function checkAlike(frame: Pixels, first: Pixels): void {
  if (frame.width !== first.width || frame.height !== first.height) {
    throw new Problem('invalid_plan', {
      detail: `The frames of an animation must stay of one size; the first would be ${first.width}×${first.height} px, another ${frame.width}×${frame.height}. Ask for one with frame.`,
    });
  }
  if (frame.channels !== first.channels || frame.depth !== first.depth) {
    throw new TypeError(`frames of ${first.channels} and ${frame.channels} channels cannot be joined`);
  }
}
