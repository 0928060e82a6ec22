/** An SVG's own size, as libvips and librsvg see it at 72 dpi, where one CSS pixel is one pixel. */
import type { Limits } from '../limits.ts';
import { broken, checkPixels } from './header.ts';

const DPI = 72;
const DEFAULT_FONT_PX = 12;
/** CSS's size for a replaced element that states none; librsvg would take the extents of the drawing. */
const DEFAULT_WIDTH = 300;
const DEFAULT_HEIGHT = 150;

const PX_PER_UNIT: Readonly<Record<string, number>> = {
  '': 1,
  px: 1,
  pt: DPI / 72,
  pc: DPI / 6,
  in: DPI,
  cm: DPI / 2.54,
  mm: DPI / 25.4,
};

/** The root element's attributes without a namespace. */
export type RootAttributes = ReadonlyMap<string, string>;

/** Width and height in pixels, not rounded. A missing side follows from the viewBox. */
export function svgSize(root: RootAttributes): { width: number; height: number } {
  const style = root.get('style') ?? '';
  const stated = (name: string) => declaration(style, name) ?? root.get(name);
  const fontPx = lengthPx(stated('font-size'), DEFAULT_FONT_PX) ?? DEFAULT_FONT_PX;
  const width = lengthPx(stated('width'), fontPx);
  const height = lengthPx(stated('height'), fontPx);
  if (width !== undefined && height !== undefined) return { width, height };
  const box = viewBox(root.get('viewBox'));
  if (!box) return { width: width ?? DEFAULT_WIDTH, height: height ?? DEFAULT_HEIGHT };
  if (width !== undefined) return { width, height: (width * box.height) / box.width };
  if (height !== undefined) return { width: (height * box.width) / box.height, height };
  return box;
}

/** `svgSize` in whole pixels. @throws Problem undecodable_image, image_too_large */
export function svgPixels(root: RootAttributes, limits: Limits): { width: number; height: number } {
  const exact = svgSize(root);
  const [width, height] = [Math.round(exact.width), Math.round(exact.height)];
  if (width < 1 || height < 1) throw broken('The SVG is smaller than one pixel.');
  checkPixels(width, height, limits);
  return { width, height };
}

function declaration(style: string, name: string): string | undefined {
  let value: string | undefined;
  for (const part of style.split(';')) {
    const colon = part.indexOf(':');
    if (colon > 0 && part.slice(0, colon).trim().toLowerCase() === name) value = part.slice(colon + 1);
  }
  return value?.replace(/!\s*important/i, '');
}

/** Percentages, `auto` and units of the viewport are undefined: nothing to measure them by. */
function lengthPx(text: string | undefined, fontPx: number): number | undefined {
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]{0,2})\s*$/i.exec(
    text?.slice(0, 100) ?? '',
  );
  if (!match) return undefined;
  const unit = match[2]!.toLowerCase();
  const factor = unit === 'em' ? fontPx : unit === 'ex' ? fontPx / 2 : PX_PER_UNIT[unit];
  const px = Number(match[1]) * (factor ?? Number.NaN);
  return px >= 0 ? px : undefined;
}

function viewBox(text: string | undefined): { width: number; height: number } | undefined {
  const numbers = (text ?? '')
    .slice(0, 200)
    .trim()
    .split(/\s*,\s*|\s+/)
    .map(Number);
  const [x, y, width, height] = numbers;
  if (numbers.length !== 4 || !Number.isFinite(x) || !Number.isFinite(y)) return undefined;
  return width! > 0 && height! > 0 ? { width: width!, height: height! } : undefined;
}
