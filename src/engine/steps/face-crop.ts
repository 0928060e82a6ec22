/**
 * The second half of `resize` to cover by `face`: cuts the picture so that the heads stay in it, as many as can be, the
 * larger ones first. Where no face is found, the part that draws attention is kept. The result's size is known before;
 * only its place is not.
 */
import type { NormalOperation } from '../../contract/plan.ts';
import { detectFaces } from '../faces/detect.ts';
import { focusOn } from '../faces/focus.ts';
import type { Pixels } from '../types.ts';
import type { PixelStep } from './pixel-step.ts';
import type { Size } from './primitive.ts';
import { covering, resize } from './resize.ts';
import { runOn } from './run.ts';

type Resize = Extract<NormalOperation, { op: 'resize' }>;

export const looksForFaces = (op: NormalOperation): op is Resize =>
  op.op === 'resize' && op.fit === 'cover' && op.gravity === 'face' && op.focus === undefined;

/** @param pixels as `resize` has left them */
export const faceCrop: PixelStep<'resize'> = async (pixels, op, { signal }) => {
  const { width, height } = sizeAfterFaceCrop(op, pixels);
  if (width === pixels.width && height === pixels.height) return pixels;
  const { box, scaled } = covering({ width, height }, true, pixels);
  const focus = focusOn(await detectFaces(pixels, signal), {
    width: box.width / scaled.width,
    height: box.height / scaled.height,
  });
  return cut(pixels, { ...op, ...(focus ? { focus } : { gravity: 'attention' }) });
};

const cut = (pixels: Pixels, op: Resize): Promise<Pixels> => runOn(pixels, resize(op, pixels));

/** What `faceCrop` makes of a picture of this size. */
export function sizeAfterFaceCrop(op: Resize, from: Size): Size {
  const { width = from.width, height = from.height } = op;
  return covering({ width, height }, op.enlarge, from).box;
}
