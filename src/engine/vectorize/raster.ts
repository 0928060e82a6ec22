/** What is traced: the picture as RGBA with colour multiplied by alpha, at a size where tracing is quick and exact. */
import { pipelineOf } from '../decode/pixels.ts';
import type { Size } from '../steps/primitive.ts';
import type { Pixels } from '../types.ts';

export interface Raster {
  width: number;
  height: number;
  /** Premultiplied red, green, blue and alpha: an edge towards transparency is a straight line in these four. */
  data: Uint8Array;
  /** The same, a pixel each, to compare. */
  words: Uint32Array;
}

/** The picture, reduced where it has more than `maxPixels`. */
export async function rasterOf(pixels: Pixels, maxPixels: number): Promise<Raster> {
  const { width, height } = sizeFor(pixels, maxPixels);
  const same = width === pixels.width && height === pixels.height;
  const image = pipelineOf(pixels);
  // Of libvips' kernels the one that draws no dark and light lines along edges.
  const sized = same ? image : image.resize(width, height, { fit: 'fill', kernel: 'mitchell' });
  const raw = await sized.toColourspace('srgb').ensureAlpha().raw({ depth: 'uchar' }).toBuffer();
  // Small buffers share memory, and may begin anywhere in it.
  const data = raw.byteOffset % 4 === 0 ? raw : Uint8Array.from(raw);
  const raster = rasterFrom(data, width, height);
  premultiply(raster);
  return raster;
}

function rasterFrom(data: Uint8Array, width: number, height: number): Raster {
  return { width, height, data, words: new Uint32Array(data.buffer, data.byteOffset, data.length / 4) };
}

function sizeFor({ width, height }: Pixels, maxPixels: number): Size {
  if (width * height <= maxPixels) return { width, height };
  const factor = Math.sqrt(maxPixels / (width * height));
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/**
 * `factor` times as wide and high, by cubic interpolation (Catmull-Rom) about the pixels' centres. What libvips enlarges
 * comes out half a pixel to the right and below.
 */
export function enlarged(raster: Raster, factor: number): Raster {
  if (factor === 1) return raster;
  const { width, height, data } = raster;
  const wide = new Uint8ClampedArray(width * factor * height * 4);
  for (let y = 0; y < height; y++) {
    stretch(data, y * width * 4, 4, width, wide, y * width * factor * 4, 4, factor);
  }
  const row = width * factor * 4;
  const both = new Uint8ClampedArray(row * height * factor);
  for (let at = 0; at < row; at += 4) stretch(wide, at, row, height, both, at, row, factor);
  return rasterFrom(new Uint8Array(both.buffer), width * factor, height * factor);
}

/** One line of `count` pixels, which are `step` bytes apart. */
function stretch(
  from: Uint8Array | Uint8ClampedArray,
  fromAt: number,
  fromStep: number,
  count: number,
  to: Uint8ClampedArray,
  toAt: number,
  toStep: number,
  factor: number,
): void {
  const place = (i: number) => fromAt + Math.min(count - 1, Math.max(0, i)) * fromStep;
  for (let phase = 0; phase < factor; phase++) {
    // From the pixel's own centre to that of its part.
    const offset = (phase + 0.5) / factor - 0.5;
    const back = offset < 0 ? 1 : 0;
    const t = offset + back;
    const w0 = ((2 - t) * t - 1) * t * 0.5;
    const w1 = ((3 * t - 5) * t * t + 2) * 0.5;
    const w2 = ((4 - 3 * t) * t + 1) * t * 0.5;
    const w3 = (t - 1) * t * t * 0.5;
    for (let i = 0, out = toAt + phase * toStep; i < count; i++, out += toStep * factor) {
      const [a, b, c, d] = [place(i - back - 1), place(i - back), place(i - back + 1), place(i - back + 2)];
      for (let k = 0; k < 4; k++) {
        to[out + k] = w0 * from[a + k]! + w1 * from[b + k]! + w2 * from[c + k]! + w3 * from[d + k]!;
      }
    }
  }
}

/** Colour times alpha, in place. */
function premultiply({ data, words }: Raster): void {
  for (let i = 0, at = 0; i < words.length; i++, at += 4) {
    const alpha = data[at + 3]!;
    if (alpha === 255) continue;
    if (alpha === 0) words[i] = 0;
    else for (let c = at; c < at + 3; c++) data[c] = Math.round((data[c]! * alpha) / 255);
  }
}
