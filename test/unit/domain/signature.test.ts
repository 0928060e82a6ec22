import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { sign, signingKey, verify } from '../../../src/domain/signature.ts';

const SECRET = 'a secret of at least thirty-two characters';
const key = signingKey(SECRET, 'image-url');
const parts = ['GET', '01a1fc30-255b-7c44-bb87-f856b6cbf744', 'medium'];
const expiresAt = new Date('2026-11-21T12:00:00Z');
const before = new Date('2026-11-21T11:00:00Z');
const signed = sign(key, parts, expiresAt);

describe('a signature', () => {
  test('is valid for what was signed', () => {
    assert.equal(verify(key, parts, signed, before), 'valid');
    assert.match(signed.signature, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(signed.expires, '1795262400');
  });

  test('is HMAC-SHA256 over each part and the time, each after its length', () => {
    const message = Buffer.concat(
      [...parts, signed.expires].map((part) => {
        const length = Buffer.from([0, 0, 0, Buffer.byteLength(part)]);
        return Buffer.concat([length, Buffer.from(part)]);
      }),
    );
    assert.equal(createHmac('sha256', key).update(message).digest('base64url'), signed.signature);
  });

  test('ends with the second that it names', () => {
    const at = (ms: number) => verify(key, parts, signed, new Date(expiresAt.getTime() + ms));
    assert.equal(at(-1), 'valid');
    assert.equal(at(0), 'expired');
    assert.equal(at(1), 'expired');
  });

  test('counts whole seconds, rounded down', () => {
    assert.deepEqual(sign(key, parts, new Date(expiresAt.getTime() + 999)), signed);
  });

  test('is invalid with any part changed, dropped, added, moved or split otherwise', () => {
    const others = [
      ['HEAD', parts[1]!, parts[2]!],
      ['GET', '01a1fc30-255b-7c44-bb87-f856b6cbf745', 'medium'],
      ['GET', parts[1]!, 'large'],
      ['GET', parts[1]!],
      [...parts, ''],
      ['', ...parts],
      parts.toReversed(),
      [parts.join('')],
      ['GET0', parts[1]!.slice(1), 'medium'],
      [...parts, signed.expires],
      [],
    ];
    for (const other of others)
      assert.equal(verify(key, other, signed, before), 'invalid', JSON.stringify(other));
  });

  test('is invalid with the time changed, however it is written', () => {
    const { expires, signature } = signed;
    const others = [`${Number(expires) + 1}`, `0${expires}`, `+${expires}`, ` ${expires}`, `${expires}.0`];
    for (const other of [...others, `${expires}e0`, '1.795262400e9', '-1', '0', '', 'NaN', `${expires}\n`]) {
      assert.equal(verify(key, parts, { expires: other, signature }, before), 'invalid', other);
    }
  });

  test('is invalid with any one character changed, also in the two bits that base64url leaves over', () => {
    const { expires, signature } = signed;
    for (let at = 0; at < signature.length; at++) {
      for (const by of 'Aa0_-') {
        const other = signature.slice(0, at) + by + signature.slice(at + 1);
        if (other === signature) continue;
        assert.equal(verify(key, parts, { expires, signature: other }, before), 'invalid');
      }
    }
    const last = signature.charCodeAt(42);
    const sameBytes = [last - 1, last + 1]
      .map((code) => signature.slice(0, 42) + String.fromCharCode(code))
      .filter((text) => Buffer.from(text, 'base64url').equals(Buffer.from(signature, 'base64url')));
    assert.ok(sameBytes.length > 0);
    for (const other of sameBytes) {
      assert.equal(verify(key, parts, { expires, signature: other }, before), 'invalid');
    }
  });

  test('is invalid in another shape, whatever it is', () => {
    const { expires, signature } = signed;
    const hex = Buffer.from(signature, 'base64url').toString('hex');
    for (const other of ['', 'x', `${signature}=`, signature.slice(1), hex, `${signature}\n`]) {
      assert.equal(verify(key, parts, { expires, signature: other }, before), 'invalid');
    }
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (e, s) => {
        assert.equal(verify(key, parts, { expires: e, signature: s }, before), 'invalid');
        assert.equal(verify(key, parts, { expires, signature: s }, before), 'invalid');
      }),
    );
    assert.equal(verify(key, parts, {}, before), 'invalid');
    assert.equal(verify(key, parts, { expires: [expires], signature: [signature] }, before), 'invalid');
  });

  test('says that it is expired only where it is genuine', () => {
    const later = new Date(expiresAt.getTime() + 1);
    assert.equal(verify(key, ['other'], signed, later), 'invalid');
  });

  test('is worth nothing for another purpose, or under another secret', () => {
    assert.equal(verify(signingKey(SECRET, 'presigned-upload'), parts, signed, before), 'invalid');
    assert.equal(verify(signingKey(`${SECRET}.`, 'image-url'), parts, signed, before), 'invalid');
    assert.equal(verify(signingKey(SECRET, 'image-url'), parts, signed, before), 'valid');
    assert.equal(verify(signingKey(Buffer.from(SECRET), 'image-url'), parts, signed, before), 'valid');
  });

  test('two different lists never share one', () => {
    const list = fc.array(
      fc.string({ unit: fc.constantFrom('a', '\0', '/', 'ü', '\u{1f600}'), maxLength: 3 }),
      {
        maxLength: 4,
      },
    );
    fc.assert(
      fc.property(list, list, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        assert.equal(verify(key, b, sign(key, a, expiresAt), before), same ? 'valid' : 'invalid');
      }),
    );
  });

  test('half a surrogate pair is neither signed nor taken for what it would be written as', () => {
    assert.throws(() => sign(key, ['a\ud800'], expiresAt), TypeError);
    assert.equal(verify(key, ['a\ud800'], sign(key, ['a\ufffd'], expiresAt), before), 'invalid');
  });

  test('a time that cannot be written is refused', () => {
    for (const time of [new Date(Number.NaN), new Date(0), new Date(-1000)]) {
      assert.throws(() => sign(key, parts, time), TypeError);
    }
  });
});
