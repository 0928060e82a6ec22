/** What the probers of the single formats share: their answer, and their ways of saying no. */
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import type { Facts, Family, Orientation, SourceFormat } from '../types.ts';

/** What one format's headers say. The rest of `Facts` follows from the format and the file. */
export type Header = Omit<Facts, 'family' | 'mime' | 'bytes'>;

export interface FormatKind {
  family: Family;
  mime: string;
  /** As people call it: `a JPEG`, `an AVIF`. */
  name: string;
}

const by = (family: Family, mime: string, name: string): FormatKind => ({ family, mime, name });

export const FORMATS: Readonly<Record<SourceFormat, FormatKind>> = {
  jpeg: by('libvips', 'image/jpeg', 'JPEG'),
  png: by('libvips', 'image/png', 'PNG'),
  gif: by('libvips', 'image/gif', 'GIF'),
  webp: by('libvips', 'image/webp', 'WebP'),
  avif: by('libvips', 'image/avif', 'AVIF'),
  tiff: by('libvips', 'image/tiff', 'TIFF'),
  svg: by('libvips', 'image/svg+xml', 'SVG'),
  bmp: by('bmp', 'image/bmp', 'BMP'),
  heic: by('heif', 'image/heic', 'HEIC'),
  dng: by('raw', 'image/x-adobe-dng', 'DNG'),
  cr2: by('raw', 'image/x-canon-cr2', 'CR2'),
  cr3: by('raw', 'image/x-canon-cr3', 'CR3'),
  crw: by('raw', 'image/x-canon-crw', 'CRW'),
  nef: by('raw', 'image/x-nikon-nef', 'NEF'),
  arw: by('raw', 'image/x-sony-arw', 'ARW'),
  raf: by('raw', 'image/x-fuji-raf', 'RAF'),
  rw2: by('raw', 'image/x-panasonic-rw2', 'RW2'),
  orf: by('raw', 'image/x-olympus-orf', 'ORF'),
  raw: by('raw', 'image/x-dcraw', 'camera RAW'),
  mp4: by('video', 'video/mp4', 'MP4'),
  mov: by('video', 'video/quicktime', 'QuickTime'),
  '3gp': by('video', 'video/3gpp', '3GP'),
  webm: by('video', 'video/webm', 'WebM'),
  mkv: by('video', 'video/matroska', 'Matroska'),
};

/** The bytes claim to be this format and do not keep to it. */
export const broken = (detail: string): Problem => new Problem('undecodable_image', { detail });

/** @throws Problem image_too_large where `width` × `height` has more pixels than one page may have. */
export function checkPixels(width: number, height: number, limits: Pick<Limits, 'maxPixels'>): void {
  if (width * height <= limits.maxPixels) return;
  throw new Problem('image_too_large', {
    detail: `The image declares ${width} × ${height} pixels; at most ${amount(limits.maxPixels)} are allowed.`,
  });
}

const amount = (pixels: number) =>
  pixels < 1_000_000 ? `${pixels} pixels` : `${Math.round(pixels / 100_000) / 10} megapixels`;

/** @throws Problem undecodable_image where a side is zero or no whole number. */
export function checkSides(width: number, height: number, what: string): void {
  if (width > 0 && height > 0 && Number.isInteger(width) && Number.isInteger(height)) return;
  throw broken(`The ${what} declares a size of ${width} × ${height} pixels.`);
}

/** Width and height as displayed. */
export function upright(
  width: number,
  height: number,
  orientation: Orientation,
): { width: number; height: number } {
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}
