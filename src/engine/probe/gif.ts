/** GIF89a: blocks are walked, no pixel is unpacked. */
import type { Limits } from '../limits.ts';
import { broken, checkPixels, checkSides, type Header } from './header.ts';
import type { Reader } from './reader.ts';

const EXTENSION = 0x21;
const IMAGE = 0x2c;
/** Extensions between two frames; comments and application blocks are few. */
const MAX_BLOCKS_PER_FRAME = 1_000;

/** Screen sizes that old programs wrote without regard to the picture; libvips's reader takes them for unknown. */
const SCREEN_SIZES = ['640x480', '640x512', '800x600', '1024x768', '1280x1024', '1600x1200'];
const MAX_TRUSTED_SCREEN_SIDE = 2_048;

export async function probeGif(reader: Reader, limits: Limits): Promise<Header> {
  const head = await reader.fields(0, 13, true);
  const screen = { width: head.u16(6), height: head.u16(8) };
  // Readers differ in how far they believe the screen, so that it must be bearable either way.
  checkPixels(screen.width, screen.height, limits);
  let { width, height } = isTrusted(screen.width, screen.height) ? screen : { width: 1, height: 1 };
  let at = 13 + paletteBytes(head.u8(10));
  let pages = 0;
  let alpha = false;
  let blocks = 0;
  while (pages <= limits.maxFrames) {
    const [kind, label] = await reader.upTo(at, 2);
    if (kind === EXTENSION && label !== undefined) {
      if (++blocks > MAX_BLOCKS_PER_FRAME * (pages + 1))
        throw broken('The GIF has far more extensions than frames.');
      if (label === 0xf9) {
        const control = await reader.upTo(at + 2, 2);
        if (control[0] === 4 && control[1] !== undefined && control[1] & 1) alpha = true;
      }
      at = await skipSubBlocks(reader, at + 2);
    } else if (kind === IMAGE) {
      const frame = await reader.upTo(at, 10);
      if (frame.length < 10) break;
      if (pages === 0) {
        // The first frame may stand out of the screen and enlarge it; later ones are clipped.
        width = Math.max(width, u16(frame, 1) + u16(frame, 5));
        height = Math.max(height, u16(frame, 3) + u16(frame, 7));
        checkPixels(width, height, limits);
      }
      const data = at + 10 + paletteBytes(frame[9]!);
      if (data + 2 > reader.size) break;
      pages += 1;
      at = await skipSubBlocks(reader, data + 1);
    } else {
      // The trailer, the end of the file, or stray bytes: a decoder stops here too.
      break;
    }
  }
  if (pages === 0) throw broken('The GIF has no frame.');
  checkSides(width, height, 'GIF');
  return {
    format: 'gif',
    width,
    height,
    orientation: 1,
    pages,
    animated: pages > 1,
    alpha,
    bitDepth: 8,
    colorSpace: 'palette',
  };
}

function isTrusted(width: number, height: number): boolean {
  if (width === 0 || height === 0 || SCREEN_SIZES.includes(`${width}x${height}`)) return false;
  return width <= MAX_TRUSTED_SCREEN_SIDE && height <= MAX_TRUSTED_SCREEN_SIDE;
}

const u16 = (bytes: Uint8Array, at: number) => bytes[at]! | (bytes[at + 1]! << 8);

const paletteBytes = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);

/** The offset after the empty sub-block that ends the sequence, or the end of the file. */
async function skipSubBlocks(reader: Reader, from: number): Promise<number> {
  let start = from;
  for (;;) {
    const chunk = await reader.chunk(start, 1);
    if (chunk.length === 0) return reader.size;
    let at = 0;
    while (at < chunk.length) {
      const length = chunk[at]!;
      at += 1 + length;
      if (length === 0) return start + at;
    }
    start += at;
  }
}
