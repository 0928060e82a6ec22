/** Pictures that are computed, the same on every machine. */

/** 8-bit interleaved RGB, in the shape that sharp takes as `raw`. */
export interface Picture {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3;
}

export type Rgb = readonly [red: number, green: number, blue: number];

/** The quadrants of `letterF`, clockwise from the top left. */
export const QUADRANTS = {
  red: [200, 40, 40],
  green: [40, 160, 60],
  yellow: [230, 200, 60],
  blue: [40, 70, 190],
} as const;
const INK: Rgb = [16, 16, 16];

/**
 * Four quadrants, red, green, yellow and blue clockwise, under a dark letter F: no turn or mirror image of it
 * looks like another.
 */
export function letterF(width: number, height: number): Picture {
  return draw(width, height, (x, y) => {
    const stem = x > 0.3 && x < 0.42 && y > 0.15 && y < 0.85;
    const topBar = x > 0.3 && x < 0.75 && y > 0.15 && y < 0.29;
    const middleBar = x > 0.3 && x < 0.62 && y > 0.45 && y < 0.57;
    if (stem || topBar || middleBar) return INK;
    if (y < 0.5) return x < 0.5 ? QUADRANTS.red : QUADRANTS.green;
    return x < 0.5 ? QUADRANTS.blue : QUADRANTS.yellow;
  });
}

/** Sky, hills, a sun and fine noise: something that encoders treat as a photograph. `seed` moves the hills. */
export function landscape(width: number, height: number, seed = 1): Picture {
  const random = seededRandom(seed);
  const phase = random() * 6;
  return draw(width, height, (x, y) => {
    const grain = (random() - 0.5) * 14;
    const shade = ([r, g, b]: Rgb): Rgb => [r + grain, g + grain, b + grain];
    if (Math.hypot((x - 0.72) * (width / height), y - 0.22) < 0.09) return shade([250, 226, 150]);
    const ridge = 0.58 + 0.09 * Math.sin(x * 7 + phase) + 0.04 * Math.sin(x * 19 + phase * 2);
    if (y < ridge) return shade([110 + 120 * y, 160 + 70 * y, 235 - 30 * y]);
    const depth = (y - ridge) / (1 - ridge);
    return shade([96 - 50 * depth, 140 - 70 * depth + 20 * Math.sin(x * 60), 60 - 30 * depth]);
  });
}

/** Calls `colorAt` once a pixel, row by row, with the pixel's centre as fractions of the width and height. */
export function draw(width: number, height: number, colorAt: (x: number, y: number) => Rgb): Picture {
  const data = new Uint8ClampedArray(width * height * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      data.set(colorAt((column + 0.5) / width, (row + 0.5) / height), (row * width + column) * 3);
    }
  }
  return { data: new Uint8Array(data.buffer), width, height, channels: 3 };
}

/**
 * The picture as a camera that was held so stores it: turned by EXIF Orientation 1–8 it is upright again.
 * Sizes are swapped for 5–8.
 */
export function storedFor(orientation: number, upright: Picture): Picture {
  const swapped = orientation >= 5;
  const width = swapped ? upright.height : upright.width;
  const height = swapped ? upright.width : upright.height;
  const lastX = upright.width - 1;
  const lastY = upright.height - 1;
  // Where the stored pixel (x, y) is displayed: EXIF 2.32, tag 0112, names the sides of the first row and column.
  const displayed = (x: number, y: number): [number, number] => {
    switch (orientation) {
      case 2:
        return [lastX - x, y];
      case 3:
        return [lastX - x, lastY - y];
      case 4:
        return [x, lastY - y];
      case 5:
        return [y, x];
      case 6:
        return [lastX - y, x];
      case 7:
        return [lastX - y, lastY - x];
      case 8:
        return [y, lastY - x];
      default:
        return [x, y];
    }
  };
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [dx, dy] = displayed(x, y);
      const from = (dy * upright.width + dx) * 3;
      data.set(upright.data.subarray(from, from + 3), (y * width + x) * 3);
    }
  }
  return { data, width, height, channels: 3 };
}

/** 0 ≤ n < 1; mulberry32, the same sequence everywhere. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
