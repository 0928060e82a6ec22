import { Problem } from '../../problem.ts';
import type { Orientation } from '../types.ts';
import { Tiff } from './ifd.ts';
import type { Reader } from './reader.ts';

const ORIENTATION = 0x0112;

/** EXIF's Orientation values; whatever else stands there means upright. */
export const asOrientation = (value: number | undefined): Orientation =>
  value !== undefined && Number.isInteger(value) && value >= 1 && value <= 8 ? (value as Orientation) : 1;

const EXIF_IFD = 0x8769;
const COLOR_SPACE = 0xa001;
const INTEROP_IFD = 0xa005;
const INTEROP_INDEX = 0x0001;
const UNCALIBRATED = 0xffff;

/** Orientation from the EXIF block that begins at `offset` with its byte order mark. */
export function exifOrientation(reader: Reader, offset: number): Promise<Orientation> {
  return orElse(1, async () => {
    const tiff = await Tiff.open(reader, offset);
    return asOrientation(await tiff.number(await tiff.ifd(tiff.first), ORIENTATION));
  });
}

/**
 * True where a camera says Adobe RGB as DCF 2.0 has it, mostly without a profile: ColorSpace "uncalibrated" and
 * InteroperabilityIndex "R03".
 */
export function exifSaysAdobeRgb(reader: Reader, offset: number): Promise<boolean> {
  return orElse(false, async () => {
    const tiff = await Tiff.open(reader, offset);
    const exifAt = await tiff.number(await tiff.ifd(tiff.first), EXIF_IFD);
    if (!exifAt) return false;
    const exif = await tiff.ifd(exifAt);
    const interopAt = await tiff.number(exif, INTEROP_IFD);
    if (!interopAt || (await tiff.number(exif, COLOR_SPACE)) !== UNCALIBRATED) return false;
    return (await tiff.text(await tiff.ifd(interopAt), INTEROP_INDEX))?.startsWith('R03') === true;
  });
}

/** A block that is broken says nothing: the picture may still be sound. */
async function orElse<T>(fallback: T, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Problem && error.code === 'undecodable_image') return fallback;
    throw error;
  }
}
