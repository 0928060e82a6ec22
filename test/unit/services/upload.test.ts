import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtInPresets, createPolicies } from '../../../src/contract/policies.ts';
import type { Principal } from '../../../src/domain/access.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import { Problem } from '../../../src/problem.ts';
import { admitDirectUpload, expectUpload, fulfilUpload } from '../../../src/services/direct-upload.ts';
import { once } from '../../../src/services/idempotency.ts';
import { StagedOriginal } from '../../../src/services/staged-original.ts';
import { sweep } from '../../../src/services/sweep.ts';
import { Turns } from '../../../src/services/turns.ts';
import { acceptUpload, type UploadServices } from '../../../src/services/upload.ts';
import { imagesOnly } from '../../../src/services/upload-terms.ts';
import type { Ending } from '../../support/service.ts';
import { openServices, type TestServices } from '../../support/services.ts';
import { photo } from '../../support/uploads.ts';

const ANNA: Principal = { subject: 'anna', scopes: new Set(['read', 'write']) };
const NOW = new Date('2026-11-02T08:00:00.000Z');
const signal = new AbortController().signal;

interface Desk extends TestServices, UploadServices {
  presignedTtlMs: number;
  urlSigningKey: Uint8Array;
  woken: () => number;
  setClock: (ms: number) => void;
}

async function openDesk(t: Ending, policy: { allowedMimeTypes?: string[] } = {}): Promise<Desk> {
  let now = NOW;
  const clock: Clock = { now: () => now };
  let woken = 0;
  const services = await openServices(t, { clock });
  const policies = createPolicies({
    presets: builtInPresets({ webSizes: [{ name: 'medium', longSidePx: 600 }], webpQuality: 85 }),
    buckets: {},
    allowedMimeTypes: policy.allowedMimeTypes ?? ['image/jpeg', 'image/png'],
    maxBytes: 1_000_000,
  });
  return Object.assign(services, {
    policies,
    rateLimit: { max: 100, windowMs: 3_600_000 },
    maxRetries: 3,
    presignedTtlMs: 60_000,
    urlSigningKey: Buffer.alloc(32, 7),
    wakeRelay: () => {
      woken += 1;
    },
    woken: () => woken,
    setClock: (ms: number) => {
      now = new Date(NOW.getTime() + ms);
    },
  });
}

async function stage(desk: Desk, bytes: Uint8Array): Promise<StagedOriginal> {
  const inspect = imagesOnly(() => undefined);
  const staged = await StagedOriginal.open(desk, { maxBytes: 1_000_000, inspect });
  await staged.intake.write(bytes);
  staged.intake.finish();
  return staged;
}

const accept = (desk: Desk, original: StagedOriginal, abort = signal) =>
  acceptUpload(
    { principal: ANNA, bucket: 'photos', context: {}, files: [{ filename: 'a.jpg', original }] },
    desk,
    { signal: abort, turns: new Turns() },
  );

describe('accepting an upload', () => {
  test('stores it, wakes the relay, and leaves nothing in staging', async (t) => {
    const desk = await openDesk(t);
    {
      await using original = await stage(desk, await photo());
      const { items } = await accept(desk, original);
      assert.equal(items.length, 1);
    }
    assert.equal(desk.woken(), 1);
    assert.deepEqual([desk.staged().length, desk.stored().length], [0, 1]);
    assert.equal(await desk.catalog.integrity(), 'ok');
  });

  test('takes back what it stored where it is not accepted in the end', async (t) => {
    const desk = await openDesk(t);
    desk.rateLimit = { max: 1, windowMs: 3_600_000 };
    await using first = await stage(desk, await photo(1));
    await accept(desk, first);
    {
      await using second = await stage(desk, await photo(2));
      await assert.rejects(accept(desk, second), { code: 'rate_limited' });
    }
    assert.equal(desk.stored().length, 1);
  });

  test('does not take back what others were accepted with meanwhile', async (t) => {
    const desk = await openDesk(t);
    const bytes = await photo(3);
    const failed = await stage(desk, bytes);
    await failed.put();
    await using accepted = await stage(desk, bytes);
    await accept(desk, accepted);
    await failed[Symbol.asyncDispose]();
    assert.deepEqual(desk.stored(), [accepted.key]);
  });

  test('stores it again where the same bytes are deleted at the last moment', async (t) => {
    const desk = await openDesk(t);
    const bytes = await photo(4);
    const failed = await stage(desk, bytes);
    await using original = await stage(desk, bytes);
    await original.put();
    await failed.put();
    await failed[Symbol.asyncDispose]();
    assert.deepEqual(desk.stored(), []);
    await accept(desk, original);
    assert.deepEqual(desk.stored(), [original.key]);
  });

  test('accepts nothing once it was called off', async (t) => {
    const desk = await openDesk(t);
    const reason = new Problem('cancelled');
    {
      await using original = await stage(desk, await photo(5));
      await assert.rejects(accept(desk, original, AbortSignal.abort(reason)), { code: 'cancelled' });
    }
    assert.deepEqual([desk.stored(), desk.staged(), await desk.catalog.outbox(9)], [[], [], []]);
  });

  test('keeps the staged file for the sweeper where the catalog cannot say whether the bytes are known', async (t) => {
    const desk = await openDesk(t);
    const original = await stage(desk, await photo(6));
    await original.put();
    await desk.catalog.close();
    await original[Symbol.asyncDispose]();
    assert.equal(desk.staged().length, 2);
    assert.match(desk.logged.at(-1)!.message, /could not be cleared away/);
  });

  test('tells RAW from TIFF only when the whole file is here', async (t) => {
    const desk = await openDesk(t, { allowedMimeTypes: ['image/jpeg'] });
    const tiff = Buffer.concat([Buffer.from('II*\0'), Buffer.alloc(100)]);
    const known = imagesOnly(() => desk.policies.policyFor('photos'));
    assert.doesNotThrow(() => known.look(tiff));
    assert.throws(() => known.look(Buffer.from('GIF89a')), { code: 'unsupported_media_type' });
  });
});

