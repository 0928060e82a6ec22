/**
 * The operations of a Plan: as clients write them, and in their normal form, which is what the engine works on.
 * Lengths are in px of the picture as it stands at that point, unless `unit` says otherwise.
 */
import { z } from 'zod';

/** WebP and GIF stop at 16,383 and 65,535 px; no format that we write goes past this. */
export const MAX_OUTPUT_SIDE_PX = 65_535;

const MM_PER_INCH = 25.4;
/** Dots an inch, of what is written into a file and of what mm are measured by. */
export const MAX_DPI = 9_600;

/** Whole px, at least one. */
export const mmToPx = (mm: number, dpi: number): number => Math.max(1, Math.round((mm / MM_PER_INCH) * dpi));

const px = z.int().min(1).max(MAX_OUTPUT_SIDE_PX);
const offsetPx = z.int().min(0).max(1_000_000);
const unit = z.number().min(0).max(1);

/** `#rgb`, `#rrggbb`, `#rrggbbaa` (with or without `#`), `white`, `black` or `transparent`. */
export const colorSchema = z
  .string()
  .regex(/^(#?([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})|white|black|transparent)$/i, {
    error: 'expected #rgb, #rrggbb, #rrggbbaa, white, black or transparent',
  });

/** Where something stands in a picture. */
export const PLACES = [
  'center',
  'north',
  'northeast',
  'east',
  'southeast',
  'south',
  'southwest',
  'west',
  'northwest',
] as const;
/** What `cover` keeps: a place, or what is looked for in the pixels. */
export const GRAVITIES = [...PLACES, 'attention', 'entropy', 'face'] as const;
export const BACKGROUND_METHODS = ['auto', 'grabcut', 'watershed', 'person', 'model'] as const;
export const DITHER_METHODS = ['floyd-steinberg', 'atkinson', 'bayer'] as const;
export const COLOR_SPACES = ['rgb', 'rgba', 'grayscale'] as const;
export const UNITS = ['px', 'mm'] as const;
export const VECTOR_COLORS = ['color', 'bw'] as const;
export const VECTOR_DETAILS = ['low', 'medium', 'high'] as const;

const factor = z.number().min(0).max(10);

/** What is allowed depends on the unit: `lengthFits`. The range is for the published schema. */
const length = z.number().meta({ minimum: 0.01, maximum: MAX_OUTPUT_SIDE_PX });

interface Lengths {
  width?: number | undefined;
  height?: number | undefined;
  unit?: string | undefined;
}

/** For `refine`: also where other fields are wrong, so that all that is wrong is told at once. */
function lengthFits(side: 'width' | 'height') {
  const rangeOf = (unit: string | undefined) =>
    unit === 'mm'
      ? { smallest: 0.01, isWhole: false, form: 'a number' }
      : { smallest: 1, isWhole: true, form: 'a whole number' };
  const fits = ({ unit, [side]: value = 1 }: Lengths) => {
    const { smallest, isWhole } = rangeOf(unit);
    return value >= smallest && value <= MAX_OUTPUT_SIDE_PX && (!isWhole || Number.isInteger(value));
  };
  const error = ({ input }: { input?: unknown }) => {
    const { unit, [side]: value } = input as Lengths;
    const { smallest, form } = rangeOf(unit);
    return `expected ${form} from ${smallest} to ${MAX_OUTPUT_SIDE_PX}, got ${value}`;
  };
  const when = ({ value }: { value: unknown }) => typeof (value as Lengths | null)?.[side] === 'number';
  const path: PropertyKey[] = [side];
  return [fits, { path, error, when }] as const;
}

