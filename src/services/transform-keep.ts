/** Stores what URLs have rendered: the bytes one by one, then their rows in one transaction. */
import type { Rendition } from '../engine/types.ts';
import type { StagedFile } from '../ports/blobs.ts';
import type { Services } from './context.ts';

/** A picture that was rendered, in a file or in memory. */
export interface Keepsake {
  work: { imageId: string; version: number; sourceKey: string; key: string };
  rendition: Pick<Rendition, 'path' | 'width' | 'height' | 'bytes'>;
  /** In place of the file, which then stays. */
  buffer?: Buffer;
}

type Needs = Pick<Services, 'catalog' | 'blobs' | 'clock'>;

/**
 * What belongs to an image that is not there any more is removed again.
 * @param cacheBytes what is kept altogether
 * @throws Problem where something could not be stored: then none of it is, unless another row knows it
 */
export async function keepRendered(
  keepsakes: readonly Keepsake[],
  { catalog, blobs, clock }: Needs,
  cacheBytes: number,
): Promise<void> {
  if (keepsakes.length === 0) return;
  const put: StagedFile[] = [];
  const remove = async ({ work: { key } }: Keepsake) =>
    void (await catalog.removeIfUnknown(key, () => blobs.delete(key)));
  try {
    // All at once: they share the syncs of their folders.
    const storing = keepsakes.map(async ({ work, rendition, buffer }, i) => {
      const staged = await blobs.stage(buffer ? undefined : rendition.path);
      put[i] = staged;
      if (buffer) await staged.write(buffer);
      await staged.finish();
      await blobs.put(work.key, staged.path);
    });
    const failed = (await Promise.allSettled(storing)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    const derived = keepsakes.map(({ work, rendition }, i) => {
      const { imageId, version, sourceKey, key: blobKey } = work;
      const { width, height, bytes } = rendition;
      const ensureBlob = async () => {
        // Under the write lock a look is cheap, and a put with its syncs is not.
        if ((await blobs.head(blobKey))?.bytes !== bytes) await blobs.put(blobKey, put[i]!.path);
      };
      return { imageId, version, sourceKey, blobKey, width, height, bytes, ensureBlob };
    });
    const kept = await catalog.keepDerived(derived, cacheBytes, clock.now());
    for (const [i, one] of keepsakes.entries()) if (!kept[i]) await remove(one);
  } catch (error) {
    // Where this fails as well the staged files stay: they say which keys the sweeper has to ask about.
    for (const one of keepsakes) await remove(one);
    await discard(put);
    throw error;
  }
  await discard(put);
}

const discard = (staged: readonly StagedFile[]) => Promise.all(staged.map((one) => one?.discard()));
