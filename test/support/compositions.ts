/**
 * Pictures whose matte is known: a foreground (an icon of the MIT-licensed Fluent Emoji Flat set, or a drawn shape)
 * laid on a ground. Everything follows from the seed; the same seed gives the same pictures on every machine, as far
 * as the SVG renderer does.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { seededRandom } from './pictures.ts';

export const GROUNDS = ['plain', 'gradient', 'blurred', 'textured'] as const;
export type Ground = (typeof GROUNDS)[number];

export const SHAPES = ['icon', 'disc', 'blob', 'star', 'figure'] as const;
export type Shape = (typeof SHAPES)[number];

export interface Composition {
  /** `gradient/icon red-apple`: what it shows, for messages. */
  name: string;
  ground: Ground;
  shape: Shape;
  width: number;
  height: number;
  /** Interleaved RGB of the picture. */
  rgb: Uint8Array;
  /** The true matte, 0–255. */
  alpha: Uint8Array;
  /** Interleaved RGB of the foreground alone; meaningful where `alpha` is not 0. */
  foreground: Uint8Array;
}

export interface ComposeOptions {
  shape?: Shape;
  /** 480 by default. */
  longSidePx?: number;
}

type Random = () => number;
type Rgb = [number, number, number];

/** `perGround` pictures on each of the grounds; two of three foregrounds are icons. */
export async function compositions(
  seed: number,
  perGround: number,
  grounds: readonly Ground[] = GROUNDS,
): Promise<Composition[]> {
  const all: Composition[] = [];
  for (const ground of grounds) {
    for (let i = 0; i < perGround; i++) {
      const shape = i % 3 === 2 ? SHAPES[1 + (((i - 2) / 3) % 4)]! : 'icon';
      all.push(await compose(seed * 1000 + GROUNDS.indexOf(ground) * 250 + i, ground, { shape }));
    }
  }
  return all;
}

export async function compose(
  seed: number,
  ground: Ground,
  { shape, longSidePx = 480 }: ComposeOptions = {},
): Promise<Composition> {
  const random = seededRandom(seed);
  const short = Math.round(longSidePx * between(random, 0.66, 1));
  const [width, height] = random() < 0.5 ? [longSidePx, short] : [short, longSidePx];
  const kind = shape ?? SHAPES[Math.floor(random() * SHAPES.length)]!;
  const { name, rgba } = await drawForeground(random, kind, width, height);
  const count = width * height;
  const alpha = new Uint8Array(count);
  const foreground = new Uint8Array(count * 3);
  for (let i = 0; i < count; i++) {
    alpha[i] = rgba[i * 4 + 3]!;
    for (let c = 0; c < 3; c++) foreground[i * 3 + c] = rgba[i * 4 + c]!;
  }
  const behind = await distinctGround(random, ground, width, height, alpha, foreground);
  const noise = random() < 0.6 ? between(random, 0.5, 3) : 0;
  const rgb = new Uint8ClampedArray(count * 3);
  for (let i = 0; i < count * 3; i++) {
    const a = alpha[(i / 3) | 0]! / 255;
    rgb[i] = foreground[i]! * a + behind[i]! * (1 - a) + (noise > 0 ? noise * normal(random) : 0);
  }
  return {
    name: `${ground}/${name}`,
    ground,
    shape: kind,
    width,
    height,
    rgb: new Uint8Array(rgb.buffer),
    alpha,
    foreground,
  };
}

/** An outline that has the very colour of what is behind it has no right answer: such a ground is drawn again. */
async function distinctGround(
  random: Random,
  ground: Ground,
  width: number,
  height: number,
  alpha: Uint8Array,
  foreground: Uint8Array,
): Promise<Float32Array> {
  let best: Float32Array | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 12 && fewest > 0.05; attempt++) {
    const candidate = await drawGround(random, ground, width, height);
    let outline = 0;
    let lost = 0;
    for (let i = width + 1; i < alpha.length - width - 1; i++) {
      if (alpha[i]! < 250) continue;
      if (Math.min(alpha[i - 1]!, alpha[i + 1]!, alpha[i - width]!, alpha[i + width]!) > 127) continue;
      outline++;
      let square = 0;
      for (let c = 0; c < 3; c++) square += (foreground[i * 3 + c]! - candidate[i * 3 + c]!) ** 2;
      if (square < 40 ** 2) lost++;
    }
    const share = lost / Math.max(1, outline);
    if (share < fewest) {
      fewest = share;
      best = candidate;
    }
  }
  return best!;
}

// ── foregrounds ────────────────────────────────────────────────────────────────────────────────────────────────────

let icons: Promise<{ names: string[]; bodies: Record<string, { body: string }> }> | undefined;

