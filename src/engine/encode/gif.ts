/** GIF, still or animated, with a palette of 256 colours. */
import type { Encoder } from './index.ts';

export const gif: Encoder = (image, output, _size, timing) =>
  image.gif({ effort: Math.max(1, output.effort ?? 7), ...timing });
