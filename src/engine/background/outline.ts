/**
 * Chooses the foreground. Each cue, cut off at many levels, gives a candidate; the right one is known by its outline:
 * it runs along the picture's edges, and leaves few edges outside.
 */
import type { OpenCv } from '../opencv/load.ts';
import type { Own } from '../opencv/scope.ts';
import type { Border } from './border.ts';
import { type Mask, type Picture, type Plane, quantile, softened } from './picture.ts';
import { areaOf, grown, withoutHoles, withoutSpecks } from './regions.ts';
import type { Cues } from './saliency.ts';

export interface Candidate {
  mask: Mask;
  /** The cue that gave it, and the level that it was cut off at. */
  cue: string;
  plane: Plane;
  level: number;
  /** 0–1. */
  score: number;
  precision: number;
  recall: number;
}

const LEVELS = 14;
/** A foreground smaller than this share of the picture is likely not the one that is meant. */
const SMALL_SHARE = 0.02;
/** Candidates that differ by less are one. */
const SAME_SHARE = 0.001;
/** Parts below this share of the largest are noise. */
const SPECK_SHARE = 0.03;

/** Gradients that count as edges, at least: a step of some 25 levels. */
const LEAST_GRADIENT = 28;
/** An edge is so many times as steep as the border is where it is steep. */
const STEEPER = 2.5;

/** Canny's edges, at levels that follow the ground's own steepness: a plain one shows faint outlines, a rough one not. */
export function edgesOf(cv: OpenCv, own: Own, picture: Picture, border: Border): Mask {
  const { width, height, rgb } = softened(picture);
  const image = own(new cv.Mat(height, width, cv.CV_8UC3));
  image.data.set(rgb);
  const edges = own(new cv.Mat());
  const gradient = gradientOf(width, height, rgb);
  const usual = quantile(
    Float64Array.from(border.pixels, (i) => gradient[i]!),
    0.95,
  );
  const strong = quantile(gradient, 0.97);
  const high = Math.max(LEAST_GRADIENT, Math.min(usual * STEEPER, strong / 2));
  cv.Canny(image, edges, high * 0.4, high, 3, true);
  return Uint8Array.from(edges.data, (value) => (value > 0 ? 1 : 0));
}

/** Sobel's gradient, the largest of the channels; 0 in the outermost pixels. */
function gradientOf(width: number, height: number, rgb: Uint8Array): Plane {
  const out = new Float32Array(width * height);
  const row = width * 3;
  for (let y = 1; y + 1 < height; y++) {
    for (let x = 1; x + 1 < width; x++) {
      let most = 0;
      for (let at = (y * width + x) * 3, c = 0; c < 3; c++, at++) {
        const fall = rgb[at - row - 3]! - rgb[at + row + 3]!;
        const rise = rgb[at - row + 3]! - rgb[at + row - 3]!;
        const gx = rise - fall + 2 * (rgb[at + 3]! - rgb[at - 3]!);
        const gy = -rise - fall + 2 * (rgb[at + row]! - rgb[at - row]!);
        most = Math.max(most, gx * gx + gy * gy);
      }
      out[y * width + x] = Math.sqrt(most);
    }
  }
  return out;
}

/** The best candidate; undefined where nothing stands out. */
export function bestOutline(picture: Picture, cues: Cues, edges: Mask): Candidate | undefined {
  const { width, height } = picture;
  const scene = sceneOf(picture, cues, edges);
  let best: Candidate | undefined;
  for (const [cue, plane] of planesOf(cues)) {
    const along = Float64Array.from(cues.border.pixels, (i) => plane[i]!);
    const low = quantile(along, 0.8);
    const high = quantile(plane, 0.995);
    if (!(high > low)) continue;
    let before = -1;
    for (let n = 0; n < LEVELS; n++) {
      // Denser towards the border's own values.
      const level = low + (high - low) * ((n + 0.5) / LEVELS) ** 1.6;
      const raw = new Uint8Array(plane.length);
      let area = 0;
      for (let i = 0; i < raw.length; i++) if (plane[i]! > level) area += raw[i] = 1;
      if (Math.abs(area - before) < SAME_SHARE * raw.length) continue;
      before = area;
      const mask = withoutHoles(withoutSpecks(raw, width, height, SPECK_SHARE), width, height);
      const measured = judge(mask, scene);
      if (measured && measured.score > (best?.score ?? 0)) best = { mask, cue, plane, level, ...measured };
    }
  }
  return best;
}