async function loadIcons() {
  const path = fileURLToPath(import.meta.resolve('@iconify-json/fluent-emoji-flat/icons.json'));
  const bodies = JSON.parse(await readFile(path, 'utf8')).icons as Record<string, { body: string }>;
  // A person comes in six skin tones: one of them is enough. Keycaps, flags and signs are plain squares.
  const names = Object.keys(bodies)
    .filter((name) => !/(^|-)(light|dark|medium)(-|$)|keycap|button|square|flag|arrow|sign|clock/.test(name))
    .sort();
  return { names, bodies };
}

async function drawForeground(random: Random, shape: Shape, width: number, height: number) {
  if (shape !== 'icon') {
    const svg = DRAWN[shape](random, width, height);
    return { name: shape, rgba: await rasterise(svg, width, height) };
  }
  icons ??= loadIcons();
  const { names, bodies } = await icons;
  for (;;) {
    const name = names[Math.floor(random() * names.length)]!;
    const side = Math.min(width, height) * between(random, 0.5, 0.9);
    const x = between(random, 0.02, 0.98) * (width - side);
    const y = between(random, 0.02, 0.98) * (height - side);
    const turn = between(random, -25, 25).toFixed(2);
    const scale = side / 32;
    const body = bodies[name]!.body;
    const svg = `<g transform="translate(${x} ${y}) scale(${scale}) rotate(${turn} 16 16)">${body}</g>`;
    const rgba = await rasterise(svg, width, height);
    let covered = 0;
    for (let i = 3; i < rgba.length; i += 4) covered += rgba[i]!;
    if (covered / 255 >= 0.3 * side * side) return { name: `icon ${name}`, rgba };
  }
}

