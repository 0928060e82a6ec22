/**
 * APNG (PNG third edition, sections 4.9 and 11.3.2): of each frame the rectangle that differs from the frame before,
 * compressed by libvips as a PNG of its own whose data is then refiled. The first frame is also what a viewer
 * without animation shows.
 */
import { open } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { PNG_SIGNATURE, pngChunk, pngChunks, uint32 } from '../png-chunks.ts';
import type { Output, Timing } from './index.ts';

const MAX_DELAY_NUMERATOR = 65_535;
/** Of a fraction that is looked for; frame rates and milliseconds have smaller ones. */
const MAX_DENOMINATOR = 1_000;

interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * Writes frames that lie one below the other, each `frameHeight` rows.
 * @returns how many frames were written
 */
export async function writeApng(
  image: Sharp,
  frameHeight: number,
  output: Pick<Output, 'effort'>,
  path: string,
  timing: Timing,
): Promise<number> {
  const { data, info } = await image
    .toColourspace('srgb')
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const width = info.width;
  const count = info.height / frameHeight;
  const frameBytes = width * frameHeight * 4;
  const opaque = isOpaque(data);
  const file = await open(path, 'w');
  try {
    let sequence = 0;
    for (let i = 0; i < count; i++) {
      const frame = data.subarray(i * frameBytes, (i + 1) * frameBytes);
      const before = i === 0 ? undefined : data.subarray((i - 1) * frameBytes, i * frameBytes);
      const area = before
        ? changed(before, frame, width, frameHeight)
        : { left: 0, top: 0, width, height: frameHeight };
      const picture = await compress(frame, width, frameHeight, area, opaque, output.effort ?? 6);
      if (i === 0) {
        const plays = Math.min(timing.loop ?? 0, 0x7fff_ffff);
        await file.write(
          Buffer.concat([
            PNG_SIGNATURE,
            pngChunk('IHDR', picture.header),
            pngChunk('acTL', uint32(count, plays)),
          ]),
        );
      }
      await file.write(pngChunk('fcTL', control(sequence++, area, timing.delay?.[i] ?? 100)));
      for (const part of picture.data) {
        await file.write(i === 0 ? pngChunk('IDAT', part) : pngChunk('fdAT', uint32(sequence++), part));
      }
    }
    await file.write(pngChunk('IEND'));
  } finally {
    await file.close();
  }
  return count;
}

function isOpaque(rgba: Uint8Array): boolean {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return false;
  return true;
}

/** The smallest rectangle outside of which two frames agree; one pixel where they agree everywhere. */
function changed(before: Buffer, after: Buffer, width: number, height: number): Area {
  const stride = width * 4;
  const rowDiffers = (y: number) =>
    before.compare(after, y * stride, (y + 1) * stride, y * stride, (y + 1) * stride) !== 0;
  let top = 0;
  while (top < height && !rowDiffers(top)) top++;
  if (top === height) return { left: 0, top: 0, width: 1, height: 1 };
  let bottom = height - 1;
  while (!rowDiffers(bottom)) bottom--;
  let left = stride;
  let right = 0;
  for (let y = top; y <= bottom; y++) {
    const row = y * stride;
    let from = 0;
    while (from < left && before[row + from] === after[row + from]) from++;
    left = Math.min(left, from);
    let to = stride - 1;
    while (to > right && before[row + to] === after[row + to]) to--;
    right = Math.max(right, to);
  }
  left >>= 2;
  return { left, top, width: (right >> 2) - left + 1, height: bottom - top + 1 };
}

/** The header and the compressed data of one rectangle. */
async function compress(
  rgba: Uint8Array,
  width: number,
  height: number,
  area: Area,
  opaque: boolean,
  compressionLevel: number,
): Promise<{ header: Uint8Array; data: Uint8Array[] }> {
  let image = sharp(rgba, { raw: { width, height, channels: 4 }, limitInputPixels: false }).extract(area);
  if (opaque) image = image.removeAlpha();
  const png = await image.png({ compressionLevel }).toBuffer();
  let header: Uint8Array = new Uint8Array();
  const data: Uint8Array[] = [];
  for (const { type, body } of pngChunks(png)) {
    if (type === 'IHDR') header = body;
    if (type === 'IDAT') data.push(body);
  }
  return { header, data };
}

/** Nothing is disposed of, and a frame's pixels replace those below: 0 and 0. */
function control(sequence: number, area: Area, delayMs: number): Buffer {
  const [numerator, denominator] = delayFraction(delayMs);
  const tail = Buffer.alloc(6);
  tail.writeUInt16BE(numerator, 0);
  tail.writeUInt16BE(denominator, 2);
  return Buffer.concat([uint32(sequence, area.width, area.height, area.left, area.top), tail]);
}

/** Seconds as a fraction of 16-bit numbers: exact where there is one, else the nearest. */
function delayFraction(delayMs: number): [number, number] {
  for (let denominator = 1; denominator <= MAX_DENOMINATOR; denominator++) {
    const numerator = (delayMs * denominator) / 1000;
    const whole = Math.round(numerator);
    if (whole <= MAX_DELAY_NUMERATOR && Math.abs(numerator - whole) < 1e-6) return [whole, denominator];
  }
  const denominator = Math.max(
    1,
    Math.min(MAX_DENOMINATOR, Math.floor(MAX_DELAY_NUMERATOR / (delayMs / 1000))),
  );
  return [Math.min(MAX_DELAY_NUMERATOR, Math.round((delayMs * denominator) / 1000)), denominator];
}
