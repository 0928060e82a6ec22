/** Whether two pictures show the same, whatever their size, format or quality. */
import sharp from 'sharp';
import type { RawPixels } from './compare.ts';

const SIDE = 32;
const KEPT = 8;

/** 63 bits, one for each low frequency but the mean: whether it is stronger than half of the others. */
export type PerceptualHash = readonly boolean[];

/**
 * The DCT of a 32×32 luma picture ("pHash", C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash
 * Functions", 2010). Transparent pixels are laid on white.
 */
export async function perceptualHash({ data, width, height, channels }: RawPixels): Promise<PerceptualHash> {
  const small = await sharp(data, { raw: { width, height, channels } })
    .flatten({ background: '#ffffff' })
    .resize(SIDE, SIDE, { fit: 'fill', kernel: 'linear' })
    .toColourspace('b-w')
    .raw({ depth: 'uchar' })
    .toBuffer();
  const rows = Array.from({ length: SIDE }, (_, y) => dct([...small.subarray(y * SIDE, (y + 1) * SIDE)]));
  const low: number[] = [];
  for (let x = 0; x < KEPT; x++) low.push(...dct(rows.map((row) => row[x]!)).slice(0, KEPT));
  const frequencies = low.slice(1);
  const median = frequencies.toSorted((a, b) => a - b)[frequencies.length >> 1]!;
  return frequencies.map((value) => value > median);
}

/** DCT-II, unscaled, of the low frequencies. */
function dct(samples: number[]): number[] {
  return Array.from({ length: KEPT }, (_, k) =>
    samples.reduce(
      (sum, value, i) => sum + value * Math.cos((Math.PI * k * (2 * i + 1)) / (2 * samples.length)),
      0,
    ),
  );
}

/** Bits that differ, of 63: below 10 the same picture, around 31 two that have nothing in common. */
export function hashDistance(a: PerceptualHash, b: PerceptualHash): number {
  return a.filter((bit, i) => bit !== b[i]).length;
}
