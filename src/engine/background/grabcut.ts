/** `grabcut`: the rough foreground seeds OpenCV's GrabCut, which learns the colours of both sides and cuts between. */
import type { OpenCv } from '../opencv/load.ts';
import type { Own } from '../opencv/scope.ts';
import { carried, type Foreground } from './foreground.ts';
import type { Mask, Picture } from './picture.ts';
import { distanceTo, regionsOf } from './regions.ts';

/** Longest side of the picture that is cut: the time grows faster than its pixels. */
export const CUT_SIDE_PX = 320;

export interface Cut {
  iterations: number;
}
export const GRABCUT: Cut = { iterations: 3 };
export const AUTO: Cut = { iterations: 2 };

/** Within this share of the longer side of the rough outline nothing is certain. */
const DOUBT_INSIDE = 0.02;
const DOUBT_OUTSIDE = 0.035;
/** A part of the result is kept if this share of it was in the rough foreground. */
const KNOWN_SHARE = 0.1;
/** A cut that has less in common with the rough foreground has taken one side's colours for the other's. */
const LEAST_OVERLAP = 0.4;

export function grabCut(cv: OpenCv, own: Own, picture: Picture, rough: Foreground, how: Cut): Mask {
  const { width, height } = picture;
  const side = Math.max(width, height);
  const mask = Uint8Array.from(carried(rough.mask, rough.picture, picture), (v) => (v > 0.5 ? 1 : 0));
  const common = carried(rough.common, rough.picture, picture);
  const rare = carried(rough.rare, rough.picture, picture);
  const border = carried(rough.cues.border.seeds, rough.picture, picture);
  const inside = distanceTo(mask, width, height, 0);
  const outside = distanceTo(mask, width, height, 1);
  const seeds = mask.map((flag, i) => {
    if (flag === 1) {
      return inside[i]! > DOUBT_INSIDE * side && common[i]! < 0.5 ? cv.GC_FGD : cv.GC_PR_FGD;
    }
    if (border[i]! > 0.3 && outside[i]! > DOUBT_INSIDE * side) return cv.GC_BGD;
    if (outside[i]! > DOUBT_OUTSIDE * side && rare[i]! < 0.5) return cv.GC_BGD;
    return rare[i]! > 0.5 && outside[i]! > DOUBT_INSIDE * side ? cv.GC_PR_FGD : cv.GC_PR_BGD;
  });
  const cut = known(cutSeeded(cv, own, picture, seeds, how.iterations), mask, width, height);
  return overlap(cut, mask) >= LEAST_OVERLAP ? cut : mask;
}

/** Intersection over union; 0 of two empty masks. */
function overlap(a: Mask, b: Mask): number {
  let both = 0;
  let either = 0;
  for (let i = 0; i < a.length; i++) {
    both += a[i]! & b[i]!;
    either += a[i]! | b[i]!;
  }
  return both / Math.max(1, either);
}

/** @param seeds GC_BGD, GC_FGD, GC_PR_BGD or GC_PR_FGD for each pixel */
export function cutSeeded(cv: OpenCv, own: Own, picture: Picture, seeds: Mask, iterations: number): Mask {
  const { width, height, rgb } = picture;
  const has = (a: number, b: number) => seeds.some((seed) => seed === a || seed === b);
  // It learns the colours of either side from the seeds, and fails where a side has none.
  if (!has(cv.GC_BGD, cv.GC_PR_BGD) || !has(cv.GC_FGD, cv.GC_PR_FGD)) {
    return seeds.map((seed) => (seed === cv.GC_FGD || seed === cv.GC_PR_FGD ? 1 : 0));
  }
  const image = own(new cv.Mat(height, width, cv.CV_8UC3));
  image.data.set(rgb);
  const labels = own(new cv.Mat(height, width, cv.CV_8UC1));
  labels.data.set(seeds);
  const [background, foreground] = [own(new cv.Mat()), own(new cv.Mat())];
  const all = { x: 0, y: 0, width, height };
  cv.grabCut(image, labels, all, background, foreground, iterations, cv.GC_INIT_WITH_MASK);
  return Uint8Array.from(labels.data, (label) => (label === cv.GC_FGD || label === cv.GC_PR_FGD ? 1 : 0));
}

/** Without the parts that lie apart from the rough foreground: colours alone led to them. */
function known(cut: Mask, rough: Mask, width: number, height: number): Mask {
  const { labels, areas } = regionsOf(cut, width, height, 1);
  const before = areas.map(() => 0);
  labels.forEach((label, i) => {
    before[label]! += rough[i]!;
  });
  return cut.map((flag, i) =>
    flag === 1 && before[labels[i]!]! >= KNOWN_SHARE * areas[labels[i]!]! ? 1 : 0,
  );
}
