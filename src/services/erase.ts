/** Deletes an image, and the bytes that nobody else needs. */
import type { Principal } from '../domain/access.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';
import { findOwnImage } from './retrieve.ts';

/** The bytes of one image are a dozen objects; what more is queued is the sweeper's. */
const DELETIONS_AT_ONCE = 64;
/** How long a request goes on deleting bytes. */
const MAX_MS = 2_000;

/**
 * When it resolves the image is gone, and so are its bytes, unless another image shares them or so many deletions are
 * queued that the sweeper is better left to them. A worker that is at it notices by its heartbeat, and its results go too.
 * @throws Problem not_found, forbidden
 */
export async function eraseImage(
  imageId: string,
  principal: Principal,
  services: Pick<Services, 'catalog' | 'blobs' | 'clock' | 'log'>,
): Promise<void> {
  const { catalog, clock } = services;
  await findOwnImage(imageId, principal, services);
  if (!(await catalog.deleteImage(imageId, clock.now()))) {
    throw new Problem('not_found', { detail: 'There is no such image.' });
  }
  await deleteQueued(imageId, services);
}

/** What of the queue belongs to an image that has lost its bytes, and some more; never rejects. */
export async function deleteQueued(
  imageId: string,
  { catalog, blobs, log }: Pick<Services, 'catalog' | 'blobs' | 'log'>,
): Promise<void> {
  const deadline = performance.now() + MAX_MS;
  try {
    while ((await catalog.deleteBlobs(DELETIONS_AT_ONCE, (key) => blobs.delete(key))) > 0) {
      if (performance.now() > deadline) return;
    }
  } catch (error) {
    // The image is gone all the same; what is queued stays queued.
    log.warn({ image_id: imageId, err: error }, 'bytes that nobody needs are left to the sweeper');
  }
}
