/**
 * The Orientation of a TIFF. libvips writes that of the source into each TIFF, metadata or none, also where the pixels
 * have been turned since: every viewer would turn them again.
 */
import { open } from 'node:fs/promises';
import { readDirectory } from './tiff-pages.ts';

const ORIENTATION = 274;
const UPRIGHT = Buffer.of(1, 0);
const ENTRY_BYTES = 12;

/** Says in place that the pixels of a TIFF, as our encoder writes it, are upright. */
export async function setUpright(path: string): Promise<void> {
  const { at: directory, entries } = await readDirectory(path);
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    if (entries.readUInt16LE(at) !== ORIENTATION) continue;
    const file = await open(path, 'r+');
    try {
      await file.write(UPRIGHT, 0, UPRIGHT.length, directory + 2 + at + 8);
    } finally {
      await file.close();
    }
  }
}
