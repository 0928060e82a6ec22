/**
 * Few colours for a drawing: those of its flat parts. Pixels on edges, which mix the colours on both of their sides,
 * have no say in the palette, and get one of the colours that meet there, never a third one that looks like the mix.
 */
import { distance, labelsAround, nearest, type Palette, UNSET } from './palette.ts';
import type { Raster } from './raster.ts';
import { thinColors } from './thin-colors.ts';

/** Neighbours that differ by no more in any channel are one flat part: noise of a JPEG, steps of a gradient. */
const FLAT_STEP = 8;
/** 5 bits of each colour, 2 of alpha. */
const BINS = 2 ** 17;
/** A pixel of an edge that is this close (in squares) to a colour has it: lines may be too thin to have a flat part. */
const EXACT = 12 * 12;
/** The common colours must stand for this part of the flat pixels, or rare ones are looked at, so many at most. */
const MIN_EXPLAINED = 0.8;
const MAX_LOOKS = 300;
/** An edge reaches so far from what is flat; what lies beyond is a texture of its own. */
const EDGE_PX = 2;
/** A smaller part of the picture is small letters, or what JPEG leaves around them. */
const MIN_TEXTURE_SHARE = 0.05;
/** By how much nearer (in squares) a colour must be that is not around a pixel. */
const FAR = 3;
/** Soft edges are no wider; the rest is labelled by itself. */
const MAX_RINGS = 8;

export interface PaletteOptions {
  /** At most 254. */
  maxColors: number;
  /** Colours that are nearer to each other than this are one. */
  minDistance: number;
}

/** The colours of a picture, and of each pixel the index of its colour. */
export function label(raster: Raster, options: PaletteOptions): { palette: Palette; labels: Uint8Array } {
  const flat = flatPixels(raster);
  const palette = choose(histogram(raster, flat), raster.words.length, options);
  const { labels, pending } = seeds(raster, palette, flat);
  const thin = thinColors(raster, palette, labels, pending, options);
  if (thin.count === palette.count) return { palette, labels: spread(raster, palette, labels, pending) };
  const again = seeds(raster, thin, flat);
  return { palette: thin, labels: spread(raster, thin, again.labels, again.pending) };
}

/** The labels where the palette is known. The raster was enlarged: its edges are so soft that they look flat. */
export function labelsOf(raster: Raster, palette: Palette): Uint8Array {
  const { labels, pending } = seeds(raster, palette);
  return spread(raster, palette, labels, pending);
}

interface Seeds {
  labels: Uint8Array;
  /** Pixels without a label yet. */
  pending: number[];
}

/** Labels the pixels whose colour is plain. */
function seeds({ data, words }: Raster, palette: Palette, flat?: Uint8Array): Seeds {
  const binLabels = new Uint8Array(BINS).fill(UNSET);
  const labels = new Uint8Array(words.length).fill(UNSET);
  const pending: number[] = [];
  for (let i = 0; i < labels.length; i++) {
    if (i > 0 && words[i] === words[i - 1] && (!flat || flat[i] === flat[i - 1])) {
      if (labels[i - 1] === UNSET) pending.push(i);
      else labels[i] = labels[i - 1]!;
      continue;
    }
    const bin = binOf(data, i * 4);
    if (binLabels[bin] === UNSET) binLabels[bin] = nearest(palette, data, i * 4);
    const best = binLabels[bin]!;
    if (flat?.[i] || distance(data, i * 4, palette, best) <= EXACT) labels[i] = best;
    else pending.push(i);
  }
  return { labels, pending };
}

/** 1 where a pixel is like the four around it, and where it lies in a texture or in noise, far from any such pixel. */
function flatPixels({ width, height, data, words }: Raster): Uint8Array {
  const flat = new Uint8Array(words.length).fill(1);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x + 1 < width && words[i] !== words[i + 1] && differs(data, i * 4, i * 4 + 4)) {
        flat[i] = 0;
        flat[i + 1] = 0;
      }
      if (y + 1 < height && words[i] !== words[i + width] && differs(data, i * 4, (i + width) * 4)) {
        flat[i] = 0;
        flat[i + width] = 0;
      }
    }
  }
  const texture: number[] = [];
  for (let i = 0; i < flat.length; i++) if (!flat[i] && !isNearFlat(flat, width, height, i)) texture.push(i);
  if (texture.length >= flat.length * MIN_TEXTURE_SHARE) for (const i of texture) flat[i] = 1;
  return flat;
}

function isNearFlat(flat: Uint8Array, width: number, height: number, i: number): boolean {
  const x = i % width;
  const y = (i - x) / width;
  const toX = Math.min(width - 1, x + EDGE_PX);
  for (let ny = Math.max(0, y - EDGE_PX); ny <= Math.min(height - 1, y + EDGE_PX); ny++) {
    for (let nx = Math.max(0, x - EDGE_PX); nx <= toX; nx++) if (flat[ny * width + nx]) return true;
  }
  return false;
}

function differs(data: Uint8Array, a: number, b: number): boolean {
  for (let c = 0; c < 4; c++) if (Math.abs(data[a + c]! - data[b + c]!) > FLAT_STEP) return true;
  return false;
}

