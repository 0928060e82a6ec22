/**
 * From a hard outline to a matte: near it, a pixel's share of foreground follows from where its colour lies between
 * the colours before and behind the edge.
 */
import { boxMean, type Mask, type Picture, type Plane } from './picture.ts';
import { distanceTo, grown, regionsOf } from './regions.ts';
import { type Surroundings, surroundings } from './surroundings.ts';

/** All planes have the size of the picture that they were made from. */
export interface Matte {
  width: number;
  height: number;
  /** 0–1. */
  alpha: Plane;
  /** The foreground's and the background's own colours around each pixel. */
  before: Surroundings;
  behind: Surroundings;
}

/** The outline is trusted to this many pixels inwards and outwards. */
const INNER_PX = 3;
const OUTER_PX = 4;
/** A segmentation is sure of what it gives less than this share, or all but this. */
const DOUBT = 0.1;
/** Single hairs are looked for up to this share of the longer side beyond the outline. */
const HAIR_REACH = 0.06;
/** A hair differs from its own neighbourhood, not only from what is behind: this share of that, squared. */
const HAIR_DETAIL = 0.12;
/** Gaps between hairs: how deep, how wide, and how much the strands beside them stand out, as a squared distance. */
const GAP_REACH = 0.06;
const GAP_PX = 5;
const STRAND = 500;
/** Variance of a camera's noise, three channels. */
const NOISE = 3 * 4 ** 2;

/**
 * @param coarse share of foreground, 0–1, from a segmentation at the picture's size; its outline is at one half
 * @returns undefined where all is foreground, or nothing
 */
export function matteOf({ width, height, rgb }: Picture, coarse: Plane): Matte | undefined {
  const count = width * height;
  const mask = Uint8Array.from(coarse, (v) => (v >= 0.5 ? 1 : 0));
  const outside = distanceTo(mask, width, height, 1);
  const behind = surroundings(
    rgb,
    outside.map((d) => (d > OUTER_PX ? 1 : d > 2 ? 0.02 : 0)),
    width,
    height,
  );
  if (!behind) return undefined;
  const detail = detailOf(rgb, width, height);
  const gaps = gapsIn(mask, { width, height, rgb }, behind, detail);
  const inside = distanceTo(
    mask.map((flag, i) => flag & (1 - gaps[i]!)),
    width,
    height,
    0,
  );
  // Thin parts have no depth: their own colour counts where there is nothing better.
  const before = surroundings(
    rgb,
    inside.map((d) => (d > INNER_PX ? 1 : d > 1 ? 0.02 : 0)),
    width,
    height,
  );
  if (!before) return undefined;

  const reach = Math.max(OUTER_PX, HAIR_REACH * Math.max(width, height));
  const alpha = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    // A network's soft matte may be in doubt far from the outline.
    const doubtful = coarse[i]! > DOUBT && coarse[i]! < 1 - DOUBT;
    if (gaps[i] === 1) continue;
    if (inside[i]! > INNER_PX && !doubtful) {
      alpha[i] = 1;
      continue;
    }
    if (outside[i]! > reach && !doubtful) continue;
    const [r, g, b] = [rgb[i * 3]!, rgb[i * 3 + 1]!, rgb[i * 3 + 2]!];
    const [br, bg, bb] = [behind.red[i]!, behind.green[i]!, behind.blue[i]!];
    const [dr, dg, db] = [before.red[i]! - br, before.green[i]! - bg, before.blue[i]! - bb];
    const contrast = dr * dr + dg * dg + db * db;
    const unlike = (r - br) ** 2 + (g - bg) ** 2 + (b - bb) ** 2;
    const share = contrast === 0 ? 0 : ((r - br) * dr + (g - bg) * dg + (b - bb) * db) / contrast;
    const clamped = Math.min(1, Math.max(0, share));
    // How far the colour lies off the line between the two.
    const off = Math.max(0, unlike - share * share * contrast);
    const spread = behind.variance[i]! + clamped * before.variance[i]!;
    const trust =
      (contrast / (contrast + 4 * (behind.variance[i]! + before.variance[i]!) + 8 * NOISE)) *
      Math.exp(-off / (2 * (spread + 4 * NOISE)));
    if (outside[i]! > OUTER_PX && !doubtful) {
      // A hair: on the line, clearly unlike what is behind.
      const clear = unlike > 9 * (behind.variance[i]! + NOISE) && detail[i]! > HAIR_DETAIL * unlike;
      alpha[i] = clear ? clamped * trust * Math.min(1, Math.max(0, (reach - outside[i]!) / (reach / 3))) : 0;
      continue;
    }
    alpha[i] = trust * clamped + (1 - trust) * coarse[i]!;
  }
  return { width, height, alpha, before, behind };
}

/**
 * Where the background is seen between strands of hair, a segmentation goes around the whole: such pixels look like
 * what is behind, can be reached from outside, and have strands beside them.
 */
function gapsIn(mask: Mask, { width, height, rgb }: Picture, behind: Surroundings, detail: Plane): Mask {
  const inside = distanceTo(mask, width, height, 0);
  const strands = grown(
    mask.map((_, i) => (detail[i]! > STRAND ? 1 : 0)),
    width,
    height,
    GAP_PX,
  );
  const reach = Math.max(GAP_PX, GAP_REACH * Math.max(width, height));
  const open = mask.map((flag, i) => {
    if (flag === 0) return 1;
    if (inside[i]! > reach || strands[i] === 0) return 0;
    const unlike =
      (rgb[i * 3]! - behind.red[i]!) ** 2 +
      (rgb[i * 3 + 1]! - behind.green[i]!) ** 2 +
      (rgb[i * 3 + 2]! - behind.blue[i]!) ** 2;
    return unlike < 4 * NOISE + Math.min(behind.variance[i]!, 4 * NOISE) ? 1 : 0;
  });
  const { labels, areas } = regionsOf(open, width, height, 1);
  const fromOutside = areas.map(() => false);
  labels.forEach((label, i) => {
    if (mask[i] === 0) fromOutside[label] = true;
  });
  return mask.map((flag, i) => (flag === 1 && fromOutside[labels[i]!] === true ? 1 : 0));
}

/** Squared distance of each pixel's colour from the mean of the 7 × 7 pixels around it. */
function detailOf(rgb: Uint8Array, width: number, height: number): Plane {
  const out = new Float32Array(width * height);
  const plane = new Float32Array(width * height);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < plane.length; i++) plane[i] = rgb[i * 3 + c]!;
    const mean = boxMean(plane, width, height, 3);
    for (let i = 0; i < plane.length; i++) out[i]! += (plane[i]! - mean[i]!) ** 2;
  }
  return out;
}
