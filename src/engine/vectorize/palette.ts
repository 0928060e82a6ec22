/** Few colours, and pixels that have one of them. */
import type { Raster } from './raster.ts';

export interface Palette {
  /** Premultiplied RGBA, four numbers a colour. */
  colors: Uint8Array;
  count: number;
}

/** The label of a pixel that has none yet. */
export const UNSET = 255;

/** The label of the colour that is nearest to the pixel at byte `at`. */
export function nearest({ colors, count }: Palette, data: Uint8Array, at: number): number {
  let best = 0;
  let least = Infinity;
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let c = 0; c < 4; c++) sum += (colors[i * 4 + c]! - data[at + c]!) ** 2;
    if (sum < least) {
      least = sum;
      best = i;
    }
  }
  return best;
}

/** Square distance of the pixel at byte `at` to a colour. */
export function distance(data: Uint8Array, at: number, { colors }: Palette, label: number): number {
  let sum = 0;
  for (let c = 0; c < 4; c++) sum += (data[at + c]! - colors[label * 4 + c]!) ** 2;
  return sum;
}

/** The labels of the pixels up to two steps away, each once. */
export function labelsAround({ width, height }: Raster, labels: Uint8Array, i: number): number[] {
  const x = i % width;
  const y = (i - x) / width;
  const found: number[] = [];
  const [fromX, toX] = [Math.max(0, x - 2), Math.min(width - 1, x + 2)];
  const [fromY, toY] = [Math.max(0, y - 2), Math.min(height - 1, y + 2)];
  for (let ny = fromY; ny <= toY; ny++) {
    for (let at = ny * width + fromX; at <= ny * width + toX; at++) {
      const value = labels[at]!;
      if (value !== UNSET && !found.includes(value)) found.push(value);
    }
  }
  return found;
}
