/** Logos to vectorise: drawn here, and icons of Fluent Emoji (MIT). */
import { createRequire } from 'node:module';
import sharp from 'sharp';
import type { Pixels } from '../../src/engine/types.ts';

const svg = (width: number, height: number, body: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">${body}</svg>`;

const LETTER = 'M300 300h400v120H420v100h220v110H420v200H300z';

/** One megapixel each. */
const DRAWN: Record<string, string> = {
  mark: svg(
    1000,
    1000,
    `<rect width="1000" height="1000" fill="#fff"/><circle cx="400" cy="420" r="300" fill="#e4572e"/>
    <path d="M200 700 520 200 840 700z" fill="#17bebb"/><rect x="560" y="560" width="300" height="180" rx="40" fill="#2e282a"/>
    <text x="80" y="920" font-family="sans-serif" font-weight="bold" font-size="150" fill="#2e282a">Tintype</text>`,
  ),
  transparent: svg(
    1000,
    1000,
    `<circle cx="400" cy="420" r="300" fill="#e4572e"/><path d="M200 700 520 200 840 700z" fill="#17bebb"/>
    <circle cx="520" cy="520" r="80" fill="#fff"/>
    <text x="80" y="920" font-family="serif" font-size="150" fill="#2e282a">Tintype</text>`,
  ),
  ring: svg(
    1000,
    1000,
    `<rect width="1000" height="1000" fill="#fff"/><circle cx="500" cy="500" r="380" fill="none" stroke="#000" stroke-width="90"/>
    <path d="M500 200C700 300 700 700 500 800 300 700 300 300 500 200z"/>
    <path d="M500 350C600 400 600 600 500 650 400 600 400 400 500 350z" fill="#fff"/>`,
  ),
  word: svg(
    1600,
    625,
    `<rect width="1600" height="625" fill="#fff"/>
    <text x="60" y="380" font-family="serif" font-style="italic" font-size="320" fill="#0b3d91">Atelier</text>
    <text x="70" y="530" font-family="sans-serif" font-size="90" fill="#555">PRINT &amp; ENGRAVE, EST. 1871</text>`,
  ),
  gradient: svg(
    1000,
    1000,
    `<linearGradient id="g" x2="1" y2="1"><stop stop-color="#ff512f"/><stop offset="1" stop-color="#dd2476"/></linearGradient>
    <rect width="1000" height="1000" rx="220" fill="url(#g)"/><path d="${LETTER}" fill="#fff"/>`,
  ),
};

const EMOJI = [
  'artist-palette',
  'bicycle',
  'butterfly',
  'camera',
  'castle',
  'crossed-flags',
  'fox',
  'rocket',
];

/** SVG by name. */
export function logos(): Record<string, string> {
  const { icons } = createRequire(import.meta.url)('@iconify-json/fluent-emoji-flat/icons.json') as {
    icons: Record<string, { body: string }>;
  };
  const emoji = EMOJI.map((name) => [
    name,
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="1000" height="1000">${icons[name]!.body}</svg>`,
  ]);
  return { ...DRAWN, ...Object.fromEntries(emoji) };
}

/** 8-bit sRGB with alpha. */
export async function drawn(source: string | Uint8Array, widthPx?: number): Promise<Pixels> {
  const image = sharp(typeof source === 'string' ? Buffer.from(source) : source, { limitInputPixels: false });
  const { data, info } = await (widthPx ? image.resize(widthPx) : image)
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: 4, depth: 8 };
}

/** RGB on a colour. */
export function onGround({ data }: Pixels, ground: readonly [number, number, number]): Uint8Array {
  const out = new Uint8Array((data.length / 4) * 3);
  for (let at = 0, to = 0; at < data.length; at += 4, to += 3) {
    const alpha = data[at + 3]! / 255;
    for (let c = 0; c < 3; c++) out[to + c] = Math.round(data[at + c]! * alpha + ground[c]! * (1 - alpha));
  }
  return out;
}
