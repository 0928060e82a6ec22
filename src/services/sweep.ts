/**
 * Tidies up after crashes, deletions and time. Each part looks at an index or at the staging folder of dead processes;
 * none walks through the store, so a pass costs the same with ten images or ten million.
 */
import type { StaleFile } from '../ports/blobs.ts';
import type { Services } from './context.ts';
import { isGone } from './lease-owner.ts';

/** For staged files of hosts whose processes cannot be seen from here; no upload rests that long. */
const UNTOUCHED_MS = 24 * 3_600_000;
/** Keys that are deleted between two looks at the signal. */
const DELETIONS_AT_ONCE = 100;

export interface Swept {
  /** Jobs whose worker is gone and that wait again. */
  reclaimedJobs: number;
  /** Names removed from staging: a file, and one for each key that it was put under. */
  stagedFiles: number;
  /** Keys that a dead process was putting and that the catalog never learned of; their objects are gone. */
  orphans: number;
  /** Objects whose last reference was dropped. */
  deletedBlobs: number;
  /** Parts of the pass that failed and are tried again by the next one; their reasons are in the log. */
  failures: number;
}

/**
 * One pass; for the start, before workers lease, and then every minute or so. May run in several processes at once.
 * Never rejects: what fails is logged and counted, and the rest goes on.
 * @param signal ends the pass early; what is left waits for the next
 */
export async function sweep(
  { catalog, blobs, clock, log }: Pick<Services, 'catalog' | 'blobs' | 'clock' | 'log'>,
  signal?: AbortSignal,
): Promise<Swept> {
  const swept: Swept = { reclaimedJobs: 0, stagedFiles: 0, orphans: 0, deletedBlobs: 0, failures: 0 };

  async function part(name: string, work: () => Promise<void>): Promise<void> {
    if (signal?.aborted) return;
    try {
      await work();
    } catch (error) {
      swept.failures++;
      log.error({ err: error, part: name }, 'a part of the sweep failed');
    }
  }

  async function removeStaged(file: StaleFile): Promise<void> {
    const { key } = file;
    // An upload that waits for the lock puts the object anew from its own staged file.
    if (key !== undefined && (await catalog.removeIfUnknown(key, () => blobs.delete(key)))) swept.orphans++;
    // Only now: until the object is gone, this name is all that tells of it.
    await file.discard();
    swept.stagedFiles++;
  }

  await part('leases', async () => {
    swept.reclaimedJobs = await catalog.reclaimLost(clock.now(), isGone);
  });
  await part('staging', async () => {
    const untouchedSince = new Date(clock.now().getTime() - UNTOUCHED_MS);
    for (const file of await blobs.staleStaged(untouchedSince)) {
      await part('staged file', () => removeStaged(file));
    }
  });
  await part('expiry', () => catalog.expire(clock.now()));
  await part('deletions', async () => {
    let deleted = 0;
    do {
      deleted = await catalog.deleteBlobs(DELETIONS_AT_ONCE, (key) => blobs.delete(key));
      swept.deletedBlobs += deleted;
    } while (deleted === DELETIONS_AT_ONCE && !signal?.aborted);
  });
  return swept;
}
