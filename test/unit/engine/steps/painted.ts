/** Small pictures whose every level is known. */

import { DEFAULT_LIMITS } from '../../../../src/engine/limits.ts';
import type { StepContext } from '../../../../src/engine/steps/pixel-step.ts';
import { samplesOf } from '../../../../src/engine/steps/samples.ts';
import type { Pixels } from '../../../../src/engine/types.ts';

/** @param paint the levels of one pixel, of 0–255; at 16 bits each is 257 times as much */
export function painted(
  width: number,
  height: number,
  paint: (x: number, y: number) => number[],
  depth: 8 | 16 = 8,
): Pixels {
  const channels = paint(0, 0).length as Pixels['channels'];
  const samples =
    depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      samples.set(
        paint(x, y).map((level) => (depth === 16 ? level * 257 : level)),
        (y * width + x) * channels,
      );
    }
  }
  return { data: new Uint8Array(samples.buffer), width, height, channels, depth };
}

/** One row of pixels. */
export const row = (pixels: number[][], depth: 8 | 16 = 8): Pixels =>
  painted(pixels.length, 1, (x) => pixels[x]!, depth);

/** The samples of one pixel. */
export function at(pixels: Pixels, x: number, y: number): number[] {
  const start = (y * pixels.width + x) * pixels.channels;
  return Array.from(samplesOf(pixels).subarray(start, start + pixels.channels));
}

/** Every pixel's samples, row by row. */
export const all = (pixels: Pixels): number[][] =>
  Array.from({ length: pixels.width * pixels.height }, (_, i) =>
    at(pixels, i % pixels.width, Math.floor(i / pixels.width)),
  );

export const context = (assets: Record<string, string> = {}): StepContext => ({
  limits: DEFAULT_LIMITS,
  outDir: '',
  assets: new Map(Object.entries(assets)),
});

/** Deterministic noise of 0 to just below 1. */
export function noise(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
