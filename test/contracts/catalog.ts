/** What every catalog promises, whatever it stores its rows in. A driver's own test opens one and runs this. */
import { describe, type TestContext } from 'node:test';
import type { Catalog } from '../../src/ports/catalog.ts';
import { acceptContract } from './catalog-accept.ts';
import { activityContract } from './catalog-activity.ts';
import { bytesContract } from './catalog-bytes.ts';
import { derivedContract } from './catalog-derived.ts';
import { directUploadContract } from './catalog-direct.ts';
import { holdContract } from './catalog-holds.ts';
import { imageContract } from './catalog-images.ts';
import { jobContract } from './catalog-jobs.ts';
import { leaseContract } from './catalog-leases.ts';
import { makingContract } from './catalog-making.ts';
import { modelContract } from './catalog-model.ts';

/** A new, empty catalog that is closed when the test ends. */
export type OpenCatalog = (t: Pick<TestContext, 'after'>) => Promise<Catalog>;

export function catalogContract(name: string, open: OpenCatalog): void {
  describe(`catalog on ${name}`, () => {
    describe('accepting', () => acceptContract(open));
    describe('direct uploads', () => directUploadContract(open));
    describe('leases', () => leaseContract(open));
    describe('jobs', () => jobContract(open));
    describe('images', () => imageContract(open));
    describe('renditions by URL', () => derivedContract(open));
    describe('bytes and figures', () => bytesContract(open));
    describe('held deletions and backups', () => holdContract(open));
    describe('activity', () => activityContract(open));
    describe('new versions and batches', () => makingContract(open));
    describe('any sequence', () => modelContract(open));
  });
}
