/** TIFF, lossless: LZW with the horizontal predictor; 16 bits a channel where the source has them. */
import type { Encoder } from './index.ts';

export const tiff: Encoder = (image) => image.tiff({ compression: 'lzw', predictor: 'horizontal' });
