/** AVIF by libaom, 8 bits. Some 40 times the CPU of WebP at effort 4: never made unless a Plan names it. */
import type { Sharp } from 'sharp';
import { pipelineOf } from '../decode/pixels.ts';
import { rawOf } from '../steps/run.ts';
import type { Encoder } from './index.ts';

export const AVIF_MAX_SIDE_PX = 16_384;

export const avif: Encoder = (image, output) =>
  image.avif({
    quality: output.quality ?? 95,
    lossless: output.lossless ?? false,
    effort: output.effort ?? 3,
    chromaSubsampling: output.chroma ?? '4:4:4',
  });

/**
 * libvips turns an AVIF by the Orientation of the source (`irot`, `imir`), metadata or none, also where the pixels have
 * been turned since: only pixels that have left their file are written as they are.
 */
export async function withoutOrientation(image: Sharp): Promise<Sharp> {
  const { orientation = 1 } = await image.metadata();
  return orientation === 1 ? image : pipelineOf(await rawOf(image, 8));
}
