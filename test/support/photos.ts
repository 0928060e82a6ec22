import sharp from 'sharp';
import { landscape } from './pictures.ts';

const made = new Map<string, Promise<Buffer>>();

/** A JPEG that no other seed gives. */
export function photo(seed: number, width = 900, height = 600): Promise<Buffer> {
  const name = `${seed} ${width} ${height}`;
  let bytes = made.get(name);
  if (!bytes) {
    const { data, ...raw } = landscape(width, height, seed);
    bytes = sharp(data, { raw }).jpeg({ quality: 88 }).toBuffer();
    made.set(name, bytes);
  }
  return bytes;
}
