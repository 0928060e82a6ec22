/**
 * Puts the matte on the full picture, row by row: alpha from the guide, and the foreground's own colour where it is
 * mixed with what was behind, so that no seam of the old background stays.
 */
import type { HexColor } from '../../contract/plan.ts';
import type { Pixels } from '../types.ts';
import type { Guide } from './guide.ts';
import type { Matte } from './matte.ts';
import type { Plane } from './picture.ts';
import { grown } from './regions.ts';

export interface Result {
  /** What the foreground is laid on; opaque: the result is RGB, else RGBA. */
  color: HexColor;
  /** The matte itself, as a grey picture. */
  mask: boolean;
}

/** How far the guide's windows reach. */
const GUIDE_REACH_PX = 5;
/** What is nearly nothing or nearly all is noise of the guide. */
const LEAST_ALPHA = 0.03;

/** A matte, the guide that carries it, and the size that both have. */
export interface Carried {
  matte: Matte;
  guide: Guide;
}

/** @param carried undefined where nothing is taken away */
export function lift(pixels: Pixels, carried: Carried | undefined, result: Result): Pixels {
  const { width, height } = pixels;
  const ground = channelsOf(result.color);
  const opaque = ground[3] === 255;
  const channels = result.mask ? 1 : opaque ? 3 : 4;
  const out = new Uint8Array(width * height * channels);
  const readRow = rowReader(pixels);
  const row = new Float32Array(width * 4);
  const place = carried && placer(carried, width, height);
  for (let y = 0, to = 0; y < height; y++) {
    readRow(y, row);
    place?.(y, row);
    for (let from = 0; from < row.length; from += 4, to += channels) {
      const alpha = row[from + 3]!;
      if (channels === 1) {
        out[to] = alpha * 255 + 0.5;
      } else if (opaque) {
        const rest = 1 - alpha;
        out[to] = row[from]! * alpha + ground[0] * rest + 0.5;
        out[to + 1] = row[from + 1]! * alpha + ground[1] * rest + 0.5;
        out[to + 2] = row[from + 2]! * alpha + ground[2] * rest + 0.5;
      } else {
        // Over a ground that is itself seen through; where that is nothing, the plain foreground.
        const rest = ((1 - alpha) * ground[3]) / 255;
        const sum = alpha + rest;
        if (sum === 0) continue;
        out[to] = (row[from]! * alpha + ground[0] * rest) / sum + 0.5;
        out[to + 1] = (row[from + 1]! * alpha + ground[1] * rest) / sum + 0.5;
        out[to + 2] = (row[from + 2]! * alpha + ground[2] * rest) / sum + 0.5;
        out[to + 3] = sum * 255 + 0.5;
      }
    }
  }
  return {
    data: out,
    width,
    height,
    channels,
    depth: 8,
    ...(pixels.icc && !result.mask && { icc: pixels.icc }),
  };
}

/**
 * A function that multiplies a row's alpha by the matte, and makes the colour of mixed pixels the foreground's own:
 * the estimate around the place, corrected by what the pixel itself says (Forte, Approximate Fast Foreground Colour
 * Estimation, 2021).
 */
