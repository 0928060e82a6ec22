/**
 * `sharpen`: an unsharp mask on luma. What sets a pixel's Rec. 709 luma apart from its surroundings (a Gaussian mean of
 * standard deviation `radius` px) is added to it `amount` times, to red, green and blue alike, so that no hue changes.
 * A pixel gets at most a tenth of the scale brighter and a fifth darker, whatever the amount: bright halos are what the
 * eye minds. Transparent pixels give nothing to the mean: a cut-out has no rim, and its transparency stays as it is.
 *
 * libvips' own sharpen works in Lab on premultiplied colours: it costs twice as much, and lights up every cut edge.
 */
import { pipelineOf } from '../decode/pixels.ts';
import type { Pixels } from '../types.ts';
import { applyStage } from './pipeline.ts';
import type { PixelStep } from './pixel-step.ts';
import { fullScale, hasAlpha, pixelsOf, type Samples, samplesOf } from './samples.ts';
import { LUMA } from './srgb.ts';

const MAX_BRIGHTER = 0.1;
const MAX_DARKER = 0.2;

export const sharpen: PixelStep<'sharpen'> = async (pixels, op) => {
  if (op.amount === 0) return pixels;
  const samples = samplesOf(pixels);
  const { channels } = pixels;
  const full = fullScale(pixels);
  const luma = lumaOf(pixels, samples);
  const alpha = hasAlpha(pixels) ? alphaOf(pixels, samples) : undefined;
  const mean = await blurred(alpha ? weighted(luma, alpha) : luma, pixels, op.radius);
  const cover = alpha && (await blurred(alpha, pixels, op.radius));
  const colors = hasAlpha(pixels) ? channels - 1 : channels;
  const scale = full / FULL;
  for (let i = 0, at = 0; i < luma.length; i++, at += channels) {
    const around = cover ? (cover[i] ? (mean[i]! * FULL) / cover[i]! : luma[i]!) : mean[i]!;
    const detail = (luma[i]! - around) * op.amount * scale;
    const change = Math.min(full * MAX_BRIGHTER, Math.max(-full * MAX_DARKER, detail));
    for (let c = at; c < at + colors; c++) {
      const level = samples[c]! + change;
      samples[c] = level <= 0 ? 0 : level >= full ? full : Math.round(level);
    }
  }
  return pixelsOf(pixels, samples, channels);
};

/** Means are taken with 16 bits, or rounding would show in flat areas. */
const FULL = 65_535;

function lumaOf(pixels: Pixels, samples: Samples): Uint16Array {
  const { channels } = pixels;
  const luma = new Uint16Array(pixels.width * pixels.height);
  const scale = FULL / fullScale(pixels);
  const [red, green, blue] = [LUMA.red * scale, LUMA.green * scale, LUMA.blue * scale];
  for (let i = 0, at = 0; i < luma.length; i++, at += channels) {
    luma[i] =
      channels <= 2
        ? samples[at]! * scale
        : Math.round(red * samples[at]! + green * samples[at + 1]! + blue * samples[at + 2]!);
  }
  return luma;
}

function alphaOf(pixels: Pixels, samples: Samples): Uint16Array {
  const { channels } = pixels;
  const alpha = new Uint16Array(pixels.width * pixels.height);
  const scale = FULL / fullScale(pixels);
  for (let i = 0, at = channels - 1; i < alpha.length; i++, at += channels) alpha[i] = samples[at]! * scale;
  return alpha;
}

function weighted(luma: Uint16Array, alpha: Uint16Array): Uint16Array {
  const result = new Uint16Array(luma.length);
  for (let i = 0; i < luma.length; i++) result[i] = Math.round((luma[i]! * alpha[i]!) / FULL);
  return result;
}

async function blurred(plane: Uint16Array, { width, height }: Pixels, sigma: number): Promise<Uint16Array> {
  const data = new Uint8Array(plane.buffer);
  const image = pipelineOf({ data, width, height, channels: 1, depth: 16 });
  const out = await applyStage(image, [{ do: 'blur', sigma }])
    .toColourspace('grey16')
    .raw({ depth: 'ushort' })
    .toBuffer();
  return samplesOf({ data: out, width, height, channels: 1, depth: 16 }) as Uint16Array;
}
