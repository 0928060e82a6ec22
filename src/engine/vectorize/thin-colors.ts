/** Colours of lines that are too thin to have a flat part: small letters, above all. */

import type { PaletteOptions } from './label.ts';
import { labelsAround, type Palette } from './palette.ts';
import type { Raster } from './raster.ts';

/** Square of how far a pixel may be from what is around it, or from a mix of that and a line's colour. */
const MIXED = 40 ** 2;
/** Of pixels that are no mix, this many (and this part of them all) make a colour. */
const MIN_COUNT = 8;
const MIN_SHARE = 0.02;
const MAX_THIN = 6;
/** Only so many are looked at: a picture that has more is no drawing. */
const MAX_LOOKED_AT = 100_000;
/** Colours that are this near (in squares) are counted together. */
const ALIKE = 20 ** 2;

/** The palette, with the colours that are missing from it. */
export function thinColors(
  raster: Raster,
  palette: Palette,
  labels: Uint8Array,
  pending: readonly number[],
  { maxColors, minDistance }: PaletteOptions,
): Palette {
  const most = Math.min(MAX_THIN, maxColors - palette.count);
  if (most <= 0 || pending.length > MAX_LOOKED_AT) return palette;
  const { data } = raster;
  /** Whether it is no mix of what is around it and a colour from `first` on. */
  const isUnknown = (at: number, ground: number, { colors, count }: Palette, first: number) => {
    for (let other = first; other < count; other++) {
      if (offMix(data, at, colors, ground, other) <= MIXED) return false;
    }
    return true;
  };
  // Where two colours are near, a pixel may be a mix of more than those.
  let rest: { at: number; ground: number }[] = [];
  for (const i of pending) {
    const [ground, ...others] = labelsAround(raster, labels, i);
    if (ground === undefined || others.length > 0) continue;
    if (isUnknown(i * 4, ground, palette, 0)) rest.push({ at: i * 4, ground });
  }
  const minCount = Math.max(MIN_COUNT, rest.length * MIN_SHARE);
  let known = palette;
  while (known.count - palette.count < most && rest.length >= minCount) {
    const found = extreme(data, rest, known, minCount, minDistance);
    if (!found) break;
    known = { colors: Uint8Array.of(...known.colors, ...found), count: known.count + 1 };
    rest = rest.filter(({ at, ground }) => isUnknown(at, ground, known, known.count - 1));
  }
  return known;
}

/** Square distance of a colour to the nearest mix of two colours. */
function offMix(data: Uint8Array, at: number, colors: Uint8Array, a: number, b: number): number {
  let [along, length] = [0, 0];
  for (let c = 0; c < 4; c++) {
    const step = colors[b * 4 + c]! - colors[a * 4 + c]!;
    along += (data[at + c]! - colors[a * 4 + c]!) * step;
    length += step * step;
  }
  const share = length === 0 ? 0 : Math.min(1, Math.max(0, along / length));
  let square = 0;
  for (let c = 0; c < 4; c++) {
    const mix = colors[a * 4 + c]! + share * (colors[b * 4 + c]! - colors[a * 4 + c]!);
    square += (data[at + c]! - mix) ** 2;
  }
  return square;
}

/**
 * The colour among `pixels` that is farthest from those that are known: what a line's own colour is mixed with lies
 * nearer. It must be there often enough.
 */
function extreme(
  data: Uint8Array,
  pixels: { at: number }[],
  known: Palette,
  minCount: number,
  minDistance: number,
): number[] | undefined {
  const bins = new Map<number, { count: number; sums: number[] }>();
  for (const { at } of pixels) {
    const key =
      ((data[at]! >> 4) << 12) |
      ((data[at + 1]! >> 4) << 8) |
      ((data[at + 2]! >> 4) << 4) |
      (data[at + 3]! >> 4);
    const bin = bins.get(key) ?? { count: 0, sums: [0, 0, 0, 0] };
    bins.set(key, bin);
    bin.count += 1;
    for (let c = 0; c < 4; c++) bin.sums[c]! += data[at + c]!;
  }
  const means = [...bins.values()].map(({ count, sums }) => ({
    count,
    color: sums.map((sum) => sum / count),
  }));
  const squareTo = (a: ArrayLike<number>, b: ArrayLike<number>, at = 0) =>
    (a[0]! - b[at]!) ** 2 + (a[1]! - b[at + 1]!) ** 2 + (a[2]! - b[at + 2]!) ** 2 + (a[3]! - b[at + 3]!) ** 2;
  let best: number[] | undefined;
  let farthest = minDistance ** 2;
  for (const { color } of means) {
    let off = Infinity;
    for (let i = 0; i < known.count; i++) off = Math.min(off, squareTo(color, known.colors, i * 4));
    if (off <= farthest) continue;
    const alike = means.filter((other) => squareTo(color, other.color) <= ALIKE);
    const count = alike.reduce((sum, other) => sum + other.count, 0);
    if (count < minCount) continue;
    farthest = off;
    best = [0, 1, 2, 3].map((c) =>
      Math.round(alike.reduce((sum, other) => sum + other.count * other.color[c]!, 0) / count),
    );
  }
  return best;
}
