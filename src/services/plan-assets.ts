/** The further images that a Plan names (watermarks): whose they must be, and where their bytes are. */

import type { NormalPlan } from '../contract/plan.ts';
import { invalidPlan } from '../contract/plan-normal.ts';
import { assetsNamed, type PlanAssets } from '../domain/rendition-hash.ts';
import type { ImageRow } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';

/**
 * Names the bytes of each image once, so that a Plan makes the same picture however often and whenever it is run.
 * @param owner of the image that the Plan is for: those that it names must be theirs as well
 * @param mayUse further conditions on an image
 * @throws Problem `invalid_plan`, naming the field, where an image is not theirs, is not there or has no bytes yet
 */
export async function resolveAssets(
  plan: NormalPlan,
  owner: string,
  { catalog }: Pick<Services, 'catalog'>,
  mayUse: (image: Pick<ImageRow, 'bucket' | 'visibility'>) => boolean = () => true,
): Promise<PlanAssets> {
  const named = assetsNamed(plan);
  if (named.length === 0) return {};
  const ids = [...new Set(named.map(({ imageId }) => imageId.toLowerCase()))];
  const images = new Map((await catalog.images(ids)).map((image) => [image.imageId, image]));
  const versions = new Map((await catalog.currentVersions(ids)).map((row) => [row.imageId, row]));
  const assets: Record<string, string> = {};
  const errors = named.flatMap(({ imageId, path }) => {
    const image = images.get(imageId.toLowerCase());
    const version = versions.get(imageId.toLowerCase());
    // Of somebody else's image it is not told whether it is there.
    if (!image || image.owner !== owner || !mayUse(image)) {
      return [{ path, message: 'expected an image of the same owner, found none of this id' }];
    }
    if (image.status !== 'ready' || !version) {
      return [{ path, message: `expected an image that is ready, this one is ${image.status}` }];
    }
    assets[imageId] = version.blobKey;
    return [];
  });
  if (errors.length > 0) throw invalidPlan(errors);
  return assets;
}

/**
 * For Plans that are nobody's: there is no owner whose images they could name.
 * @throws Problem `invalid_plan`
 */
export function expectNoAssets(plan: NormalPlan): void {
  const errors = assetsNamed(plan).map(({ path }) => ({
    path,
    message: 'images can be named only where an image of the service is worked on',
  }));
  if (errors.length > 0) throw invalidPlan(errors);
}

export interface OpenAssets extends AsyncDisposable {
  /** For `RenderRequest.assets`. */
  paths: Record<string, string>;
}

/**
 * Local files of the bytes, until it is disposed of.
 * @throws Problem `processing_failed` where an image was deleted since it was resolved
 */
export async function openAssets(
  assets: PlanAssets,
  { blobs }: Pick<Services, 'blobs'>,
): Promise<OpenAssets> {
  const held = new AsyncDisposableStack();
  const paths: Record<string, string> = {};
  try {
    for (const [imageId, key] of Object.entries(assets)) {
      const local = await blobs.localPath(key).catch((error) => {
        throw Problem.from(error).code === 'not_found' ? deleted(imageId, error) : error;
      });
      held.use(local);
      paths[imageId] = local.path;
    }
  } catch (error) {
    await held.disposeAsync();
    throw error;
  }
  return { paths, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

const deleted = (imageId: string, cause: unknown) =>
  new Problem('processing_failed', {
    detail: `The image ${imageId}, which the plan names, was deleted meanwhile.`,
    cause,
  });
