/** Writes a pipeline's picture to a file, as a Plan's output says. Encoders write no metadata and no profile: sRGB. */
import { stat, writeFile } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import type { NormalPlan, OutputFormat } from '../../contract/plan.ts';
import { FORMAT_NAMES } from '../../contract/plan-formats.ts';
import { Problem } from '../../problem.ts';
import type { Size } from '../steps/primitive.ts';
import { rawOf } from '../steps/run.ts';
import { vectorize } from '../vectorize/index.ts';
import { writeApng } from './apng.ts';
import { AVIF_MAX_SIDE_PX, avif, withoutOrientation } from './avif.ts';
import { type BmpDepth, writeBmp } from './bmp.ts';
import { gif } from './gif.ts';
import { jpeg } from './jpeg.ts';
import { png } from './png.ts';
import { tiff } from './tiff.ts';
import { setUpright } from './tiff-orientation.ts';
import { schedule } from './timing.ts';
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

type ByLibvips = Exclude<OutputFormat, 'bmp' | 'svg' | 'apng'>;

const ENCODERS: Record<ByLibvips, Encoder> = { jpeg, png, webp, avif, tiff, gif };

const MAX_SIDE_PX: Record<OutputFormat, number> = {
  jpeg: 65_500,
  png: 2_147_483_647,
  webp: WEBP_MAX_SIDE_PX,
  avif: AVIF_MAX_SIDE_PX,
  tiff: 2_147_483_647,
  gif: 65_535,
  bmp: 2_147_483_647,
  apng: 2_147_483_647,
  svg: 2_147_483_647,
};

export interface Encoded extends Size {
  pages: number;
  bytes: number;
}

export interface EncodeOptions {
  /** Of one page of the result, to choose settings and to refuse what the format cannot hold. */
  size: Size;
  /** Frames that lie one below the other; 1 when absent. */
  frames?: number;
  timing?: Timing;
  signal?: AbortSignal;
}

/** @throws Problem `invalid_plan` where the format cannot hold the size; libvips' own errors as they come */
export async function encode(
  image: Sharp,
  { operations, output }: NormalPlan,
  path: string,
  { size, frames = 1, timing = {}, signal }: EncodeOptions,
): Promise<Encoded> {
  const { format } = output;
  if (Math.max(size.width, size.height) > MAX_SIDE_PX[format]) {
    throw new Problem('invalid_plan', {
      detail: `${FORMAT_NAMES[format]} holds at most ${MAX_SIDE_PX[format]} px a side; this result would be ${size.width}×${size.height}. Resize it, or choose PNG or TIFF.`,
      errors: [{ path: 'output.format', message: `cannot hold ${size.width}×${size.height} px` }],
    });
  }
  // The normal form names a background where transparency cannot be written.
  const opaque = output.background === undefined ? image : image.flatten({ background: output.background });
  const { width, height } = size;
  const written = async (pages = 1) => ({ width, height, pages, bytes: (await stat(path)).size });
  if (format === 'bmp') {
    await writeBmp(opaque, path, output.depth as BmpDepth | undefined);
    return written();
  }
  if (format === 'svg') {
    const last = operations.at(-1);
    if (last?.op !== 'vectorize') throw new TypeError('only what is vectorised is written as SVG');
    await writeFile(path, await vectorize(await rawOf(opaque, 8), last, { ...(signal && { signal }) }));
    return written();
  }
  if (format === 'apng' || (format === 'png' && frames > 1)) {
    return written(await writeApng(opaque, height, output, path, timing));
  }
  const free = format === 'avif' ? await withoutOrientation(opaque) : opaque;
  return encodeByLibvips(free, { ...output, format }, size, path, timing);
}

async function encodeByLibvips(
  image: Sharp,
  output: Output & { format: ByLibvips },
  size: Size,
  path: string,
  timing: Timing,
): Promise<Encoded> {
  const { format } = output;
  const { given, correct } =
    format === 'gif' || format === 'webp' ? schedule(format, timing) : { given: {}, correct: async () => {} };
  const save = (effort?: number) =>
    ENCODERS[format](
      image.clone(),
      effort === undefined ? output : { ...output, effort },
      size,
      given,
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
  await correct(path);
  if (format === 'tiff') await setUpright(path);
  return {
    width: info.width,
    height: info.pageHeight ?? info.height,
    pages: info.pages ?? 1,
    bytes: info.size,
  };
}
