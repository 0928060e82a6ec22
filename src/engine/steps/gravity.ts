/** Where a box goes in a larger one: by a compass name, or about a point. */
import type { Size } from './primitive.ts';

/** How far along a side: 0 at the start, 1 at the end. What no name says is the middle. */
const ALONG_X: Record<string, number> = {
  west: 0,
  northwest: 0,
  southwest: 0,
  east: 1,
  northeast: 1,
  southeast: 1,
};
const ALONG_Y: Record<string, number> = {
  north: 0,
  northwest: 0,
  northeast: 0,
  south: 1,
  southwest: 1,
  southeast: 1,
};

export interface Position {
  left: number;
  top: number;
}

/** @param gravity a compass name; any other is the centre */
export function placed(whole: Size, part: Size, gravity: string): Position {
  const along = (length: number, taken: number, fraction: number) =>
    within(length, taken, (length - taken) * fraction);
  return {
    left: along(whole.width, part.width, ALONG_X[gravity] ?? 0.5),
    top: along(whole.height, part.height, ALONG_Y[gravity] ?? 0.5),
  };
}

/**
 * Puts a point into the middle of the box, as far as the edges allow.
 * @param focus as fractions of the width and height
 */
export function centred(whole: Size, part: Size, focus: { x: number; y: number }): Position {
  return {
    left: within(whole.width, part.width, whole.width * focus.x - part.width / 2),
    top: within(whole.height, part.height, whole.height * focus.y - part.height / 2),
  };
}

function within(whole: number, part: number, wanted: number): number {
  return Math.min(whole - part, Math.max(0, Math.round(wanted)));
}
