/** What a Plan means for the picture at hand, where that is more than the Plan alone can say. */
import type { NormalPlan } from './plan.ts';

/**
 * A drawing has no pixels that could be stretched: whoever asks for a size gets it. Presets are left as they are; they
 * never enlarge.
 * @param sourceFormat as `probe` calls it
 */
export function planFor(sourceFormat: string, plan: NormalPlan): NormalPlan {
  if (sourceFormat !== 'svg') return plan;
  const operations = plan.operations.map((op) => (op.op === 'resize' ? { ...op, enlarge: true } : op));
  return { ...plan, operations };
}
