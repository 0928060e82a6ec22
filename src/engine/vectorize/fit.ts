/**
 * Lines and cubic Bézier curves through the points of a closed outline, after Philip J. Schneider, "An Algorithm for
 * Automatically Fitting Digitized Curves" (Graphics Gems, 1990): least squares between corners, halved where the error
 * is too large.
 */
import type { Outline } from './outline.ts';

/** From where the last one ended: the end of a line, or the two control points and the end of a curve. */
export type Segment = [x: number, y: number] | [number, number, number, number, x: number, y: number];

export interface ClosedPath {
  x: number;
  y: number;
  segments: Segment[];
}

/** Points to both sides by which a bend is judged. */
const SPAN = 4;
/** Cosine of the turn that makes a corner, 50°. */
const CORNER_COSINE = 0.643;
const REFINEMENTS = 3;

/**
 * @param tolerance how far the path may be from a point, in the outline's units
 * @param blunt points to each side of a corner that do not show its true place
 */
export function fitClosed(outline: Outline, tolerance: number, blunt: number): ClosedPath {
  const count = outline.x.length;
  const x = outline.x.slice();
  const y = outline.y.slice();
  const corners = findCorners({ x, y, corner: outline.corner }, blunt);
  const segments: Segment[] = [];
  const start = corners[0] ?? 0;
  const ends = corners.length === 0 ? [count] : [...corners.slice(1), start + count];
  const fitter = new Fitter(tolerance, segments);
  let from = start;
  for (const to of ends) {
    const length = to - from + 1;
    const px = new Float64Array(length);
    const py = new Float64Array(length);
    for (let i = 0; i < length; i++) {
      px[i] = x[(from + i) % count]!;
      py[i] = y[(from + i) % count]!;
    }
    fitter.section(px, py, corners.length === 0);
    from = to;
  }
  return { x: x[start]!, y: y[start]!, segments };
}

/** Indices, rising. Moves each found corner to where its sides meet, in place. */
function findCorners({ x, y, corner }: Outline, blunt: number): number[] {
  const count = x.length;
  const found: number[] = [];
  const span = Math.min(SPAN, Math.floor(count / 5));
  const fixed: number[] = [];
  for (let i = 0; i < count; i++) if (corner[i]) fixed.push(i);
  if (span < 2) return fixed.length > 0 ? fixed : count < 3 ? [] : Array.from({ length: count }, (_, i) => i);
  const cosines = new Float64Array(count).fill(1);
  const nearFixed = new Uint8Array(count);
  for (const i of fixed) for (let d = -span; d <= span; d++) nearFixed[(i + d + count) % count] = 1;
  for (let i = 0; i < count; i++) {
    if (nearFixed[i]) continue;
    const a = i < span ? i - span + count : i - span;
    const b = i + span >= count ? i + span - count : i + span;
    const [ax, ay, bx, by] = [x[i]! - x[a]!, y[i]! - y[a]!, x[b]! - x[i]!, y[b]! - y[i]!];
    const lengths = Math.sqrt((ax * ax + ay * ay) * (bx * bx + by * by));
    cosines[i] = lengths === 0 ? 1 : (ax * bx + ay * by) / lengths;
  }
  for (let i = 0; i < count; i++) {
    if (corner[i]) {
      found.push(i);
      continue;
    }
    if (cosines[i]! >= CORNER_COSINE) continue;
    let isSharpest = true;
    for (let d = 1; d <= span && isSharpest; d++) {
      isSharpest =
        cosines[(i - d + count) % count]! > cosines[i]! && cosines[(i + d) % count]! >= cosines[i]!;
    }
    if (isSharpest) found.push(i);
  }
  const isCorner = new Uint8Array(count);
  for (const i of found) isCorner[i] = 1;
  if (count > 4 * (blunt + 4)) for (const i of found) if (!corner[i]) sharpen(x, y, i, isCorner, blunt);
  return found;
}

