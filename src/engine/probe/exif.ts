import { Problem } from '../../problem.ts';
import type { Orientation } from '../types.ts';
import { Tiff } from './ifd.ts';
import type { Reader } from './reader.ts';

const ORIENTATION = 0x0112;

/** EXIF's Orientation values; whatever else stands there means upright. */
export const asOrientation = (value: number | undefined): Orientation =>
  value !== undefined && Number.isInteger(value) && value >= 1 && value <= 8 ? (value as Orientation) : 1;

/**
 * Orientation from the EXIF block that begins at `offset` with its byte order mark. A block that is broken
 * says nothing: the picture may still be sound.
 */
export async function exifOrientation(reader: Reader, offset: number): Promise<Orientation> {
  try {
    const tiff = await Tiff.open(reader, offset);
    return asOrientation(await tiff.number(await tiff.ifd(tiff.first), ORIENTATION));
  } catch (error) {
    if (error instanceof Problem && error.code === 'undecodable_image') return 1;
    throw error;
  }
}
