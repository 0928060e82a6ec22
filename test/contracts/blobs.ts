/** What every driver of `ports/blobs.ts` promises. A driver's own test calls this and adds what is particular to it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { originalKey, renditionKey } from '../../src/domain/keys.ts';
import type { Blobs, StagedFile } from '../../src/ports/blobs.ts';
import { problem } from '../support/pool.ts';
import { tempDir } from '../support/temp.ts';

const PLAN_HASH = '0123456789abcdef0123456789abcdef';
const FUTURE = new Date('2999-01-01');

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
export const keyOf = (bytes: Uint8Array): string => originalKey(sha256(bytes));
export const bytesOf = (text: string): Buffer => Buffer.from(text);

export async function stageBytes(blobs: Blobs, bytes: Uint8Array): Promise<StagedFile> {
  const staged = await blobs.stage();
  await staged.write(bytes);
  await staged.finish();
  return staged;
}

/** Stages, puts under the key of its hash unless another is given, discards. */
export async function store(blobs: Blobs, bytes: Uint8Array, key = keyOf(bytes)): Promise<string> {
  await using staged = await stageBytes(blobs, bytes);
  await blobs.put(key, staged.path);
  return key;
}

export const read = async (blobs: Blobs, key: string): Promise<Buffer> => buffer(await blobs.get(key));

