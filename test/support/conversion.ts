import type { JobRow } from '../../src/ports/catalog.ts';
import { jobRow } from '../contracts/catalog-rows.ts';

/** A job that waits, of no image, over the object `sourceKey`. */
export const conversionJob = (jobId: string, sourceKey: string, createdAt = new Date()): JobRow =>
  jobRow({ jobId, kind: 'convert', stagingPath: sourceKey, createdAt: createdAt.toISOString() });
