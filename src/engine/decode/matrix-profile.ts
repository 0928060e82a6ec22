/**
 * Decoded 8-bit RGB from a matrix/TRC profile to sRGB, in place. Phones tag every HEIC with such a profile (Display P3),
 * and lcms takes 160 ms of CPU for 12 MP where these tables take 60; done here it is also done once, not in every
 * pipeline over the same pixels. Profiles of any other kind are left to lcms.
 *
 * ICC.1:2022, 8.3.3 (three-component matrix-based profiles), 10.6 (curveType), 10.18 (parametricCurveType).
 */
import type { Pixels } from '../types.ts';

/** XYZ of D50 to linear sRGB: the inverse of sRGB's own colorants as its profile has them (Bradford-adapted to D50). */
const TO_LINEAR_SRGB = [
  [3.1341359, -1.6173863, -0.4906619],
  [-0.978795, 1.9162545, 0.0334354],
  [0.0719554, -0.2289768, 1.4053863],
] as const;

/** Linear light in steps of 1/16384: a quarter of what sRGB's steepest part needs for 8 bits. */
const STEPS = 1 << 14;
/** Colours outside sRGB have light below 0 or above 1; the table goes this far on both sides and clips them. */
const MARGIN = 2;

const ENCODED = Uint8Array.from({ length: (2 * MARGIN + 1) * STEPS + 1 }, (_, i) => {
  const light = Math.min(1, Math.max(0, i / STEPS - MARGIN));
  return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
});

/** The same pixels in sRGB without a profile, where theirs is a matrix profile; else the pixels as they are. */
export function toSrgbInPlace(pixels: Pixels): Pixels {
  const { icc, depth, channels } = pixels;
  if (!icc || depth !== 8 || channels < 3) return pixels;
  const profile = readMatrixProfile(Buffer.from(icc.buffer, icc.byteOffset, icc.byteLength));
  if (!profile) return pixels;
  const matrix = TO_LINEAR_SRGB.map((row) =>
    profile.colorants.map((xyz) => row.reduce((sum, weight, i) => sum + weight * xyz[i]!, 0)),
  );
  const reach = matrix.flatMap((row) => [sumOf(row, 1), -sumOf(row, -1)]);
  if (Math.max(...reach) > MARGIN) return pixels;
  convert(pixels.data, channels, matrix, profile.curves.map(lightOf));
  const { icc: _, ...srgb } = pixels;
  return srgb;
}

/** What the weights of one sign add up to: the furthest that an output can go that way. */
const sumOf = (row: number[], sign: 1 | -1) => row.reduce((sum, w) => (w * sign > 0 ? sum + w : sum), 0);

const lightOf = (curve: Curve) =>
  Float64Array.from({ length: 256 }, (_, v) => STEPS * Math.min(1, Math.max(0, curve(v / 255))));

/** Six table look-ups and nine multiplications a pixel; tables in place of the products are slower. */
function convert(data: Uint8Array, channels: number, matrix: number[][], light: Float64Array[]): void {
  const [[rr, rg, rb], [gr, gg, gb], [br, bg, bb]] = matrix as [Row, Row, Row];
  const [red, green, blue] = light as [Float64Array, Float64Array, Float64Array];
  const zero = MARGIN * STEPS + 0.5;
  for (let i = 0; i < data.length; i += channels) {
    const r = red[data[i]!]!;
    const g = green[data[i + 1]!]!;
    const b = blue[data[i + 2]!]!;
    data[i] = ENCODED[(rr * r + rg * g + rb * b + zero) | 0]!;
    data[i + 1] = ENCODED[(gr * r + gg * g + gb * b + zero) | 0]!;
    data[i + 2] = ENCODED[(br * r + bg * g + bb * b + zero) | 0]!;
  }
}

type Row = [number, number, number];
type Curve = (encoded: number) => number;

interface MatrixProfile {
  /** XYZ of red, green and blue. */
  colorants: number[][];
  curves: Curve[];
}

/** Undefined for anything but a sound RGB profile whose only way to the connection space is a matrix. */
function readMatrixProfile(bytes: Buffer): MatrixProfile | undefined {
  if (bytes.length < 132 || bytes.toString('latin1', 36, 40) !== 'acsp') return undefined;
  if (bytes.toString('latin1', 16, 24) !== 'RGB XYZ ') return undefined;
  const tags = new Map<string, Buffer>();
  const count = bytes.readUInt32BE(128);
  if (count > 100 || bytes.length < 132 + 12 * count) return undefined;
  for (let at = 132; at < 132 + 12 * count; at += 12) {
    const offset = bytes.readUInt32BE(at + 4);
    tags.set(
      bytes.toString('latin1', at, at + 4),
      bytes.subarray(offset, offset + bytes.readUInt32BE(at + 8)),
    );
  }
  if (tags.has('A2B0') || tags.has('D2B0')) return undefined;
  const colorants = ['rXYZ', 'gXYZ', 'bXYZ'].map((tag) => readXyz(tags.get(tag)));
  const curves = ['rTRC', 'gTRC', 'bTRC'].map((tag) => readCurve(tags.get(tag)));
  if (!colorants.every((c) => c !== undefined) || !curves.every((c) => c !== undefined)) return undefined;
  return { colorants, curves };
}

const s15Fixed16 = (bytes: Buffer, at: number) => bytes.readInt32BE(at) / 65_536;

function readXyz(tag: Buffer | undefined): number[] | undefined {
  if (!tag || tag.length < 20 || tag.toString('latin1', 0, 4) !== 'XYZ ') return undefined;
  return [8, 12, 16].map((at) => s15Fixed16(tag, at));
}

/** How many parameters each function type of a parametricCurveType has. */
const PARAMETERS = [1, 3, 4, 5, 7];

function readCurve(tag: Buffer | undefined): Curve | undefined {
  if (!tag || tag.length < 12) return undefined;
  const type = tag.toString('latin1', 0, 4);
  if (type === 'para') {
    const kind = tag.readUInt16BE(8);
    const count = PARAMETERS[kind];
    if (count === undefined || tag.length < 12 + 4 * count) return undefined;
    return parametric(
      kind,
      Array.from({ length: count }, (_, i) => s15Fixed16(tag, 12 + 4 * i)),
    );
  }
  if (type !== 'curv') return undefined;
  const length = tag.readUInt32BE(8);
  if (length === 0) return (x) => x;
  if (tag.length < 12 + 2 * length) return undefined;
  if (length === 1) {
    const gamma = tag.readUInt16BE(12) / 256;
    return (x) => x ** gamma;
  }
  return (x) => {
    const at = x * (length - 1);
    const low = Math.min(length - 2, Math.floor(at));
    const below = tag.readUInt16BE(12 + 2 * low);
    const above = tag.readUInt16BE(14 + 2 * low);
    return (below + (above - below) * (at - low)) / 65_535;
  };
}

function parametric(kind: number, [g = 1, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0]: number[]): Curve {
  const power = (x: number) => Math.max(0, a * x + b) ** g;
  switch (kind) {
    case 0:
      return (x) => x ** g;
    case 1:
      return (x) => (x >= -b / a ? power(x) : 0);
    case 2:
      return (x) => (x >= -b / a ? power(x) + c : c);
    case 3:
      return (x) => (x >= d ? power(x) : c * x);
    default:
      return (x) => (x >= d ? power(x) + e : c * x + f);
  }
}
