/**
 * What a rendition's key holds of the work: the Plan, the engine's version, and the content of every further image that
 * the Plan names, so that the same key never stands for two pictures.
 */
import { createHash } from 'node:crypto';
import type { NormalPlan } from '../contract/plan.ts';
import { planHash } from '../contract/plan-normal.ts';

/** The id of an image that a Plan names → the key of its bytes. Keys tell the content. */
export type PlanAssets = Readonly<Record<string, string>>;

/** Where a Plan names another image, in the order of its operations; ids as the Plan writes them. */
export function assetsNamed({ operations }: NormalPlan): { imageId: string; path: string }[] {
  return operations.flatMap((operation, i) =>
    operation.op === 'watermark' && operation.image !== undefined
      ? [{ imageId: operation.image, path: `operations.${i}.image` }]
      : [],
  );
}

/**
 * 32 hex digits for `renditionKey`. Of a Plan that names no other image it is the Plan's own hash.
 * @param assets at least those that the Plan names; others are left aside
 * @throws TypeError where one is missing
 */
export function renditionHash(plan: NormalPlan, assets: PlanAssets, engineVersion: string): string {
  const hash = planHash(plan, engineVersion);
  const keys = assetsNamed(plan).map(({ imageId }) => {
    const key = assets[imageId];
    if (key === undefined) throw new TypeError(`expected the key of the image ${imageId}, found none`);
    return key;
  });
  if (keys.length === 0) return hash;
  // Each stands where the Plan names it, so that their order is that of the operations.
  return createHash('sha256')
    .update(JSON.stringify([hash, ...keys]))
    .digest('hex')
    .slice(0, 32);
}
