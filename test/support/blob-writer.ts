/**
 * Accepts uploads until it is killed: `node blob-writer.ts <root> <seed> [<point>]`. Stages, puts, tells the catalog,
 * discards, and only then prints the key; half of what it writes is the same for every seed. Where a point is named it
 * kills itself there, at its first upload, which then is its own.
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { newId } from '../../src/domain/ids.ts';
import { originalKey } from '../../src/domain/keys.ts';
import { openFsBlobs } from '../../src/drivers/blobs/fs.ts';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { systemClock } from '../../src/ports/clock.ts';
import { sweep } from '../../src/services/sweep.ts';
import { conversionJob } from './conversion.ts';
import { silentLog } from './log.ts';

export type Point =
  | 'opened'
  | 'staged'
  | 'written'
  | 'finished'
  | 'put'
  | 'in the transaction'
  | 'accepted'
  | 'discarded';

const [root, seed, lastPoint] = process.argv.slice(2) as [string, string, Point | undefined];
const blobs = await openFsBlobs(root);
const catalog = await openSqliteCatalog(join(root, 'catalog.db'));
const services = { catalog, blobs, clock: systemClock, log: silentLog };

function reached(point: Point): void {
  if (point === lastPoint) process.kill(process.pid, 'SIGKILL');
}

reached('opened');
for (let i = 0; ; i++) {
  const isShared = !lastPoint && i % 2 === 0;
  const chunk = Buffer.alloc(1 + ((i * 7919) % 60_000), `${isShared ? 'shared' : seed} ${i}`);
  const bytes = Buffer.concat([chunk, chunk, Buffer.from(seed.repeat(isShared ? 0 : 1))]);
  const key = originalKey(createHash('sha256').update(bytes).digest('hex'));
  const staged = await blobs.stage();
  reached('staged');
  await staged.write(chunk);
  reached('written');
  await staged.write(bytes.subarray(chunk.length));
  await staged.finish();
  reached('finished');
  await blobs.put(key, staged.path);
  reached('put');
  await catalog.acceptConversion(conversionJob(newId(), key), { key, bytes: bytes.length }, async () => {
    if (!(await blobs.head(key))) await blobs.put(key, staged.path);
    reached('in the transaction');
  });
  reached('accepted');
  await staged.discard();
  writeSync(1, `${key}\n`);
  reached('discarded');
  // Another writer's leftovers are swept while this one works.
  if (i % 10 === 0) await sweep(services);
}
