/** Ids of images, jobs and batches. */
import { randomUUIDv7 } from 'node:crypto';

/**
 * A UUID of version 7 (RFC 9562): its first 48 bits are the time, so that new rows go to the end of an index. The other
 * 74 are random: it cannot be guessed, but it is no secret and grants nothing.
 */
export const newId = (): string => randomUUIDv7();

/** Several, each after the one before: of one millisecond they would not be. */
export const newIds = (count: number): string[] => Array.from({ length: count }, newId).sort();
