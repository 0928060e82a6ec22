/**
 * `grayscale`: the luminance of each pixel, that is of its light, not of its levels: red counts 21 %, green 72 %,
 * blue 7 % (Rec. 709). What comes out has one channel, and its transparency where it had any.
 */
import type { Pixels } from '../types.ts';
import type { PixelStep } from './pixel-step.ts';
import { fullScale, newSamples, pixelsOf, samplesOf } from './samples.ts';
import { fromLinear, LUMA, toLinear } from './srgb.ts';

export const grayscale: PixelStep<'grayscale'> = async (pixels) => toGray(pixels);

/** A grey picture comes back as it is; a neutral pixel keeps its level exactly. */
export function toGray(pixels: Pixels): Pixels {
  const { channels } = pixels;
  if (channels <= 2) return pixels;
  const full = fullScale(pixels);
  const light = Float64Array.from({ length: full + 1 }, (_, level) => toLinear(level / full));
  const encode = pixels.depth === 8 ? tableOf8Bits() : (y: number) => Math.round(fromLinear(y) * full);
  const from = samplesOf(pixels);
  const out = channels === 4 ? 2 : 1;
  const to = newSamples(pixels, out);
  for (let i = 0, o = 0; i < from.length; i += channels, o += out) {
    const red = from[i]!;
    const green = from[i + 1]!;
    const blue = from[i + 2]!;
    to[o] =
      red === green && green === blue
        ? red
        : encode(LUMA.red * light[red]! + LUMA.green * light[green]! + LUMA.blue * light[blue]!);
    if (out === 2) to[o + 1] = from[i + 3]!;
  }
  return pixelsOf(pixels, to, out);
}

/** In steps of light that are nowhere more than a twentieth of a level. */
function tableOf8Bits(): (light: number) => number {
  const steps = 65_535;
  const table = Uint8Array.from({ length: steps + 1 }, (_, i) => Math.round(fromLinear(i / steps) * 255));
  return (light) => table[(light * steps + 0.5) | 0]!;
}
