/** The rough foreground that the methods start from: the best outline, with the holes that show the background. */
import type { OpenCv } from '../opencv/load.ts';
import type { Own } from '../opencv/scope.ts';
import { bestOutline, edgesOf } from './outline.ts';
import { type Mask, type Picture, type Plane, quantile, scalePlane } from './picture.ts';
import { distanceTo, grown, regionsOf } from './regions.ts';
import { type Cues, cuesOf } from './saliency.ts';
import { type Surroundings, surroundings } from './surroundings.ts';

/** Longest side of the picture in which the foreground is looked for. */
export const SEARCH_SIDE_PX = 220;

/** What the border reaches with less, summed over the steps of colour on the way, is ground that only changes slowly. */
const AN_EDGE = 25;

/** All planes have the size of the picture. */
export interface Foreground {
  picture: Picture;
  cues: Cues;
  edges: Mask;
  mask: Mask;
  /** Colours that are common on the border; such as hardly occur there, behind an edge. */
  common: Mask;
  rare: Mask;
}

/** @returns undefined where nothing stands out */
export function findForeground(cv: OpenCv, own: Own, picture: Picture): Foreground | undefined {
  const cues = cuesOf(picture);
  const edges = edgesOf(cv, own, picture, cues.border);
  const best = bestOutline(picture, cues, edges);
  if (!best) return undefined;
  const along = Float64Array.from(cues.border.pixels, (i) => cues.rarity[i]!);
  const [often, seldom] = [quantile(along, 0.85), quantile(along, 0.98) + 1];
  const common = Uint8Array.from(cues.rarity, (v) => (v <= often ? 1 : 0));
  const rare = Uint8Array.from(cues.rarity, (v, i) => (v > seldom && cues.barrier[i]! > AN_EDGE ? 1 : 0));
  const mask = snapped(opened(best.mask, rare, edges, cues, picture), picture);
  return { picture, cues, edges, mask, common, rare };
}

/** Colours this far apart, in RGB, are still one background. */
const SAME_GROUND = 26;
/** And so far apart on the mean over a hole. */
const SAME_MEAN = 18;
/** Smaller holes, as a share of the picture, are as likely a detail of the object: on a smooth ground, on any other. */
const LEAST_HOLE = { smooth: 0.001, other: 0.004 } as const;
/** A ground is smooth that explains so much of the border. */
const SMOOTH = 0.8;
/** So much of a hole's outline lies on edges. */
const HOLE_EDGES = 0.5;

/** The mask without such parts as look the same as the background around it, and have an outline of their own. */
function opened(mask: Mask, rare: Mask, edges: Mask, cues: Cues, { width, height, rgb }: Picture): Mask {
  const outside = distanceTo(mask, width, height, 1);
  const behind = surroundings(
    rgb,
    outside.map((d) => (d > 2 ? 1 : 0)),
    width,
    height,
  );
  if (!behind) return mask;
  const like = mask.map((flag, i) => {
    if (flag === 0 || rare[i] === 1) return 0;
    const square =
      (rgb[i * 3]! - behind.red[i]!) ** 2 +
      (rgb[i * 3 + 1]! - behind.green[i]!) ** 2 +
      (rgb[i * 3 + 2]! - behind.blue[i]!) ** 2;
    return square < SAME_GROUND ** 2 + 2 * behind.variance[i]! ? 1 : 0;
  });
  const { labels, areas } = regionsOf(like, width, height, 1);
  const nearEdges = grown(edges, width, height, 3);
  const least = Math.max(12, LEAST_HOLE[cues.fitShare > SMOOTH ? 'smooth' : 'other'] * mask.length);
  const open = areas.map((area, label) => {
    if (label === 0 || area < least) return false;
    let outline = 0;
    let onEdge = 0;
    const apart = [0, 0, 0];
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] !== label) continue;
      apart[0]! += (rgb[i * 3]! - behind.red[i]!) / area;
      apart[1]! += (rgb[i * 3 + 1]! - behind.green[i]!) / area;
      apart[2]! += (rgb[i * 3 + 2]! - behind.blue[i]!) / area;
      if ([i - 1, i + 1, i - width, i + width].every((at) => labels[at] === label)) continue;
      outline++;
      onEdge += nearEdges[i]!;
    }
    return Math.hypot(...apart) < SAME_MEAN && onEdge >= HOLE_EDGES * outline;
  });
  return mask.map((flag, i) => (labels[i]! > 0 && open[labels[i]!] ? 0 : flag));
}

/** The cues are blurred: so far from its outline a mask may be wrong. */
const SNAP_PX = 3;
/** The sides differ where their distance, squared, is so many times their variance. */
const CLEAR = 2;

/** The mask with each pixel near its outline on the side whose colours it has, where the sides differ. */
function snapped(mask: Mask, { width, height, rgb }: Picture): Mask {
  const inside = distanceTo(mask, width, height, 0);
  const outside = distanceTo(mask, width, height, 1);
  // Thin parts have no depth.
  const core = (distance: Plane) => distance.map((d) => (d > SNAP_PX ? 1 : d > 1 ? 0.02 : 0));
  const before = surroundings(rgb, core(inside), width, height);
  const behind = surroundings(rgb, core(outside), width, height);
  if (!before || !behind) return mask;
  const square = (i: number, { red, green, blue }: Surroundings) =>
    (rgb[i * 3]! - red[i]!) ** 2 + (rgb[i * 3 + 1]! - green[i]!) ** 2 + (rgb[i * 3 + 2]! - blue[i]!) ** 2;
  return mask.map((flag, i) => {
    if (inside[i]! > SNAP_PX || outside[i]! > SNAP_PX) return flag;
    const contrast =
      (before.red[i]! - behind.red[i]!) ** 2 +
      (before.green[i]! - behind.green[i]!) ** 2 +
      (before.blue[i]! - behind.blue[i]!) ** 2;
    const clear = contrast > CLEAR * (before.variance[i]! + behind.variance[i]!) + SAME_GROUND ** 2;
    if (!clear) return flag;
    return square(i, before) < square(i, behind) ? 1 : 0;
  });
}

/** A mask or plane of the search picture at another size. */
export function carried(from: Mask | Plane, { width, height }: Picture, to: Picture): Plane {
  const plane = from instanceof Float32Array ? from : Float32Array.from(from);
  return scalePlane(plane, width, height, to.width, to.height);
}
