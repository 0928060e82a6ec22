/** Flat colours into paths: labels, regions, layers, outlines, curves. */
import { fitClosed } from './fit.ts';
import { layersOf } from './layers.ts';
import { outlineOf } from './outline.ts';
import type { Palette } from './palette.ts';
import type { Raster } from './raster.ts';
import { withoutSpecks } from './regions.ts';
import { PathWriter, type Scale } from './svg-path.ts';

export interface TraceOptions {
  /** Regions of fewer pixels are given to a neighbour. */
  minArea: number;
  /** How far a path may be from an edge, in pixels of the raster. */
  tolerance: number;
  /** How often each point is averaged with its neighbours; at least once. */
  smoothing: number;
  scale: Scale;
}

/** @param labels changed in place. Returns SVG `path` elements, in the order of painting. */
export function trace(
  raster: Raster,
  palette: Palette,
  labels: Uint8Array,
  { minArea, tolerance, smoothing, scale }: TraceOptions,
): string {
  const { width, height } = raster;
  const regions = withoutSpecks(labels, width, height, minArea);
  const { layers, rank } = layersOf(regions, palette);
  const context = { raster, palette, regions, rank, smoothing };
  let paths = '';
  for (const { label, contours } of layers) {
    const writer = new PathWriter(scale);
    let any = false;
    for (const contour of contours) {
      any = writer.add(fitClosed(outlineOf(contour, context), tolerance, smoothing + 1)) || any;
    }
    if (any) paths += `<path${paint(palette, label)} d="${writer}"/>`;
  }
  return paths;
}

/** The attributes for a colour; black is what a path has without any. */
function paint({ colors }: Palette, label: number): string {
  const alpha = colors[label * 4 + 3]!;
  const rgb = [0, 1, 2].map((c) => Math.min(255, Math.round((colors[label * 4 + c]! * 255) / alpha)));
  const hex = rgb.map((value) => value.toString(16).padStart(2, '0')).join('');
  const short = /^(.)\1(.)\2(.)\3$/.test(hex) ? hex[0]! + hex[2]! + hex[4]! : hex;
  const opacity =
    alpha === 255 ? '' : ` fill-opacity="${String(Math.round((alpha / 255) * 100) / 100).replace(/^0/, '')}"`;
  return `${short === '000' ? '' : ` fill="#${short}"`}${opacity}`;
}
