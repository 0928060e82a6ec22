/** Writes a pipeline's picture to a file, as a Plan's output says. Encoders write no metadata and no profile: sRGB. */
import { stat } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import type { NormalPlan, OutputFormat } from '../../contract/plan.ts';
import { Problem } from '../../problem.ts';
import type { Size } from '../steps/primitive.ts';
import { AVIF_MAX_SIDE_PX, avif } from './avif.ts';
import { writeBmp } from './bmp.ts';
import { gif } from './gif.ts';
import { jpeg } from './jpeg.ts';
import { png } from './png.ts';
import { tiff } from './tiff.ts';
import { WEBP_MAX_SIDE_PX, WEBP_ROBUST_EFFORT, webp } from './webp.ts';

export type Output = NormalPlan['output'];
/** Of frames that no longer carry their own. */
export interface Timing {
  /** Milliseconds that each frame stays. */
  delay?: number[];
  /** Times that the animation plays; 0 for ever. */
  loop?: number;
}
export type Encoder = (image: Sharp, output: Output, size: Size, timing: Timing) => Sharp;

const ENCODERS: Record<Exclude<OutputFormat, 'bmp'>, Encoder> = { jpeg, png, webp, avif, tiff, gif };

const MAX_SIDE_PX: Record<OutputFormat, number> = {
  jpeg: 65_500,
  png: 2_147_483_647,
  webp: WEBP_MAX_SIDE_PX,
  avif: AVIF_MAX_SIDE_PX,
  tiff: 2_147_483_647,
  gif: 65_535,
  bmp: 2_147_483_647,
};

const HAS_ALPHA: Record<OutputFormat, boolean> = {
  jpeg: false,
  png: true,
  webp: true,
  avif: true,
  tiff: true,
  gif: true,
  bmp: false,
};

/** Formats that can hold frames in time. */
export const ANIMATES: ReadonlySet<OutputFormat> = new Set(['webp', 'gif']);
/** Formats that keep 16 bits a channel. */
export const KEEPS_16_BITS: ReadonlySet<OutputFormat> = new Set(['png', 'tiff']);

export interface Encoded extends Size {
  pages: number;
  bytes: number;
}

/**
 * @param size of one page of the result, to choose settings and to refuse what the format cannot hold
 * @throws Problem `invalid_plan` where the format cannot hold the size; libvips' own errors as they come
 */
export async function encode(
  image: Sharp,
  output: Output,
  size: Size,
  path: string,
  timing: Timing = {},
): Promise<Encoded> {
  const { format } = output;
  if (Math.max(size.width, size.height) > MAX_SIDE_PX[format]) {
    throw new Problem('invalid_plan', {
      detail: `${format.toUpperCase()} holds at most ${MAX_SIDE_PX[format]} px a side; this result would be ${size.width}×${size.height}. Resize it, or choose PNG or TIFF.`,
      errors: [{ path: 'output.format', message: `cannot hold ${size.width}×${size.height} px` }],
    });
  }
  const opaque = HAS_ALPHA[format] ? image : image.flatten({ background: output.background ?? '#ffffff' });
  if (format === 'bmp') {
    await writeBmp(opaque, path);
    return { ...size, pages: 1, bytes: (await stat(path)).size };
  }
  const save = (effort?: number) =>
    ENCODERS[format](
      opaque.clone(),
      effort === undefined ? output : { ...output, effort },
      size,
      timing,
    ).toFile(path);
  const info = await save().catch((error: Error) => {
    if (!/webpsave: unable to encode/.test(error.message)) throw error;
    return save(WEBP_ROBUST_EFFORT).catch((cause: Error) => {
      throw new Problem('invalid_plan', {
        detail: `WebP cannot hold this picture of ${size.width}×${size.height} px at quality ${output.quality}. Lower the quality or the size, or choose another format.`,
        errors: [{ path: 'output.quality', message: 'too high for this picture as WebP' }],
        cause,
      });
    });
  });
  return {
    width: info.width,
    height: info.pageHeight ?? info.height,
    pages: info.pages ?? 1,
    bytes: info.size,
  };
}
