import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import sharp from 'sharp';
import { type Worker, type WorkerOptions, startWorker } from '../../../src/worker/loop.ts';
import { landscape } from '../../support/pictures.ts';
import { endWithSuite, eventually } from '../../support/service.ts';
import { acceptImage, openServices, type TestServices } from '../../support/services.ts';

async function jpeg(width: number, height: number, seed = 1): Promise<Buffer> {
  const { data, ...raw } = landscape(width, height, seed);
  return sharp(data, { raw }).jpeg().toBuffer();
}

describe('a worker', () => {
  const suite = endWithSuite();
  let services: TestServices;
  before(async () => {
    services = await openServices(suite);
    await services.pool.start();
  });

  test('renders', async (t) => {
    const w = startWorker(services, { concurrency: 2 }); t.after(() => w.stop({graceMs:0})); t.after(() => console.log(services.logged));
    const { jobId, imageId } = await acceptImage(services, await jpeg(300, 200));
    await services.queue.announce([jobId]);
    await eventually('done', async () => (await services.catalog.job(jobId))?.status === 'completed');
    console.log(await services.catalog.job(jobId), await services.catalog.image(imageId), await services.catalog.renditions([imageId]), services.stored(), services.staged(), services.scratch(), services.logged);
    console.log(await services.catalog.eventsOf(jobId, 0, 100), await services.catalog.integrity());
    await w.stop({ graceMs: 1000 });
  });
});
