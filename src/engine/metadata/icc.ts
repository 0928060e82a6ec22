/**
 * ICC profiles for pictures that say their colours without one: by coding-independent code points, or in EXIF.
 * Only matrix/TRC display profiles (ICC.1:2022, version 4), which Little CMS inside libvips reads.
 */
import type { Facts } from '../types.ts';

type Cicp = NonNullable<Facts['cicp']>;
type Xy = readonly [x: number, y: number];
type Vector = readonly [number, number, number];
type Matrix = readonly [Vector, Vector, Vector];

interface Gamut {
  name: string;
  red: Xy;
  green: Xy;
  blue: Xy;
  white: Xy;
}

const D65: Xy = [0.3127, 0.329];
/** The profile connection space's white, as ICC.1 gives it. */
const D50: Vector = [0.9642, 1, 0.8249];

/** Chromaticities by `ColourPrimaries` (ISO/IEC 23091-2, table 2). */
const GAMUTS: Record<number, Gamut> = {
  1: { name: 'sRGB', red: [0.64, 0.33], green: [0.3, 0.6], blue: [0.15, 0.06], white: D65 },
  9: { name: 'BT.2020', red: [0.708, 0.292], green: [0.17, 0.797], blue: [0.131, 0.046], white: D65 },
  11: { name: 'P3 DCI', red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06], white: [0.314, 0.351] },
  12: { name: 'Display P3', red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06], white: D65 },
  22: { name: 'EBU 3213', red: [0.63, 0.34], green: [0.295, 0.605], blue: [0.155, 0.077], white: D65 },
};

const ADOBE_RGB: Gamut = {
  name: 'Adobe RGB compatible',
  red: [0.64, 0.33],
  green: [0.21, 0.71],
  blue: [0.15, 0.06],
  white: D65,
};

/** Luminance that HDR encodings give to diffuse white (ITU-R BT.2408), in nits. */
const REFERENCE_WHITE_NITS = 203;
const PQ_PEAK_NITS = 10_000;
const HLG_PEAK_NITS = 1_000;
/** Where the highlights begin to bend, as a fraction of SDR white. */
const KNEE = 0.8;
const TABLE_SIZE = 4096;

type Curve = { name: string; tag: Buffer };

/**
 * A profile for pixels that code points describe, in order to take them to sRGB.
 *
 * Transfers: the BT.709 family (1, 6, 14, 15) is read by sRGB's curve, as browsers and HEIC viewers show it (the
 * curve of the displays that such pictures are graded on is close; the inverse of the camera's curve would wash
 * them out); 4 is gamma 2.2, 8 linear, 13 sRGB, 16 PQ, 18 HLG. PQ and HLG come down to SDR in their curves, each
 * channel by itself: 203 nits is white, the lower 80 % of light stays as it is, and all that is brighter is rolled
 * off into what remains, so that diffuse white lands at 90 % of light (243 of 255) and highlights keep their shape.
 *
 * @returns undefined where the pixels are sRGB for all that matters, or the code points are not known here
 */
export function iccFromCicp(cicp: Cicp): Uint8Array | undefined {
  const gamut = GAMUTS[cicp.primaries];
  const curve = curveOf(cicp.transfer);
  if (!gamut || !curve) return undefined;
  if (cicp.primaries === 1 && curve.name === 'sRGB') return undefined;
  return matrixProfile(`${gamut.name}, ${curve.name}`, gamut, curve.tag);
}

/** For camera files that say Adobe RGB in EXIF only (ColorSpace 65535, InteroperabilityIndex R03). */
export function adobeRgbProfile(): Uint8Array {
  return matrixProfile(ADOBE_RGB.name, ADOBE_RGB, parametric(2.199_218_75));
}

