/** Finds faces, to keep them in a crop: who they are is nobody's business here. */
import { pipelineOf } from '../decode/pixels.ts';
import { withOpenCv } from '../opencv/scope.ts';
import type { Size } from '../steps/primitive.ts';
import type { Pixels } from '../types.ts';
import { type Face, merged } from './decode.ts';
import { lookAt, type ModelName, sideOf } from './models.ts';

/** The long side of what is looked at. The models see 192 px; four views side by side see no more than this. */
const SIDE_PX = 640;
/** A face that fills so much of the long side is what the picture is about; beside a smaller one may be more. */
const MAIN_FACE = 0.15;
/** Leaves and stones get a little more than half; beside a face that is certain, such a score is another one. */
const CERTAIN = 0.6;
/** Views of a panorama. */
const MAX_COLUMNS = 6;
/** Neighbours overlap by so much of their distance, so that no face is cut by both. */
const OVERLAP = 0.2;

/** The smallest size with the aspect of `from` that has room for `needed`, and detail enough to find faces. */
export function enoughForFaces(needed: Size, from: Size): Size {
  const factor = Math.min(1, SIDE_PX / Math.max(from.width, from.height));
  return {
    width: Math.max(needed.width, Math.round(from.width * factor)),
    height: Math.max(needed.height, Math.round(from.height * factor)),
  };
}

/**
 * Faces from some 5 % of the long side on, turned to the camera or half aside; coordinates are parts of the width and
 * height. The whole picture is looked at, by both models; where that shows no large face, four or more parts of it are.
 * Takes 0.15 s of CPU where a large face is found, 0.35 s where none is, and 0.2 s once for the models.
 */
export async function detectFaces(pixels: Pixels, signal?: AbortSignal): Promise<Face[]> {
  const whole: View = { x: 0, y: 0, width: 1, height: 1 };
  const faces = [...(await look(pixels, whole, 'short')), ...(await look(pixels, whole, 'full'))];
  const longSide = Math.max(pixels.width, pixels.height);
  if (!faces.some((face) => face.width * pixels.width >= MAIN_FACE * longSide)) {
    for (const part of partsOf(pixels)) {
      signal?.throwIfAborted();
      faces.push(...(await look(pixels, part, 'full')));
    }
  }
  return faces.some(({ score }) => score >= CERTAIN) ? merged(faces) : [];
}

/** A part of the picture, in parts of its sides. */
type View = Omit<Face, 'score'>;

/** Overlapping parts: two by two, more along the long side of a panorama. */
export function partsOf({ width, height }: Size): View[] {
  const along = (side: number, other: number) => Math.min(MAX_COLUMNS, Math.max(2, Math.round(side / other)));
  const columns = along(width, height);
  const rows = along(height, width);
  const w = (1 + OVERLAP) / columns;
  const h = (1 + OVERLAP) / rows;
  return Array.from({ length: columns * rows }, (_, i) => ({
    x: ((i % columns) / (columns - 1)) * (1 - w),
    y: (Math.floor(i / columns) / (rows - 1)) * (1 - h),
    width: w,
    height: h,
  }));
}

async function look(pixels: Pixels, view: View, model: ModelName): Promise<Face[]> {
  const { width, height } = pixels;
  const left = Math.min(width - 1, Math.floor(view.x * width));
  const top = Math.min(height - 1, Math.floor(view.y * height));
  const area = {
    left,
    top,
    width: Math.max(1, Math.min(width - left, Math.round(view.width * width))),
    height: Math.max(1, Math.min(height - top, Math.round(view.height * height))),
  };
  const side = sideOf(model);
  // Bars to the right and below: what the model says is then a factor away from what is meant.
  const rgb = await pipelineOf(pixels)
    .extract(area)
    .flatten({ background: '#ffffff' })
    .resize(side, side, { fit: 'contain', position: 'left top', background: '#000000' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer();
  const seen = await withOpenCv((cv, own) => lookAt(cv, own, rgb, model));
  const longSide = Math.max(area.width, area.height);
  return seen.map((face) => ({
    x: (area.left + face.x * longSide) / width,
    y: (area.top + face.y * longSide) / height,
    width: (face.width * longSide) / width,
    height: (face.height * longSide) / height,
    score: face.score,
  }));
}
