/** Primitives on pixels that lie in memory. */
import type { Sharp } from 'sharp';
import { pipelineOf } from '../decode/pixels.ts';
import type { Pixels } from '../types.ts';
import { applyStage, stagesOf } from './pipeline.ts';
import type { Primitive } from './primitive.ts';

/** @param pixels in sRGB; what comes out is RGB or RGBA */
export async function runOn(pixels: Pixels, primitives: Primitive[]): Promise<Pixels> {
  let at = pixels;
  for (const stage of stagesOf(primitives, pixels.channels <= 2)) {
    at = await rawOf(applyStage(pipelineOf(at), stage), at.depth);
  }
  return at;
}

/** A pipeline's result as RGB or RGBA. */
export async function rawOf(image: Sharp, depth: 8 | 16): Promise<Pixels> {
  const { data, info } = await image
    .toColourspace(depth === 16 ? 'rgb16' : 'srgb')
    .raw({ depth: depth === 16 ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return {
    data,
    width: info.width,
    height: info.height,
    channels: info.channels as Pixels['channels'],
    depth,
  };
}