describe('a request that comes again', () => {
  const request = { owner: 'anna', key: 'k', fingerprint: 'f' };

  test('waits for another process that works on it', async (t) => {
    const desk = await openDesk(t);
    await desk.catalog.claimIdempotencyKey('anna', 'k', 'f', NOW);
    const waiting = once(request, desk, { signal, turns: new Turns() }, async () => 'twice');
    await sleep(150);
    await desk.catalog.settleIdempotencyKey('anna', 'k', { n: 1 });
    assert.deepEqual(await waiting, { again: { n: 1 } });
  });

  test('gives up waiting when the client does', async (t) => {
    const desk = await openDesk(t);
    await desk.catalog.claimIdempotencyKey('anna', 'k', 'f', NOW);
    const controller = new AbortController();
    const options = { signal: controller.signal, turns: new Turns() };
    const waiting = once(request, desk, options, async () => 'twice');
    controller.abort(new Error('gone'));
    await assert.rejects(waiting);
  });

  test('is refused at once where it is another request', async (t) => {
    const desk = await openDesk(t);
    await desk.catalog.claimIdempotencyKey('anna', 'k', 'other', NOW);
    const options = { signal, turns: new Turns() };
    await assert.rejects(
      once(request, desk, options, async () => 'twice'),
      { code: 'conflict' },
    );
  });
});

describe('a direct upload', () => {
  const wanted = {
    principal: ANNA,
    bucket: 'photos',
    context: {},
    filename: 'a.jpg',
    contentType: 'image/jpeg',
  };
  const asked = (imageId: string, query: { expires: string; signature: string }) => ({
    imageId,
    query,
    contentType: 'image/jpeg',
    contentLength: undefined,
  });

  test('is taken until its time, also where it began just before and ends after', async (t) => {
    const desk = await openDesk(t);
    const { imageId, jobId, signed, expiresAt } = await expectUpload(wanted, desk);
    assert.equal(expiresAt.getTime(), NOW.getTime() + 60_000);
    desk.setClock(60_000);
    await assert.rejects(admitDirectUpload(asked(imageId, signed), desk), { code: 'forbidden' });
    desk.setClock(59_999);
    const terms = await admitDirectUpload(asked(imageId, signed), desk);
    await using original = await stage(desk, await photo(7));
    desk.setClock(90_000);
    const taken = await fulfilUpload(imageId, original, terms, desk, signal);
    assert.deepEqual(taken, { imageId, jobId });
    assert.equal(desk.woken(), 1);
    await assert.rejects(admitDirectUpload(asked(imageId, signed), desk), { code: 'conflict' });
  });

  test('is forgotten by the sweep after its time', async (t) => {
    const desk = await openDesk(t);
    const { imageId, jobId, signed } = await expectUpload(wanted, desk);
    desk.setClock(61_000);
    await sweep(desk);
    assert.deepEqual(
      [await desk.catalog.image(imageId), await desk.catalog.job(jobId)],
      [undefined, undefined],
    );
    await assert.rejects(admitDirectUpload(asked(imageId, signed), desk), { code: 'forbidden' });
  });
});
