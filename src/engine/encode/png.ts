/** PNG by libspng; 16 bits a channel where the source has them. `effort` is zlib's level. */
import type { Encoder } from './index.ts';

export const png: Encoder = (image, output) =>
  image.png({ compressionLevel: output.effort ?? 6, progressive: output.progressive ?? false });