/** @param open a store with nothing in it, that ends with the test */
export function blobsContract(name: string, open: (t: TestContext) => Promise<Blobs>): void {
  describe(`blobs: ${name}`, () => {
    test('gives back what was put, whole, by stream, by path and by size', async (t) => {
      const blobs = await open(t);
      const bytes = Buffer.alloc(300_001, 'picture ');
      const key = await store(blobs, bytes);
      assert.deepEqual(await read(blobs, key), bytes);
      assert.deepEqual(await blobs.head(key), { bytes: bytes.length });
      await using local = await blobs.localPath(key);
      assert.deepEqual(await readFile(local.path), bytes);
    });

    test('stores an empty object', async (t) => {
      const blobs = await open(t);
      const key = await store(blobs, new Uint8Array());
      assert.deepEqual(await blobs.head(key), { bytes: 0 });
      assert.equal((await read(blobs, key)).length, 0);
      await assert.rejects(blobs.get(key, { start: 0, end: 0 }), problem('range_not_satisfiable'));
    });

    test('a staged file is no object, nor is one that was discarded', async (t) => {
      const blobs = await open(t);
      const bytes = bytesOf('not accepted');
      const staged = await stageBytes(blobs, bytes);
      assert.deepEqual(await readFile(staged.path), bytes);
      assert.equal(await blobs.head(keyOf(bytes)), undefined);
      await staged.discard();
      await staged.discard();
      await assert.rejects(readFile(staged.path), { code: 'ENOENT' });
      await assert.rejects(blobs.put(keyOf(bytes), staged.path), problem('internal'));
      assert.equal(await blobs.head(keyOf(bytes)), undefined);
    });

    test('an object outlives its staged file', async (t) => {
      const blobs = await open(t);
      const bytes = bytesOf('accepted');
      const key = await store(blobs, bytes);
      assert.deepEqual(await read(blobs, key), bytes);
    });

    test('chunks are appended in their order, and the buffer may be reused', async (t) => {
      const blobs = await open(t);
      await using staged = await blobs.stage();
      const chunk = Buffer.alloc(1000);
      for (let i = 0; i < 5; i++) await staged.write(chunk.fill(i));
      await staged.finish();
      await staged.finish();
      await assert.rejects(staged.write(chunk), problem('internal'));
      assert.deepEqual(
        await readFile(staged.path),
        Buffer.concat([0, 1, 2, 3, 4].map((i) => Buffer.alloc(1000, i))),
      );
    });

    test('takes over a finished file', async (t) => {
      const blobs = await open(t);
      const from = join(tempDir(t), 'rendition');
      await writeFile(from, 'rendered');
      await using staged = await blobs.stage(from);
      await staged.finish();
      const key = renditionKey(sha256(bytesOf('source')), PLAN_HASH, 'webp');
      await blobs.put(key, staged.path);
      assert.equal(String(await read(blobs, key)), 'rendered');
      await assert.rejects(readFile(from), { code: 'ENOENT' });
      await assert.rejects(blobs.stage(from), problem('internal'));
    });

    test('a key that exists keeps its bytes; another size is a fault', async (t) => {
      const blobs = await open(t);
      const key = renditionKey(sha256(bytesOf('source')), PLAN_HASH, 'webp');
      await store(blobs, bytesOf('first'), key);
      await store(blobs, bytesOf('other'), key);
      assert.equal(String(await read(blobs, key)), 'first');
      await assert.rejects(store(blobs, bytesOf('longer'), key), problem('internal'));
      assert.equal(String(await read(blobs, key)), 'first');
    });

    test('one staged file can be put again after its key was deleted', async (t) => {
      const blobs = await open(t);
      const bytes = bytesOf('deleted in between');
      await using staged = await stageBytes(blobs, bytes);
      for (let i = 0; i < 3; i++) {
        await blobs.put(keyOf(bytes), staged.path);
        await blobs.delete(keyOf(bytes));
        assert.equal(await blobs.head(keyOf(bytes)), undefined);
      }
      await blobs.put(keyOf(bytes), staged.path);
      assert.deepEqual(await read(blobs, keyOf(bytes)), bytes);
    });

    test('20 writers of the same key at once leave one object', async (t) => {
      const blobs = await open(t);
      const bytes = Buffer.alloc(100_000, 'same');
      const keys = await Promise.all(Array.from({ length: 20 }, () => store(blobs, bytes)));
      assert.deepEqual(new Set(keys), new Set([keyOf(bytes)]));
      assert.deepEqual(await read(blobs, keyOf(bytes)), bytes);
    });

    test('an object is seen whole or not at all while it is put and deleted', async (t) => {
      const blobs = await open(t);
      const bytes = Buffer.alloc(200_000, 'flicker');
      const key = renditionKey(sha256(bytes), PLAN_HASH, 'png');
      let writing = true;
      const writers = Array.from({ length: 3 }, async () => {
        await using staged = await stageBytes(blobs, bytes);
        for (let i = 0; i < 20; i++) {
          await blobs.put(key, staged.path);
          await blobs.delete(key);
        }
      });
      const readers = Array.from({ length: 3 }, async () => {
        let seen = 0;
        while (writing) {
          const found = await read(blobs, key).catch((error) => void problem('not_found')(error));
          if (found) assert.ok(found.equals(bytes));
          seen++;
        }
        return seen;
      });
      await Promise.all(writers).finally(() => {
        writing = false;
      });
      assert.ok((await Promise.all(readers)).every((seen) => seen > 0));
      assert.equal(await blobs.head(key), undefined);
      await store(blobs, bytes, key);
      assert.deepEqual(await read(blobs, key), bytes);
    });

    test('what is not there is not_found, and deleting it is no error', async (t) => {
      const blobs = await open(t);
      const key = keyOf(bytesOf('never stored'));
      await assert.rejects(blobs.get(key), problem('not_found'));
      await assert.rejects(blobs.localPath(key), problem('not_found'));
      assert.equal(await blobs.head(key), undefined);
      await blobs.delete(key);
    });

    test('deleting one object leaves its neighbours', async (t) => {
      const blobs = await open(t);
      const source = sha256(bytesOf('source'));
      const [webp, png] = ['webp', 'png'].map((ext) => renditionKey(source, PLAN_HASH, ext)) as [
        string,
        string,
      ];
      await store(blobs, bytesOf('a'), webp);
      await store(blobs, bytesOf('b'), png);
      await blobs.delete(webp);
      assert.equal(await blobs.head(webp), undefined);
      assert.equal(String(await read(blobs, png)), 'b');
    });

    test('a reader that has begun reads to the end after a deletion', async (t) => {
      const blobs = await open(t);
      const bytes = Buffer.alloc(2 ** 20, 'reading');
      const key = await store(blobs, bytes);
      const stream = await blobs.get(key);
      const first = await firstChunk(stream);
      await blobs.delete(key);
      assert.deepEqual(Buffer.concat([first, await buffer(stream)]), bytes);
    });

    describe('ranges', () => {
      const text = '0123456789';
      const cases: [title: string, start: number, end: number, expected: string][] = [
        ['the first byte', 0, 0, '0'],
        ['the last byte', 9, 9, '9'],
        ['the middle, both ends included', 3, 5, '345'],
        ['all of it', 0, 9, text],
        ['an end beyond the object is cut', 8, 1000, '89'],
        ['the largest end that can be written', 0, Number.MAX_SAFE_INTEGER, text],
      ];
      for (const [title, start, end, expected] of cases) {
        test(title, async (t) => {
          const blobs = await open(t);
          const key = await store(blobs, bytesOf(text));
          assert.equal(String(await buffer(await blobs.get(key, { start, end }))), expected);
        });
      }

      test('one without a byte of the object is refused', async (t) => {
        const blobs = await open(t);
        const key = await store(blobs, bytesOf(text));
        const refused: [number, number][] = [
          [10, 10],
          [10, 20],
          [5, 4],
          [-1, 3],
          [0.5, 3],
          [0, Number.NaN],
        ];
        for (const [start, end] of refused) {
          await assert.rejects(
            blobs.get(key, { start, end }),
            problem('range_not_satisfiable'),
            `${start}–${end}`,
          );
        }
      });
    });

    test('a text that is no key reaches nothing', async (t) => {
      const blobs = await open(t);
      await using staged = await stageBytes(blobs, bytesOf('x'));
      for (const key of NO_KEYS) {
        for (const call of [
          () => blobs.put(key, staged.path),
          () => blobs.get(key),
          () => blobs.head(key),
          () => blobs.localPath(key),
          () => blobs.delete(key),
        ]) {
          await assert.rejects(call(), problem('internal'), key);
        }
      }
    });

    test('put takes only files that were staged here', async (t) => {
      const blobs = await open(t);
      const path = join(tempDir(t), 'elsewhere');
      await writeFile(path, 'x');
      await assert.rejects(blobs.put(keyOf(bytesOf('x')), path), problem('internal'));
    });

    test('the staged files of a living process are never stale', async (t) => {
      const blobs = await open(t);
      const bytes = bytesOf('under way');
      await using staged = await stageBytes(blobs, bytes);
      await blobs.put(keyOf(bytes), staged.path);
      assert.deepEqual(await blobs.staleStaged(FUTURE), []);
    });

    test('says that it works, and leaves nothing behind', async (t) => {
      const blobs = await open(t);
      await Promise.all([blobs.check(), blobs.check()]);
      assert.deepEqual(await blobs.staleStaged(FUTURE), []);
    });
  });
}

const HEX = 'ab'.repeat(32);
export const NO_KEYS = [
  '',
  '.',
  '/',
  '/etc/passwd',
  '../outside',
  `originals/ab/../../../${HEX}`,
  `originals/../ab/${HEX}`,
  `originals/cd/${HEX}`,
  `originals/ab/${HEX}/`,
  `originals/ab/${HEX}\0`,
  `originals/ab/${HEX}\n`,
  `originals//ab/${HEX}`,
  `originals/ab/${HEX.toUpperCase()}`,
  `renditions/ab/${HEX}/..`,
  `renditions/ab/${HEX}/${PLAN_HASH}`,
  `renditions/ab/${HEX}/${PLAN_HASH}./x`,
  `renditions/ab/${HEX}/${PLAN_HASH}.webp/../../x`,
  `RENDITIONS/ab/${HEX}/${PLAN_HASH}.webp`,
];

async function firstChunk(stream: Readable): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once('readable', resolve);
  await promise;
  return stream.read() as Buffer;
}