const resizeSchema = z
  .strictObject({
    op: z.literal('resize'),
    /** Whole px, or mm. */
    width: length.optional(),
    height: length.optional(),
    /** `mm`: as large in print, at the output's `dpi`; small pictures are then enlarged. */
    unit: z.enum(UNITS).optional(),
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
  .refine(({ width, height }) => width !== undefined || height !== undefined, {
    error: 'resize needs width, height or both',
  })
  .refine(...lengthFits('width'))
  .refine(...lengthFits('height'));

/** What no font shows and no XML holds: halves of a surrogate pair, control characters but the line feed, nonchars. */
const UNPRINTABLE = /(?!\n)[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;

export const operationSchema = z.discriminatedUnion('op', [
  resizeSchema,
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
  z
    .strictObject({
      op: z.literal('adjust'),
      /** Factors; 1 changes nothing. */
      brightness: factor.optional(),
      contrast: factor.optional(),
      saturation: factor.optional(),
      /** Degrees around the colour wheel. */
      hue: z.number().min(-360).max(360).optional(),
      /** Above 1 brightens the mid-tones. */
      gamma: z.number().min(0.1).max(10).optional(),
      /** Stops: 1 doubles the light. */
      exposure: z.number().min(-5).max(5).optional(),
    })
    .refine(({ op, ...amounts }) => Object.values(amounts).some((amount) => amount !== undefined), {
      error: 'adjust needs brightness, contrast, saturation, hue, gamma or exposure',
    }),
  z.strictObject({
    op: z.literal('sharpen'),
    /** 1 is pleasant, 0 does nothing. */
    amount: z.number().min(0).max(10).optional(),
    /** Standard deviation of the mask, in px. */
    radius: z.number().min(0.3).max(10).optional(),
  }),
  z.strictObject({
    op: z.literal('blur'),
    /** Standard deviation of the Gaussian, in px. */
    radius: z.number().min(0.3).max(250),
  }),
  /** `rgb` drops transparency over white, `rgba` adds it, `grayscale` leaves one channel. */
  z.strictObject({ op: z.literal('colorspace'), space: z.enum(COLOR_SPACES) }),
  z.strictObject({
    op: z.literal('background'),
    /** How the foreground is found. `model`: by the operator's own model. */
    method: z.enum(BACKGROUND_METHODS),
    /** What comes in place of the background. */
    color: colorSchema.optional(),
    /** True: the matte itself, as a grey picture. */
    mask: z.boolean().optional(),
  }),
  z.strictObject({
    op: z.literal('threshold'),
    /** From this grey level on a pixel is white. */
    level: z.int().min(0).max(255).optional(),
  }),
  /** Black and white that looks grey from afar. */
  z.strictObject({ op: z.literal('dither'), method: z.enum(DITHER_METHODS).optional() }),
  z
    .strictObject({
      op: z.literal('watermark'),
      /** An image of the same owner. */
      image: z.uuid({ error: 'expected the id of an image' }).optional(),
      /** White space around it is dropped. */
      text: z
        .string()
        .max(200)
        .regex(/\S/, { error: 'expected a text that is not empty' })
        .refine((text) => !UNPRINTABLE.test(text), {
          error: 'expected text without control characters and halves of characters',
        })
        .optional(),
      gravity: z.enum(PLACES).optional(),
      opacity: unit.optional(),
      /** Its width, as a part of the picture's. */
      scale: z.number().min(0.01).max(1).optional(),
      /** From the edges, in px. */
      margin: z.int().min(0).max(10_000).optional(),
      /** Of a text. */
      color: colorSchema.optional(),
      /** All over the picture. */
      tile: z.boolean().optional(),
    })
    .refine((w) => (w.image === undefined) !== (w.text === undefined), {
      error: 'watermark needs image or text, and not both',
    }),
  z.strictObject({
    op: z.literal('trim'),
    /** How far a level may be from the background's. */
    threshold: z.int().min(0).max(255).optional(),
    /** The top left pixel's colour when absent. */
    background: colorSchema.optional(),
  }),
  z
    .strictObject({
      op: z.literal('frame'),
      /** Of a GIF, WebP, PNG, AVIF or TIFF, from 0. */
      page: z.int().min(0).max(100_000).optional(),
      /** Of a video or an animation. */
      second: z.number().min(0).max(1_000_000).optional(),
    })
    .refine((f) => (f.page === undefined) !== (f.second === undefined), {
      error: 'frame needs page or second, and not both',
    }),
  /** A short animated preview of a video. */
  z.strictObject({
    op: z.literal('clip'),
    /** Seconds. */
    start: z.number().min(0).max(1_000_000).optional(),
    duration: z.number().min(0.1).max(30).optional(),
    fps: z.number().min(1).max(30).optional(),
  }),
  /** Draws the picture in shapes: what comes out is SVG. */
  z.strictObject({
    op: z.literal('vectorize'),
    colors: z.enum(VECTOR_COLORS).optional(),
    detail: z.enum(VECTOR_DETAILS).optional(),
    /** Detail is given up until the SVG has at most so many. */
    maxBytes: z.int().min(1_000).max(50_000_000).optional(),
  }),
]);

/** An operation as a client writes it. */
export type Operation = z.infer<typeof operationSchema>;
export type OperationName = Operation['op'];

/** Must be the first operation: they choose what of the file is decoded. */
export const OPENING_OPERATIONS: ReadonlySet<OperationName> = new Set(['frame', 'clip']);

/** `#rrggbb` or `#rrggbbaa`, lower case. */
export type HexColor = `#${string}`;

/** With aliases resolved and defaults written out. */
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
  | {
      op: 'adjust';
      brightness: number;
      contrast: number;
      saturation: number;
      hue: number;
      gamma: number;
      exposure: number;
    }
  | { op: 'sharpen'; amount: number; radius: number }
  | { op: 'blur'; radius: number }
  | { op: 'colorspace'; space: Exclude<(typeof COLOR_SPACES)[number], 'grayscale'> }
  | { op: 'background'; method: (typeof BACKGROUND_METHODS)[number]; color: HexColor; mask: boolean }
  | { op: 'threshold'; level: number }
  | { op: 'dither'; method: (typeof DITHER_METHODS)[number] }
  | {
      op: 'watermark';
      image?: string;
      text?: string;
      gravity: (typeof PLACES)[number];
      opacity: number;
      scale: number;
      margin: number;
      /** Only of a text. */
      color?: HexColor;
      tile: boolean;
    }
  | { op: 'trim'; threshold: number; background?: HexColor }
  | { op: 'frame'; page?: number; second?: number }
  | { op: 'clip'; start: number; duration: number; fps: number }
  | {
      op: 'vectorize';
      colors: (typeof VECTOR_COLORS)[number];
      detail: (typeof VECTOR_DETAILS)[number];
      maxBytes: number;
    };
