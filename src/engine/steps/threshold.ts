/**
 * `threshold`: black and white, in one channel of 8 bits: white (255) from grey level `level` on. The grey level is that
 * of `grayscale`, on white paper where the picture is transparent.
 */

import { laidOn } from './flatten.ts';
import { toGray } from './grayscale.ts';
import type { PixelStep } from './pixel-step.ts';
import { fullScale, pixelsOf, samplesOf } from './samples.ts';

export const threshold: PixelStep<'threshold'> = async (pixels, op) => {
  const gray = toGray(laidOn('#ffffff', pixels));
  const from = samplesOf(gray);
  const level = (op.level * fullScale(gray)) / 255;
  const to = new Uint8Array(from.length);
  for (let i = 0; i < from.length; i++) to[i] = from[i]! >= level ? 255 : 0;
  return pixelsOf(gray, to, 1);
};