/** What every candidate is measured against. */
interface Scene {
  width: number;
  height: number;
  edges: Mask;
  nearEdges: Mask;
  edgeCount: number;
  seeds: Mask;
  seedCount: number;
  /** How much of the border lies on edges, and near edges: what chance alone would give. */
  edgesByChance: number;
  nearByChance: number;
  /** Pixels whose colour is common on the border, and such as hardly occur there. */
  common: Mask;
  rare: Mask;
  rareCount: number;
}

function sceneOf({ width, height }: Picture, cues: Cues, edges: Mask): Scene {
  const nearEdges = grown(edges, width, height, 1.5);
  const { pixels, seeds } = cues.border;
  const share = (mask: Mask) => pixels.reduce((sum, i) => sum + mask[i]!, 0) / pixels.length;
  const rarity = Float64Array.from(pixels, (i) => cues.rarity[i]!);
  const [often, seldom] = [quantile(rarity, 0.85), quantile(rarity, 0.98) + 1];
  const rare = Uint8Array.from(cues.rarity, (v) => (v > seldom ? 1 : 0));
  return {
    width,
    height,
    edges,
    nearEdges,
    edgeCount: areaOf(edges),
    seeds,
    seedCount: areaOf(seeds),
    edgesByChance: share(edges),
    nearByChance: share(nearEdges),
    common: Uint8Array.from(cues.rarity, (v) => (v <= often ? 1 : 0)),
    rare,
    rareCount: areaOf(rare),
  };
}

function planesOf(cues: Cues): [string, Plane][] {
  const barrier = saturated(cues.barrier, 60);
  const along = Float64Array.from(cues.border.pixels, (i) => cues.rarity[i]!);
  const usual = quantile(along, 0.5);
  const rarity = saturated(
    cues.rarity.map((v) => Math.max(0, v - usual)),
    10,
  );
  return [
    ['fit', cues.fit],
    ['rarity', cues.rarity],
    ['barrier', barrier],
    ['both', rarity.map((v, i) => v + barrier[i]!)],
  ];
}

/** 0–1; half-way at about `unit`. */
const saturated = (plane: Plane, unit: number): Plane => plane.map((v) => v / (v + unit));

/** The weights were fitted to the pictures of test/support/compositions.ts, by other seeds than the tests'. */
function judge(mask: Mask, scene: Scene): Pick<Candidate, 'score' | 'precision' | 'recall'> | undefined {
  const { width, height, edges, nearEdges, seeds, common, rare } = scene;
  const last = width * (height - 1);
  let area = 0;
  let onBorder = 0;
  let outline = 0;
  let hit = 0;
  let left = 0;
  let commonInside = 0;
  let rareOutside = 0;
  for (let i = 0; i < mask.length; i++) {
    const x = i % width;
    const flag = mask[i]!;
    // A neighbour on the other side?
    const turns =
      (x > 0 && mask[i - 1] !== flag) ||
      (x + 1 < width && mask[i + 1] !== flag) ||
      (i >= width && mask[i - width] !== flag) ||
      (i < last && mask[i + width] !== flag);
    if (flag === 1) {
      area++;
      onBorder += seeds[i]!;
      commonInside += common[i]!;
      if (turns) {
        outline++;
        hit += nearEdges[i]!;
      }
    } else {
      rareOutside += rare[i]!;
      if (!turns) left += edges[i]!;
    }
  }
  const share = area / mask.length;
  const touch = onBorder / Math.max(1, scene.seedCount);
  if (share < 0.004 || share > 0.92 || touch > 0.25 || outline < 8) return undefined;
  // Where the ground is so full of edges that any outline lies on them, edges say nothing, and colours decide.
  const { edgesByChance, nearByChance } = scene;
  const telling = 1 - nearByChance;
  const precision = telling * (hit / outline) + nearByChance;
  const expected = edgesByChance * (mask.length - area);
  const recall = 1 - Math.max(0, left - expected) / Math.max(1, scene.edgeCount - expected);
  const foreign = 1 - commonInside / area;
  const found = 1 - rareOutside / Math.max(1, scene.rareCount);
  const color = telling + nearByChance * foreign ** 2.7 * (0.5 + 0.5 * found);
  const size = Math.min(1, share / SMALL_SHARE) ** 0.5;
  const roundness = Math.min(1, (4 * Math.PI * area) / outline ** 2);
  const score =
    precision ** 5 *
    (0.3 + 0.7 * recall) ** (1.2 * telling) *
    Math.max(0, 1 - 1.3 * touch) *
    color *
    size *
    roundness ** 0.3;
  return { score, precision, recall };
}
