/** An image's life in the whole service: uploaded, worked on, read by everybody and by signed URL, deleted. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { fixture } from '../support/fixtures.ts';
import { exercise } from '../support/operations.ts';
import { eventually } from '../support/service.ts';
import { tempDir } from '../support/temp.ts';
import { type Accepted, startUploadService, tokenOf, upload } from '../support/uploads.ts';

interface Item {
  size: string;
  format: string;
  url: string;
  width: number;
  height: number;
}

describe('an image', () => {
  for (const visibility of ['public', 'private'] as const) {
    it(`that is ${visibility} goes all the way, and nothing of it is left`, async (t) => {
      const bucketsFile = join(tempDir(t), 'buckets.json');
      writeFileSync(bucketsFile, JSON.stringify({ album: { visibility, preset: 'gallery' } }));
      const service = await startUploadService(t, { BUCKETS_FILE: bucketsFile });
      const token = await tokenOf('anna');
      const bytes = readFileSync(fixture('jpeg-metadata.jpg'));
      const { image_id } = (await (
        await upload(
          service,
          [
            ['bucket', 'album'],
            ['file', bytes, 'Häfen.jpg'],
          ],
          { token },
        )
      ).json()) as Accepted;
      const authorization = `Bearer ${token}`;
      const get = (id: Parameters<typeof exercise>[0], as?: string) =>
        fetch(service.address + exercise(id).path.replace('{image_id}', image_id), {
          headers: { ...(as && { authorization: as }) },
        });
      const all = async () =>
        (await (await get('get_image_sizes', authorization)).json()) as { status: string; items: Item[] };
      await eventually('the image is ready', async () => (await all()).status === 'ready');

      const { items } = await all();
      assert.deepEqual(
        items.map(({ size, format }) => `${size} ${format}`),
        ['thumbnail webp', 'thumbnail jpeg', 'optimized webp', 'optimized jpeg'],
      );
      for (const { url, width, height, format } of items) {
        assert.equal(/signature=/.test(url), visibility === 'private');
        const response = await fetch(url);
        assert.equal(response.status, 200);
        const found = await sharp(await response.arrayBuffer()).metadata();
        assert.deepEqual(
          [found.width, found.height, found.format, found.exif],
          [width, height, format, undefined],
        );
      }
      const anonymous = visibility === 'private' ? 404 : 200;
      assert.equal((await get('read_image')).status, anonymous);
      assert.equal((await get('get_image_info')).status, anonymous);
      const info = (await (await get('get_image_info', authorization)).json()) as {
        gps: object;
        camera_make: string;
      };
      assert.ok(info.gps && info.camera_make);
      const download = await get('download_image', authorization);
      assert.deepEqual(Buffer.from(await download.arrayBuffer()), bytes);

      const metrics = await (await get('metrics')).text();
      for (const [work, stage] of [
        ['upload', 'receive'],
        ['upload', 'probe'],
        ['upload', 'store'],
        ['upload', 'record'],
        ['job', 'rendering'],
      ]) {
        assert.match(
          metrics,
          new RegExp(`^tintype_stage_duration_seconds_count{work="${work}",stage="${stage}"} 1$`, 'm'),
        );
      }
      const stats = (await (await get('stats')).json()) as { workers: object };
      assert.ok('concurrency' in stats.workers && stats.workers.concurrency === 2);

      const { method, path } = exercise('delete_image');
      const gone = await fetch(service.address + path.replace('{image_id}', image_id), {
        method,
        headers: { authorization },
      });
      assert.equal(gone.status, 204);
      assert.deepEqual({ ...service.counts() }, { images: 0, jobs: 0, blobs: 0 });
      assert.deepEqual(service.rows('select key from blobs union all select key from blob_deletions'), []);
      assert.deepEqual([service.originals(), service.staged()], [[], []]);
      for (const { url } of items) assert.equal((await fetch(url)).status, 404);
    });
  }
});
