/** One Plan on one picture: from the opened source to a pipeline that an encoder pulls. */
import type { Sharp } from 'sharp';
import type { NormalPlan } from '../contract/plan.ts';
import type { Source } from './decode/open.ts';
import { pipelineOf } from './decode/pixels.ts';
import { endsGray } from './steps/gray.ts';
import { type Layout, layoutStream, pixelStep } from './steps/index.ts';
import { applyStage, delayOrient, stagesOf } from './steps/pipeline.ts';
import type { StepContext } from './steps/pixel-step.ts';
import type { Primitive, Size } from './steps/primitive.ts';
import { runOn } from './steps/run.ts';
import type { Facts, Pixels } from './types.ts';

/** A Plan, laid out for the picture that it is for. */
export interface Job extends Layout {
  index: number;
  plan: NormalPlan;
}

export interface Picture {
  /** The last stage is left open. */
  image: Sharp;
  size: Size;
}

/** Runs a job over a still. */
export async function paint(source: Source, job: Job, context: StepContext): Promise<Picture> {
  const deep = isDeep(job, source.facts);
  const streamed = await stream(source, job.primitives, deep);
  if (job.rest.length === 0) {
    const plain = job.plan.operations.length === 0 && !isWidened(job, source.facts);
    return { image: plain ? streamed : await ending(streamed, job, deep ? 16 : 8), size: job.size };
  }
  const pixels = await paintRest(await toPixels(streamed, deep ? 16 : 8), job, context);
  return { image: await ending(pipelineOf(pixels), job, pixels.depth), size: pixels };
}

/** A frame of an animation. */
export async function paintFrame(frame: Pixels, job: Job, context: StepContext): Promise<Pixels> {
  return paintRest(await runOn(frame, job.primitives), job, context);
}

async function paintRest(pixels: Pixels, { rest }: Job, context: StepContext): Promise<Pixels> {
  let at = pixels;
  for (const part of rest) {
    context.signal?.throwIfAborted();
    at =
      'pixels' in part
        ? await (await pixelStep(part.pixels))(at, part.pixels as never, context)
        : await runOn(at, layoutStream(part.stream, at).primitives);
  }
  return at;
}

/** The source after these primitives, in sRGB; the last stage is left open. */
export async function stream(source: Source, primitives: Primitive[], deep: boolean): Promise<Sharp> {
  const stages = stagesOf(delayOrient(primitives, source.stored), source.facts.colorSpace === 'gray');
  let image = source.pipeline();
  if (source.wide && primitives.some((primitive) => 'background' in primitive)) {
    // A background is given in sRGB.
    image = pipelineOf(await toPixels(inSrgb(image, source, deep), deep ? 16 : 8));
    source = { ...source, wide: false };
  }
  for (const [i, stage] of stages.entries()) {
    image = applyStage(image, stage);
    if (i < stages.length - 1) image = pipelineOf(await toPixels(inSrgb(image, source, deep), deep ? 16 : 8));
  }
  // Between two stages the pixels have left their profile behind.
  return stages.length > 1 ? image.toColourspace(deep ? 'rgb16' : 'srgb') : inSrgb(image, source, deep);
}

export async function toPixels(image: Sharp, depth: 8 | 16 = 8): Promise<Pixels> {
  const { data, info } = await image
    .raw({ depth: depth === 16 ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels, depth };
}

/**
 * libvips converts any profile to sRGB by itself, but processes 16-bit RGB that has one in Display P3: there the
 * step to sRGB must be asked for, or the picture comes out dull.
 */
export function inSrgb(image: Sharp, source: Source, deep: boolean): Sharp {
  const srgb = source.wide ? image.withIccProfile('srgb', { attach: false }) : image;
  return srgb.toColourspace(deep ? 'rgb16' : 'srgb');
}

/** Sixteen bits a channel all the way. */
export const isDeep = ({ plan }: Job, facts: Facts): boolean =>
  facts.bitDepth > 8 && holds16Bits(plan) && (plan.output.depth ?? 16) === 16;

/** Eight bits a channel that are to be written as sixteen. */
export const isWidened = (job: Job, facts: Facts): boolean =>
  holds16Bits(job.plan) && job.plan.output.depth === 16 && !isDeep(job, facts);

const holds16Bits = ({ output }: NormalPlan): boolean => output.format === 'png' || output.format === 'tiff';

/** With one channel where no colour is left, and as many bits as were asked for. */
export async function ending(image: Sharp, { plan }: Job, depth: 8 | 16): Promise<Sharp> {
  const gray = endsGray(plan);
  const widen = depth === 8 && holds16Bits(plan) && plan.output.depth === 16;
  if (!gray && !widen) return image;
  // First out of what the source needs to become sRGB: one conversion cannot do both.
  const pixels = await toPixels(image, depth);
  const deep = depth === 16 || widen;
  return pipelineOf(widen ? widened(pixels) : pixels).toColourspace(
    gray ? (deep ? 'grey16' : 'b-w') : deep ? 'rgb16' : 'srgb',
  );
}

/** Full scale stays full scale: libvips multiplies by 256, and white would be a little grey. */
function widened(pixels: Pixels): Pixels {
  const { data } = pixels;
  const samples = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) samples[i] = data[i]! * 257;
  return { ...pixels, data: new Uint8Array(samples.buffer), depth: 16 };
}
