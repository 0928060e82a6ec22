/**
 * WebP by libwebp. Effort 4 for what is shown small; above 0.2 MP effort 2, which takes 0.45 of the CPU for 1–3 % more
 * bytes and 0.4 dB. Effort 3 costs what 4 costs.
 */
import type { Encoder } from './index.ts';

export const WEBP_MAX_SIDE_PX = 16_383;
/**
 * A large, detailed picture at a high quality can overflow libwebp's first partition (512 KiB, RFC 6386 section 9.2);
 * low efforts spend more of it.
 */
export const WEBP_ROBUST_EFFORT = 4;
const LARGE_PX = 200_000;

export const webp: Encoder = (image, output, size, timing) =>
  image.webp({
    quality: output.quality ?? 95,
    lossless: output.lossless ?? false,
    effort: Math.min(6, output.effort ?? (size.width * size.height > LARGE_PX ? 2 : 4)),
    ...timing,
  });
