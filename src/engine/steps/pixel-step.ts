/** Steps that need all the pixels at once, or whose result's size only the pixels tell. */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Limits } from '../limits.ts';
import type { Pixels } from '../types.ts';

export interface StepContext {
  limits: Limits;
  signal?: AbortSignal;
  /** For temporary files; somebody else removes it. */
  outDir: string;
  /** Files of the images that watermarks name, by id. */
  assets: ReadonlyMap<string, string>;
  /** The operator's model for removing backgrounds: a file in ONNX. */
  matteModelPath?: string;
}

/** @param pixels upright, in sRGB; they may be written over */
export type PixelStep<Name extends NormalOperation['op']> = (
  pixels: Pixels,
  op: Extract<NormalOperation, { op: Name }>,
  context: StepContext,
) => Promise<Pixels>;
