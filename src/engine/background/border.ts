/**
 * What runs along a picture's border is background, but for an object that the border cuts: a portrait's shoulders,
 * a hand that comes in from the side.
 */
import { type Mask, type Picture, quantile } from './picture.ts';

export interface Border {
  /** Indices of the pixels near the border that are taken for background. */
  pixels: Int32Array;
  /** The same for the outermost row of pixels alone, as flags over the whole picture. */
  seeds: Mask;
}

/** Depth of the border, as a share of the shorter side. */
const DEPTH = 0.03;
/** Colours this near to each other, in RGB, are the same surface. */
const SAME_COLOR = 30;
/** A step along the border below this is no edge, however even the rest is. */
const LEAST_EDGE = 22;
/** A cut is this share of the border's length, at least and at most. */
const NARROWEST = 0.02;
const WIDEST = 0.22;
/** Stations; a shorter way around tells nothing. */
const LEAST_WALK = 64;

export function borderOf(picture: Picture): Border {
  const { width, height } = picture;
  const depth = Math.max(1, Math.round(Math.min(width, height) * DEPTH));
  const walk = walkAround(width, height, depth);
  const cut = cutByBorder(picture, walk);
  const seeds = new Uint8Array(width * height);
  const taken = new Set<number>();
  walk.forEach(({ pixels }, at) => {
    if (cut[at] === 1) return;
    seeds[pixels[0]!] = 1;
    for (const pixel of pixels) taken.add(pixel);
  });
  return { pixels: Int32Array.from(taken), seeds };
}

interface Station {
  /** From the border inwards. */
  pixels: number[];
  /** 0–3 clockwise from the top. */
  side: number;
}

/** Once around, clockwise from the top left corner. */
function walkAround(width: number, height: number, depth: number): Station[] {
  const stations: Station[] = [];
  const inwards = (x: number, y: number, dx: number, dy: number, side: number) => {
    const pixels: number[] = [];
    for (let d = 0; d < depth; d++) {
      const [px, py] = [x + dx * d, y + dy * d];
      if (px >= 0 && py >= 0 && px < width && py < height) pixels.push(py * width + px);
    }
    stations.push({ pixels, side });
  };
  for (let x = 0; x < width; x++) inwards(x, 0, 0, 1, 0);
  for (let y = 1; y < height; y++) inwards(width - 1, y, -1, 0, 1);
  if (height > 1) for (let x = width - 2; x >= 0; x--) inwards(x, height - 1, 0, -1, 2);
  if (width > 1) for (let y = height - 2; y > 0; y--) inwards(0, y, 1, 0, 3);
  return stations;
}

/**
 * Flags the stations where an object is cut: a stretch between two edges whose colours are nowhere else on the border.
 * A stretch that holds two corners is rather a floor or the sky.
 */
function cutByBorder({ rgb }: Picture, walk: Station[]): Mask {
  const count = walk.length;
  const none = new Uint8Array(count);
  if (count < LEAST_WALK) return none;
  const colors = walk.map(({ pixels }) => {
    const mean: [number, number, number] = [0, 0, 0];
    for (const i of pixels) for (let c = 0; c < 3; c++) mean[c]! += rgb[i * 3 + c]! / pixels.length;
    return mean;
  });
  const distance = (a: number, b: number) => {
    const [p, q] = [colors[a % count]!, colors[b % count]!];
    return Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
  };
  const steps = colors.map((_, i) => distance(i + count - 2, i + 2));
  const edge = Math.max(LEAST_EDGE, 4 * quantile(steps, 0.5));
  const apart = Math.round(count * WIDEST);
  const alien = colors.map((_, at) => {
    for (let d = apart; d <= count - apart; d += 2) if (distance(at, at + d) < SAME_COLOR) return 0;
    return 1;
  });
  const bridged = closed(alien, Math.round(count * 0.02));
  const cut = new Uint8Array(count);
  const start = bridged.indexOf(0);
  if (start < 0) return none;
  for (let d = 0; d < count; d++) {
    const from = start + d;
    if (bridged[from % count] === 0) continue;
    let length = 0;
    while (bridged[(from + length) % count] === 1) length++;
    d += length;
    const hasEdge = (at: number) => {
      for (let e = -4; e <= 4; e++) if (steps[(at + e + count) % count]! >= edge) return true;
      return false;
    };
    const wide = length >= count * NARROWEST && length <= apart;
    if (!wide || corners(walk, from, length) > 1 || !hasEdge(from) || !hasEdge(from + length - 1)) continue;
    // The edge itself belongs to neither side.
    for (let e = -3; e < length + 3; e++) cut[(from + e + count) % count] = 1;
  }
  const total = cut.reduce((sum, flag) => sum + flag, 0);
  // Where so much is unlike the rest there is no rest to be unlike.
  return total > count * 0.4 ? none : cut;
}

/** Gaps up to `length` between two flags are filled, around the corner too. */
function closed(flags: number[], length: number): number[] {
  const count = flags.length;
  const out = flags.slice();
  let last = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < count * 2; at++) {
    if (flags[at % count] === 0) continue;
    if (at - last <= length + 1) for (let gap = last + 1; gap < at; gap++) out[gap % count] = 1;
    last = at;
  }
  return out;
}

function corners(walk: Station[], from: number, length: number): number {
  let turns = 0;
  for (let d = 1; d < length; d++) {
    const [before, here] = [walk[(from + d - 1) % walk.length]!, walk[(from + d) % walk.length]!];
    if (before.side !== here.side) turns++;
  }
  return turns;
}
