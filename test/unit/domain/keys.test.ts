import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { newId } from '../../../src/domain/ids.ts';
import { isKey, originalKey, parseKey, renditionKey } from '../../../src/domain/keys.ts';
import { NO_KEYS } from '../../contracts/blobs.ts';

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
    .map((d) => d.join(''));
const sha256 = hex(64);
const planHash = hex(32);
const ext = fc.constantFrom('jpeg', 'png', 'webp', 'avif', 'tiff', 'gif', 'bmp', 'svg');

describe('keys', () => {
  test('say what the bytes are, and can be read back', () => {
    fc.assert(
      fc.property(sha256, planHash, ext, (source, plan, e) => {
        assert.deepEqual(parseKey(originalKey(source)), { kind: 'original', sha256: source });
        assert.deepEqual(parseKey(renditionKey(source, plan, e)), {
          kind: 'rendition',
          sourceSha256: source,
          planHash: plan,
          ext: e,
        });
      }),
    );
  });

  test('have the documented form', () => {
    const source = `ab${'0'.repeat(62)}`;
    assert.equal(originalKey(source), `originals/ab/${source}`);
    assert.equal(
      renditionKey(source, '1'.repeat(32), 'webp'),
      `renditions/ab/${source}/${'1'.repeat(32)}.webp`,
    );
  });

  test('cannot be made of anything but digits and a short extension', () => {
    const source = 'a'.repeat(64);
    const plan = '0'.repeat(32);
    for (const bad of [
      '',
      'a'.repeat(63),
      'A'.repeat(64),
      `${'a'.repeat(63)}/`,
      `${source}\n`,
      '../'.repeat(22),
    ]) {
      assert.throws(() => originalKey(bad), TypeError);
      assert.throws(() => renditionKey(bad, plan, 'webp'), TypeError);
      assert.throws(() => renditionKey(source, bad, 'webp'), TypeError);
    }
    for (const bad of ['', 'w', '.webp', 'WEBP', 'we/p', 'toolong']) {
      assert.throws(() => renditionKey(source, plan, bad), TypeError);
    }
  });

  test('are told from all else', () => {
    for (const text of NO_KEYS) assert.equal(isKey(text), false, JSON.stringify(text));
  });

  test('with any one character changed are no keys, or other ones in the same grammar', () => {
    const key = renditionKey('ab'.repeat(32), '01'.repeat(16), 'webp');
    fc.assert(
      fc.property(
        fc.nat(key.length - 1),
        fc.constantFrom('', '0', 'f', 'g', 'A', '.', '/', '\\', '\0', '\n', 'é', '..', '00'),
        (at, by) => {
          const changed = key.slice(0, at) + by + key.slice(at + 1);
          const parsed = parseKey(changed);
          if (parsed?.kind !== 'rendition') return assert.equal(parsed, undefined);
          assert.equal(renditionKey(parsed.sourceSha256, parsed.planHash, parsed.ext), changed);
        },
      ),
    );
  });
});

describe('ids', () => {
  test('are unique UUIDs of version 7 that sort by time', () => {
    const ids = Array.from({ length: 1000 }, newId);
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids)
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const times = ids.map((id) => id.slice(0, 13));
    assert.deepEqual(times, times.toSorted());
  });
});
