/** The small copy of a picture that is analysed, and the planes of numbers that the analysis makes of it. */
import { pipelineOf } from '../decode/pixels.ts';
import type { Pixels } from '../types.ts';

/** Interleaved opaque RGB, 8 bits a channel, no padding. */
export interface Picture {
  width: number;
  height: number;
  rgb: Uint8Array;
}

/** One number a pixel, row by row. */
export type Plane = Float32Array;

/** One flag a pixel: 0 or 1. */
export type Mask = Uint8Array;

/** The size that fits `maxSide`, at least 1 px a side; never larger than the picture. */
export function sizeWithin(
  width: number,
  height: number,
  maxSide: number,
): { width: number; height: number } {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/**
 * Transparent pixels are laid on black or white, whichever the opaque ones are further from: what is seen through
 * must look like a background.
 */
export async function smallPicture(pixels: Pixels, maxSide: number): Promise<Picture> {
  const { width, height } = sizeWithin(pixels.width, pixels.height, maxSide);
  const { icc: _, ...plain } = pixels;
  const { data, info } = await pipelineOf(plain)
    .resize(width, height, { fit: 'fill', kernel: 'linear' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { width, height, rgb: info.channels === 3 ? data : opaque(data, info.channels) };
}

function opaque(data: Uint8Array, channels: number): Uint8Array {
  const alphaAt = channels === 2 ? 1 : channels === 4 ? 3 : -1;
  const [green, blue] = channels >= 3 ? [1, 2] : [0, 0];
  let light = 0;
  let weight = 0;
  for (let i = 0; alphaAt >= 0 && i < data.length; i += channels) {
    light += data[i + green]! * data[i + alphaAt]!;
    weight += data[i + alphaAt]!;
  }
  const ground = light > 127 * weight ? 0 : 255;
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0, o = 0; i < data.length; i += channels, o += 3) {
    const a = alphaAt < 0 ? 1 : data[i + alphaAt]! / 255;
    rgb[o] = data[i]! * a + ground * (1 - a) + 0.5;
    rgb[o + 1] = data[i + green]! * a + ground * (1 - a) + 0.5;
    rgb[o + 2] = data[i + blue]! * a + ground * (1 - a) + 0.5;
  }
  return rgb;
}

/** Bilinear, centres on centres. */
export function scalePlane(
  from: Plane,
  fromWidth: number,
  fromHeight: number,
  width: number,
  height: number,
): Plane {
  const out = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const v = Math.min(fromHeight - 1, Math.max(0, ((y + 0.5) * fromHeight) / height - 0.5));
    const top = Math.floor(v);
    const bottom = Math.min(fromHeight - 1, top + 1);
    const fy = v - top;
    for (let x = 0; x < width; x++) {
      const u = Math.min(fromWidth - 1, Math.max(0, ((x + 0.5) * fromWidth) / width - 0.5));
      const left = Math.floor(u);
      const right = Math.min(fromWidth - 1, left + 1);
      const fx = u - left;
      const above = from[top * fromWidth + left]! * (1 - fx) + from[top * fromWidth + right]! * fx;
      const below = from[bottom * fromWidth + left]! * (1 - fx) + from[bottom * fromWidth + right]! * fx;
      out[y * width + x] = above * (1 - fy) + below * fy;
    }
  }
  return out;
}

/** Mean over a square window of `2 * radius + 1`, cut at the borders; in place of a Gaussian. O(1) a pixel. */
export function boxMean(from: Plane, width: number, height: number, radius: number): Plane {
  const rows = new Float32Array(from.length);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let sum = 0;
    for (let x = 0; x < Math.min(radius, width); x++) sum += from[row + x]!;
    for (let x = 0; x < width; x++) {
      if (x + radius < width) sum += from[row + x + radius]!;
      if (x - radius - 1 >= 0) sum -= from[row + x - radius - 1]!;
      rows[row + x] = sum / (Math.min(width - 1, x + radius) - Math.max(0, x - radius) + 1);
    }
  }
  const out = new Float32Array(from.length);
  const sums = new Float64Array(width);
  for (let y = 0; y < Math.min(radius, height); y++) {
    for (let x = 0; x < width; x++) sums[x]! += rows[y * width + x]!;
  }
  for (let y = 0; y < height; y++) {
    const count = Math.min(height - 1, y + radius) - Math.max(0, y - radius) + 1;
    const entering = y + radius < height ? (y + radius) * width : -1;
    const leaving = y - radius - 1 >= 0 ? (y - radius - 1) * width : -1;
    for (let x = 0; x < width; x++) {
      if (entering >= 0) sums[x]! += rows[entering + x]!;
      if (leaving >= 0) sums[x]! -= rows[leaving + x]!;
      out[y * width + x] = sums[x]! / count;
    }
  }
  return out;
}

/** The picture, slightly blurred (a triangle of 5 px): colours without the noise of the sensor. */
export function softened(picture: Picture): Picture {
  const { width, height, rgb } = picture;
  const soft = new Uint8Array(rgb.length);
  const plane = new Float32Array(width * height);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < plane.length; i++) plane[i] = rgb[i * 3 + c]!;
    const mean = boxMean(boxMean(plane, width, height, 1), width, height, 1);
    for (let i = 0; i < plane.length; i++) soft[i * 3 + c] = mean[i]! + 0.5;
  }
  return { width, height, rgb: soft };
}

/** The value below which `share` of the values lie. */
export function quantile(values: ArrayLike<number>, share: number): number {
  if (values.length === 0) return 0;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
