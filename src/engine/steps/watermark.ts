/**
 * `watermark`: lays an image or a text over the picture.
 *
 * The mark is `scale` of the picture's width wide, less where it would not fit between the margins, which are at most a
 * quarter of each side. `gravity` says where it stands; with `tile` it is repeated all over, every second row moved by
 * half a step, with twice the margin between. Levels are mixed as they are, in sRGB, `opacity` times the mark's own.
 * The picture keeps its depth, and its transparency where no mark covers it; a grey one becomes RGB under a coloured
 * mark.
 */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Pixels } from '../types.ts';
import { withChannels } from './colorspace.ts';
import { type Position, placed } from './gravity.ts';
import type { PixelStep, StepContext } from './pixel-step.ts';
import type { Size } from './primitive.ts';
import { fullScale, hasAlpha, pixelsOf, type Samples, samplesOf } from './samples.ts';
import { imageMark } from './watermark-image.ts';
import { textMark } from './watermark-text.ts';

type Watermark = Extract<NormalOperation, { op: 'watermark' }>;

/** What the mark may be: so wide, unless it would then be higher than the box. */
export interface MarkBox {
  widthPx: number;
  box: Size;
}

/**
 * @throws Problem `invalid_plan` where the image is not at hand or the text has nothing to draw; what `probe` and
 * `openSource` throw of the image
 */
export const watermark: PixelStep<'watermark'> = async (pixels, op, context) => {
  const marginX = marginOf(op.margin, pixels.width);
  const marginY = marginOf(op.margin, pixels.height);
  const box = { width: pixels.width - 2 * marginX, height: pixels.height - 2 * marginY };
  const room: MarkBox = {
    widthPx: Math.max(1, Math.min(box.width, Math.round(pixels.width * op.scale))),
    box,
  };
  const mark = await markOf(op, room, context);
  const onto =
    pixels.channels <= 2 && hasColor(mark) ? withChannels(pixels, pixels.channels === 1 ? 3 : 4) : pixels;
  const samples = samplesOf(onto);
  if (op.tile) {
    const gaps = { width: 2 * marginX, height: 2 * marginY };
    for (const at of tiles(onto, mark, gaps)) blend(onto, samples, mark, at, op.opacity);
  } else {
    const { left, top } = placed(box, mark, op.gravity);
    blend(onto, samples, mark, { left: marginX + left, top: marginY + top }, op.opacity);
  }
  return pixelsOf(onto, samples, onto.channels);
};

/** Of a job: the frames of an animation are many, their mark is one. */
const marks = new WeakMap<StepContext, Map<string, Promise<Pixels>>>();

function markOf(op: Watermark, room: MarkBox, context: StepContext): Promise<Pixels> {
  const known = marks.get(context) ?? new Map<string, Promise<Pixels>>();
  marks.set(context, known);
  const { image = '', text, color = '#ffffff' } = op;
  const key = JSON.stringify([image, text, color, room]);
  const mark =
    known.get(key) ?? (text === undefined ? imageMark(image, room, context) : textMark(text, color, room));
  known.set(key, mark);
  return mark;
}

/** A mark must stay visible on a picture that is smaller than two margins. */
const marginOf = (margin: number, side: number): number => Math.min(margin, Math.floor(side / 4));

/** From the top left corner; the last of a row and the first of a moved one are cut by the edge. */
function* tiles(whole: Size, mark: Size, gaps: Size): Generator<Position> {
  const stepX = mark.width + gaps.width;
  const stepY = mark.height + gaps.height;
  let moved = false;
  for (let top = gaps.height >> 1; top < whole.height; top += stepY) {
    const start = (gaps.width >> 1) - (moved ? stepX >> 1 : 0);
    for (let left = start; left < whole.width; left += stepX) yield { left, top };
    moved = !moved;
  }
}

function hasColor({ data }: Pixels): boolean {
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] && (data[i] !== data[i + 1] || data[i] !== data[i + 2])) return true;
  }
  return false;
}

/**
 * Source over destination, neither premultiplied, as Porter and Duff have it. Writes into `samples`, which are those of `pixels`.
 * @param mark RGBA of 8 bits; what lies outside of the picture is left out
 */
function blend(pixels: Pixels, samples: Samples, mark: Pixels, at: Position, opacity: number): void {
  const { channels } = pixels;
  const full = fullScale(pixels);
  const alphaAt = hasAlpha(pixels) ? channels - 1 : -1;
  const colors = alphaAt < 0 ? channels : alphaAt;
  const unit = full / 255;
  const right = Math.min(pixels.width, at.left + mark.width);
  const bottom = Math.min(pixels.height, at.top + mark.height);
  for (let y = Math.max(0, at.top); y < bottom; y++) {
    for (let x = Math.max(0, at.left); x < right; x++) {
      const from = ((y - at.top) * mark.width + (x - at.left)) * 4;
      const over = (mark.data[from + 3]! * opacity) / 255;
      if (over === 0) continue;
      const to = (y * pixels.width + x) * channels;
      const below = alphaAt < 0 ? 1 : samples[to + alphaAt]! / full;
      const sum = over + below * (1 - over);
      const part = over / sum;
      for (let c = 0; c < colors; c++) {
        const level = mark.data[from + c]! * unit;
        samples[to + c] = Math.round(samples[to + c]! + (level - samples[to + c]!) * part);
      }
      if (alphaAt >= 0) samples[to + alphaAt] = Math.round(sum * full);
    }
  }
}
