/** `flatten`: lays the picture on a colour; what comes out is opaque. Levels are mixed as they are, in sRGB. */
import type { HexColor } from '../../contract/plan.ts';
import type { Pixels } from '../types.ts';
import type { PixelStep } from './pixel-step.ts';
import { colorOf, fullScale, hasAlpha, isNeutral, newSamples, pixelsOf, samplesOf } from './samples.ts';

export const flatten: PixelStep<'flatten'> = async (pixels, op) => laidOn(op.background, pixels);

/** An opaque picture comes back as it is. A grey one turns into RGB where the colour has a hue. */
export function laidOn(background: HexColor, pixels: Pixels): Pixels {
  if (!hasAlpha(pixels)) return pixels;
  const color = colorOf(background);
  const gray = pixels.channels === 2;
  const channels = gray && isNeutral(color) ? 1 : 3;
  const full = fullScale(pixels);
  const ground = [color.red, color.green, color.blue].map((level) => (level * full) / 255);
  const from = samplesOf(pixels);
  const to = newSamples(pixels, channels);
  const step = pixels.channels;
  for (let i = 0, o = 0; i < from.length; i += step, o += channels) {
    const alpha = from[i + step - 1]! / full;
    for (let c = 0; c < channels; c++) {
      const level = from[gray ? i : i + c]!;
      const below = ground[c]!;
      to[o + c] = Math.round(below + (level - below) * alpha);
    }
  }
  return pixelsOf(pixels, to, channels);
}
