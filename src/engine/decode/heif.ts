/** HEIC and HEIF through libheif in WebAssembly: sharp's libvips carries no HEVC decoder. */
import { Problem } from '../../problem.ts';
import type { Facts, Pixels } from '../types.ts';
import { isTruncatedBmff } from './truncation.ts';
import type { HeifReply, HeifRequest } from './wasm/heif-worker.ts';
import { type CallOptions, WasmHost } from './wasm/host.ts';

export interface DecodeOptions extends CallOptions {
  maxPixels: number;
}

const heif = new WasmHost<HeifRequest, HeifReply>({
  name: 'HEIC',
  worker: new URL('./wasm/heif-worker.ts', import.meta.url),
  wasm: new URL(import.meta.resolve('libheif-js/libheif-wasm/libheif.wasm')),
  maxKeptHeapBytes: 256 * 1024 * 1024,
  resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16 },
});

/**
 * The primary picture at 8 bits a channel, RGB or RGBA with straight alpha, upright: clap, irot and imir are
 * applied, and an EXIF Orientation beside them says nothing about these pixels.
 *
 * `icc` is the file's profile. A picture that describes its colours by code points (`Facts.cicp`) has none,
 * and its pixels are in that space.
 *
 * @throws Problem `undecodable_image` with libheif's words, also where only a part is damaged or missing;
 * `image_too_large`, `processing_timeout`, `cancelled`, `memory_exceeded`, `decoder_crashed`.
 */
export async function decodeHeif(path: string, facts: Facts, options: DecodeOptions): Promise<Pixels> {
  if (facts.width * facts.height > options.maxPixels) {
    throw new Problem('image_too_large', {
      detail: `Expected at most ${options.maxPixels} pixels, found ${facts.width} × ${facts.height}.`,
    });
  }
  // libheif leaves out an alpha plane that it cannot find, without a word.
  if (await isTruncatedBmff(path, options.signal)) {
    throw new Problem('undecodable_image', { detail: 'HEIC: the file ends before its picture does.' });
  }
  const reply = await heif.call({ path, maxPixels: options.maxPixels }, options);
  return { ...reply, depth: 8 };
}
