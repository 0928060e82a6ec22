/** `rotate`, `flip` (top to bottom) and `flop` (left to right): turns by quarters are exact, as an EXIF orientation. */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Orientation } from '../types.ts';
import type { Primitive } from './primitive.ts';

const QUARTERS: Record<number, Orientation> = { 90: 6, 180: 3, 270: 8 };

export function rotate(op: Extract<NormalOperation, { op: 'rotate' }>): Primitive[] {
  const angle = ((op.angle % 360) + 360) % 360;
  if (angle === 0) return [];
  const orientation = QUARTERS[angle];
  return orientation
    ? [{ do: 'orient', orientation }]
    : [{ do: 'rotate', angle, background: op.background ?? '#00000000' }];
}

export const flip = (): Primitive[] => [{ do: 'orient', orientation: 4 }];
export const flop = (): Primitive[] => [{ do: 'orient', orientation: 2 }];
