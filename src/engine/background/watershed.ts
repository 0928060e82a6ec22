/** `watershed`: what is certain on both sides floods the doubtful rest, and the floods meet at the edges. */
import type { OpenCv } from '../opencv/load.ts';
import type { Own } from '../opencv/scope.ts';
import { carried, type Foreground } from './foreground.ts';
import type { Mask, Picture } from './picture.ts';
import { distanceTo } from './regions.ts';

/** Within this share of the longer side of the rough outline nothing is certain. */
const DOUBT = 0.012;
const BEHIND = 1;
const BEFORE = 2;

export function watershed(cv: OpenCv, own: Own, picture: Picture, rough: Foreground): Mask {
  const { width, height, rgb } = picture;
  const mask = Uint8Array.from(carried(rough.mask, rough.picture, picture), (v) => (v > 0.5 ? 1 : 0));
  const inside = distanceTo(mask, width, height, 0);
  const outside = distanceTo(mask, width, height, 1);
  const doubt = Math.max(2, DOUBT * Math.max(width, height));
  const image = own(new cv.Mat(height, width, cv.CV_8UC3));
  image.data.set(rgb);
  const markers = own(new cv.Mat(height, width, cv.CV_32SC1));
  const seeds = markers.data32S;
  for (let i = 0; i < mask.length; i++) {
    // Thin parts have no depth: their ridge is certain.
    if (inside[i]! > doubt || (mask[i] === 1 && isRidge(inside, i, width))) seeds[i] = BEFORE;
    else seeds[i] = outside[i]! > doubt ? BEHIND : 0;
  }
  cv.watershed(image, markers);
  const flooded = markers.data32S;
  // The lines between the floods (−1), and the border of the picture, which is always one, stay as they were.
  return mask.map((flag, i) => (flooded[i] === BEFORE ? 1 : flooded[i] === BEHIND ? 0 : flag));
}

function isRidge(inside: Float32Array, i: number, width: number): boolean {
  const d = inside[i]!;
  return (
    d > 1 &&
    d >= (inside[i - 1] ?? 0) &&
    d >= (inside[i + 1] ?? 0) &&
    d >= (inside[i - width] ?? 0) &&
    d >= (inside[i + width] ?? 0)
  );
}
