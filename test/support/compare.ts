/** How far apart two pictures are. */
import sharp from 'sharp';

/** 8-bit interleaved sRGB or sRGB with alpha. */
export interface RawPixels {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3 | 4;
}

/** CIE 1976 L*a*b*. */
export type Lab = readonly [lightness: number, a: number, b: number];

/** Pixels enough for a mean that is stable to the second digit; more only cost time. */
const MAX_SAMPLES = 200_000;

/**
 * Decodes with sharp to 8-bit sRGB, as stored (EXIF Orientation is not applied). Alpha stays where the file
 * has it. An embedded profile is converted to sRGB. `page` picks one page or frame.
 */
export async function decodePixels(
  source: string | Uint8Array,
  options: { page?: number } = {},
): Promise<RawPixels> {
  const { data, info } = await sharp(source, { page: options.page ?? 0, limitInputPixels: false })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels === 3 || info.channels === 4) {
    return { data, width: info.width, height: info.height, channels: info.channels };
  }
  return {
    data: spreadGray(data, info.channels),
    width: info.width,
    height: info.height,
    channels: info.channels === 2 ? 4 : 3,
  };
}

function spreadGray(data: Uint8Array, channels: number): Uint8Array {
  const outChannels = channels === 2 ? 4 : 3;
  const out = new Uint8Array((data.length / channels) * outChannels);
  for (let from = 0, to = 0; from < data.length; from += channels, to += outChannels) {
    out.fill(data[from]!, to, to + 3);
    if (channels === 2) out[to + 3] = data[from + 1]!;
  }
  return out;
}

/** Peak signal-to-noise ratio in dB over 8-bit samples of two pictures of one shape; Infinity where equal. */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length || a.length === 0) {
    throw new RangeError(
      `psnr: expected two pictures of one size, found ${a.length} and ${b.length} samples`,
    );
  }
  let squares = 0;
  for (let i = 0; i < a.length; i++) squares += (a[i]! - b[i]!) ** 2;
  return squares === 0 ? Infinity : 10 * Math.log10(255 ** 2 / (squares / a.length));
}

/**
 * Mean CIEDE2000 difference of two sRGB pictures of one size; alpha is ignored. Large pictures are sampled
 * on an even stride.
 */
export function meanDeltaE(a: RawPixels, b: RawPixels): number {
  return deltaEStats(a, b).mean;
}

/** As `meanDeltaE`, with the 95th percentile and the largest difference seen. */
export function deltaEStats(a: RawPixels, b: RawPixels): { mean: number; p95: number; max: number } {
  if (a.width !== b.width || a.height !== b.height) {
    throw new RangeError(`expected one size, found ${a.width}×${a.height} and ${b.width}×${b.height}`);
  }
  const pixels = a.width * a.height;
  // Odd, and so unlikely to share a factor with the width: the samples do not fall into columns.
  const stride = Math.max(1, Math.ceil(pixels / MAX_SAMPLES)) | 1;
  const differences: number[] = [];
  for (let pixel = 0; pixel < pixels; pixel += stride) {
    differences.push(deltaE2000(labAt(a, pixel), labAt(b, pixel)));
  }
  differences.sort((x, y) => x - y);
  const sum = differences.reduce((total, difference) => total + difference, 0);
  return {
    mean: sum / differences.length,
    p95: differences[Math.floor((differences.length - 1) * 0.95)]!,
    max: differences.at(-1)!,
  };
}

function labAt(picture: RawPixels, pixel: number): Lab {
  const at = pixel * picture.channels;
  return labFromSrgb(picture.data[at]!, picture.data[at + 1]!, picture.data[at + 2]!);
}

const linear = Float64Array.from({ length: 256 }, (_, value) => {
  const v = value / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
});

/** 8-bit sRGB (IEC 61966-2-1) to L*a*b* under D65. */
export function labFromSrgb(red: number, green: number, blue: number): Lab {
  const r = linear[red]!;
  const g = linear[green]!;
  const b = linear[blue]!;
  const x = labCurve((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
  const y = labCurve(0.2126729 * r + 0.7151522 * g + 0.072175 * b);
  const z = labCurve((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function labCurve(t: number): number {
  return t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 / 116) * t + 16 / 116;
}

const degrees = (radians: number): number => (radians * 180) / Math.PI;
const cosDegrees = (angle: number): number => Math.cos((angle * Math.PI) / 180);
const sinDegrees = (angle: number): number => Math.sin((angle * Math.PI) / 180);

/**
 * CIEDE2000 colour difference with kL = kC = kH = 1, after Sharma, Wu and Dalal, "The CIEDE2000
 * Color-Difference Formula: Implementation Notes" (2005), whose names it keeps. 1 is about what an eye can
 * just tell apart.
 */
export function deltaE2000(first: Lab, second: Lab): number {
  const [l1, a1, b1] = first;
  const [l2, a2, b2] = second;
  const chroma7 = ((Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2) ** 7;
  const g = 0.5 * (1 - Math.sqrt(chroma7 / (chroma7 + 25 ** 7)));
  const a1p = (1 + g) * a1;
  const a2p = (1 + g) * a2;
  const c1p = Math.hypot(a1p, b1);
  const c2p = Math.hypot(a2p, b2);
  const h1p = hueDegrees(a1p, b1);
  const h2p = hueDegrees(a2p, b2);
  const achromatic = c1p * c2p === 0;

  const deltaL = l2 - l1;
  const deltaC = c2p - c1p;
  const deltaHue = achromatic ? 0 : wrapDegrees(h2p - h1p);
  const deltaH = 2 * Math.sqrt(c1p * c2p) * sinDegrees(deltaHue / 2);

  const meanL = (l1 + l2) / 2;
  const meanC = (c1p + c2p) / 2;
  const meanH = achromatic ? h1p + h2p : meanHue(h1p, h2p);

  const t =
    1 -
    0.17 * cosDegrees(meanH - 30) +
    0.24 * cosDegrees(2 * meanH) +
    0.32 * cosDegrees(3 * meanH + 6) -
    0.2 * cosDegrees(4 * meanH - 63);
  const rotation = 30 * Math.exp(-(((meanH - 275) / 25) ** 2));
  const meanC7 = meanC ** 7;
  const rT = -2 * Math.sqrt(meanC7 / (meanC7 + 25 ** 7)) * sinDegrees(2 * rotation);
  const lightness50 = (meanL - 50) ** 2;
  const lTerm = deltaL / (1 + (0.015 * lightness50) / Math.sqrt(20 + lightness50));
  const cTerm = deltaC / (1 + 0.045 * meanC);
  const hTerm = deltaH / (1 + 0.015 * meanC * t);
  return Math.sqrt(lTerm ** 2 + cTerm ** 2 + hTerm ** 2 + rT * cTerm * hTerm);
}

function hueDegrees(a: number, b: number): number {
  if (a === 0 && b === 0) return 0;
  const angle = degrees(Math.atan2(b, a));
  return angle < 0 ? angle + 360 : angle;
}

/** A difference of hues, brought to −180…180. */
function wrapDegrees(difference: number): number {
  if (difference > 180) return difference - 360;
  return difference < -180 ? difference + 360 : difference;
}

function meanHue(h1: number, h2: number): number {
  const mean = (h1 + h2) / 2;
  if (Math.abs(h1 - h2) <= 180) return mean;
  return h1 + h2 < 360 ? mean + 180 : mean - 180;
}
