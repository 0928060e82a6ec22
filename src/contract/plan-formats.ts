/** The formats that are written, and which options of a Plan's output each of them has. */

export const OUTPUT_FORMATS = ['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif', 'bmp', 'apng', 'svg'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export const TIFF_COMPRESSIONS = ['lzw', 'deflate', 'none', 'g4'] as const;

export const FORMAT_ALIASES = { jpg: 'jpeg', tif: 'tiff' } as const;

/** With its aliases resolved. */
export const formatNamed = (name: OutputFormat | keyof typeof FORMAT_ALIASES): OutputFormat =>
  name === 'jpg' || name === 'tif' ? FORMAT_ALIASES[name] : name;

/** As people write them. */
export const FORMAT_NAMES: Record<OutputFormat, string> = {
  jpeg: 'JPEG',
  png: 'PNG',
  webp: 'WebP',
  avif: 'AVIF',
  tiff: 'TIFF',
  gif: 'GIF',
  bmp: 'BMP',
  apng: 'APNG',
  svg: 'SVG',
};

export const EXTENSIONS: Record<OutputFormat, string> = {
  jpeg: 'jpg',
  png: 'png',
  webp: 'webp',
  avif: 'avif',
  tiff: 'tif',
  gif: 'gif',
  bmp: 'bmp',
  apng: 'png',
  svg: 'svg',
};

export const MIME_TYPES: Record<OutputFormat, string> = {
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  tiff: 'image/tiff',
  gif: 'image/gif',
  bmp: 'image/bmp',
  apng: 'image/apng',
  svg: 'image/svg+xml',
};

/** Which output options a format has; those that it lacks have no effect. */
export interface FormatOptions {
  quality?: true;
  lossless?: true;
  chroma?: true;
  progressive?: true;
  /** No transparency: lays the picture on `output.background`. */
  opaque?: true;
  /** Lowest and highest effort that make a difference. */
  effort?: readonly [number, number];
  /** The depths that it can be written in; where they are missing the format has one only. */
  depths?: readonly number[];
  compression?: true;
  /** Has a place for the dots an inch. */
  dpi?: true;
  /** Holds frames in time. */
  animates?: true;
  /** Has no place for metadata. */
  bare?: true;
}

export const FORMAT_OPTIONS: Record<OutputFormat, FormatOptions> = {
  jpeg: { quality: true, chroma: true, progressive: true, opaque: true, dpi: true },
  png: { progressive: true, effort: [0, 9], depths: [1, 8, 16], dpi: true },
  webp: { quality: true, lossless: true, effort: [0, 6], animates: true },
  avif: { quality: true, lossless: true, chroma: true, effort: [0, 9] },
  tiff: { depths: [1, 8, 16], compression: true, dpi: true },
  gif: { effort: [1, 9], animates: true },
  bmp: { opaque: true, depths: [1, 24, 32], dpi: true, bare: true },
  apng: { effort: [0, 9], animates: true },
  svg: { bare: true },
};

/** Bits a pixel of BMP, where nothing else is said, and with an alpha channel. */
export const BMP_DEPTH = 24;
export const BMP_ALPHA_DEPTH = 32;
