/** What a preset makes of an upload. */
import type { NormalPlan } from '../contract/plan.ts';
import { normalizePlan } from '../contract/plan-normal.ts';
import type { BucketPolicy, Preset } from '../contract/policies.ts';

/** A Plan and the name that clients know its rendition by. */
export interface NamedPlan {
  name: string;
  plan: NormalPlan;
}

/**
 * The plans of a preset in the order of the preset, in their normal form. About metadata the bucket has the last word;
 * where neither bucket nor plan says anything it is stripped: what is published should give away no place by accident.
 */
export function expandPreset(preset: Preset, { metadata }: Pick<BucketPolicy, 'metadata'> = {}): NamedPlan[] {
  return preset.renditions.map(({ name, plan }) => ({
    name,
    plan: normalizePlan({
      ...plan,
      output: { ...plan.output, metadata: metadata ?? plan.output?.metadata ?? 'strip' },
    }),
  }));
}
