/**
 * What stands out: each cue gives every pixel a number that is large where it is unlike the border. None of them is
 * right for every ground, so that the outlines they lead to are compared afterwards (outline.ts).
 */
import { type Border, borderOf } from './border.ts';
import { type Picture, type Plane, quantile, softened } from './picture.ts';

export interface Cues {
  border: Border;
  /** Distance from a smooth ground that is fitted to the border: for plain grounds and gradients. */
  fit: Plane;
  /** Share of the border that the smooth ground explains, 0–1. */
  fitShare: number;
  /** How seldom the colour is on the border, as a negative logarithm: for textures. */
  rarity: Plane;
  /** Edges to cross on the easiest way to the border: for what is sharp before what is not. */
  barrier: Plane;
}

export function cuesOf(picture: Picture): Cues {
  const soft = softened(picture);
  const border = borderOf(soft);
  const { distance, share } = distanceFromFit(soft, border);
  return {
    border,
    fit: distance,
    fitShare: share,
    rarity: rarityOf(soft, border),
    barrier: barrierOf(soft, border),
  };
}

const TERMS = 6;

/**
 * A polynomial of degree 2 for each channel, fitted to the border by iteratively reweighted least squares, so that
 * what is not ground does not pull it.
 */
function distanceFromFit(picture: Picture, border: Border): { distance: Plane; share: number } {
  const { width, height, rgb } = picture;
  const basis = new Float64Array(TERMS);
  const setBasis = (i: number) => {
    const x = (((i % width) + 0.5) / width) * 2 - 1;
    const y = ((Math.floor(i / width) + 0.5) / height) * 2 - 1;
    basis[0] = 1;
    basis[1] = x;
    basis[2] = y;
    basis[3] = x * x;
    basis[4] = x * y;
    basis[5] = y * y;
  };
  let coefficients = new Float64Array(TERMS * 3);
  const distanceAt = (i: number) => {
    setBasis(i);
    let square = 0;
    for (let c = 0; c < 3; c++) {
      let value = 0;
      for (let t = 0; t < TERMS; t++) value += basis[t]! * coefficients[t * 3 + c]!;
      square += (rgb[i * 3 + c]! - value) ** 2;
    }
    return Math.sqrt(square);
  };
  const samples = border.pixels.filter((_, n) => n % 2 === 0);
  const weights = new Float64Array(samples.length).fill(1);
  let distances = new Float64Array(samples.length);
  for (let round = 0; round < 10; round++) {
    const rows = Array.from({ length: TERMS }, () => new Float64Array(TERMS + 3));
    samples.forEach((i, n) => {
      setBasis(i);
      for (let r = 0; r < TERMS; r++) {
        const weighted = basis[r]! * weights[n]!;
        for (let c = 0; c < TERMS; c++) rows[r]![c]! += weighted * basis[c]!;
        for (let c = 0; c < 3; c++) rows[r]![TERMS + c]! += weighted * rgb[i * 3 + c]!;
      }
    });
    for (let r = 0; r < TERMS; r++) rows[r]![r]! += samples.length * 1e-5 + 1e-9;
    coefficients = solve(rows);
    distances = Float64Array.from(samples, distanceAt);
    const scale = Math.max(3, 2 * quantile(distances, 0.5));
    for (let n = 0; n < samples.length; n++) weights[n] = 1 / (1 + (distances[n]! / scale) ** 2) ** 2;
  }
  const share = distances.filter((d) => d < 10).length / Math.max(1, distances.length);
  return { distance: Float32Array.from({ length: width * height }, (_, i) => distanceAt(i)), share };
}

/** Gauss–Jordan; the matrix is positive definite, so that no pivots are searched. */
function solve(rows: Float64Array[]): Float64Array<ArrayBuffer> {
  for (let r = 0; r < TERMS; r++) {
    const pivot = rows[r]![r]!;
    for (let c = r; c < TERMS + 3; c++) rows[r]![c]! /= pivot;
    for (let q = 0; q < TERMS; q++) {
      const factor = rows[q]![r]!;
      if (q !== r) for (let c = r; c < TERMS + 3; c++) rows[q]![c]! -= factor * rows[r]![c]!;
    }
  }
  return Float64Array.from(rows.flatMap((row) => Array.from(row.subarray(TERMS))));
}

const CLUSTERS = 16;

