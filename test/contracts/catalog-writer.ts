/**
 * A process of its own that works on a catalog, as a test tells it: `fork` it with the file's path, send it a request,
 * and hear of each thing that it has been promised.
 */
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { Problem } from '../../src/problem.ts';
import { after, HOUR, NOON, originalKey, rendition, upload } from './catalog-rows.ts';

export type WriterRequest =
  /** Uploads of one owner, so many at once; `limit` a window. */
  | { do: 'accept'; count: number; parallel: number; owner: string; limit?: number }
  /** Leases, publishes and completes until nothing is left, then deletes every third image. */
  | { do: 'work'; name: string }
  | { do: 'claim'; key: string };

export type WriterReport =
  | { ready: true }
  | { accepted: { imageId: string; jobId: string; key: string } }
  | { leased: string }
  | { claimed: boolean }
  | { refused: string }
  | { done: true; longestMs: number };

const [path] = process.argv.slice(2);
const catalog = await openSqliteCatalog(path!);
let longestMs = 0;

function report(message: WriterReport): void {
  process.send?.(message);
}

async function timed<T>(work: Promise<T>): Promise<T | undefined> {
  const start = performance.now();
  try {
    return await work;
  } catch (error) {
    report({ refused: error instanceof Problem ? error.code : String(error) });
    return undefined;
  } finally {
    longestMs = Math.max(longestMs, performance.now() - start);
  }
}

async function accept({ count, parallel, owner, limit }: WriterRequest & { do: 'accept' }): Promise<void> {
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      const key = originalKey();
      const row = upload({ owner, key });
      const rateLimit = limit === undefined ? {} : { rateLimit: { max: limit, windowMs: HOUR } };
      let accepted = false;
      await timed(
        catalog.acceptUpload({ ...row, ...rateLimit }).then(() => {
          accepted = true;
        }),
      );
      if (accepted) report({ accepted: { imageId: row.image.imageId, jobId: row.job.jobId, key } });
    }
  };
  await Promise.all(Array.from({ length: parallel }, one));
}

async function work(name: string): Promise<void> {
  for (let n = 0; ; n++) {
    const owner = `${name} ${n}`;
    const job = await timed(catalog.leaseNext({ owner, until: after(HOUR) }, NOON));
    if (!job) return;
    report({ leased: job.jobId });
    await timed(catalog.publishRendition(job.jobId, owner, rendition(), () => {}));
    await timed(catalog.heartbeat(job.jobId, owner, after(HOUR), { percent: 50, step: 'encoding' }));
    await timed(catalog.completeJob(job.jobId, owner, { processingMetadata: {} }, NOON));
    if (n % 3 === 0) await timed(catalog.deleteImage(job.imageId!, NOON));
  }
}

process.on('message', async (request: WriterRequest) => {
  if (request.do === 'accept') await accept(request);
  else if (request.do === 'work') await work(request.name);
  else {
    await timed(
      catalog.claimIdempotencyKey('ann', request.key, 'print', NOON).then(
        () => report({ claimed: true }),
        () => report({ claimed: false }),
      ),
    );
  }
  report({ done: true, longestMs });
});
process.on('disconnect', () => void catalog.close());
report({ ready: true });
