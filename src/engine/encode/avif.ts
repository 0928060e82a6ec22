/** AVIF by libaom, 8 bits. Some 40 times the CPU of WebP at effort 4: never made unless a Plan names it. */
import type { Encoder } from './index.ts';

export const AVIF_MAX_SIDE_PX = 16_384;

export const avif: Encoder = (image, output) =>
  image.avif({
    quality: output.quality ?? 95,
    lossless: output.lossless ?? false,
    effort: output.effort ?? 3,
    chromaSubsampling: output.chroma ?? '4:4:4',
  });
