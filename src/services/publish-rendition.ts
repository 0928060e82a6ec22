/**
 * From a finished picture to one that everybody sees: staged, put, then published under the lease in one transaction
 * that makes sure of the bytes. What could not be published is removed again, unless another row knows it.
 */
import type { NormalPlan } from '../contract/plan.ts';
import type { Rendition } from '../engine/types.ts';
import type { JobRow } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';

/** A picture that a job wants: one plan of one source, under one name or several. */
export interface Picture {
  key: string;
  plan: NormalPlan;
  names: string[];
}

/** The catalog does not take this worker's word any more: cancelled, deleted, or the lease was lost. */
export class NotHeld extends Error {
  override readonly name = 'NotHeld';
}

/** The bytes of a known rendition are not where they should be. */
class Vanished extends Error {
  override readonly name = 'Vanished';
}

type Size = { width: number; height: number; bytes: number };
type Needs = Pick<Services, 'catalog' | 'blobs'>;

/**
 * Publishes a picture that was made before.
 * @returns false where there is none, or its bytes are gone: it has to be rendered
 * @throws NotHeld
 */
export async function publishKnown(job: JobRow, picture: Picture, services: Needs): Promise<boolean> {
  const { key } = picture;
  const blob = await services.catalog.blob(key);
  if (!blob?.width || !blob.height) return false;
  const size = { width: blob.width, height: blob.height, bytes: blob.bytes };
  try {
    // Looked at inside the transaction: from then on the reference protects it.
    await publish(job, picture, size, services, async () => {
      if ((await services.blobs.head(key))?.bytes !== blob.bytes) throw new Vanished();
    });
    return true;
  } catch (error) {
    if (error instanceof Vanished || Problem.from(error).cause instanceof Vanished) return false;
    throw error;
  }
}

/** Publishes a picture that was just rendered; its file is moved away. @throws NotHeld */
export async function publishRendered(
  job: JobRow,
  picture: Picture,
  rendition: Rendition,
  services: Needs,
): Promise<void> {
  const { catalog, blobs } = services;
  const { key } = picture;
  // Another job, in another process perhaps, may have been quicker.
  if (await publishKnown(job, picture, services)) return;
  const staged = await blobs.stage(rendition.path);
  try {
    await staged.finish();
    await blobs.put(key, staged.path);
    await publish(job, picture, rendition, services, async () => {
      // Under the write lock a look is cheap, and a put with its syncs is not.
      if ((await blobs.head(key))?.bytes !== rendition.bytes) await blobs.put(key, staged.path);
    });
  } catch (error) {
    // Where this fails as well the staged file stays: it says which key the sweeper has to ask about.
    await catalog.removeIfUnknown(key, () => blobs.delete(key));
    await staged.discard();
    throw error;
  }
  await staged.discard();
}

async function publish(
  { jobId, leaseOwner }: JobRow,
  { key, plan, names }: Picture,
  { width, height, bytes }: Size,
  { catalog }: Needs,
  ensureBlob: () => Promise<void>,
): Promise<void> {
  const rendition = { format: plan.output.format, blobKey: key, width, height, bytes };
  for (const name of names) {
    const held = await catalog.publishRendition(jobId, leaseOwner ?? '', { name, ...rendition }, ensureBlob);
    if (!held) throw new NotHeld('the job is not held any more');
  }
}