interface Bin {
  key: number;
  count: number;
  color: [number, number, number, number];
}

const binOf = (data: Uint8Array, at: number) =>
  ((data[at]! >> 3) << 12) | ((data[at + 1]! >> 3) << 7) | ((data[at + 2]! >> 3) << 2) | (data[at + 3]! >> 6);

/** The colours of the flat pixels, the commonest first. */
function histogram({ data, words }: Raster, flat: Uint8Array): Bin[] {
  const counts = new Uint32Array(BINS);
  const sums = new Float64Array(BINS * 4);
  for (let i = 0; i < words.length; ) {
    if (!flat[i]) {
      i += 1;
      continue;
    }
    let end = i + 1;
    while (end < words.length && words[end] === words[i]) end += 1;
    const key = binOf(data, i * 4);
    const run = end - i;
    counts[key]! += run;
    for (let c = 0; c < 4; c++) sums[key * 4 + c]! += run * data[i * 4 + c]!;
    i = end;
  }
  const bins: Bin[] = [];
  for (let key = 0; key < BINS; key++) {
    const count = counts[key]!;
    if (count === 0) continue;
    const at = key * 4;
    bins.push({
      key,
      count,
      color: [sums[at]! / count, sums[at + 1]! / count, sums[at + 2]! / count, sums[at + 3]! / count],
    });
  }
  return bins.sort((a, b) => b.count - a.count || a.key - b.key);
}

const apart = (a: Bin['color'], b: Bin['color']) =>
  (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2 + (a[3] - b[3]) ** 2;

/** The commonest colours that are far enough apart, each moved to the middle of the bins that are nearest to it. */
function choose(bins: Bin[], pixels: number, { maxColors, minDistance }: PaletteOptions): Palette {
  const minCount = Math.max(6, pixels / 40_000);
  const near = minDistance ** 2;
  let centers: Bin['color'][] = [];
  const addWhere = (isCommon: (bin: Bin) => boolean) => {
    for (const bin of bins) {
      if (centers.length >= maxColors) return;
      if (centers.every((center) => apart(center, bin.color) > near) && isCommon(bin))
        centers.push(bin.color);
    }
  };
  addWhere(({ count }) => count >= minCount);
  let [all, explained] = [0, 0];
  for (const { count, color } of bins) {
    all += count;
    if (centers.some((center) => apart(center, color) <= near)) explained += count;
  }
  if (explained < all * MIN_EXPLAINED) {
    // Hardly a colour comes twice: those that are like it are counted with it.
    let looks = MAX_LOOKS;
    addWhere(({ color }) => {
      if (looks-- <= 0) return false;
      const alike = bins.reduce((sum, bin) => (apart(color, bin.color) <= near ? sum + bin.count : sum), 0);
      return alike >= minCount;
    });
  }
  if (centers.length === 0) centers = [bins[0]?.color ?? [0, 0, 0, 0]];
  const sums = centers.map(() => ({ count: 0, color: [0, 0, 0, 0] }));
  for (const bin of bins) {
    let best = 0;
    for (let i = 1; i < centers.length; i++) {
      if (apart(centers[i]!, bin.color) < apart(centers[best]!, bin.color)) best = i;
    }
    const sum = sums[best]!;
    // What is far off is no shade of this colour: it was too rare to be one of its own.
    if (apart(centers[best]!, bin.color) > 4 * minDistance ** 2) continue;
    sum.count += bin.count;
    for (let c = 0; c < 4; c++) sum.color[c]! += bin.count * bin.color[c]!;
  }
  const colors = new Uint8Array(centers.length * 4);
  for (const [i, center] of centers.entries()) {
    const { count, color } = sums[i]!;
    for (let c = 0; c < 4; c++) {
      colors[i * 4 + c] = Math.round(count === 0 ? center[c]! : color[c]! / count);
    }
  }
  return { colors, count: centers.length };
}

/** Labels what is pending from its labelled neighbours, ring by ring, in place. */
function spread(raster: Raster, palette: Palette, labels: Uint8Array, pending: number[]): Uint8Array {
  const { data } = raster;
  let rest = pending;
  for (let ring = 0; rest.length > 0; ring++) {
    const found: number[] = [];
    const left: number[] = [];
    for (const i of rest) {
      const around = labelsAround(raster, labels, i);
      let best = UNSET;
      let least = Infinity;
      for (const candidate of around) {
        const off = distance(data, i * 4, palette, candidate);
        if (off < least) {
          least = off;
          best = candidate;
        }
      }
      if (best === UNSET) {
        left.push(i);
        continue;
      }
      if (around.length === 1 && least > EXACT) {
        // A line too thin to show its full colour: it is on no edge between two.
        const other = nearest(palette, data, i * 4);
        if (FAR * distance(data, i * 4, palette, other) < least) best = other;
      }
      found.push(i, best);
    }
    for (let k = 0; k < found.length; k += 2) labels[found[k]!] = found[k + 1]!;
    if (found.length === 0 || ring === MAX_RINGS) {
      for (const i of left) labels[i] = nearest(palette, data, i * 4);
      break;
    }
    rest = left;
  }
  return labels;
}
