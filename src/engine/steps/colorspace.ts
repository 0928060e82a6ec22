/** `colorspace`: `rgb` is three channels, on white where the picture was transparent; `rgba` is four. */
import type { Pixels } from '../types.ts';
import { laidOn } from './flatten.ts';
import type { PixelStep } from './pixel-step.ts';
import { fullScale, hasAlpha, newSamples, pixelsOf, samplesOf } from './samples.ts';

export const colorspace: PixelStep<'colorspace'> = async (pixels, op) =>
  op.space === 'rgb' ? withChannels(laidOn('#ffffff', pixels), 3) : withChannels(pixels, 4);

/** As RGB or RGBA. What has no transparency yet is opaque; none is taken away. */
export function withChannels(pixels: Pixels, channels: 3 | 4): Pixels {
  const step = pixels.channels;
  if (step === channels) return pixels;
  const from = samplesOf(pixels);
  const to = newSamples(pixels, channels);
  const full = fullScale(pixels);
  const alphaAt = hasAlpha(pixels) ? step - 1 : -1;
  const [green, blue] = step >= 3 ? [1, 2] : [0, 0];
  for (let i = 0, o = 0; i < from.length; i += step, o += channels) {
    to[o] = from[i]!;
    to[o + 1] = from[i + green]!;
    to[o + 2] = from[i + blue]!;
    if (channels === 4) to[o + 3] = alphaAt < 0 ? full : from[i + alphaAt]!;
  }
  return pixelsOf(pixels, to, channels);
}
