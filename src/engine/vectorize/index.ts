/**
 * `vectorize`: a drawing out of pixels. Flat colours are told apart, their regions traced with the edges found to a
 * fraction of a pixel from the soft pixels on them, and curves fitted. A photograph comes out like a poster.
 * See docs/how-to/engraving.md for what it was measured against.
 */
import { Problem } from '../../problem.ts';
import type { Pixels } from '../types.ts';
import { INK, inked } from './ink.ts';
import { label, labelsOf } from './label.ts';
import { enlarged, rasterOf } from './raster.ts';
import { trace } from './trace.ts';

export interface VectorizeOptions {
  colors: 'color' | 'bw';
  detail: 'low' | 'medium' | 'high';
  /** Of the SVG. What does not fit is drawn more coarsely. */
  maxBytes: number;
}

interface Settings {
  maxPixels: number;
  maxColors: number;
  /** Nearer colours are one; in premultiplied RGBA of 8 bits. */
  minDistance: number;
  /** Smaller regions are left out; in pixels of the picture. */
  minArea: number;
  /** How far a path may be from its edge, in pixels. */
  tolerance: number;
}

/** Edges are found to a fraction of a pixel: more pixels than these only cost time. */
const MAX_PIXELS = 1_000_000;

const SETTINGS: Record<VectorizeOptions['detail'], Settings> = {
  low: { maxPixels: MAX_PIXELS, maxColors: 8, minDistance: 40, minArea: 40, tolerance: 0.9 },
  medium: { maxPixels: MAX_PIXELS, maxColors: 24, minDistance: 24, minArea: 12, tolerance: 0.4 },
  high: { maxPixels: MAX_PIXELS, maxColors: 64, minDistance: 14, minArea: 5, tolerance: 0.25 },
};

/** Small pictures are enlarged to about this many: their strokes are too thin to have an inside. */
const SMALL_PX = 300_000;
const MAX_ENLARGEMENT = 4;
/** In pixels of the picture: the dot of a small i. */
const MIN_AREA = 3;
const ATTEMPTS = 6;

/**
 * An SVG of the pixels' own size, the same for the same pixels. What is transparent stays so; `bw` is black on nothing.
 * @throws Problem `invalid_plan` where even the coarsest drawing has more than `maxBytes`
 */
export async function vectorize(
  pixels: Pixels,
  { colors, detail, maxBytes }: VectorizeOptions,
  { signal }: { signal?: AbortSignal },
): Promise<string> {
  let settings = SETTINGS[detail];
  let least = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    signal?.throwIfAborted();
    const svg = await draw(pixels, colors, settings);
    if (svg.length <= maxBytes) return svg; // all ASCII
    least = Math.min(least, svg.length);
    settings = coarser(settings);
  }
  throw new Problem('invalid_plan', {
    detail: `The drawing has at least ${least} bytes; at most ${maxBytes} were asked for. Raise maxBytes, or reduce or blur the picture first.`,
    errors: [{ path: 'maxBytes', message: `must be at least ${least} for this picture` }],
  });
}

const coarser = ({ maxPixels, maxColors, minDistance, minArea, tolerance }: Settings): Settings => ({
  maxPixels: maxPixels / 2,
  maxColors: Math.max(2, Math.round(maxColors / 1.6)),
  minDistance: minDistance * 1.4,
  minArea: minArea * 1.6,
  tolerance: tolerance * 1.4,
});

async function draw(pixels: Pixels, colors: 'color' | 'bw', settings: Settings): Promise<string> {
  const { width, height } = pixels;
  const area = width * height;
  const base = await rasterOf(pixels, settings.maxPixels);
  const enough = Math.floor(Math.sqrt(Math.min(SMALL_PX, settings.maxPixels) / area));
  const factor = Math.max(1, Math.min(MAX_ENLARGEMENT, enough));
  const raster = enlarged(base, factor);
  const smallPart = settings.minArea * Math.min(1, Math.sqrt(area / MAX_PIXELS));
  const options = {
    minArea: Math.max(MIN_AREA, smallPart) * factor ** 2,
    tolerance: settings.tolerance * factor ** 0.25,
    // What enlarging makes of the steps in an edge is a ripple.
    smoothing: factor,
    scale: {
      x: width / raster.width,
      y: height / raster.height,
      // A tenth of a pixel of the raster shows on a screen; less than that does not.
      steps: 10 ** Math.min(2, Math.max(0, Math.round(1 + Math.log10(raster.width / width)))),
    },
  };
  let paths: string;
  if (colors === 'bw') {
    const { raster: ink, labels } = inked(raster);
    paths = trace(ink, INK, labels, options);
  } else {
    // The flat parts show before enlarging, which makes soft edges look flat.
    const { palette, labels } = label(base, settings);
    clean(palette.colors);
    paths = trace(raster, palette, factor === 1 ? labels : labelsOf(raster, palette), options);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${paths}</svg>`;
}

/** What is all but opaque, or all but transparent, is meant to be so. */
function clean(colors: Uint8Array): void {
  for (let at = 0; at < colors.length; at += 4) {
    const alpha = colors[at + 3]!;
    if (alpha >= 250) colors[at + 3] = 255;
    else if (alpha <= 8) colors.fill(0, at, at + 4);
  }
}