function curveOf(transfer: number): Curve | undefined {
  switch (transfer) {
    case 1:
    case 6:
    case 13:
    case 14:
    case 15:
      return { name: 'sRGB', tag: parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.040_45) };
    case 4:
      return { name: 'gamma 2.2', tag: parametric(2.2) };
    case 8:
      return { name: 'linear', tag: parametric(1) };
    case 16:
      return { name: 'PQ to SDR', tag: table((v) => toneMapped(pqNits(v), PQ_PEAK_NITS)) };
    case 18:
      return { name: 'HLG to SDR', tag: table((v) => toneMapped(hlgNits(v), HLG_PEAK_NITS)) };
    default:
      return undefined;
  }
}

/** SMPTE ST 2084: signal 0–1 to nits. */
function pqNits(signal: number): number {
  const m1 = 2610 / 16384;
  const m2 = (2523 / 4096) * 128;
  const c1 = 3424 / 4096;
  const c2 = (2413 / 4096) * 32;
  const c3 = (2392 / 4096) * 32;
  const p = signal ** (1 / m2);
  return PQ_PEAK_NITS * (Math.max(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1);
}

/** ITU-R BT.2100: signal 0–1 to nits on a display of 1,000 (system gamma 1.2, applied to each channel). */
function hlgNits(signal: number): number {
  const a = 0.178_832_77;
  const b = 1 - 4 * a;
  const c = 0.5 - a * Math.log(4 * a);
  const scene = signal <= 0.5 ? signal ** 2 / 3 : (Math.exp((signal - c) / a) + b) / 12;
  return HLG_PEAK_NITS * scene ** 1.2;
}

/** Light up to the knee as it is; above it Reinhard's extended curve, of slope 1 at the knee and 1 at the peak. */
function toneMapped(nits: number, peakNits: number): number {
  const light = nits / REFERENCE_WHITE_NITS;
  if (light <= KNEE) return light;
  const room = 1 - KNEE;
  const over = (light - KNEE) / room;
  const most = (peakNits / REFERENCE_WHITE_NITS - KNEE) / room;
  return KNEE + (room * over * (1 + over / most ** 2)) / (1 + over);
}

/** `para`: x^g, or with sRGB's linear part ((ax+b)^g from d on, cx below). */
function parametric(g: number, ...rest: [] | [a: number, b: number, c: number, d: number]): Buffer {
  const values = [g, ...rest];
  const tag = Buffer.alloc(12 + 4 * values.length);
  tag.write('para', 0, 'latin1');
  tag.writeUInt16BE(rest.length === 0 ? 0 : 3, 8);
  for (const [i, value] of values.entries()) tag.writeInt32BE(fixed(value), 12 + 4 * i);
  return tag;
}

function table(curve: (signal: number) => number): Buffer {
  const tag = Buffer.alloc(12 + 2 * TABLE_SIZE);
  tag.write('curv', 0, 'latin1');
  tag.writeUInt32BE(TABLE_SIZE, 8);
  for (let i = 0; i < TABLE_SIZE; i++) {
    const value = Math.min(Math.max(curve(i / (TABLE_SIZE - 1)), 0), 1);
    tag.writeUInt16BE(Math.round(value * 65_535), 12 + 2 * i);
  }
  return tag;
}

function matrixProfile(name: string, gamut: Gamut, curve: Buffer): Uint8Array {
  const white = xyz(gamut.white);
  const adapt = bradford(white, D50);
  const primaries = columns(xyz(gamut.red), xyz(gamut.green), xyz(gamut.blue));
  // Scale the primaries so that equal parts of them make the white.
  const parts = multiply(inverse(primaries), white);
  const [red, green, blue] = [gamut.red, gamut.green, gamut.blue].map((xy, i) => {
    const [x, y, z] = xyz(xy);
    const part = parts[i] ?? 0;
    return multiply(adapt, [x * part, y * part, z * part]);
  }) as [Vector, Vector, Vector];
  const tags: [string, Buffer][] = [
    ['desc', localised(name)],
    ['cprt', localised('No copyright, use freely')],
    ['wtpt', xyzTag(D50)],
    ['chad', fixedArray('sf32', adapt.flat())],
    ['rXYZ', xyzTag(red)],
    ['gXYZ', xyzTag(green)],
    ['bXYZ', xyzTag(blue)],
    ['rTRC', curve],
    ['gTRC', curve],
    ['bTRC', curve],
  ];
  return assemble(tags);
}

function assemble(tags: [string, Buffer][]): Uint8Array {
  const directory = Buffer.alloc(4 + 12 * tags.length);
  directory.writeUInt32BE(tags.length, 0);
  const placed = new Map<Buffer, number>();
  const blocks: Buffer[] = [];
  let at = 128 + directory.length;
  for (const [i, [signature, data]] of tags.entries()) {
    let offset = placed.get(data);
    if (offset === undefined) {
      offset = at;
      placed.set(data, offset);
      const padding = Buffer.alloc((4 - (data.length % 4)) % 4);
      blocks.push(data, padding);
      at += data.length + padding.length;
    }
    directory.write(signature, 4 + 12 * i, 'latin1');
    directory.writeUInt32BE(offset, 8 + 12 * i);
    directory.writeUInt32BE(data.length, 12 + 12 * i);
  }
  const header = Buffer.alloc(128);
  header.writeUInt32BE(at, 0);
  header.writeUInt32BE(0x04_30_00_00, 8); // version 4.3
  header.write('mntrRGB XYZ ', 12, 'latin1');
  header.writeUInt16BE(2026, 24); // year, month, day: required, and constant so that the bytes are
  header.writeUInt16BE(1, 26);
  header.writeUInt16BE(1, 28);
  header.write('acsp', 36, 'latin1');
  for (const [i, value] of D50.entries()) header.writeInt32BE(fixed(value), 68 + 4 * i);
  return Buffer.concat([header, directory, ...blocks]);
}

function localised(text: string): Buffer {
  const utf16 = Buffer.from(text, 'utf16le').swap16();
  const head = Buffer.alloc(28);
  head.write('mluc', 0, 'latin1');
  head.writeUInt32BE(1, 8);
  head.writeUInt32BE(12, 12);
  head.write('enUS', 16, 'latin1');
  head.writeUInt32BE(utf16.length, 20);
  head.writeUInt32BE(28, 24);
  return Buffer.concat([head, utf16]);
}

const xyzTag = (value: Vector): Buffer => fixedArray('XYZ ', value);

function fixedArray(type: string, values: readonly number[]): Buffer {
  const tag = Buffer.alloc(8 + 4 * values.length);
  tag.write(type, 0, 'latin1');
  for (const [i, value] of values.entries()) tag.writeInt32BE(fixed(value), 8 + 4 * i);
  return tag;
}

/** s15Fixed16Number. */
const fixed = (value: number): number => Math.round(value * 65_536);

const xyz = ([x, y]: Xy): Vector => [x / y, 1, (1 - x - y) / y];

/** The linearised Bradford transform from one white to another (ICC.1, annex E). */
function bradford(from: Vector, to: Vector): Matrix {
  const cone: Matrix = [
    [0.8951, 0.2664, -0.1614],
    [-0.7502, 1.7135, 0.0367],
    [0.0389, -0.0685, 1.0296],
  ];
  const [f, t] = [multiply(cone, from), multiply(cone, to)];
  const scale: Matrix = [
    [t[0] / f[0], 0, 0],
    [0, t[1] / f[1], 0],
    [0, 0, t[2] / f[2]],
  ];
  return product(inverse(cone), product(scale, cone));
}

const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

const multiply = (m: Matrix, v: Vector): Vector => [dot(m[0], v), dot(m[1], v), dot(m[2], v)];

/** The matrix of three columns, which is also a transposition. */
const columns = (a: Vector, b: Vector, c: Vector): Matrix => [
  [a[0], b[0], c[0]],
  [a[1], b[1], c[1]],
  [a[2], b[2], c[2]],
];

const product = (a: Matrix, b: Matrix): Matrix => {
  const [x, y, z] = columns(...b);
  return columns(multiply(a, x), multiply(a, y), multiply(a, z));
};

const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

function inverse([a, b, c]: Matrix): Matrix {
  const determinant = dot(a, cross(b, c));
  const over = ([x, y, z]: Vector): Vector => [x / determinant, y / determinant, z / determinant];
  return columns(over(cross(b, c)), over(cross(c, a)), over(cross(a, b)));
}

const MAX_DESCRIPTION_CHARS = 200;

/**
 * The name that a profile gives itself, e.g. `Display P3`: English where there are several, without control
 * characters, at most 200 characters. Undefined for anything that is no profile or has no name.
 */
export function iccDescription(profile: Uint8Array): string | undefined {
  const bytes = Buffer.from(profile.buffer, profile.byteOffset, profile.byteLength);
  if (bytes.length < 132 || bytes.toString('latin1', 36, 40) !== 'acsp') return undefined;
  const count = Math.min(bytes.readUInt32BE(128), 200, Math.floor((bytes.length - 132) / 12));
  for (let i = 0; i < count; i++) {
    const entry = 132 + 12 * i;
    if (bytes.toString('latin1', entry, entry + 4) !== 'desc') continue;
    const offset = bytes.readUInt32BE(entry + 4);
    const tag = bytes.subarray(offset, offset + bytes.readUInt32BE(entry + 8));
    const text = descriptionText(tag)
      ?.replace(/\0.*$/su, '')
      .replace(/[\p{Cc}\p{Cs}]/gu, '')
      .trim();
    return text ? text.slice(0, MAX_DESCRIPTION_CHARS) : undefined;
  }
  return undefined;
}

function descriptionText(tag: Buffer): string | undefined {
  const type = tag.toString('latin1', 0, 4);
  if (type === 'desc' && tag.length > 12) {
    return tag.toString('latin1', 12, Math.min(12 + tag.readUInt32BE(8), tag.length));
  }
  if (type !== 'mluc' || tag.length < 28) return undefined;
  const records = Math.min(tag.readUInt32BE(8), Math.floor((tag.length - 16) / 12));
  let chosen = 16;
  for (let i = 0; i < records; i++) {
    if (tag.toString('latin1', 16 + 12 * i, 18 + 12 * i) !== 'en') continue;
    chosen = 16 + 12 * i;
    break;
  }
  const offset = tag.readUInt32BE(chosen + 8);
  const text = tag.subarray(
    offset,
    offset + Math.min(tag.readUInt32BE(chosen + 4), 4 * MAX_DESCRIPTION_CHARS),
  );
  return Buffer.from(text.subarray(0, text.length - (text.length % 2)))
    .swap16()
    .toString('utf16le');
}

const ICC_MARKER = Buffer.from('ICC_PROFILE\0', 'latin1');
/** What a segment holds besides its length, the marker's name, and the sequence number and count. */
const MAX_ICC_CHUNK = 65_533 - ICC_MARKER.length - 2;

/**
 * The JPEG with the profile in APP2 segments (ICC.1, annex B.4), behind the JFIF header if there is one. For a
 * JPEG without a profile.
 */
export function withJpegIcc(jpeg: Buffer, icc: Uint8Array): Buffer {
  const hasJfif = jpeg.length > 6 && jpeg.readUInt16BE(2) === 0xff_e0;
  const at = hasJfif ? 4 + jpeg.readUInt16BE(4) : 2;
  const count = Math.ceil(icc.length / MAX_ICC_CHUNK);
  const segments: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const chunk = icc.subarray(i * MAX_ICC_CHUNK, (i + 1) * MAX_ICC_CHUNK);
    const head = Buffer.alloc(4);
    head.writeUInt16BE(0xff_e2, 0);
    head.writeUInt16BE(2 + ICC_MARKER.length + 2 + chunk.length, 2);
    segments.push(head, ICC_MARKER, Buffer.of(i + 1, count), chunk);
  }
  return Buffer.concat([jpeg.subarray(0, at), ...segments, jpeg.subarray(at)]);
}
