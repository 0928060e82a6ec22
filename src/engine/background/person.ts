/** `person`: MediaPipe's selfie segmentation (256 × 256, 249 KB) says where people are; GrabCut finds their outline. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Net, OpenCv } from '../opencv/load.ts';
import type { Own } from '../opencv/scope.ts';
import { cutSeeded } from './grabcut.ts';
import { type Mask, type Picture, type Plane, scalePlane } from './picture.ts';

const MODEL = '@mediapipe/selfie_segmentation/selfie_segmentation.tflite';
const SIDE_PX = 256;
const CERTAIN = 0.92;
const LIKELY = 0.5;
const UNLIKELY = 0.06;
const ITERATIONS = 2;
/** Below this share of the picture there is nobody. */
const LEAST_AREA = 0.005;

let bytes: Promise<Uint8Array> | undefined;
let net: Net | undefined;

export function personModel(): Promise<Uint8Array> {
  bytes ??= readFile(createRequire(import.meta.url).resolve(MODEL));
  return bytes;
}

/** @returns undefined where there is nobody */
export function person(cv: OpenCv, own: Own, picture: Picture, model: Uint8Array): Mask | undefined {
  const matte = likelihood(cv, own, picture, model);
  let area = 0;
  for (const value of matte) if (value >= LIKELY) area++;
  if (area < LEAST_AREA * matte.length) return undefined;
  const seeds = Uint8Array.from(matte, (value) => {
    if (value >= CERTAIN) return cv.GC_FGD;
    if (value >= LIKELY) return cv.GC_PR_FGD;
    return value > UNLIKELY ? cv.GC_PR_BGD : cv.GC_BGD;
  });
  return cutSeeded(cv, own, picture, seeds, ITERATIONS);
}

/** The network's matte, 0–1, at the picture's size. */
function likelihood(cv: OpenCv, own: Own, { width, height, rgb }: Picture, model: Uint8Array): Plane {
  net ??= cv.readNetFromTFLite1(model);
  const image = own(new cv.Mat(height, width, cv.CV_8UC3));
  image.data.set(rgb);
  const size = { width: SIDE_PX, height: SIDE_PX };
  net.setInput(own(cv.blobFromImage(image, 1 / 255, size, [0, 0, 0, 0], false, false, cv.CV_32F)));
  const output = own(net.forward());
  return scalePlane(output.data32F, SIDE_PX, SIDE_PX, width, height);
}
