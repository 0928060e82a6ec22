/** Black and white: the picture as black ink, as much as each pixel needs. */
import type { Palette } from './palette.ts';
import type { Raster } from './raster.ts';

/** Labels 0 and 1. */
export const INK: Palette = { colors: Uint8Array.of(0, 0, 0, 255, 0, 0, 0, 0), count: 2 };

/** A picture of one tone has ink where it is darker than this. */
const MIDDLE = 128;

export interface Inked {
  raster: Raster;
  labels: Uint8Array;
}

/**
 * Ink where the luma on white paper is at or below the level that sets dark and light best apart (Otsu, "A threshold
 * selection method from gray-level histograms", 1979).
 */
export function inked({ width, height, data }: Raster): Inked {
  const luma = new Uint8Array(width * height);
  const counts = new Float64Array(256);
  for (let i = 0, at = 0; i < luma.length; i++, at += 4) {
    const paper = 255 - data[at + 3]!;
    // Rec. 709 weights, of 2^16.
    const value = (13933 * data[at]! + 46871 * data[at + 1]! + 4732 * data[at + 2]! + 32768) >> 16;
    luma[i] = Math.min(255, value + paper);
    counts[luma[i]!]! += 1;
  }
  const { level, dark, light } = otsu(counts);
  const ink = Uint8Array.from({ length: 256 }, (_, value) =>
    dark === light
      ? value <= level
        ? 255
        : 0
      : Math.round(255 * Math.min(1, Math.max(0, (light - value) / (light - dark)))),
  );
  const out = new Uint8Array(luma.length * 4);
  const labels = new Uint8Array(luma.length);
  for (let i = 0; i < luma.length; i++) {
    out[i * 4 + 3] = ink[luma[i]!]!;
    labels[i] = luma[i]! <= level ? 0 : 1;
  }
  return { raster: { width, height, data: out, words: new Uint32Array(out.buffer) }, labels };
}

interface Level {
  /** The lightest luma that is dark. */
  level: number;
  /** Mean luma of both sides. */
  dark: number;
  light: number;
}

export function otsu(counts: Float64Array): Level {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const weight = counts.reduce((sum, count, value) => sum + count * value, 0);
  const mean = weight / total;
  let best: Level = { level: MIDDLE - 1, dark: mean, light: mean };
  let most = 0;
  let [below, belowWeight] = [0, 0];
  for (let level = 0; level < 255; level++) {
    below += counts[level]!;
    belowWeight += counts[level]! * level;
    if (below === 0 || below === total) continue;
    const dark = belowWeight / below;
    const light = (weight - belowWeight) / (total - below);
    const between = below * (total - below) * (light - dark) ** 2;
    // Where no pixel lies between two levels they are equally good: the first is next to the dark pixels.
    if (between > most * (1 + 1e-12)) {
      most = between;
      best = { level, dark, light };
    }
  }
  return best;
}
