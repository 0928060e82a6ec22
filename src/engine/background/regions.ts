/** Shapes on a grid: connected parts, holes, distances. Neighbours are the four that share a side. */
import type { Mask, Plane } from './picture.ts';

export interface Regions {
  /** Number of the region a pixel is in, from 1; 0 where it is in none. */
  labels: Int32Array;
  /** Pixels of each region; entry 0 is unused. */
  areas: number[];
  /** Does the region touch the picture's border? */
  atBorder: boolean[];
}

/** The connected parts of the pixels whose flag is `value`. */
export function regionsOf(mask: Mask, width: number, height: number, value: 0 | 1): Regions {
  const labels = new Int32Array(mask.length);
  // A pixel is labelled when it is put on the stack, so that it is there once.
  const stack = new Int32Array(mask.length);
  const areas = [0];
  const atBorder = [false];
  const lastRow = width * (height - 1);
  for (let start = 0; start < mask.length; start++) {
    if (mask[start] !== value || labels[start] !== 0) continue;
    const label = areas.length;
    let area = 0;
    let touches = false;
    let depth = 1;
    stack[0] = start;
    labels[start] = label;
    while (depth > 0) {
      const i = stack[--depth]!;
      const x = i % width;
      area++;
      touches ||= x === 0 || x === width - 1 || i < width || i >= lastRow;
      if (x > 0 && mask[i - 1] === value && labels[i - 1] === 0) {
        labels[i - 1] = label;
        stack[depth++] = i - 1;
      }
      if (x + 1 < width && mask[i + 1] === value && labels[i + 1] === 0) {
        labels[i + 1] = label;
        stack[depth++] = i + 1;
      }
      if (i >= width && mask[i - width] === value && labels[i - width] === 0) {
        labels[i - width] = label;
        stack[depth++] = i - width;
      }
      if (i < lastRow && mask[i + width] === value && labels[i + width] === 0) {
        labels[i + width] = label;
        stack[depth++] = i + width;
      }
    }
    areas.push(area);
    atBorder.push(touches);
  }
  return { labels, areas, atBorder };
}

/** Without parts smaller than `share` of the largest one. */
export function withoutSpecks(mask: Mask, width: number, height: number, share: number): Mask {
  const { labels, areas } = regionsOf(mask, width, height, 1);
  const least = areas.reduce((a, b) => Math.max(a, b), 0) * share;
  const keeps = areas.map((area, label) => (label > 0 && area >= least ? 1 : 0));
  const out = new Uint8Array(mask.length);
  for (let i = 0; i < out.length; i++) out[i] = keeps[labels[i]!]!;
  return out;
}

/** With all that is enclosed. */
export function withoutHoles(mask: Mask, width: number, height: number): Mask {
  const { labels, atBorder } = regionsOf(mask, width, height, 0);
  const out = new Uint8Array(mask.length);
  for (let i = 0; i < out.length; i++) out[i] = labels[i] === 0 || !atBorder[labels[i]!] ? 1 : 0;
  return out;
}

/**
 * Distance in pixels to the nearest pixel whose flag is `value`, along rows, columns and diagonals (a chamfer of 1
 * and √2, at most 8 % too long); infinite where there is none.
 */
export function distanceTo(mask: Mask, width: number, height: number, value: 0 | 1): Plane {
  const out = new Float32Array(mask.length);
  for (let i = 0; i < mask.length; i++) out[i] = mask[i] === value ? 0 : Number.POSITIVE_INFINITY;
  const diagonal = Math.SQRT2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      let d = out[i]!;
      if (x > 0) d = Math.min(d, out[i - 1]! + 1);
      if (y > 0) {
        d = Math.min(d, out[i - width]! + 1);
        if (x > 0) d = Math.min(d, out[i - width - 1]! + diagonal);
        if (x + 1 < width) d = Math.min(d, out[i - width + 1]! + diagonal);
      }
      out[i] = d;
    }
  }
  for (let y = height - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--) {
      const i = y * width + x;
      let d = out[i]!;
      if (x + 1 < width) d = Math.min(d, out[i + 1]! + 1);
      if (y + 1 < height) {
        d = Math.min(d, out[i + width]! + 1);
        if (x > 0) d = Math.min(d, out[i + width - 1]! + diagonal);
        if (x + 1 < width) d = Math.min(d, out[i + width + 1]! + diagonal);
      }
      out[i] = d;
    }
  }
  return out;
}

/** Grown by `radius` pixels. */
export function grown(mask: Mask, width: number, height: number, radius: number): Mask {
  return Uint8Array.from(distanceTo(mask, width, height, 1), (d) => (d <= radius ? 1 : 0));
}

/** Shrunk by `radius` pixels; the picture's border does not shrink it. */
export function shrunk(mask: Mask, width: number, height: number, radius: number): Mask {
  return Uint8Array.from(distanceTo(mask, width, height, 0), (d) => (d > radius ? 1 : 0));
}

export function areaOf(mask: Mask): number {
  let area = 0;
  for (const flag of mask) area += flag;
  return area;
}
