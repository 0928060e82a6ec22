/** Every operation of a Plan and the step that carries it out, in one table. */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Orientation } from '../types.ts';
import { crop } from './crop.ts';
import { type Primitive, type Size, sizeAfter } from './primitive.ts';
import { resize } from './resize.ts';
import { flip, flop, rotate } from './rotate.ts';

type Step<Name extends NormalOperation['op']> = (
  op: Extract<NormalOperation, { op: Name }>,
  size: Size,
) => Primitive[];

const STEPS: { [Name in NormalOperation['op']]: Step<Name> } = {
  resize,
  crop,
  rotate,
  flip,
  flop,
  flatten: (op) => [{ do: 'flatten', background: op.background }],
  grayscale: () => [{ do: 'grayscale' }],
  frame: () => [], // chosen when the source is opened
};

export interface Layout {
  primitives: Primitive[];
  /** The size of the result. */
  size: Size;
}

/**
 * Resolves a Plan's operations against a picture.
 * @param stored the size of the decoder's pixels, before `orientation` is applied
 * @throws Problem `invalid_plan` where an operation cannot apply to a picture of this size
 */
export function layout(operations: NormalOperation[], stored: Size, orientation: Orientation): Layout {
  const primitives: Primitive[] = [];
  let size = stored;
  const add = (more: Primitive[]) => {
    for (const primitive of more) {
      primitives.push(primitive);
      size = sizeAfter(primitive, size);
    }
  };
  if (orientation !== 1) add([{ do: 'orient', orientation }]);
  for (const op of operations) add((STEPS[op.op] as Step<NormalOperation['op']>)(op as never, size));
  return { primitives, size };
}
