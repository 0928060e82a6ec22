/** Pixels in memory as a sharp pipeline, with their colour profile where they have one. */
import sharp, { type Sharp } from 'sharp';
import type { Pixels } from '../types.ts';

/** @param pageHeight of one of the frames that lie one below the other */
export function pipelineOf(pixels: Pixels, { pageHeight }: { pageHeight?: number } = {}): Sharp {
  if (pixels.icc) return sharp(tiffOf(pixels, pixels.icc), { limitInputPixels: false });
  const { data, width, height, channels, depth } = pixels;
  const samples = depth === 16 ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) : data;
  const raw = { width, height, channels, ...(pageHeight !== undefined && { pageHeight }) };
  return sharp(samples, { raw, limitInputPixels: false });
}

const SHORT = 3;
const LONG = 4;
const UNDEFINED = 7;

/**
 * An uncompressed TIFF around the pixels: the one way to hand libvips raw pixels together with an ICC profile.
 * TIFF 6.0, one strip; profile in tag 34675.
 */
function tiffOf(pixels: Pixels, icc: Uint8Array): Buffer {
  const { data, width, height, channels, depth } = pixels;
  const alpha = channels === 2 || channels === 4;
  const tags: [tag: number, type: number, count: number, value: number][] = [
    [256, LONG, 1, width],
    [257, LONG, 1, height],
    [258, SHORT, channels, 0],
    [259, SHORT, 1, 1], // no compression
    [262, SHORT, 1, channels >= 3 ? 2 : 1], // RGB, or black is zero
    [273, LONG, 1, 0],
    [277, SHORT, 1, channels],
    [278, LONG, 1, height],
    [279, LONG, 1, data.byteLength],
    [284, SHORT, 1, 1],
    ...(alpha ? [[338, SHORT, 1, 2] as [number, number, number, number]] : []), // unassociated
    [34675, UNDEFINED, icc.byteLength, 0],
  ];
  const bitsAt = 8 + 2 + tags.length * 12 + 4;
  const iccAt = bitsAt + 8;
  const pixelsAt = (iccAt + icc.byteLength + 15) & ~15;
  const file = Buffer.allocUnsafe(pixelsAt + data.byteLength);
  file.fill(0, 0, pixelsAt);
  file.write('II*\0', 'latin1');
  file.writeUInt32LE(8, 4);
  file.writeUInt16LE(tags.length, 8);
  for (let i = 0; i < 4; i++) file.writeUInt16LE(depth, bitsAt + i * 2);
  tags.forEach(([tag, type, count, plain], i) => {
    const at = 10 + i * 12;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(count, at + 4);
    if (tag === 258 && channels > 2) file.writeUInt32LE(bitsAt, at + 8);
    else if (tag === 258) for (let c = 0; c < channels; c++) file.writeUInt16LE(depth, at + 8 + c * 2);
    else if (tag === 273) file.writeUInt32LE(pixelsAt, at + 8);
    else if (tag === 34675) file.writeUInt32LE(iccAt, at + 8);
    else if (type === SHORT) file.writeUInt16LE(plain, at + 8);
    else file.writeUInt32LE(plain, at + 8);
  });
  file.set(icc, iccAt);
  file.set(data, pixelsAt);
  return file;
}
