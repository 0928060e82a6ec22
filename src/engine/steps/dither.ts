/**
 * `dither`: black dots on white whose density shows the tone, in one channel of 8 bits. On white where the picture is
 * transparent.
 *
 * The density follows light, not sRGB levels: the eye, far enough away, adds up the light that comes from the paper, so
 * level 128, which shows 22 % of white's light, becomes 22 % white dots. Spread over levels, as many programs do, it
 * would be 50 %, and the picture far too bright.
 */
import type { Pixels } from '../types.ts';
import type { PixelStep } from './pixel-step.ts';
import { fullScale, hasAlpha, pixelsOf, samplesOf } from './samples.ts';
import { LUMA, toLinear } from './srgb.ts';

/** Light of white. Sums of errors stay far inside of 32 bits. */
const WHITE = 65_535;

/** The light of each pixel of row `y`, in an array that is used again for the next row. */
type LightOfRow = (y: number) => Uint16Array;

/** Sets the white pixels of `out`, which is black. */
type Method = (light: LightOfRow, width: number, height: number, out: Uint8Array) => void;

export const dither: PixelStep<'dither'> = async (pixels, op) => {
  const { width, height } = pixels;
  const out = new Uint8Array(width * height);
  METHODS[op.method](lightOf(pixels), width, height, out);
  return pixelsOf({ ...pixels, depth: 8 }, out, 1);
};

/** Luminance, on white paper; row by row, so that no second picture lies in memory. */
function lightOf(pixels: Pixels): LightOfRow {
  const { width, channels } = pixels;
  const full = fullScale(pixels);
  const weighted = (weight: number) =>
    Float32Array.from({ length: full + 1 }, (_, level) => weight * toLinear(level / full) * WHITE);
  const isGray = channels <= 2;
  const [red, green, blue] = (isGray ? [1, 0, 0] : [LUMA.red, LUMA.green, LUMA.blue]).map(weighted) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const [greenAt, blueAt] = isGray ? [0, 0] : [1, 2];
  const alphaAt = hasAlpha(pixels) ? channels - 1 : -1;
  const levels = samplesOf(pixels);
  const row = new Uint16Array(width);
  return (y) => {
    for (let x = 0, i = y * width * channels; x < width; x++, i += channels) {
      let [r, g, b] = [levels[i]!, levels[i + greenAt]!, levels[i + blueAt]!];
      const clear = alphaAt < 0 ? 0 : full - levels[i + alphaAt]!;
      if (clear > 0) {
        r = Math.round(r + ((full - r) * clear) / full);
        g = Math.round(g + ((full - g) * clear) / full);
        b = Math.round(b + ((full - b) * clear) / full);
      }
      row[x] = red[r]! + green[g]! + blue[b]! + 0.5;
    }
    return row;
  };
}

/**
 * Robert W. Floyd and Louis Steinberg, "An adaptive algorithm for spatial grey scale" (1976), with rows taken in turn
 * from both ends, so that no worms run to one side.
 */
const floydSteinberg: Method = (light, width, height, out) => {
  // With a place beside each end.
  let here = new Int32Array(width + 2);
  let below = new Int32Array(width + 2);
  for (let y = 0, row = 0; y < height; y++, row += width) {
    const tones = light(y);
    const step = y % 2 === 0 ? 1 : -1;
    let ahead = 0;
    for (let n = 0, x = step === 1 ? 0 : width - 1; n < width; n++, x += step) {
      const wanted = tones[x]! + here[x + 1]! + ahead;
      const white = wanted > WHITE >> 1;
      if (white) out[row + x] = 255;
      const error = white ? wanted - WHITE : wanted;
      ahead = (error * 7) >> 4;
      const back = (error * 3) >> 4;
      const under = (error * 5) >> 4;
      below[x + 1 - step]! += back;
      below[x + 1]! += under;
      // What rounding has left goes here: none is lost.
      below[x + 1 + step]! += error - ahead - back - under;
    }
    // What would leave the picture stays at its edge, where the next row begins.
    below[step === 1 ? width : 1]! += ahead;
    below[1]! += below[0]!;
    below[width]! += below[width + 1]!;
    [here, below] = [below, here];
    below.fill(0);
  }
};

/**
 * Bill Atkinson's, of the first Macintosh: hands on three quarters of the error, so that the lightest and the darkest
 * tones stay clean and the rest gains contrast.
 */
const atkinson: Method = (light, width, height, out) => {
  // One place before the row, two behind it.
  let rows = [0, 1, 2].map(() => new Int32Array(width + 3)) as [Int32Array, Int32Array, Int32Array];
  for (let y = 0, row = 0; y < height; y++, row += width) {
    const tones = light(y);
    const [here, below, last] = rows;
    for (let x = 0; x < width; x++) {
      const wanted = tones[x]! + here[x + 1]!;
      const white = wanted > WHITE >> 1;
      if (white) out[row + x] = 255;
      const part = (white ? wanted - WHITE : wanted) >> 3;
      here[x + 2]! += part;
      here[x + 3]! += part;
      below[x]! += part;
      below[x + 1]! += part;
      below[x + 2]! += part;
      last[x + 1]! += part;
    }
    here.fill(0);
    rows = [below, last, here];
  }
};

const BAYER_SIDE = 8;

/** Ordered, by the 8 × 8 matrix of B. E. Bayer (1973): a regular pattern, the same for the same tone everywhere. */
const bayer: Method = (light, width, height, out) => {
  const limits = bayerLimits();
  for (let y = 0, row = 0; y < height; y++, row += width) {
    const tones = light(y);
    const line = (y % BAYER_SIDE) * BAYER_SIDE;
    for (let x = 0; x < width; x++) {
      if (tones[x]! > limits[line + (x % BAYER_SIDE)]!) out[row + x] = 255;
    }
  }
};

/** In the middle of each of 64 equal steps of light. */
function bayerLimits(): Uint16Array {
  let matrix = [[0]];
  while (matrix.length < BAYER_SIDE) {
    const quarter = (add: number) => matrix.map((line) => line.map((value) => 4 * value + add));
    const beside = (left: number[][], right: number[][]) => left.map((line, i) => [...line, ...right[i]!]);
    matrix = [...beside(quarter(0), quarter(2)), ...beside(quarter(3), quarter(1))];
  }
  const steps = BAYER_SIDE ** 2;
  return Uint16Array.from(matrix.flat(), (value) => Math.round(((value + 0.5) / steps) * WHITE));
}

const METHODS = { 'floyd-steinberg': floydSteinberg, atkinson, bayer };
