/** Whether a Plan leaves no colour: then one channel says all. */
import type { HexColor, NormalOperation, NormalPlan } from '../../contract/plan.ts';

/** As far as the Plan tells: a picture may be grey by itself. */
export function endsGray({ operations, output }: NormalPlan): boolean {
  const gray = operations.reduce(grayAfter, false);
  return gray && isGray(output.background);
}

function grayAfter(gray: boolean, op: NormalOperation): boolean {
  switch (op.op) {
    case 'grayscale':
    case 'threshold':
    case 'dither':
      return true;
    case 'background':
      return op.mask || (gray && isGray(op.color));
    case 'colorspace':
    case 'watermark':
      return false;
    case 'resize':
    case 'rotate':
    case 'flatten':
      return gray && isGray(op.background);
    default:
      return gray;
  }
}

const isGray = (color: HexColor | undefined): boolean =>
  color === undefined || (color.slice(1, 3) === color.slice(3, 5) && color.slice(3, 5) === color.slice(5, 7));
