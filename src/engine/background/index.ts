/**
 * Takes the background away. A small copy of the picture is analysed, its matte refined, and carried to the full
 * picture: only the small copy enters WebAssembly, whatever the size of the picture.
 *
 * The same pixels give the same result: nothing here is left to chance or to threads.
 */
import type { HexColor } from '../../contract/plan.ts';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import type { OpenCv } from '../opencv/load.ts';
import { type Own, withOpenCv } from '../opencv/scope.ts';
import type { Pixels } from '../types.ts';
import { findForeground, SEARCH_SIDE_PX } from './foreground.ts';
import { AUTO, CUT_SIDE_PX, GRABCUT, grabCut } from './grabcut.ts';
import { guideOf } from './guide.ts';
import { lift } from './lift.ts';
import { matteOf } from './matte.ts';
import { matteModel, modelMatte } from './model.ts';
import { person, personModel } from './person.ts';
import { type Mask, type Picture, type Plane, scalePlane, smallPicture } from './picture.ts';
import { watershed } from './watershed.ts';

/** Longest side of the picture in which the matte is refined before it is carried to the full size. */
const MATTE_SIDE_PX = 512;

export interface BackgroundOperation {
  op: 'background';
  method: 'auto' | 'grabcut' | 'watershed' | 'person' | 'model';
  /** What the foreground is laid on; `#00000000` leaves it transparent. */
  color: HexColor;
  /** The result is the matte, as a grey picture: 255 is foreground. */
  mask: boolean;
}

export interface BackgroundContext {
  limits: Limits;
  signal?: AbortSignal;
  /** The operator's ONNX file, for `model`. */
  matteModelPath?: string;
}

/**
 * Where nothing stands out, or nobody is seen, nothing is taken away: the matte is white.
 *
 * @returns 8-bit RGBA, RGB where the colour is opaque, or one channel for `mask`. An alpha channel of the source is
 * multiplied with the matte
 * @throws Problem `invalid_plan` (method `model` without a model), `invalid_configuration` (a model that does not
 * load or run), `cancelled`, `internal` (OpenCV failed)
 */
export async function removeBackground(
  pixels: Pixels,
  op: BackgroundOperation,
  context: BackgroundContext,
): Promise<Pixels> {
  const small = await smallPicture(pixels, MATTE_SIDE_PX);
  stopIfAborted(context.signal);
  const coarse = await SEGMENT[op.method](small, context);
  stopIfAborted(context.signal);
  const matte = coarse && matteOf(small, coarse);
  const carried = matte && { matte, guide: guideOf(small, matte.alpha) };
  return lift(pixels, carried, op);
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new Problem('cancelled', { cause: signal.reason });
}

/** Gives each pixel of the picture a share of foreground, 0–1; undefined where there is none. */
type Segmentation = (picture: Picture, context: BackgroundContext) => Promise<Plane | undefined>;

const SEGMENT: Record<BackgroundOperation['method'], Segmentation> = {
  auto: seeded(SEARCH_SIDE_PX, (cv, own, picture, rough) => grabCut(cv, own, picture, rough, AUTO)),
  grabcut: seeded(CUT_SIDE_PX, (cv, own, picture, rough) => grabCut(cv, own, picture, rough, GRABCUT)),
  watershed: seeded(MATTE_SIDE_PX, watershed),

  async person(picture) {
    const model = await personModel();
    const cut = await smaller(picture, CUT_SIDE_PX);
    const mask = await withOpenCv((cv, own) => person(cv, own, cut, model));
    return mask && enlarged(mask, cut, picture);
  },

  async model(picture, { matteModelPath }) {
    const model = await matteModel(matteModelPath);
    return await withOpenCv((cv, own) => modelMatte(cv, own, picture, model));
  },
};

/** A method that starts from the rough foreground, and works on a picture of its own size. */
function seeded(
  sidePx: number,
  method: (
    cv: OpenCv,
    own: Own,
    picture: Picture,
    rough: NonNullable<ReturnType<typeof findForeground>>,
  ) => Mask,
): Segmentation {
  return async (picture) => {
    const search = await smaller(picture, SEARCH_SIDE_PX);
    const own = sidePx === SEARCH_SIDE_PX ? search : await smaller(picture, sidePx);
    const mask = await withOpenCv((cv, owned) => {
      const rough = findForeground(cv, owned, search);
      return rough && method(cv, owned, own, rough);
    });
    return mask && enlarged(mask, own, picture);
  };
}

const smaller = (picture: Picture, maxSide: number): Promise<Picture> =>
  Math.max(picture.width, picture.height) <= maxSide
    ? Promise.resolve(picture)
    : smallPicture(
        { data: picture.rgb, width: picture.width, height: picture.height, channels: 3, depth: 8 },
        maxSide,
      );

const enlarged = (mask: Mask, { width, height }: Picture, to: Picture): Plane =>
  scalePlane(Float32Array.from(mask), width, height, to.width, to.height);
