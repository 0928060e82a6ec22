/** `crop`: a rectangle in pixels of the picture as it stands at that point; what lies outside is cut off. */
import type { NormalOperation } from '../../contract/plan.ts';
import { Problem } from '../../problem.ts';
import type { Primitive, Size } from './primitive.ts';

export function crop(op: Extract<NormalOperation, { op: 'crop' }>, from: Size): Primitive[] {
  const width = Math.min(op.width, from.width - op.left);
  const height = Math.min(op.height, from.height - op.top);
  if (width < 1 || height < 1) {
    throw new Problem('invalid_plan', {
      detail: `The crop starts at ${op.left},${op.top}, outside the picture of ${from.width}×${from.height} px.`,
      errors: [{ path: 'operations.crop', message: `must start inside ${from.width}×${from.height}` }],
    });
  }
  if (width === from.width && height === from.height) return [];
  return [{ do: 'extract', left: op.left, top: op.top, width, height }];
}
