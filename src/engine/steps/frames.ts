/**
 * Animations. libvips holds all frames in one tall picture and scales, crops and extends them page by page; what it
 * cannot do so (turns, smart crops, several stages) is done here on each frame by itself.
 */
import sharp, { type Sharp } from 'sharp';
import type { Source } from '../decode/open.ts';
import type { Timing } from '../encode/index.ts';
import { applyStage, stagesOf } from './pipeline.ts';
import type { Primitive } from './primitive.ts';

/** True where the primitives must be run frame by frame. */
export function isPerPage(primitives: Primitive[]): boolean {
  return (
    stagesOf(primitives).length > 1 ||
    primitives.some((p) => p.do === 'orient' || p.do === 'rotate' || p.do === 'smartcrop')
  );
}

export interface Frames {
  image: Sharp;
  timing: Timing;
}

/** A pipeline over the finished frames, with the animation's own delays and loop count. */
export async function renderFrames(source: Source, primitives: Primitive[]): Promise<Frames> {
  const { delay, loop } = await source.pipeline().metadata();
  const { data, info } = await source
    .pipeline()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, channels } = info;
  const { height } = source.stored;
  const frameBytes = width * height * channels;
  const frames: Buffer[] = [];
  let last = { width, height, channels };
  for (let page = 0; page < source.pages; page++) {
    let frame = sharp(data.subarray(page * frameBytes, (page + 1) * frameBytes), {
      raw: { width, height, channels },
    });
    for (const stage of stagesOf(primitives)) {
      const done = await applyStage(frame, stage)
        .toColourspace('srgb')
        .raw()
        .toBuffer({ resolveWithObject: true });
      last = { width: done.info.width, height: done.info.height, channels: done.info.channels };
      frame = sharp(done.data, { raw: last });
      frames[page] = done.data;
    }
  }
  const { width: w, height: h, channels: c } = last;
  const joined = sharp(Buffer.concat(frames), {
    raw: { width: w, height: h * frames.length, channels: c, pageHeight: h },
    limitInputPixels: false,
  });
  return { image: joined, timing: { ...(delay && { delay }), ...(loop !== undefined && { loop }) } };
}
