import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePlan, planHash } from '../../../src/contract/plan-normal.ts';
import { assetsNamed, renditionHash } from '../../../src/domain/rendition-hash.ts';

const [A, B] = ['0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10', '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b11'] as const;
const [ONE, TWO] = ['originals/aa/one', 'originals/bb/two'] as const;

const plain = parsePlan({ operations: [{ op: 'resize', width: 100 }], output: { format: 'webp' } });
const marked = (...images: string[]) =>
  parsePlan({ operations: images.map((image) => ({ op: 'watermark', image })), output: { format: 'webp' } });

describe("a rendition's hash", () => {
  test('is that of the plan where it names no other image', () => {
    assert.equal(renditionHash(plain, {}, '1'), planHash(plain, '1'));
    assert.equal(renditionHash(plain, { [A]: ONE }, '1'), planHash(plain, '1'));
    assert.deepEqual(assetsNamed(plain), []);
  });

  test('is another one for other bytes of a named image, of its plan, and of the engine', () => {
    const hashes = [
      renditionHash(marked(A), { [A]: ONE }, '1'),
      renditionHash(marked(A), { [A]: TWO }, '1'),
      renditionHash(marked(A), { [A]: ONE }, '2'),
      renditionHash(marked(B), { [B]: ONE }, '1'),
      renditionHash(marked(A, B), { [A]: ONE, [B]: TWO }, '1'),
      renditionHash(marked(A, B), { [A]: TWO, [B]: ONE }, '1'),
    ];
    assert.equal(new Set(hashes).size, hashes.length);
    for (const hash of hashes) assert.match(hash, /^[0-9a-f]{32}$/);
    assert.equal(renditionHash(marked(A), { [B]: TWO, [A]: ONE }, '1'), hashes[0], 'others are left aside');
  });

  test('cannot be had without the bytes of a named image', () => {
    assert.throws(() => renditionHash(marked(A), { [B]: ONE }, '1'), TypeError);
    assert.deepEqual(assetsNamed(marked(A, B)), [
      { imageId: A, path: 'operations.0.image' },
      { imageId: B, path: 'operations.1.image' },
    ]);
  });
});
