/**
 * `blur`: Gaussian, `radius` is its standard deviation in px. Levels are averaged as they are, in sRGB; transparent
 * pixels give no colour.
 *
 * A wide blur of a large picture is done on one so much smaller that 2 px of deviation do, and enlarged again: nothing is
 * left then that the small one could not hold. At 12 MP and a deviation of 250 px that takes 0.4 s, where libvips' own
 * takes minutes. libvips enlarges with an offset of half a pixel to the right and below, which comes along.
 */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Primitive, Size } from './primitive.ts';

/** Up to this deviation the picture is blurred as it is: 0.8 s of CPU at 12 MP. */
const DIRECT_MAX_SIGMA_PX = 3;
/** Pixels times deviation up to which it is, too: 0.25 s. */
const DIRECT_MAX_WORK = 10_000_000;
/** Enough for what is left of the finest lines to vanish between the pixels: a factor of 4e-9. */
const REDUCED_SIGMA_PX = 2;
/** A side is not reduced to less, or rounding it to whole px would stretch the blur. */
const MIN_REDUCED_SIDE_PX = 8;

export function blur(op: Extract<NormalOperation, { op: 'blur' }>, from: Size): Primitive[] {
  const sigma = op.radius;
  const reduction = Math.min(
    sigma / REDUCED_SIGMA_PX,
    Math.min(from.width, from.height) / MIN_REDUCED_SIDE_PX,
  );
  const isCheap = sigma <= DIRECT_MAX_SIGMA_PX || sigma * from.width * from.height <= DIRECT_MAX_WORK;
  if (isCheap || reduction <= 1) return [{ do: 'blur', sigma }];
  const small = {
    width: Math.round(from.width / reduction),
    height: Math.round(from.height / reduction),
  };
  return [
    { do: 'scale', ...small },
    { do: 'blur', sigma: sigma / reduction },
    { do: 'scale', width: from.width, height: from.height },
  ];
}
