/**
 * Carries a small matte to the full picture: the guided filter of He, Sun and Tang (2010), in its fast form (2015).
 * Around each pixel of the small picture the matte is written as a linear function of red, green and blue; those few
 * coefficients, not the matte, are enlarged, and the large picture's own pixels are put in.
 */
import { boxMean, type Picture, type Plane } from './picture.ts';

export interface Guide {
  /** `alpha = red · r + green · g + blue · b + offset`, colours 0–255, alpha 0–1. */
  red: Plane;
  green: Plane;
  blue: Plane;
  offset: Plane;
}

/** Means of red, green, blue and alpha, and of their products. */
type Moments = [Plane, Plane, Plane, Plane, Plane, Plane, Plane, Plane, Plane, Plane, Plane, Plane, Plane];
const MOMENTS = 13;

const RADIUS_PX = 2;
/** Variance, in squared levels of 255, below which a colour difference is not an edge. */
const EPSILON = 30;

export function guideOf({ width, height, rgb }: Picture, alpha: Plane): Guide {
  const count = width * height;
  const moments = Array.from({ length: MOMENTS }, () => new Float32Array(count));
  const [r, g, b, a, rr, rg, rb, gg, gb, bb, ra, ga, ba] = moments as Moments;
  for (let i = 0; i < count; i++) {
    const [red, green, blue, share] = [rgb[i * 3]!, rgb[i * 3 + 1]!, rgb[i * 3 + 2]!, alpha[i]!];
    r[i] = red;
    g[i] = green;
    b[i] = blue;
    a[i] = share;
    rr[i] = red * red;
    rg[i] = red * green;
    rb[i] = red * blue;
    gg[i] = green * green;
    gb[i] = green * blue;
    bb[i] = blue * blue;
    ra[i] = red * share;
    ga[i] = green * share;
    ba[i] = blue * share;
  }
  for (const plane of moments) plane.set(boxMean(plane, width, height, RADIUS_PX));
  const red = new Float32Array(count);
  const green = new Float32Array(count);
  const blue = new Float32Array(count);
  const offset = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const [mr, mg, mb, ma] = [r[i]!, g[i]!, b[i]!, a[i]!];
    if (ma <= 0 || ma >= 1) {
      offset[i] = ma;
      continue;
    }
    // Covariance of the colour, and with the matte; solved by the adjugate.
    const [c11, c22, c33] = [
      rr[i]! - mr * mr + EPSILON,
      gg[i]! - mg * mg + EPSILON,
      bb[i]! - mb * mb + EPSILON,
    ];
    const [c12, c13, c23] = [rg[i]! - mr * mg, rb[i]! - mr * mb, gb[i]! - mg * mb];
    const [v1, v2, v3] = [ra[i]! - mr * ma, ga[i]! - mg * ma, ba[i]! - mb * ma];
    const [a11, a12, a13] = [c22 * c33 - c23 * c23, c13 * c23 - c12 * c33, c12 * c23 - c13 * c22];
    const [a22, a23, a33] = [c11 * c33 - c13 * c13, c12 * c13 - c11 * c23, c11 * c22 - c12 * c12];
    const determinant = c11 * a11 + c12 * a12 + c13 * a13;
    red[i] = (a11 * v1 + a12 * v2 + a13 * v3) / determinant;
    green[i] = (a12 * v1 + a22 * v2 + a23 * v3) / determinant;
    blue[i] = (a13 * v1 + a23 * v2 + a33 * v3) / determinant;
    offset[i] = ma - red[i]! * mr - green[i]! * mg - blue[i]! * mb;
  }
  const smooth = (plane: Plane) => boxMean(plane, width, height, RADIUS_PX);
  return { red: smooth(red), green: smooth(green), blue: smooth(blue), offset: smooth(offset) };
}
