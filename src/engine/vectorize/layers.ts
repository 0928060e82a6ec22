/**
 * What is painted, and in which order. Regions are painted over each other, the larger ones first, so that holes need
 * not be cut out and no seam shows between neighbours: the lower one reaches a little under the upper one.
 */
import { type Contour, contoursOf } from './contours.ts';
import type { Palette } from './palette.ts';
import type { Regions } from './regions.ts';

export interface Layers {
  /** In the order of painting; regions that follow each other and have one colour are one layer. */
  layers: { label: number; contours: Contour[] }[];
  /** Of each region, its place in the order of painting. */
  rank: Int32Array;
}

export const isOpaque = ({ colors }: Palette, label: number) => colors[label * 4 + 3] === 255;
const isClear = ({ colors }: Palette, label: number) => colors[label * 4 + 3] === 0;

export function layersOf(regions: Regions, palette: Palette): Layers {
  const { contours, outerOf } = contoursOf(regions);
  const { labels } = regions;
  const outer = (region: number) => contours[outerOf[region]!]!;
  const order = Array.from(labels.keys()).sort((a, b) => outer(b).area - outer(a).area || a - b);
  const rank = new Int32Array(labels.length);
  for (const [place, region] of order.entries()) rank[region] = place;

  // Around what can be seen through, everything below must be open.
  const open = new Set<number>();
  for (const region of labels.keys()) {
    if (isOpaque(palette, labels[region]!)) continue;
    for (let hole = outer(region).parent; hole >= 0 && !open.has(hole); ) {
      open.add(hole);
      hole = outer(contours[hole]!.region).parent;
    }
  }
  const drawn: Contour[][] = Array.from(labels, () => []);
  for (const [index, contour] of contours.entries()) {
    if (contour.outer || open.has(index)) drawn[contour.region]!.push(contour);
  }

  const below = dependencies(regions, contours, outer, rank);
  const layers: Layers['layers'] = [];
  for (const region of inFewLayers(order, below, labels)) {
    const label = labels[region]!;
    if (isClear(palette, label)) continue;
    const last = layers.at(-1);
    // What shows through adds up where it overlaps: one path paints it once.
    if (last?.label === label) last.contours.push(...drawn[region]!);
    else layers.push({ label, contours: [...drawn[region]!] });
  }
  return { layers, rank };
}

/** Of each region, those that must be painted before it: what it lies in, and larger neighbours. */
function dependencies(
  { width, height, ids }: Regions,
  contours: Contour[],
  outer: (region: number) => Contour,
  rank: Int32Array,
): Set<number>[] {
  const below = Array.from(rank, (_, region) => {
    const { parent } = outer(region);
    return new Set<number>(parent < 0 ? [] : [contours[parent]!.region]);
  });
  const meet = (a: number, b: number) => {
    if (rank[a]! < rank[b]!) below[b]!.add(a);
    else below[a]!.add(b);
  };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x + 1 < width && ids[i] !== ids[i + 1]) meet(ids[i]!, ids[i + 1]!);
      if (y + 1 < height && ids[i] !== ids[i + width]) meet(ids[i]!, ids[i + width]!);
    }
  }
  return below;
}

/** An order that keeps what lies below before what lies above, and changes colour seldom. */
function inFewLayers(order: number[], below: Set<number>[], labels: Uint8Array): number[] {
  const waiting = below.map((set) => set.size);
  const above: number[][] = below.map(() => []);
  for (const [region, set] of below.entries()) for (const lower of set) above[lower]!.push(region);
  const ready = new Map<number, number[]>();
  const offer = (region: number) => {
    const list = ready.get(labels[region]!);
    if (list) list.push(region);
    else ready.set(labels[region]!, [region]);
  };
  for (const region of order) if (waiting[region] === 0) offer(region);
  const sorted: number[] = [];
  while (sorted.length < order.length) {
    let most: number[] = [];
    for (const list of ready.values()) if (list.length > most.length) most = list;
    while (most.length > 0) {
      const region = most.pop()!;
      sorted.push(region);
      for (const next of above[region]!) {
        waiting[next]! -= 1;
        if (waiting[next] === 0) offer(next);
      }
    }
  }
  return sorted;
}
