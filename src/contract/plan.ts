/**
 * A Plan: what to do with an image, and what to make of it. Presets, `POST /convert`, `POST …/process`, URL
 * segments and the command line are spellings of one; `plan-codec.ts` reads and prints the spellings,
 * `plan-normal.ts` normalises and hashes.
 */
import { z } from 'zod';

/** WebP and GIF stop at 16,383 and 65,535 px; no format that we write goes past this. */
const MAX_OUTPUT_SIDE_PX = 65_535;

const px = z.int().min(1).max(MAX_OUTPUT_SIDE_PX);
const offsetPx = z.int().min(0).max(1_000_000);

/** `#rgb`, `#rrggbb`, `#rrggbbaa` (with or without `#`), `white`, `black` or `transparent`. */
export const colorSchema = z
  .string()
  .regex(/^(#?([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})|white|black|transparent)$/i, {
    error: 'expected #rgb, #rrggbb, #rrggbbaa, white, black or transparent',
  });

export const GRAVITIES = [
  'center',
  'north',
  'northeast',
  'east',
  'southeast',
  'south',
  'southwest',
  'west',
  'northwest',
  'attention',
  'entropy',
] as const;

const unit = z.number().min(0).max(1);

export const operationSchema = z.discriminatedUnion('op', [
  z
    .strictObject({
      op: z.literal('resize'),
      width: px.optional(),
      height: px.optional(),
      /** `contain` (also `fit`) inside the box; `cover` (also `fill`) and crop; `stretch`; `pad` to the box. */
      fit: z.enum(['contain', 'fit', 'cover', 'fill', 'stretch', 'pad']).optional(),
      /** Which part `cover` keeps, and where `pad` puts the picture. */
      gravity: z.enum(GRAVITIES).optional(),
      /** Focal point for `cover`, as fractions of the width and height; stands instead of `gravity`. */
      focus: z.strictObject({ x: unit, y: unit }).optional(),
      /** Small images stay small unless this is true. */
      enlarge: z.boolean().optional(),
      /** What `pad` fills with. */
      background: colorSchema.optional(),
    })
    .refine((r) => r.width !== undefined || r.height !== undefined, {
      error: 'resize needs width, height or both',
    }),
  z.strictObject({ op: z.literal('crop'), left: offsetPx, top: offsetPx, width: px, height: px }),
  z.strictObject({
    op: z.literal('rotate'),
    /** Degrees clockwise. */
    angle: z.number().min(-360).max(360),
    /** Fills the corners where the angle is no multiple of 90. */
    background: colorSchema.optional(),
  }),
  z.strictObject({ op: z.literal('flip') }),
  z.strictObject({ op: z.literal('flop') }),
  z.strictObject({ op: z.literal('flatten'), background: colorSchema.optional() }),
  z.strictObject({ op: z.literal('grayscale') }),
  /** Takes one page of a GIF, WebP or TIFF, from 0. Must come first. */
  z.strictObject({ op: z.literal('frame'), page: z.int().min(0).max(100_000) }),
]);

export const OUTPUT_FORMATS = ['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif', 'bmp'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export const outputSchema = z.strictObject({
  /** `jpg` and `tif` are read as `jpeg` and `tiff`. */
  format: z.enum([...OUTPUT_FORMATS, 'jpg', 'tif']).optional(),
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
});

export const planSchema = z
  .strictObject({
    /** `embedded`: work on the preview that a RAW file carries, in place of developing its pixels. */
    preview: z.literal('embedded').optional(),
    operations: z.array(operationSchema).max(32).optional(),
    output: outputSchema.optional(),
  })
  .refine((p) => (p.operations ?? []).every((o, i) => o.op !== 'frame' || i === 0), {
    error: 'frame must be the first operation',
    path: ['operations'],
  });

/** A Plan as a client writes it. */
export type Plan = z.infer<typeof planSchema>;
export type Operation = z.infer<typeof operationSchema>;
export type OutputOptions = z.infer<typeof outputSchema>;

/** `#rrggbb` or `#rrggbbaa`, lower case. */
export type HexColor = `#${string}`;

export type NormalOperation =
  | {
      op: 'resize';
      width?: number;
      height?: number;
      fit: 'contain' | 'cover' | 'stretch' | 'pad';
      gravity?: (typeof GRAVITIES)[number];
      focus?: { x: number; y: number };
      enlarge: boolean;
      background?: HexColor;
    }
  | { op: 'crop'; left: number; top: number; width: number; height: number }
  | { op: 'rotate'; angle: number; background?: HexColor }
  | { op: 'flip' }
  | { op: 'flop' }
  | { op: 'flatten'; background: HexColor }
  | { op: 'grayscale' }
  | { op: 'frame'; page: number };

/**
 * A Plan with aliases resolved, defaults written out, values that cannot matter removed and no-ops dropped:
 * two Plans that make the same picture have, as far as can be told without the picture, the same normal form.
 */
export interface NormalPlan {
  preview?: 'embedded';
  operations: NormalOperation[];
  output: {
    format: OutputFormat;
    /** Absent where the format has none (PNG, GIF, BMP, TIFF, lossless). */
    quality?: number;
    effort?: number;
    lossless?: boolean;
    chroma?: '4:4:4' | '4:2:0';
    progressive?: boolean;
    metadata: 'keep' | 'strip';
    /** Only where the format has no transparency. */
    background?: HexColor;
  };
}

export const EXTENSIONS: Record<OutputFormat, string> = {
  jpeg: 'jpg',
  png: 'png',
  webp: 'webp',
  avif: 'avif',
  tiff: 'tif',
  gif: 'gif',
  bmp: 'bmp',
};

export const MIME_TYPES: Record<OutputFormat, string> = {
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  tiff: 'image/tiff',
  gif: 'image/gif',
  bmp: 'image/bmp',
};
