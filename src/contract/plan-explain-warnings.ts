/** What people learn too late of what a Plan does. */
import type { NormalPlan } from './plan.ts';
import { colorWords } from './plan-explain-operations.ts';
import { FORMAT_NAMES, FORMAT_OPTIONS } from './plan-formats.ts';
import type { HexColor } from './plan-operations.ts';

export interface PixelSize {
  width: number;
  height: number;
}

/** What is known of the picture that a Plan is for. */
export interface ExplainSource extends PixelSize {
  /** Frames or pages; 1 where nothing is said. */
  pages?: number;
  /** The pages are frames in time. */
  animated?: boolean;
  alpha?: boolean;
  /** Bits a channel. */
  bitDepth?: number;
  /** After each operation of the normal form; undefined where only the pixels tell. */
  sizes: readonly (PixelSize | undefined)[];
}

/** A sentence for each, without its full stop. */
export function warningsAbout(plan: NormalPlan, source?: ExplainSource): string[] {
  return [
    ...aboutTransparency(plan, source),
    ...aboutFrames(plan, source),
    ...aboutBits(plan, source),
    ...aboutSizes(plan, source),
    ...aboutEffort(plan),
  ];
}

const isSeeThrough = (color: HexColor | undefined) => color !== undefined && color.length === 9;

function aboutTransparency({ operations, output }: NormalPlan, source?: ExplainSource): string[] {
  let from = source?.alpha ? 'the picture' : undefined;
  for (const op of operations) {
    if (op.op === 'flatten' || (op.op === 'colorspace' && op.space === 'rgb')) from = undefined;
    else if (op.op === 'background') {
      if (op.mask) from = undefined;
      else if (isSeeThrough(op.color)) from = 'the removed background';
    } else if (op.op === 'rotate' && isSeeThrough(op.background)) from ??= 'the turned corners';
    else if (op.op === 'resize' && isSeeThrough(op.background)) from ??= 'the padding';
  }
  if (from === undefined || output.background === undefined) return [];
  const on = colorWords(output.background);
  return [
    `${FORMAT_NAMES[output.format]} here has no transparency: what is transparent in ${from} is laid on ${on}; PNG, WebP and AVIF keep it`,
  ];
}

function aboutFrames({ operations: [first], output }: NormalPlan, source?: ExplainSource): string[] {
  const name = FORMAT_NAMES[output.format];
  const moves = FORMAT_OPTIONS[output.format].animates === true;
  if (first?.op === 'clip') return moves ? [] : [`${name} does not move: of the clip it shows one frame`];
  const { pages = 1, animated } = source ?? {};
  if (first?.op === 'frame' || pages < 2) return [];
  if (!animated) return [`the file has ${pages} pages: the first is taken; choose another with frame`];
  return moves ? [] : [`of ${pages} frames the first is kept: ${name} does not move; GIF, WebP and APNG do`];
}

const TWO_LEVELS: ReadonlySet<string> = new Set(['threshold', 'dither']);

function aboutBits({ operations, output }: NormalPlan, source?: ExplainSource): string[] {
  const warnings: string[] = [];
  const { format, depth } = output;
  const keeps16 = FORMAT_OPTIONS[format].depths?.includes(16) === true && (depth ?? 16) === 16;
  const { bitDepth = 8 } = source ?? {};
  if (bitDepth > 8 && !keeps16 && format !== 'svg') {
    const reason = FORMAT_OPTIONS[format].depths?.includes(16) ? `depth ${depth}` : FORMAT_NAMES[format];
    warnings.push(
      `${bitDepth} bits a channel become ${depth === 1 ? 1 : 8} in ${reason}; PNG and TIFF keep 16`,
    );
  }
  const twoLevels = operations.findLastIndex(({ op }) => TWO_LEVELS.has(op));
  if (depth === 1 && twoLevels === -1) {
    warnings.push('one bit has no greys: each pixel turns black or white; threshold and dither say how');
  }
  if (twoLevels === -1) return warnings;
  const name = operations[twoLevels]!.op;
  const blurring = operations
    .slice(twoLevels + 1)
    .find(({ op }) => op === 'resize' || op === 'blur' || op === 'rotate');
  if (blurring) warnings.push(`${blurring.op} after ${name} brings greys back; put it before`);
  if (format === 'jpeg' || ((format === 'webp' || format === 'avif') && !output.lossless)) {
    warnings.push(`${FORMAT_NAMES[format]} smears hard black and white; PNG and TIFF keep each pixel`);
  }
  return warnings;
}

/** Where it is less than what the file format could say. */
const MAX_SIDE_PX: Partial<Record<NormalPlan['output']['format'], number>> = {
  jpeg: 65_500,
  webp: 16_383,
  avif: 16_384,
  gif: 65_535,
};

function aboutSizes({ operations, output }: NormalPlan, source?: ExplainSource): string[] {
  if (!source) return [];
  const warnings: string[] = [];
  let before: PixelSize | undefined = source;
  for (const [i, op] of operations.entries()) {
    const after: PixelSize | undefined = source.sizes[i];
    if (op.op === 'resize' && op.fit !== 'pad' && before && after) {
      const larger = after.width > before.width || after.height > before.height;
      const sizes = `from ${before.width}×${before.height} to ${after.width}×${after.height} px`;
      if (larger) warnings.push(`resize enlarges, ${sizes}: the picture gets no sharper by it`);
    }
    before = after;
  }
  const most = MAX_SIDE_PX[output.format];
  if (before && most !== undefined && Math.max(before.width, before.height) > most) {
    warnings.push(
      `${FORMAT_NAMES[output.format]} holds at most ${most} px a side: this will fail at ${before.width}×${before.height}`,
    );
  }
  return warnings;
}

function aboutEffort({ operations, output }: NormalPlan): string[] {
  const warnings: string[] = [];
  if (output.format === 'avif') {
    warnings.push('AVIF takes some 40 times as long to write as WebP');
  }
  if (operations.some((op) => op.op === 'background' && op.method === 'model')) {
    warnings.push(
      'background by model needs a model: MATTE_MODEL_PATH, or --matte-model on the command line',
    );
  }
  return warnings;
}
