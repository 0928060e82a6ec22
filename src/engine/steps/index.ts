/**
 * Every operation of a Plan and the step that carries it out, in one table. What libvips can stream becomes primitives,
 * as soon as the size of the picture at that point is known; the others work on pixels in memory, and what follows them
 * is laid out when they are done.
 */
import type { NormalOperation } from '../../contract/plan.ts';
import { Problem } from '../../problem.ts';
import type { Orientation } from '../types.ts';
import { blur } from './blur.ts';
import { crop } from './crop.ts';
import { looksForFaces, sizeAfterFaceCrop } from './face-crop.ts';
import type { PixelStep } from './pixel-step.ts';
import { type Primitive, type Size, sizeAfter } from './primitive.ts';
import { resize } from './resize.ts';
import { flip, flop, rotate } from './rotate.ts';

type Name = NormalOperation['op'];
type Operation<N extends Name> = Extract<NormalOperation, { op: N }>;

/** Turns an operation into primitives for a picture of this size. */
type Step<N extends Name> = (op: Operation<N>, size: Size) => Primitive[];

type Streamed = Exclude<Name, InMemory>;
type InMemory =
  | 'adjust'
  | 'background'
  | 'colorspace'
  | 'dither'
  | 'flatten'
  | 'grayscale'
  | 'sharpen'
  | 'threshold'
  | 'trim'
  | 'watermark';

const STREAMED: { [N in Streamed]: Step<N> } = {
  resize,
  crop,
  rotate,
  flip,
  flop,
  blur,
  // Chosen when the source is opened.
  frame: () => [],
  clip: () => [],
  // The encoder's.
  vectorize: () => [],
};

/** Loaded when they are first asked for: most Plans need none. */
const IN_MEMORY: { [N in InMemory]: () => Promise<PixelStep<N>> } = {
  adjust: async () => (await import('./adjust.ts')).adjust,
  background: async () => (await import('../background/index.ts')).removeBackground,
  colorspace: async () => (await import('./colorspace.ts')).colorspace,
  flatten: async () => (await import('./flatten.ts')).flatten,
  grayscale: async () => (await import('./grayscale.ts')).grayscale,
  dither: async () => (await import('./dither.ts')).dither,
  sharpen: async () => (await import('./sharpen.ts')).sharpen,
  threshold: async () => (await import('./threshold.ts')).threshold,
  trim: async () => (await import('./trim.ts')).trim,
  watermark: async () => (await import('./watermark.ts')).watermark,
};

/** A run of operations that libvips streams, or one that works on pixels in memory. */
export type Part = { stream: NormalOperation[] } | { pixels: NormalOperation };

export interface Layout {
  /** Of the operations before the first one that works in memory. */
  primitives: Primitive[];
  /** What comes after them. */
  rest: Part[];
  /** The size of the result, as far as it can be told before: what is in memory is taken to stay as large as it is. */
  size: Size;
}

/**
 * Resolves a Plan's operations against a picture.
 * @param stored the size of the decoder's pixels, before `orientation` is applied
 * @param maxPixels that a step may make of fewer
 * @throws Problem `invalid_plan` where an operation cannot apply to a picture of this size, or makes it too large
 */
export function layout(
  operations: readonly NormalOperation[],
  stored: Size,
  orientation: Orientation,
  maxPixels = Number.POSITIVE_INFINITY,
): Layout {
  const upright: Primitive[] = orientation === 1 ? [] : [{ do: 'orient', orientation }];
  const [first, ...rest] = partsOf(operations);
  let at = upright.reduce((size, primitive) => sizeAfter(primitive, size), stored);
  const primitives = [...upright];
  if (first && 'stream' in first) {
    const laid = layoutStream(first.stream, at, maxPixels);
    primitives.push(...laid.primitives);
    at = laid.size;
  } else if (first) rest.unshift(first);
  return { primitives, rest, size: rest.reduce((size, part) => expectedSize(size, part, maxPixels), at) };
}

/** @throws Problem `invalid_plan` as `layout` */
export function layoutStream(
  operations: readonly NormalOperation[],
  from: Size,
  maxPixels = Number.POSITIVE_INFINITY,
): { primitives: Primitive[]; size: Size } {
  let size = from;
  const primitives: Primitive[] = [];
  for (const op of operations) {
    for (const primitive of (STREAMED[op.op as Streamed] as Step<Streamed>)(op as never, size)) {
      primitives.push(primitive);
      const next = sizeAfter(primitive, size);
      if (area(next) > Math.max(maxPixels, area(size))) throw tooLarge(op, next, maxPixels);
      size = next;
    }
  }
  return { primitives, size };
}

/** The step of an operation that works in memory; loaded when it is first asked for. */
export async function pixelStep(op: NormalOperation): Promise<PixelStep<Name>> {
  if (looksForFaces(op)) return (await import('./face-crop.ts')).faceCrop as PixelStep<Name>;
  return (await IN_MEMORY[op.op as InMemory]()) as PixelStep<Name>;
}

function partsOf(operations: readonly NormalOperation[]): Part[] {
  const parts: Part[] = [];
  for (const op of operations) {
    const last = parts.at(-1);
    const inMemory = Object.hasOwn(IN_MEMORY, op.op);
    if (!inMemory) {
      if (last && 'stream' in last) last.stream.push(op);
      else parts.push({ stream: [op] });
    }
    // What looks for faces is scaled while it streams, and cut out in memory.
    if (inMemory || looksForFaces(op)) parts.push({ pixels: op });
  }
  return parts;
}

const area = ({ width, height }: Size): number => width * height;

function tooLarge({ op }: NormalOperation, { width, height }: Size, maxPixels: number): Problem {
  const most = `${Math.floor(maxPixels / 1e5) / 10} megapixels`;
  return new Problem('invalid_plan', {
    detail: `The result of ${op} would be ${width}×${height} px; at most ${most} are allowed.`,
    errors: [{ path: `operations.${op}`, message: `makes more than ${most}` }],
  });
}

function expectedSize(size: Size, part: Part, maxPixels: number): Size {
  if ('stream' in part) return layoutStream(part.stream, size, maxPixels).size;
  return looksForFaces(part.pixels) ? sizeAfterFaceCrop(part.pixels, size) : size;
}
