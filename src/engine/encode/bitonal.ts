/** One bit a pixel, black or white. */
import type { Sharp } from 'sharp';

/** Gray levels from here on are white, in a picture that is not black and white already. */
export const BITONAL_LEVEL = 128;

/** One channel of 0 and 255, for an encoder to pack. The picture must be opaque. */
export const bitonal = (image: Sharp): Sharp =>
  image.removeAlpha().threshold(BITONAL_LEVEL).toColourspace('b-w');
