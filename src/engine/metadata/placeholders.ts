/** Small stand-ins for a picture, to show before it arrives. */
import { encode as encodeBlurHash } from 'blurhash';
import { rgbaToThumbHash } from 'thumbhash';
import type { Pixels, Placeholders } from '../types.ts';

const BLURHASH_COMPONENTS = { x: 4, y: 3 } as const;
/** ThumbHash takes no larger picture; a larger one would cost more and say no more. */
const MAX_SIDE_PX = 100;
/** Colours are counted in cubes of 32 levels a side: 8 × 8 × 8 bins. */
const BIN_SHIFT = 5;

/**
 * Placeholders of a small picture in sRGB.
 * - Dominant colour: see {@link dominantColor}.
 * - ThumbHash keeps transparency; BlurHash has none and is made over white.
 * @param pixels at most 100 × 100
 * @throws RangeError for a larger picture
 */
export function placeholders(pixels: Pixels): Placeholders {
  const { width, height } = pixels;
  if (width > MAX_SIDE_PX || height > MAX_SIDE_PX) {
    throw new RangeError(`expected at most ${MAX_SIDE_PX} × ${MAX_SIDE_PX} px, got ${width} × ${height}`);
  }
  const rgba = toRgba(pixels);
  return {
    dominantColor: dominantColor(rgba),
    thumbhash: Buffer.from(rgbaToThumbHash(width, height, rgba)).toString('base64'),
    blurhash: encodeBlurHash(overWhite(rgba), width, height, BLURHASH_COMPONENTS.x, BLURHASH_COMPONENTS.y),
  };
}

/**
 * The colour that covers most of the picture, as `#rrggbb`: pixels are counted in an 8 × 8 × 8 cube of RGB, each
 * by its opacity; the cube wins that is the fullest together with its six neighbours, so that a colour on the edge
 * between two cubes counts as one; the answer is the mean of the pixels in those seven. Unlike the mean of the whole picture this
 * is a colour that is there: a red and green picture does not come out brown. A fully transparent picture has none
 * and answers `#ffffff`, what it looks like on a white page.
 */
export function dominantColor(rgba: Uint8Array): string {
  const side = 256 >> BIN_SHIFT;
  // Weight and weighted sums of red, green and blue for each bin.
  const bins = new Float64Array(side ** 3 * 4);
  for (let i = 0; i + 3 < rgba.length; i += 4) {
    const [r, g, b, weight] = [rgba[i] ?? 0, rgba[i + 1] ?? 0, rgba[i + 2] ?? 0, rgba[i + 3] ?? 0];
    const at = (((r >> BIN_SHIFT) * side + (g >> BIN_SHIFT)) * side + (b >> BIN_SHIFT)) * 4;
    bins[at]! += weight;
    bins[at + 1]! += r * weight;
    bins[at + 2]! += g * weight;
    bins[at + 3]! += b * weight;
  }
  let best = new Float64Array(4);
  const sum = new Float64Array(4);
  for (let r = 0; r < side; r++) {
    for (let g = 0; g < side; g++) {
      for (let b = 0; b < side; b++) {
        const at = ((r * side + g) * side + b) * 4;
        if (bins[at] === 0) continue;
        sum.set(bins.subarray(at, at + 4));
        for (const [dr, dg, db] of NEIGHBOURS) {
          const [nr, ng, nb] = [r + dr, g + dg, b + db];
          if (Math.min(nr, ng, nb) < 0 || Math.max(nr, ng, nb) >= side) continue;
          const near = ((nr * side + ng) * side + nb) * 4;
          for (let k = 0; k < 4; k++) sum[k]! += bins[near + k]!;
        }
        if (sum[0]! > best[0]!) best = sum.slice();
      }
    }
  }
  const [weight, ...sums] = best as unknown as [number, number, number, number];
  if (weight === 0) return '#ffffff';
  return `#${sums.map((s) => hexByte(s / weight)).join('')}`;
}

const NEIGHBOURS = [
  [-1, 0, 0],
  [1, 0, 0],
  [0, -1, 0],
  [0, 1, 0],
  [0, 0, -1],
  [0, 0, 1],
] as const;

const hexByte = (value: number): string => Math.round(value).toString(16).padStart(2, '0');

/** 8-bit RGBA of grey, grey with alpha, RGB or RGBA at 8 or 16 bits. */
function toRgba({ data, width, height, channels, depth }: Pixels): Uint8Array {
  // slice() because a view of 16-bit samples has to start at an even offset.
  const samples = depth === 16 ? new Uint16Array(data.slice().buffer) : data;
  const shift = depth - 8;
  const hasAlpha = channels === 2 || channels === 4;
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  const rgba = new Uint8Array(width * height * 4);
  for (let i = 0, o = 0; o < rgba.length; i += channels, o += 4) {
    rgba[o] = samples[i]! >> shift;
    rgba[o + 1] = samples[i + green]! >> shift;
    rgba[o + 2] = samples[i + blue]! >> shift;
    rgba[o + 3] = hasAlpha ? samples[i + channels - 1]! >> shift : 255;
  }
  return rgba;
}

function overWhite(rgba: Uint8Array): Uint8ClampedArray {
  const flat = new Uint8ClampedArray(rgba.length);
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3]! / 255;
    for (let k = 0; k < 3; k++) flat[i + k] = rgba[i + k]! * alpha + 255 * (1 - alpha);
    flat[i + 3] = 255;
  }
  return flat;
}
