/** BMP: 24 bits a pixel, bottom-up, uncompressed (BITMAPINFOHEADER). libvips writes none, so this is ours. */
import { open } from 'node:fs/promises';
import type { Sharp } from 'sharp';

const HEADER_BYTES = 54;
const ROWS_PER_WRITE = 256;

/** Writes RGB pixels (three channels of eight bits). */
export async function writeBmp(image: Sharp, path: string): Promise<void> {
  const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const rowBytes = (info.width * 3 + 3) & ~3;
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('BM', 'latin1');
  header.writeUInt32LE(HEADER_BYTES + rowBytes * info.height, 2);
  header.writeUInt32LE(HEADER_BYTES, 10);
  header.writeUInt32LE(40, 14);
  header.writeInt32LE(info.width, 18);
  header.writeInt32LE(info.height, 22);
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(24, 28);
  header.writeUInt32LE(rowBytes * info.height, 34);
  header.writeInt32LE(2835, 38); // 72 dpi, in pixels a metre
  header.writeInt32LE(2835, 42);
  const file = await open(path, 'w');
  try {
    await file.write(header);
    const rows = Buffer.alloc(rowBytes * Math.min(ROWS_PER_WRITE, info.height));
    for (let bottom = info.height; bottom > 0; ) {
      const count = Math.min(ROWS_PER_WRITE, bottom);
      for (let i = 0; i < count; i++) {
        let from = (bottom - 1 - i) * info.width * info.channels;
        let to = i * rowBytes;
        for (let x = 0; x < info.width; x++, from += info.channels, to += 3) {
          rows[to] = data[from + 2]!;
          rows[to + 1] = data[from + 1]!;
          rows[to + 2] = data[from]!;
        }
      }
      await file.write(rows.subarray(0, count * rowBytes));
      bottom -= count;
    }
  } finally {
    await file.close();
  }
}