/** Puts a corner where the lines of its two sides cross: pixels show it rounded, over `blunt` points to each side. */
function sharpen(x: Float64Array, y: Float64Array, i: number, isCorner: Uint8Array, blunt: number): void {
  const count = x.length;
  const at = (offset: number) => (i + offset + count) % count;
  const mean = (values: Float64Array, a: number, sign: number) =>
    (values[at(a * sign)]! + values[at((a + 1) * sign)]!) / 2;
  const side = (sign: number) => {
    const [nearX, nearY] = [mean(x, blunt, sign), mean(y, blunt, sign)];
    const [farX, farY] = [mean(x, blunt + 3, sign), mean(y, blunt + 3, sign)];
    return { x: nearX, y: nearY, dx: nearX - farX, dy: nearY - farY };
  };
  for (let d = blunt; d <= blunt + 4; d++) if (isCorner[at(d)] || isCorner[at(-d)]) return;
  const [a, b] = [side(-1), side(1)];
  const cross = a.dx * b.dy - a.dy * b.dx;
  if (Math.abs(cross) < 0.3 * Math.hypot(a.dx, a.dy) * Math.hypot(b.dx, b.dy)) return;
  const t = ((b.x - a.x) * b.dy - (b.y - a.y) * b.dx) / cross;
  const [cx, cy] = [a.x + t * a.dx, a.y + t * a.dy];
  if (Math.hypot(cx - x[i]!, cy - y[i]!) > blunt) return;
  x[i] = cx;
  y[i] = cy;
  // The points beside it lie on the rounding: onto the sides with them.
  for (const sign of [-1, 1]) {
    const end = at(sign * blunt);
    for (let d = 1; d < blunt; d++) {
      x[at(sign * d)] = cx + ((x[end]! - cx) * d) / blunt;
      y[at(sign * d)] = cy + ((y[end]! - cy) * d) / blunt;
    }
  }
}

type Vector = readonly [number, number];

class Fitter {
  readonly #tolerance: number;
  readonly #out: Segment[];
  #x: Float64Array = new Float64Array(0);
  #y: Float64Array = new Float64Array(0);
  /** Place of each point along the curve that is being tried, 0–1. */
  #u = new Float64Array(0);
  #worst = 0;

  constructor(tolerance: number, out: Segment[]) {
    this.#tolerance = tolerance;
    this.#out = out;
  }

  /** @param closed the last point is the first, and the path is smooth there */
  section(x: Float64Array, y: Float64Array, closed: boolean): void {
    this.#x = x;
    this.#y = y;
    if (this.#u.length < x.length) this.#u = new Float64Array(x.length);
    const last = x.length - 1;
    if (last === 0) return;
    if (closed) {
      const tangent = direction(x[1]! - x[last - 1]!, y[1]! - y[last - 1]!);
      this.#fit(0, last, tangent, tangent);
    } else {
      const reach = Math.min(3, last);
      this.#fit(
        0,
        last,
        direction(x[reach]! - x[0]!, y[reach]! - y[0]!),
        direction(x[last]! - x[last - reach]!, y[last]! - y[last - reach]!),
      );
    }
  }

