/**
 * The borders of regions along the sides of pixels, and how they lie in each other (after Suzuki and Abe, "Topological
 * structural analysis of digitized binary images by border following", 1985).
 */
import type { Regions } from './regions.ts';

export interface Contour {
  region: number;
  /** The border around a region; else around a hole in it. */
  outer: boolean;
  /** Around an outer border: the hole contour that it lies in, by index; -1 for none. */
  parent: number;
  /**
   * Per side of a pixel, with the region on the right hand: the pixel within, and the direction, 0 east to 3 north.
   * Packed as `pixel * 4 + direction`.
   */
  sides: Int32Array;
  /** Pixels that it encloses. */
  area: number;
}

const EAST = 0;
const SOUTH = 1;
const WEST = 2;

/** All contours; the outer one of region `n` is found by `outerOf[n]`. */
export function contoursOf(regions: Regions): { contours: Contour[]; outerOf: Int32Array } {
  const { width, height, ids } = regions;
  const contours: Contour[] = [];
  const outerOf = new Int32Array(regions.areas.length).fill(-1);
  /** Of each pixel, the contour along its right side, plus one. */
  const rightSides = new Int32Array(ids.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const region = ids[i]!;
      if (outerOf[region] === -1) {
        outerOf[region] = contours.length;
        const beside = x > 0 ? contours[rightSides[i - 1]! - 1]! : undefined;
        const parent = !beside ? -1 : beside.outer ? beside.parent : rightSides[i - 1]! - 1;
        follow(x, y, EAST, true, parent);
      }
      if ((x + 1 === width || ids[i + 1] !== region) && rightSides[i] === 0) {
        follow(x + 1, y, SOUTH, false, -1);
      }
    }
  }
  return { contours, outerOf };

  /** From the corner (x, y) of the pixel grid, until the same corner is left in the same direction. */
  function follow(startX: number, startY: number, start: number, outer: boolean, parent: number): void {
    const region = ids[start === EAST ? startY * width + startX : startY * width + startX - 1]!;
    const number = contours.length + 1;
    const sides: number[] = [];
    let [x, y, direction] = [startX, startY, start];
    let twiceArea = 0;
    const inside = (px: number, py: number) =>
      px >= 0 && py >= 0 && px < width && py < height && ids[py * width + px] === region;
    do {
      let px = x;
      let py = y;
      if (direction === EAST) x += 1;
      else if (direction === SOUTH) {
        px -= 1;
        y += 1;
        rightSides[py * width + px] = number;
        twiceArea += 2 * x;
      } else if (direction === WEST) {
        px -= 1;
        py -= 1;
        x -= 1;
      } else {
        py -= 1;
        y -= 1;
        twiceArea -= 2 * x;
      }
      sides.push((py * width + px) * 4 + direction);
      // The pixels ahead: on the left hand and on the right.
      const leftX = direction === EAST || direction === SOUTH ? x : x - 1;
      const leftY = direction === SOUTH || direction === WEST ? y : y - 1;
      const rightX = direction === EAST || direction === 3 ? x : x - 1;
      const rightY = direction === EAST || direction === SOUTH ? y : y - 1;
      if (!inside(rightX, rightY)) direction = (direction + 1) & 3;
      else if (inside(leftX, leftY)) direction = (direction + 3) & 3;
    } while (x !== startX || y !== startY || direction !== start);
    contours.push({
      region,
      outer,
      parent,
      sides: Int32Array.from(sides),
      area: Math.abs(twiceArea) / 2,
    });
  }
}
