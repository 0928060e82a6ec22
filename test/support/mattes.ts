/** How far a removed background is from the true one. */
import type { BackgroundOperation } from '../../src/engine/background/index.ts';
import { removeBackground } from '../../src/engine/background/index.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import type { Composition, Ground } from './compositions.ts';

export interface MatteErrors {
  /** Intersection over union of what is more than half there. */
  iou: number;
  /** Mean absolute error of the matte, 0–1. */
  meanError: number;
  /** Mean distance in RGB between a soft pixel's colour and the foreground's own, weighted by its opacity. */
  edge: number;
  /** The same, had the pixels kept the colours that they have in the picture. */
  edgeUntouched: number;
}

export async function matteErrors(
  picture: Composition,
  method: BackgroundOperation['method'],
): Promise<MatteErrors> {
  const { rgb, alpha, foreground, width, height } = picture;
  const { data } = await removeBackground(
    { data: rgb, width, height, channels: 3, depth: 8 },
    { op: 'background', method, color: '#00000000', mask: false },
    { limits: DEFAULT_LIMITS },
  );
  let both = 0;
  let either = 0;
  let error = 0;
  let weights = 0;
  let edge = 0;
  let edgeUntouched = 0;
  for (let i = 0; i < alpha.length; i++) {
    const found = data[i * 4 + 3]!;
    const truth = alpha[i]!;
    both += Number(found > 127 && truth > 127);
    either += Number(found > 127 || truth > 127);
    error += Math.abs(found - truth);
    if (found <= 8 || truth <= 8 || (truth >= 248 && found >= 248)) continue;
    const distance = (from: Uint8Array, at: number) =>
      Math.hypot(...[0, 1, 2].map((c) => from[at + c]! - foreground[i * 3 + c]!));
    weights += found;
    edge += found * distance(data, i * 4);
    edgeUntouched += found * distance(rgb, i * 3);
  }
  return {
    iou: either === 0 ? 1 : both / either,
    meanError: error / 255 / alpha.length,
    edge: weights === 0 ? 0 : edge / weights,
    edgeUntouched: weights === 0 ? 0 : edgeUntouched / weights,
  };
}

/** Means over the pictures of each ground. */
export async function meanErrors(
  pictures: readonly Composition[],
  method: BackgroundOperation['method'],
): Promise<Map<Ground, MatteErrors>> {
  const means = new Map<Ground, MatteErrors>();
  for (const [ground, those] of Map.groupBy(pictures, (picture) => picture.ground)) {
    const mean: MatteErrors = { iou: 0, meanError: 0, edge: 0, edgeUntouched: 0 };
    for (const picture of those) {
      const errors = await matteErrors(picture, method);
      for (const key of Object.keys(mean) as (keyof MatteErrors)[]) mean[key] += errors[key] / those.length;
    }
    means.set(ground, mean);
  }
  return means;
}
