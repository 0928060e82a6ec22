/**
 * A contour as points, put where the edge runs between the centres of pixels: how much of each colour a pixel on the
 * edge has tells how far the edge goes into it.
 */
import type { Contour } from './contours.ts';
import { isOpaque } from './layers.ts';
import type { Palette } from './palette.ts';
import type { Raster } from './raster.ts';
import type { Regions } from './regions.ts';

export interface Outline {
  /** Closed: the last point is followed by the first. */
  x: Float64Array;
  y: Float64Array;
  /** 1 where the line must go through the point and may bend there at any angle. */
  corner: Uint8Array;
}

/** How far a region reaches under one that is painted over it, in pixels: the diagonal of half of one, and some. */
const UNDERLAP = 1.1;

const VISIBLE = 0;
const HIDDEN = 1;
const FRAME = 2;

/** Of each direction of a side, the way out of the region. */
const OUT_X = [0, 1, 0, -1];
const OUT_Y = [-1, 0, 1, 0];

export interface OutlineContext {
  raster: Raster;
  palette: Palette;
  regions: Regions;
  /** Order of painting. */
  rank: Int32Array;
  /** How often points are averaged with their neighbours. */
  smoothing: number;
}

export function outlineOf({ sides, region }: Contour, context: OutlineContext): Outline {
  const { regions, palette, rank, smoothing } = context;
  const { width, height, ids, labels } = regions;
  const count = sides.length;
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  const kind = new Uint8Array(count);
  const opaque = isOpaque(palette, labels[region]!);
  for (let k = 0; k < count; k++) {
    const direction = sides[k]! & 3;
    const pixel = sides[k]! >> 2;
    const px = pixel % width;
    const py = (pixel - px) / width;
    const [ox, oy] = [OUT_X[direction]!, OUT_Y[direction]!];
    x[k] = px + 0.5 + ox / 2;
    y[k] = py + 0.5 + oy / 2;
    const [nx, ny] = [px + ox, py + oy];
    if (nx < 0 || ny < 0 || nx >= width || ny >= height) {
      kind[k] = FRAME;
      continue;
    }
    const other = ids[ny * width + nx]!;
    const shift = edgeShift(context, pixel, ny * width + nx, labels[region]!, labels[other]!);
    x[k]! += ox * shift;
    y[k]! += oy * shift;
    const hidden = opaque && rank[other]! > rank[region]! && isOpaque(palette, labels[other]!);
    kind[k] = hidden ? HIDDEN : VISIBLE;
  }
  for (let pass = 0; pass < smoothing; pass++) smooth(x, y, kind);
  reachUnder(x, y, kind);
  return withFrame(x, y, kind, sides, width);
}

/** From the side between two pixels, how far out the edge lies, −½ to ½. */
function edgeShift(
  { raster: { data }, palette: { colors } }: OutlineContext,
  inside: number,
  outside: number,
  label: number,
  other: number,
): number {
  let square = 0;
  let inShare = 0;
  let outShare = 0;
  for (let c = 0; c < 4; c++) {
    const to = colors[other * 4 + c]!;
    const step = colors[label * 4 + c]! - to;
    square += step * step;
    inShare += (data[inside * 4 + c]! - to) * step;
    outShare += (data[outside * 4 + c]! - to) * step;
  }
  if (square === 0) return 0;
  const share = Math.min(1, Math.max(0, inShare / square));
  const beyond = Math.min(1, Math.max(0, outShare / square));
  // A soft edge, over more than the two pixels: where the shares would be even, between the two centres.
  if (share < 0.95 && beyond > 0.05 && share > 0.5 && beyond < 0.5)
    return (share - 0.5) / (share - beyond) - 0.5;
  return Math.min(0.5, Math.max(-0.5, share + beyond - 1));
}

/** A light average with the neighbours: takes the stairs out of edges that have no soft pixels. */
function smooth(x: Float64Array, y: Float64Array, kind: Uint8Array): void {
  const count = x.length;
  const [oldX, oldY] = [x.slice(), y.slice()];
  for (let k = 0; k < count; k++) {
    const before = k === 0 ? count - 1 : k - 1;
    const after = k === count - 1 ? 0 : k + 1;
    if (kind[k] === FRAME || kind[before] === FRAME || kind[after] === FRAME) continue;
    x[k] = (oldX[before]! + 2 * oldX[k]! + oldX[after]!) / 4;
    y[k] = (oldY[before]! + 2 * oldY[k]! + oldY[after]!) / 4;
  }
}

function reachUnder(x: Float64Array, y: Float64Array, kind: Uint8Array): void {
  if (!kind.includes(HIDDEN)) return;
  const count = x.length;
  const [oldX, oldY] = [x.slice(), y.slice()];
  for (let k = 0; k < count; k++) {
    if (kind[k] !== HIDDEN) continue;
    const before = (k - 3 + 3 * count) % count;
    const after = (k + 3) % count;
    const dx = oldX[after]! - oldX[before]!;
    const dy = oldY[after]! - oldY[before]!;
    const length = Math.hypot(dx, dy);
    if (length === 0) continue;
    // The region is on the right hand: left of the way is out.
    x[k]! += (dy / length) * UNDERLAP;
    y[k]! -= (dx / length) * UNDERLAP;
  }
}

/**
 * Replaces what runs along the frame of the picture by its exact ends, and marks where the line meets the frame or
 * changes between seen and hidden.
 */
function withFrame(
  x: Float64Array,
  y: Float64Array,
  kind: Uint8Array,
  sides: Int32Array,
  width: number,
): Outline {
  const count = x.length;
  const outX: number[] = [];
  const outY: number[] = [];
  const corner: number[] = [];
  const add = (px: number, py: number, isCorner: boolean) => {
    outX.push(px);
    outY.push(py);
    corner.push(isCorner ? 1 : 0);
  };
  for (let k = 0; k < count; k++) {
    const next = k === count - 1 ? 0 : k + 1;
    const before = k === 0 ? count - 1 : k - 1;
    if (kind[k] !== FRAME) {
      const meets = kind[k] === VISIBLE && (kind[before] === HIDDEN || kind[next] === HIDDEN);
      add(x[k]!, y[k]!, meets);
    }
    if (kind[k] === FRAME || kind[next] === FRAME) {
      const direction = sides[k]! & 3;
      if (kind[k] === kind[next] && direction === (sides[next]! & 3)) continue;
      // On the frame the line ends as far along as the edge that meets it there.
      const along = kind[k] === FRAME ? next : k;
      const onFrame = kind[k] === FRAME ? direction : sides[next]! & 3;
      const pixel = sides[k]! >> 2;
      const px = pixel % width;
      const py = (pixel - px) / width;
      const endX = px + (direction === 0 || direction === 1 ? 1 : 0);
      const endY = py + (direction === 1 || direction === 2 ? 1 : 0);
      const isBend = kind[k] === kind[next];
      const horizontal = onFrame === 0 || onFrame === 2;
      add(isBend || !horizontal ? endX : x[along]!, isBend || horizontal ? endY : y[along]!, true);
    }
  }
  return { x: Float64Array.from(outX), y: Float64Array.from(outY), corner: Uint8Array.from(corner) };
}
