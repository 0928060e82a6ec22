/**
 * TIFF, lossless; 16 bits a channel where the pipeline has them, or one bit, black and white. LZW and deflate with the
 * horizontal predictor. CCITT Group 4 counts from white: white is zero there, as fax programs and engravers expect.
 */
import { bitonal } from './bitonal.ts';
import type { Encoder } from './index.ts';

export const tiff: Encoder = (image, { depth, compression = 'lzw' }) => {
  if (depth === 1) {
    return bitonal(image).tiff({
      compression: compression === 'g4' ? 'ccittfax4' : compression,
      bitdepth: 1,
      predictor: 'none',
      miniswhite: compression === 'g4',
    });
  }
  if (compression === 'none' || compression === 'g4') return image.tiff({ compression: 'none' });
  return image.tiff({ compression, predictor: 'horizontal' });
};
