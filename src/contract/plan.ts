/**
 * A Plan: what to do with an image, and what to make of it. Presets, `POST /convert`, `POST …/process`, URL
 * segments and the command line are spellings of one; `plan-codec.ts` reads and prints the spellings,
 * `plan-normal.ts` normalises and hashes.
 */
import { z } from 'zod';
import type { FieldError } from '../problem.ts';
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import {
  FORMAT_ALIASES,
  FORMAT_OPTIONS,
  formatNamed,
  OUTPUT_FORMATS,
  type OutputFormat,
  TIFF_COMPRESSIONS,
} from './plan-formats.ts';
import {
  colorSchema,
  type HexColor,
  MAX_DPI,
  MAX_OUTPUT_SIDE_PX,
  mmToPx,
  type NormalOperation,
  OPENING_OPERATIONS,
  type Operation,
  operationSchema,
} from './plan-operations.ts';

export {
  EXTENSIONS,
  MIME_TYPES,
  OUTPUT_FORMATS,
  type OutputFormat,
  TIFF_COMPRESSIONS,
} from './plan-formats.ts';
export {
  colorSchema,
  GRAVITIES,
  type HexColor,
  type NormalOperation,
  type Operation,
  operationSchema,
} from './plan-operations.ts';

const aliases = Object.keys(FORMAT_ALIASES) as (keyof typeof FORMAT_ALIASES)[];

export const outputSchema = z.strictObject({
  /** `jpg` and `tif` are read as `jpeg` and `tiff`. */
  format: z.enum([...OUTPUT_FORMATS, ...aliases]).optional(),
  /** 1–100, for JPEG, WebP and AVIF. */
  quality: z.int().min(1).max(100).optional(),
  /** 0 (fast) – 9 (small), for WebP (at most 6), AVIF, PNG and GIF; the engine chooses when absent. */
  effort: z.int().min(0).max(9).optional(),
  lossless: z.boolean().optional(),
  /** Chroma subsampling of JPEG and AVIF. */
  chroma: z.enum(['4:4:4', '4:2:0']).optional(),
  progressive: z.boolean().optional(),
  metadata: z.enum(['keep', 'strip']).optional(),
  /** Transparent pixels are laid on this where the format has no transparency. */
  background: colorSchema.optional(),
  /** Dots an inch, written into the file where the format has a place for it. */
  dpi: z.int().min(1).max(MAX_DPI).optional(),
  /** Bits a channel of PNG and TIFF: 1, 8 or 16. Bits a pixel of BMP: 1, 24 or 32. */
  depth: z.literal([1, 8, 16, 24, 32]).optional(),
  /** Of TIFF; `g4` (CCITT Group 4) is for one bit a pixel. */
  compression: z.enum(TIFF_COMPRESSIONS).optional(),
});

export const planSchema = z
  .strictObject({
    /** `embedded`: work on the preview that a RAW file carries, in place of developing its pixels. */
    preview: z.literal('embedded').optional(),
    operations: z.array(operationSchema).max(32).optional(),
    output: outputSchema.optional(),
  })
  .superRefine((plan, ctx) => {
    for (const { path, message } of misfits(plan, PLAN_DEFAULTS.format)) {
      ctx.addIssue({ code: 'custom', path: path.split('.'), message });
    }
  })
  .meta({ id: 'Plan', description: 'What to do with an image, and what to make of it.' });

/** A Plan as a client writes it. */
export type Plan = z.infer<typeof planSchema>;
export type OutputOptions = z.infer<typeof outputSchema>;

/** What is made; what vectorises makes SVG, whatever is made by default. */
export function formatOf(
  { operations, output }: { operations?: Operation[] | undefined; output?: OutputOptions | undefined },
  defaultFormat: OutputFormat,
): OutputFormat {
  if (operations?.at(-1)?.op === 'vectorize') return 'svg';
  return formatNamed(output?.format ?? defaultFormat);
}

/** What is right by itself and cannot be had together, by dotted path. */
export function misfits(
  plan: { operations?: Operation[] | undefined; output?: OutputOptions | undefined },
  defaultFormat: OutputFormat,
): FieldError[] {
  const { operations = [], output = {} } = plan;
  const format = formatOf(plan, defaultFormat);
  const { depth, compression, dpi = PLAN_DEFAULTS.dpi } = output;
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => errors.push({ path, message });

  operations.forEach((op, i) => {
    if (OPENING_OPERATIONS.has(op.op) && i > 0) {
      refuse(`operations.${i}`, `${op.op} must be the first operation`);
    }
    if (op.op === 'vectorize' && i < operations.length - 1) {
      refuse(`operations.${i}`, 'vectorize must be the last operation');
    }
    if (op.op !== 'resize' || op.unit !== 'mm') return;
    for (const side of ['width', 'height'] as const) {
      const px = mmToPx(op[side] ?? 0, dpi);
      if (px <= MAX_OUTPUT_SIDE_PX) continue;
      const most = `at most ${MAX_OUTPUT_SIDE_PX} px can be made`;
      refuse(`operations.${i}.${side}`, `${op[side]} mm at ${dpi} dpi are ${px} px; ${most}`);
    }
  });

  const vectorizes = operations.at(-1)?.op === 'vectorize';
  if (vectorizes && output.format !== undefined && output.format !== 'svg') {
    refuse('output.format', `vectorize makes svg, got ${output.format}`);
  }
  if (!vectorizes && (output.format ?? defaultFormat) === 'svg') {
    refuse('output.format', 'svg is made by vectorize, as the last operation');
  }
  const { depths } = FORMAT_OPTIONS[format];
  if (depth !== undefined && depths && !depths.includes(depth)) {
    refuse('output.depth', `expected ${depths.join(' or ')} for ${format}, got ${depth}`);
  }
  if (format === 'tiff' && compression === 'g4' && (depth ?? 1) !== 1) {
    refuse('output.compression', `g4 is for depth 1, got ${depth}`);
  }
  return errors;
}

/**
 * A Plan with aliases resolved, defaults written out, values that cannot matter removed and no-ops dropped:
 * two Plans that make the same picture have, as far as can be told without the picture, the same normal form.
 */
export interface NormalPlan {
  preview?: 'embedded';
  operations: NormalOperation[];
  output: {
    format: OutputFormat;
    /** Absent where the format has none (PNG, GIF, BMP, TIFF, SVG, lossless). */
    quality?: number;
    effort?: number;
    lossless?: boolean;
    chroma?: '4:4:4' | '4:2:0';
    progressive?: boolean;
    metadata: 'keep' | 'strip';
    /** Only where the format has no transparency. */
    background?: HexColor;
    dpi?: number;
    depth?: 1 | 8 | 16 | 24 | 32;
    compression?: (typeof TIFF_COMPRESSIONS)[number];
  };
}