async function rasterise(content: string, width: number, height: number): Promise<Uint8Array> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${content}</svg>`;
  return await sharp(Buffer.from(svg)).ensureAlpha().raw().toBuffer();
}

const DRAWN: Record<Exclude<Shape, 'icon'>, (random: Random, width: number, height: number) => string> = {
  disc(random, width, height) {
    const r = Math.min(width, height) * between(random, 0.18, 0.38);
    const cx = between(random, r * 1.1, width - r * 1.1);
    const cy = between(random, r * 1.1, height - r * 1.1);
    return `${shading('d', random)}<ellipse cx="${cx}" cy="${cy}" rx="${r}" ry="${r * between(random, 0.7, 1)}" fill="url(#d)"/>`;
  },
  blob(random, width, height) {
    const r = Math.min(width, height) * between(random, 0.22, 0.34);
    const cx = between(random, r * 1.3, width - r * 1.3);
    const cy = between(random, r * 1.3, height - r * 1.3);
    const phases = [random() * 6, random() * 6, random() * 6];
    const points = Array.from({ length: 96 }, (_, i) => {
      const t = (i / 96) * 2 * Math.PI;
      const wave =
        0.16 * Math.sin(2 * t + phases[0]!) +
        0.09 * Math.sin(3 * t + phases[1]!) +
        0.05 * Math.sin(7 * t + phases[2]!);
      return `${cx + r * (1 + wave) * Math.cos(t)},${cy + r * (1 + wave) * Math.sin(t)}`;
    });
    return `${shading('d', random)}<polygon points="${points.join(' ')}" fill="url(#d)"/>`;
  },
  star(random, width, height) {
    const r = Math.min(width, height) * between(random, 0.28, 0.42);
    const cx = between(random, r, width - r);
    const cy = between(random, r, height - r);
    const tips = 5 + Math.floor(random() * 4);
    const inner = between(random, 0.4, 0.65);
    const points = Array.from({ length: tips * 2 }, (_, i) => {
      const t = (i / tips) * Math.PI;
      const radius = i % 2 ? r * inner : r;
      return `${cx + radius * Math.sin(t)},${cy - radius * Math.cos(t)}`;
    });
    return `${shading('d', random)}<polygon points="${points.join(' ')}" fill="url(#d)"/>`;
  },
  /** Head, shoulders that the lower border cuts, and hair that ends in single strokes. */
  figure(random, width, height) {
    const r = Math.min(width, height) * between(random, 0.13, 0.18);
    const cx = width * between(random, 0.42, 0.58);
    const cy = height * between(random, 0.36, 0.44);
    const hair = hex(shade([70, 45, 30], between(random, 0.4, 1.6)));
    const skin = hex(shade([224, 172, 135], between(random, 0.55, 1.1)));
    const cloth = hex(vivid(random));
    const strokes: string[] = [];
    for (let i = 0; i < 90; i++) {
      const t = Math.PI * between(random, 0.95, 2.05);
      const length = r * between(random, 1.15, 1.6);
      const bend = between(random, -0.25, 0.25);
      const at = (radius: number, angle: number) =>
        `${(cx + radius * Math.cos(angle)).toFixed(1)} ${(cy + radius * Math.sin(angle)).toFixed(1)}`;
      strokes.push(`M${at(r * 0.9, t)}Q${at(length * 0.9, t + bend / 2)} ${at(length, t + bend)}`);
    }
    const thin = (r / 40).toFixed(2);
    return [
      `<path d="M${cx - r * 2.1} ${height + 9}q0 ${-r * 2.4} ${r * 1.5} ${-r * 2.6}h${r * 1.2}q${r * 1.5} ${r * 0.2} ${r * 1.5} ${r * 2.6}v${height}h${-r * 4.2}z" fill="${cloth}"/>`,
      `<rect x="${cx - r * 0.4}" y="${cy}" width="${r * 0.8}" height="${Math.max(r * 1.6, height - cy - r * 1.6)}" fill="${skin}"/>`,
      `<path d="M${cx - r * 2.1} ${height + 9}q0 ${-r * 2.2} ${r * 1.6} ${-r * 2.3}q${r * 0.5} ${r * 0.5} ${r} 0q${r * 1.6} ${r * 0.1} ${r * 1.6} ${r * 2.3}z" fill="${cloth}"/>`,
      `<path d="${strokes.join('')}" fill="none" stroke="${hair}" stroke-width="${thin}" stroke-linecap="round"/>`,
      `<circle cx="${cx}" cy="${cy - r * 0.08}" r="${r * 1.08}" fill="${hair}"/>`,
      `<ellipse cx="${cx}" cy="${cy + r * 0.15}" rx="${r * 0.78}" ry="${r * 0.92}" fill="${skin}"/>`,
      ...[-0.3, 0.3].map(
        (d) => `<circle cx="${cx + r * d}" cy="${cy + r * 0.05}" r="${r * 0.08}" fill="#222"/>`,
      ),
      `<path d="M${cx - r * 0.28} ${cy + r * 0.55}q${r * 0.28} ${r * 0.18} ${r * 0.56} 0" fill="none" stroke="#a33" stroke-width="${r * 0.07}"/>`,
    ].join('');
  },
};

/** A linear gradient between two shades of one colour: an object under light. */
function shading(id: string, random: Random): string {
  const color = vivid(random);
  const [from, to] = [shade(color, between(random, 1, 1.35)), shade(color, between(random, 0.6, 0.9))];
  return `<defs><linearGradient id="${id}" x1="0" y1="0" x2="${random().toFixed(2)}" y2="1"><stop offset="0" stop-color="${hex(from)}"/><stop offset="1" stop-color="${hex(to)}"/></linearGradient></defs>`;
}

// ── grounds ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function drawGround(
  random: Random,
  ground: Ground,
  width: number,
  height: number,
): Promise<Float32Array> {
  switch (ground) {
    case 'plain': {
      const color = random() < 0.3 ? shade([255, 255, 255], between(random, 0.85, 1)) : anyColor(random);
      return paint(width, height, () => color);
    }
    case 'gradient': {
      const from = anyColor(random);
      const to = mix(from, anyColor(random), between(random, 0.3, 0.8));
      const angle = random() * 2 * Math.PI;
      const [cx, cy, radial] = [random(), random(), random() < 0.4];
      return paint(width, height, (x, y) => {
        const t = radial
          ? Math.hypot(x - cx, y - cy) / 1.2
          : 0.5 + ((x - 0.5) * Math.cos(angle) + (y - 0.5) * Math.sin(angle)) / Math.SQRT2;
        return mix(from, to, Math.min(1, Math.max(0, t)));
      });
    }
    case 'blurred':
      return await outOfFocus(random, width, height);
    case 'textured':
      return texture(random, width, height);
  }
}

/** Large soft patches and a few discs of light, as a lens wide open shows what is far behind. */
async function outOfFocus(random: Random, width: number, height: number): Promise<Float32Array> {
  const palette = [anyColor(random), anyColor(random), anyColor(random)];
  const [columns, rows] = [5 + Math.floor(random() * 4), 4 + Math.floor(random() * 4)];
  const cells = new Uint8Array(columns * rows * 3);
  for (let i = 0; i < columns * rows; i++) {
    const color = mix(palette[Math.floor(random() * 3)]!, anyColor(random), between(random, 0, 0.25));
    cells.set(color.map(Math.round), i * 3);
  }
  const lights = Array.from({ length: Math.floor(random() * 7) }, () => {
    const r = Math.min(width, height) * between(random, 0.02, 0.07);
    return `<circle cx="${random() * width}" cy="${random() * height}" r="${r}" fill="${hex(vivid(random))}" fill-opacity="${between(random, 0.2, 0.5)}"/>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${lights.join('')}</svg>`;
  const patches = await sharp(cells, { raw: { width: columns, height: rows, channels: 3 } })
    .resize(width, height, { fit: 'fill', kernel: 'cubic' })
    .png({ compressionLevel: 0 })
    .toBuffer();
  const soft = await sharp(patches)
    .composite([{ input: Buffer.from(svg) }])
    .toBuffer();
  const blur = Math.max(1, Math.min(width, height) * between(random, 0.008, 0.03));
  return new Float32Array(await sharp(soft).blur(blur).removeAlpha().raw().toBuffer());
}

function texture(random: Random, width: number, height: number): Float32Array {
  const first = anyColor(random);
  const second = mix(first, anyColor(random), between(random, 0.25, 0.7));
  const period = Math.min(width, height) * between(random, 0.02, 0.08);
  const angle = random() * Math.PI;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const turned = (x: number, y: number) => [
    (x * width * cos + y * height * sin) / period,
    (y * height * cos - x * width * sin) / period,
  ];
  const fine = valueNoise(random, width, height, Math.max(2, period / 5));
  const coarse = valueNoise(random, width, height, period);
  const patterns: ((x: number, y: number, i: number) => number)[] = [
    (_x, _y, i) => coarse[i]! * 0.5 + fine[i]! * 0.5, // plaster, grass
    (x, y) => (Math.sin(turned(x, y)[0]! * Math.PI) > 0 ? 1 : 0), // stripes
    (x, y) => (turned(x, y).reduce((sum, v) => sum + Math.floor(v), 0) % 2 === 0 ? 1 : 0), // tiles
    (x, y) => {
      const [u, v] = turned(x, y) as [number, number];
      const row = Math.floor(v * 1.5);
      const shift = row % 2 === 0 ? 0 : 0.5;
      const joint = Math.abs(fraction(v * 1.5) - 0.5) > 0.42 || Math.abs(fraction(u + shift) - 0.5) > 0.45;
      return joint ? 1 : 0; // bricks
    },
    (x, y, i) => 0.5 + 0.5 * Math.sin(turned(x, y)[0]! * 2 + coarse[i]! * 5), // wood
  ];
  const pattern = patterns[Math.floor(random() * patterns.length)]!;
  let i = 0;
  return paint(width, height, (x, y) => {
    const at = i++;
    const grain = (fine[at]! - 0.5) * 16;
    return mix(first, second, pattern(x, y, at)).map((v) => v + grain) as Rgb;
  });
}

/** Smoothly joined random values on a lattice, 0–1. */
function valueNoise(random: Random, width: number, height: number, cellPx: number): Float32Array {
  const columns = Math.ceil(width / cellPx) + 2;
  const rows = Math.ceil(height / cellPx) + 2;
  const lattice = Float32Array.from({ length: columns * rows }, random);
  const out = new Float32Array(width * height);
  const ease = (t: number) => t * t * (3 - 2 * t);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / cellPx);
    const v = ease(y / cellPx - row);
    for (let x = 0; x < width; x++) {
      const column = Math.floor(x / cellPx);
      const u = ease(x / cellPx - column);
      const at = row * columns + column;
      const top = lattice[at]! * (1 - u) + lattice[at + 1]! * u;
      const bottom = lattice[at + columns]! * (1 - u) + lattice[at + columns + 1]! * u;
      out[y * width + x] = top * (1 - v) + bottom * v;
    }
  }
  return out;
}

function paint(width: number, height: number, colorAt: (x: number, y: number) => Rgb): Float32Array {
  const out = new Float32Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const color = colorAt((x + 0.5) / width, (y + 0.5) / height);
      const at = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) out[at + c] = Math.min(255, Math.max(0, color[c]!));
    }
  }
  return out;
}

// ── numbers and colours ────────────────────────────────────────────────────────────────────────────────────────────

const between = (random: Random, low: number, high: number) => low + (high - low) * random();

const fraction = (value: number) => value - Math.floor(value);

/** Box–Muller. */
const normal = (random: Random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

const anyColor = (random: Random): Rgb => [random() * 255, random() * 255, random() * 255];

const shade = (color: Rgb, by: number) => color.map((v) => Math.min(255, v * by)) as Rgb;

const mix = (a: Rgb, b: Rgb, t: number) => a.map((v, c) => v + (b[c]! - v) * t) as Rgb;

const hex = (color: Rgb) =>
  `#${color
    .map((v) =>
      Math.round(Math.min(255, Math.max(0, v)))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;

/** One channel high, one low, one between. */
function vivid(random: Random): Rgb {
  const levels = [between(random, 180, 245), between(random, 20, 90), between(random, 40, 220)];
  const first = Math.floor(random() * 3);
  const step = random() < 0.5 ? 1 : 2;
  const color: Rgb = [0, 0, 0];
  levels.forEach((level, i) => {
    color[(first + i * step) % 3] = level;
  });
  return color;
}
