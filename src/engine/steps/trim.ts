/**
 * `trim`: cuts off the border. A pixel belongs to it where it is transparent, or where each of its channels is at most
 * `threshold` (of 0–255) away from the background's: that of `background`, else of the top left pixel. The result is
 * the smallest rectangle that holds every other pixel. A picture that is nothing but border stays as it is: a Plan
 * never makes a picture of no pixels.
 */
import type { HexColor } from '../../contract/plan.ts';
import type { Pixels } from '../types.ts';
import type { PixelStep } from './pixel-step.ts';
import { colorOf, fullScale, hasAlpha, samplesOf } from './samples.ts';

export const trim: PixelStep<'trim'> = async (pixels, op) => {
  const box = contentOf(pixels, op.threshold, op.background);
  return box ? extract(pixels, box) : pixels;
};

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The rectangle without its border; undefined where there is nothing else. */
export function contentOf(pixels: Pixels, threshold: number, background?: HexColor): Box | undefined {
  const { width, height } = pixels;
  const isBorder = borderTest(pixels, threshold, background);
  const isBorderRow = (y: number) => {
    for (let x = 0; x < width; x++) if (!isBorder(x, y)) return false;
    return true;
  };
  let top = 0;
  while (top < height && isBorderRow(top)) top++;
  if (top === height) return undefined;
  let bottom = height - 1;
  while (isBorderRow(bottom)) bottom--;
  let left = width;
  let right = -1;
  for (let y = top; y <= bottom; y++) {
    for (let x = 0; x < left; x++) if (!isBorder(x, y)) left = x;
    for (let x = width - 1; x > right; x--) if (!isBorder(x, y)) right = x;
  }
  return { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function borderTest(pixels: Pixels, threshold: number, background: HexColor | undefined) {
  const { width, channels } = pixels;
  const samples = samplesOf(pixels);
  const full = fullScale(pixels);
  const reach = (threshold * full) / 255;
  const ground = background
    ? levelsOf(background, channels, full)
    : Array.from(samples.subarray(0, channels));
  const alphaAt = hasAlpha(pixels) ? channels - 1 : -1;
  return (x: number, y: number): boolean => {
    const at = (y * width + x) * channels;
    if (alphaAt >= 0 && samples[at + alphaAt]! <= reach) return true;
    for (let c = 0; c < channels; c++) {
      if (Math.abs(samples[at + c]! - ground[c]!) > reach) return false;
    }
    return true;
  };
}

/** A colour as a picture of so many channels has it; on a grey one no colour but a grey is ever met. */
function levelsOf(background: HexColor, channels: number, full: number): number[] {
  const { red, green, blue, alpha } = colorOf(background);
  const levels = channels >= 3 ? [red, green, blue] : [red === green && green === blue ? red : Infinity];
  if (channels % 2 === 0) levels.push(alpha);
  return levels.map((level) => (level * full) / 255);
}

function extract(pixels: Pixels, { left, top, width, height }: Box): Pixels {
  if (width === pixels.width && height === pixels.height) return pixels;
  const pixelBytes = (pixels.channels * pixels.depth) / 8;
  const data = new Uint8Array(width * height * pixelBytes);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * pixels.width + left) * pixelBytes;
    data.set(pixels.data.subarray(start, start + width * pixelBytes), y * width * pixelBytes);
  }
  return { ...pixels, data, width, height };
}
