import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { endWithSuite } from '../support/service.ts';
import {
  accepted,
  type Batch,
  bombOf,
  nothingStaged,
  type Part,
  photo,
  rateOf,
  refused,
  startUploadService,
  tokenOf,
  type UploadInit,
  type UploadService,
  upload,
} from '../support/uploads.ts';

const BUCKET: Part = ['bucket', 'photos'];

describe('uploads that come more than once', () => {
  const ending = endWithSuite();
  let service: UploadService;
  let token: string;
  let jpeg: Buffer;

  before(async () => {
    service = await startUploadService(ending, { MAX_UPLOAD_SIZE_MB: '1', MAX_IMAGE_MEGAPIXELS: '20' });
    token = await tokenOf('anna');
    jpeg = await photo();
  });

  const send = (parts: readonly Part[], init: UploadInit = {}) => upload(service, parts, { token, ...init });
  const noneStaged = () => nothingStaged(service);

  describe('with an Idempotency-Key', () => {
    const keyed = (key: string, parts: readonly Part[], more: UploadInit = {}) =>
      send(parts, { ...more, headers: { 'idempotency-key': key } });

    it('gives the first answer again', async () => {
      const parts: Part[] = [BUCKET, ['file', await photo(30)]];
      const first = await accepted(await keyed('k1', parts));
      const again = await keyed('k1', parts);
      assert.deepEqual(await accepted(again), first);
      assert.ok(rateOf(again)[1]! > 0);
      const reordered = await accepted(await keyed('k1', parts.toReversed()));
      assert.deepEqual(reordered, first);
    });

    it('gives the first answer of a batch again, its problems too', async () => {
      const parts: Part[] = [
        BUCKET,
        ['files', await photo(31)],
        ['files', Buffer.from('no')],
        ['files', jpeg],
      ];
      const withoutRequest = ({ batch_id, items }: Batch) => [
        batch_id,
        items.map(({ problem, ...item }) => ({ ...item, code: problem?.code })),
      ];
      const first = await accepted<Batch>(await keyed('k2', parts));
      assert.deepEqual(
        withoutRequest(await accepted<Batch>(await keyed('k2', parts))),
        withoutRequest(first),
      );
    });

    it('makes one image of fifty requests at once', async () => {
      const parts: Part[] = [BUCKET, ['file', await photo(32)]];
      const before = service.counts().images;
      const answers = await Promise.all(
        Array.from({ length: 50 }, async () => accepted(await keyed('k3', parts))),
      );
      assert.equal(new Set(answers.map((answer) => JSON.stringify(answer))).size, 1);
      assert.equal(service.counts().images, before + 1);
      await noneStaged();
    });

    it('refuses another request under the same key', async () => {
      const file: Part = ['file', await photo(33)];
      await accepted(await keyed('k4', [BUCKET, file]));
      const others: Part[][] = [
        [BUCKET, ['file', await photo(34)]],
        [['bucket', 'elsewhere'], file],
        [BUCKET, file, ['project', 'p']],
        [BUCKET, file, ['metadata', '{"a":1}']],
        [BUCKET, file, ['preset', 'gallery']],
      ];
      for (const parts of others) await refused(await keyed('k4', parts), 'conflict');
      await noneStaged();
    });

    it("keeps one client's keys apart from another's", async () => {
      const parts: Part[] = [BUCKET, ['file', await photo(35)]];
      const [anna, berta] = [
        await accepted(await keyed('k5', parts)),
        await accepted(await keyed('k5', parts, { token: await tokenOf('berta') })),
      ];
      assert.notEqual(anna.image_id, berta.image_id);
    });

    it('keeps no answer of a request that failed', async () => {
      await refused(await keyed('k6', [BUCKET, ['file', bombOf(5000)]]), 'image_too_large');
      await accepted(await keyed('k6', [BUCKET, ['file', jpeg]]));
      const bad: Part = ['files', Buffer.from('text')];
      await accepted<Batch>(await keyed('k7', [BUCKET, bad, bad]));
      await accepted(await keyed('k7', [BUCKET, ['file', jpeg]]));
    });
  });

  it('stores the same bytes once for fifty requests at once, as fifty images', async () => {
    const picture = await photo(40);
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => accepted(await send([BUCKET, ['file', picture]]))),
    );
    assert.equal(new Set(answers.map(({ image_id }) => image_id)).size, 50);
    const sha256 = createHash('sha256').update(picture).digest('hex');
    assert.equal(
      service.rows(`select refs from blobs where key = 'originals/${sha256.slice(0, 2)}/${sha256}'`)[0]!.refs,
      50,
    );
    await noneStaged();
  });
});