  #fit(from: number, to: number, startWay: Vector, endWay: Vector): void {
    const [x, y] = [this.#x, this.#y];
    if (to - from === 1 || this.#isLine(from, to)) {
      this.#out.push([x[to]!, y[to]!]);
      return;
    }
    this.#measure(from, to);
    let curve = this.#leastSquares(from, to, startWay, endWay);
    let error = this.#error(from, to, curve);
    const limit = this.#tolerance ** 2;
    for (let i = 0; i < REFINEMENTS && error > limit && error < 16 * limit; i++) {
      this.#refine(from, to, curve);
      curve = this.#leastSquares(from, to, startWay, endWay);
      error = this.#error(from, to, curve);
    }
    if (error <= limit) {
      this.#out.push(curve);
      return;
    }
    // Away from the ends: the parts stay few, and so does the depth of the recursion.
    const margin = Math.max(1, (to - from) >> 3);
    const split = Math.min(to - margin, Math.max(from + margin, this.#worst));
    const reach = Math.min(3, split - from, to - split);
    const way = direction(x[split + reach]! - x[split - reach]!, y[split + reach]! - y[split - reach]!);
    this.#fit(from, split, startWay, way);
    this.#fit(split, to, way, endWay);
  }

  #isLine(from: number, to: number): boolean {
    const [x, y] = [this.#x, this.#y];
    const [dx, dy] = [x[to]! - x[from]!, y[to]! - y[from]!];
    const length = Math.hypot(dx, dy);
    if (length === 0) return false;
    const most = this.#tolerance * 0.7 * length;
    for (let i = from + 1; i < to; i++) {
      if (Math.abs((x[i]! - x[from]!) * dy - (y[i]! - y[from]!) * dx) > most) return false;
    }
    return true;
  }

  #measure(from: number, to: number): void {
    const [x, y, u] = [this.#x, this.#y, this.#u];
    u[from] = 0;
    for (let i = from + 1; i <= to; i++) {
      const [dx, dy] = [x[i]! - x[i - 1]!, y[i]! - y[i - 1]!];
      u[i] = u[i - 1]! + Math.sqrt(dx * dx + dy * dy);
    }
    const length = u[to]! || 1;
    for (let i = from + 1; i <= to; i++) u[i]! /= length;
  }

  /** The curve with the given ends and ways there that is nearest to the points. */
  #leastSquares(from: number, to: number, [sx, sy]: Vector, [ex, ey]: Vector): Segment & { length: 6 } {
    const [x, y, u] = [this.#x, this.#y, this.#u];
    const [x0, y0, x3, y3] = [x[from]!, y[from]!, x[to]!, y[to]!];
    let [c00, c01, c11, r0, r1] = [0, 0, 0, 0, 0];
    for (let i = from; i <= to; i++) {
      const t = u[i]!;
      const s = 1 - t;
      const b1 = 3 * t * s * s;
      const b2 = 3 * t * t * s;
      const start = s * s * s + b1;
      const end = t * t * t + b2;
      c00 += b1 * b1;
      c01 += b1 * b2;
      c11 += b2 * b2;
      const [dx, dy] = [x[i]! - x0 * start - x3 * end, y[i]! - y0 * start - y3 * end];
      r0 += b1 * (dx * sx + dy * sy);
      r1 -= b2 * (dx * ex + dy * ey);
    }
    c01 *= -(sx * ex + sy * ey);
    const determinant = c00 * c11 - c01 * c01;
    const chord = Math.hypot(x3 - x0, y3 - y0);
    let a = determinant === 0 ? 0 : (r0 * c11 - r1 * c01) / determinant;
    let b = determinant === 0 ? 0 : (c00 * r1 - c01 * r0) / determinant;
    const least = 1e-3 * chord;
    if (!(a > least) || !(b > least)) a = b = chord / 3;
    return [x0 + a * sx, y0 + a * sy, x3 - b * ex, y3 - b * ey, x3, y3];
  }

  /** Greatest square distance of a point from its place on the curve; remembers the point. */
  #error(from: number, to: number, [x1, y1, x2, y2, x3, y3]: Segment & { length: 6 }): number {
    const [x, y, u] = [this.#x, this.#y, this.#u];
    const [x0, y0] = [x[from]!, y[from]!];
    let most = 0;
    this.#worst = (from + to) >> 1;
    for (let i = from + 1; i < to; i++) {
      const t = u[i]!;
      const s = 1 - t;
      const [b0, b1, b2, b3] = [s * s * s, 3 * t * s * s, 3 * t * t * s, t * t * t];
      const dx = b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 - x[i]!;
      const dy = b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3 - y[i]!;
      const square = dx * dx + dy * dy;
      if (square > most) {
        most = square;
        this.#worst = i;
      }
    }
    return most;
  }

  /** One step of Newton's method for each point towards its nearest place on the curve. */
  #refine(from: number, to: number, [x1, y1, x2, y2, x3, y3]: Segment & { length: 6 }): void {
    const [x, y, u] = [this.#x, this.#y, this.#u];
    const [x0, y0] = [x[from]!, y[from]!];
    for (let i = from + 1; i < to; i++) {
      const t = u[i]!;
      const s = 1 - t;
      const [b0, b1, b2, b3] = [s * s * s, 3 * t * s * s, 3 * t * t * s, t * t * t];
      const dx = b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 - x[i]!;
      const dy = b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3 - y[i]!;
      const [d0, d1, d2] = [3 * s * s, 6 * s * t, 3 * t * t];
      const vx = d0 * (x1 - x0) + d1 * (x2 - x1) + d2 * (x3 - x2);
      const vy = d0 * (y1 - y0) + d1 * (y2 - y1) + d2 * (y3 - y2);
      const wx = 6 * s * (x2 - 2 * x1 + x0) + 6 * t * (x3 - 2 * x2 + x1);
      const wy = 6 * s * (y2 - 2 * y1 + y0) + 6 * t * (y3 - 2 * y2 + y1);
      const slope = vx * vx + vy * vy + dx * wx + dy * wy;
      if (slope > 1e-9) u[i] = Math.min(1, Math.max(0, t - (dx * vx + dy * vy) / slope));
    }
  }
}

function direction(dx: number, dy: number): Vector {
  const length = Math.hypot(dx, dy);
  return length === 0 ? [0, 0] : [dx / length, dy / length];
}
