/**
 * PNG by libspng. 16 bits a channel where the pipeline has them, or one bit, black and white. `effort` is zlib's level.
 */
import { bitonal } from './bitonal.ts';
import type { Encoder } from './index.ts';

export const png: Encoder = (image, output) => {
  const options = { compressionLevel: output.effort ?? 6, progressive: output.progressive ?? false };
  // Without a palette, two colours are gray of one bit.
  return output.depth === 1
    ? bitonal(image).png({ ...options, palette: false, colors: 2 })
    : image.png(options);
};