function placer({ matte, guide }: Carried, width: number, height: number): (y: number, row: Plane) => void {
  const { before, behind } = matte;
  const across = new Lerps(width, matte.width);
  const down = new Lerps(height, matte.height);
  const mixed = mixedPixels(matte);
  const planes = [
    ...[guide.red, guide.green, guide.blue, guide.offset],
    ...[before.red, before.green, before.blue],
    ...[behind.red, behind.green, behind.blue],
  ];
  const stride = planes.length;
  // The row of the small planes that belongs to a row of the picture, interleaved.
  const line = new Float32Array(matte.width * stride);
  const lineMixed = new Uint8Array(matte.width);
  const lineAlpha = new Float32Array(matte.width);
  const own = new Float32Array(stride);
  return (y, row) => {
    const top = down.first[y]! * matte.width;
    const bottom = down.second[y]! * matte.width;
    const fy = down.fraction[y]!;
    for (let x = 0; x < matte.width; x++) {
      lineMixed[x] = mixed[top + x]! | mixed[bottom + x]!;
      lineAlpha[x] = matte.alpha[top + x]!;
      if (lineMixed[x] === 0) continue;
      for (let p = 0; p < stride; p++) {
        const plane = planes[p]!;
        line[x * stride + p] = plane[top + x]! * (1 - fy) + plane[bottom + x]! * fy;
      }
    }
    for (let x = 0, at = 0; x < width; x++, at += 4) {
      const first = across.first[x]!;
      const second = across.second[x]!;
      if (lineMixed[first] === 0 || lineMixed[second] === 0) {
        row[at + 3]! *= lineAlpha[first]!;
        continue;
      }
      const fx = across.fraction[x]!;
      const left = first * stride;
      const right = second * stride;
      for (let p = 0; p < stride; p++) own[p] = line[left + p]! * (1 - fx) + line[right + p]! * fx;
      const [r, g, b] = [row[at]!, row[at + 1]!, row[at + 2]!];
      const estimate = own[0]! * r + own[1]! * g + own[2]! * b + own[3]!;
      const alpha = Math.min(1, Math.max(0, (estimate - LEAST_ALPHA) / (1 - 2 * LEAST_ALPHA)));
      row[at + 3]! *= alpha;
      if (alpha === 0 || alpha === 1) continue;
      const rest = 1 - alpha;
      const [fr, fg, fb] = [own[4]!, own[5]!, own[6]!];
      row[at] = clamp(fr + alpha * (r - alpha * fr - rest * own[7]!));
      row[at + 1] = clamp(fg + alpha * (g - alpha * fg - rest * own[8]!));
      row[at + 2] = clamp(fb + alpha * (b - alpha * fb - rest * own[9]!));
    }
  };
}

const clamp = (value: number) => Math.min(255, Math.max(0, value));

/** Where the matte is neither 0 nor 1 throughout the guide's window. */
function mixedPixels({ alpha, width, height }: Matte): Uint8Array {
  const mixed = new Uint8Array(alpha.length);
  for (let i = 0; i < alpha.length; i++) {
    const a = alpha[i]!;
    const turns =
      (a > 0 && a < 1) ||
      ((i % width) + 1 < width && alpha[i + 1] !== a) ||
      (i + width < alpha.length && alpha[i + width] !== a);
    if (turns) mixed[i] = 1;
  }
  return grown(mixed, width, height, GUIDE_REACH_PX);
}

/** For each place of a long row the two places of a short one that it lies between, centres on centres. */
class Lerps {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly fraction: Float32Array;

  constructor(length: number, from: number) {
    this.first = new Int32Array(length);
    this.second = new Int32Array(length);
    this.fraction = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / length - 0.5));
      const first = Math.floor(at);
      this.first[i] = first;
      this.second[i] = Math.min(from - 1, first + 1);
      this.fraction[i] = at - first;
    }
  }
}

/** Reads rows of any pixels as red, green and blue, 0–255, and alpha, 0–1. */
function rowReader({ data, width, channels, depth }: Pixels): (y: number, into: Plane) => void {
  const samples = depth === 16 ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) : data;
  const scale = depth === 16 ? 255 / 65_535 : 1;
  const [green, blue] = channels >= 3 ? [1, 2] : [0, 0];
  const alphaAt = channels === 2 ? 1 : channels === 4 ? 3 : -1;
  return (y, into) => {
    let from = y * width * channels;
    for (let to = 0; to < into.length; to += 4, from += channels) {
      into[to] = samples[from]! * scale;
      into[to + 1] = samples[from + green]! * scale;
      into[to + 2] = samples[from + blue]! * scale;
      into[to + 3] = alphaAt < 0 ? 1 : (samples[from + alphaAt]! * scale) / 255;
    }
  };
}

/** `#rrggbb` or `#rrggbbaa` as four levels. */
function channelsOf(color: HexColor): [number, number, number, number] {
  const digits = color.slice(1).padEnd(8, 'f');
  const level = (at: number) => Number.parseInt(digits.slice(at, at + 2), 16);
  return [level(0), level(2), level(4), level(6)];
}