/** The border's colours as a mixture of round Gaussians; k-means from the farthest points, no chance in it. */
function rarityOf({ width, height, rgb }: Picture, border: Border): Plane {
  const samples = border.pixels;
  const squareTo = (i: number, r: number, g: number, b: number) =>
    (rgb[i * 3]! - r) ** 2 + (rgb[i * 3 + 1]! - g) ** 2 + (rgb[i * 3 + 2]! - b) ** 2;
  const centers = new Float64Array(CLUSTERS * 3);
  const nearest = new Float64Array(samples.length).fill(Number.POSITIVE_INFINITY);
  let farthest = 0;
  for (let k = 0; k < CLUSTERS; k++) {
    const at = (samples[farthest] ?? 0) * 3;
    for (let c = 0; c < 3; c++) centers[k * 3 + c] = rgb[at + c]!;
    let most = -1;
    samples.forEach((i, n) => {
      const square = squareTo(i, centers[k * 3]!, centers[k * 3 + 1]!, centers[k * 3 + 2]!);
      if (square < nearest[n]!) nearest[n] = square;
      if (nearest[n]! > most) {
        most = nearest[n]!;
        farthest = n;
      }
    });
  }
  const share = new Float64Array(CLUSTERS);
  const variance = new Float64Array(CLUSTERS);
  for (let round = 0; round < 8; round++) {
    const sums = new Float64Array(CLUSTERS * 3);
    share.fill(0);
    variance.fill(0);
    for (const i of samples) {
      let least = Number.POSITIVE_INFINITY;
      let best = 0;
      for (let k = 0; k < CLUSTERS; k++) {
        const square = squareTo(i, centers[k * 3]!, centers[k * 3 + 1]!, centers[k * 3 + 2]!);
        if (square < least) {
          least = square;
          best = k;
        }
      }
      share[best]!++;
      variance[best]! += least / 3;
      for (let c = 0; c < 3; c++) sums[best * 3 + c]! += rgb[i * 3 + c]!;
    }
    for (let k = 0; k < CLUSTERS; k++) {
      if (share[k] === 0) continue;
      variance[k]! /= share[k]!;
      for (let c = 0; c < 3; c++) centers[k * 3 + c] = sums[k * 3 + c]! / share[k]!;
    }
  }
  const used = [...share.keys()].filter((k) => share[k]! > 0);
  return Float32Array.from({ length: width * height }, (_, i) => {
    let density = 1e-30;
    for (const k of used) {
      const spread = variance[k]! + 36;
      const square = squareTo(i, centers[k * 3]!, centers[k * 3 + 1]!, centers[k * 3 + 2]!);
      density += (share[k]! / samples.length / spread ** 1.5) * Math.exp(-square / 2 / spread);
    }
    return -Math.log(density);
  });
}

/** Sweeps of the distance transform; each goes down and up. */
const SWEEPS = 4;

/** The least sum of steps, each less what is usual along the border, over all ways there: a raster-scanned geodesic. */
function barrierOf({ width, height, rgb }: Picture, border: Border): Plane {
  const step = (i: number, j: number) =>
    Math.hypot(
      rgb[i * 3]! - rgb[j * 3]!,
      rgb[i * 3 + 1]! - rgb[j * 3 + 1]!,
      rgb[i * 3 + 2]! - rgb[j * 3 + 2]!,
    );
  const usual: number[] = [];
  for (const i of border.pixels) {
    if ((i % width) + 1 < width) usual.push(step(i, i + 1));
    if (i + width < width * height) usual.push(step(i, i + width));
  }
  const free = Math.max(1.5, quantile(usual, 0.8));
  const right = new Float32Array(width * height);
  const down = new Float32Array(width * height);
  for (let i = 0; i < width * height; i++) {
    if ((i % width) + 1 < width) right[i] = Math.max(0, step(i, i + 1) - free);
    if (i + width < width * height) down[i] = Math.max(0, step(i, i + width) - free);
  }
  const out = new Float32Array(width * height).fill(1e6);
  for (let i = 0; i < out.length; i++) if (border.seeds[i] === 1) out[i] = 0;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (let i = 0; i < out.length; i++) {
      if (i % width > 0) out[i] = Math.min(out[i]!, out[i - 1]! + right[i - 1]!);
      if (i >= width) out[i] = Math.min(out[i]!, out[i - width]! + down[i - width]!);
    }
    for (let i = out.length - 1; i >= 0; i--) {
      if ((i % width) + 1 < width) out[i] = Math.min(out[i]!, out[i + 1]! + right[i]!);
      if (i + width < out.length) out[i] = Math.min(out[i]!, out[i + width]! + down[i]!);
    }
  }
  return out;
}
