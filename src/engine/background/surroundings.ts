/** The colour that a set of pixels has around each place: what is behind an edge, and what is before it. */
import { boxMean, type Plane } from './picture.ts';

export interface Surroundings {
  red: Plane;
  green: Plane;
  blue: Plane;
  /** Variance of the colour around its mean, the channels' sum. */
  variance: Plane;
}

/** Windows' radii in pixels; a smaller window that holds anything outweighs the larger ones. */
const RADII = [3, 10, 40] as const;
const OUTWEIGHS = 0.004;

/**
 * @param rgb interleaved, 8 bits
 * @param weight of each pixel, 0–1; 0 for those that do not belong to the set
 */
export function surroundings(
  rgb: Uint8Array,
  weight: Plane,
  width: number,
  height: number,
): Surroundings | undefined {
  const count = width * height;
  const planes = [weight, ...Array.from({ length: 4 }, () => new Float32Array(count))] as Plane[];
  const [, red, green, blue, square] = planes as [Plane, Plane, Plane, Plane, Plane];
  let total = 0;
  const mean = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const w = weight[i]!;
    if (w === 0) continue;
    const [r, g, b] = [rgb[i * 3]!, rgb[i * 3 + 1]!, rgb[i * 3 + 2]!];
    red[i] = r * w;
    green[i] = g * w;
    blue[i] = b * w;
    square[i] = (r * r + g * g + b * b) * w;
    total += w;
    mean[0]! += red[i]!;
    mean[1]! += green[i]!;
    mean[2]! += blue[i]!;
    mean[3]! += square[i]!;
  }
  if (total === 0) return undefined;
  // Far from all of them: the mean of all.
  const sums = planes.map((_, p) =>
    new Float32Array(count).fill((p === 0 ? 1 : mean[p - 1]! / total) * 1e-9),
  );
  RADII.forEach((radius, n) => {
    const factor = OUTWEIGHS ** n;
    planes.forEach((plane, p) => {
      const smooth = boxMean(plane, width, height, radius);
      const sum = sums[p]!;
      for (let i = 0; i < count; i++) sum[i]! += smooth[i]! * factor;
    });
  });
  const [weights, r, g, b, variance] = sums as [Plane, Plane, Plane, Plane, Plane];
  for (let i = 0; i < count; i++) {
    const w = weights[i]!;
    r[i]! /= w;
    g[i]! /= w;
    b[i]! /= w;
    variance[i] = Math.max(0, variance[i]! / w - r[i]! ** 2 - g[i]! ** 2 - b[i]! ** 2);
  }
  return { red: r, green: g, blue: b, variance };
}
