/**
 * `adjust`: exposure, brightness, contrast, gamma, saturation and hue, in this order, whatever order they are
 * written in (two `adjust` operations make another order). On levels v of 0–1 in sRGB:
 *
 * - exposure e, in stops: light, that is the level taken through the sRGB curve, times 2^e
 * - brightness b: v · b
 * - contrast c: ½ + (v − ½) · c, so that mid-grey stays
 * - gamma g: v^(1/g); above 1 the mid-tones brighten
 * - saturation s: away from (s > 1) or towards (s < 1) the pixel's Rec. 709 luma Y: Y + (v − Y) · s, as the CSS filter
 *   `saturate()`; 0 leaves the luma
 * - hue h, in degrees: a turn of the colour about the grey axis that keeps the luma, as the CSS filter `hue-rotate()`
 *
 * Nothing is rounded or cut off before the end, so that a contrast below 1 brings back what an exposure has lifted
 * beyond white. Transparency stays as it is. The first four are one table look-up, the last two one 3×3 matrix; on
 * grey pictures the matrix does nothing.
 */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Pixels } from '../types.ts';
import type { PixelStep } from './pixel-step.ts';
import { fullScale, hasAlpha, pixelsOf, type Samples, samplesOf } from './samples.ts';
import { fromLinear, LUMA, toLinear } from './srgb.ts';

type Adjust = Extract<NormalOperation, { op: 'adjust' }>;

export const adjust: PixelStep<'adjust'> = async (pixels, op) => {
  const samples = samplesOf(pixels);
  const tones = toneCurve(op, fullScale(pixels));
  const matrix = pixels.channels >= 3 ? colorMatrix(op) : undefined;
  if (matrix) recombine(samples, pixels, tones, matrix);
  else mapTones(samples, pixels, tones);
  return pixelsOf(pixels, samples, pixels.channels);
};

/** Exposure, brightness, contrast and gamma: what becomes of each level, in levels, neither rounded nor bounded. */
export function toneCurve(op: Adjust, full: number): Float64Array {
  const curve = new Float64Array(full + 1);
  const light = 2 ** op.exposure;
  for (let level = 0; level <= full; level++) {
    let v = level / full;
    if (op.exposure !== 0) v = fromLinear(toLinear(v) * light);
    v *= op.brightness;
    if (op.contrast !== 1) v = 0.5 + (v - 0.5) * op.contrast;
    if (op.gamma !== 1) v = Math.max(0, v) ** (1 / op.gamma);
    curve[level] = v * full;
  }
  return curve;
}

/** Row by row. */
type Matrix = [number, number, number, number, number, number, number, number, number];

/**
 * Saturation, then hue; undefined where both do nothing. Each output channel is the luma, plus cos h times what sets
 * the channel apart from the luma, plus sin h times the same a quarter turn on: the coefficients of hueRotate in the
 * W3C Filter Effects module, with all the digits of Rec. 709.
 */
export function colorMatrix({ saturation, hue }: Pick<Adjust, 'saturation' | 'hue'>): Matrix | undefined {
  if (saturation === 1 && hue === 0) return undefined;
  const luma = [LUMA.red, LUMA.green, LUMA.blue];
  const radians = (hue * Math.PI) / 180;
  const cos = Math.cos(radians) * saturation;
  const sin = Math.sin(radians) * saturation;
  return QUARTER_TURN.map((turned, i) => {
    const column = luma[i % 3]!;
    const own = i % 4 === 0 ? 1 : 0;
    return column + cos * (own - column) + sin * turned;
  }) as Matrix;
}

const QUARTER_TURN = [-0.2126, -0.7152, 0.9278, 0.143, 0.14, -0.283, -0.7874, 0.7152, 0.0722];

function mapTones(samples: Samples, { channels, depth }: Pixels, tones: Float64Array): void {
  const table: Samples = depth === 16 ? new Uint16Array(tones.length) : new Uint8Array(tones.length);
  for (let level = 0; level < tones.length; level++) table[level] = bounded(tones[level]!, tones.length - 1);
  const colors = hasAlpha({ channels }) ? channels - 1 : channels;
  for (let i = 0; i < samples.length; i += channels) {
    for (let c = i; c < i + colors; c++) samples[c] = table[samples[c]!]!;
  }
}

function recombine(samples: Samples, pixels: Pixels, tones: Float64Array, matrix: Matrix): void {
  const { channels } = pixels;
  const full = fullScale(pixels);
  const [rr, rg, rb, gr, gg, gb, br, bg, bb] = matrix;
  for (let i = 0; i < samples.length; i += channels) {
    const red = tones[samples[i]!]!;
    const green = tones[samples[i + 1]!]!;
    const blue = tones[samples[i + 2]!]!;
    samples[i] = bounded(rr * red + rg * green + rb * blue, full);
    samples[i + 1] = bounded(gr * red + gg * green + gb * blue, full);
    samples[i + 2] = bounded(br * red + bg * green + bb * blue, full);
  }
}

function bounded(value: number, full: number): number {
  return value <= 0 ? 0 : value >= full ? full : Math.round(value);
}
