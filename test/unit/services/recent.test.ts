import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Recent } from '../../../src/services/recent.ts';

test('what was used longest ago goes first', () => {
  const recent = new Recent<number>(3);
  for (const n of [1, 2, 3]) recent.set(String(n), n);
  recent.get('1');
  recent.set('4', 4);
  assert.deepEqual(
    ['1', '2', '3', '4'].map((key) => recent.get(key)),
    [1, undefined, 3, 4],
  );
});

test('what alone is too heavy is not held, and does not stay as it was', () => {
  const recent = new Recent<string>(3, ({ length }) => length);
  recent.set('a', 'xx');
  recent.set('a', 'xxxx');
  assert.equal(recent.get('a'), undefined);
  assert.equal(recent.weight, 0);
});

test('never weighs more than it may, and weighs what it holds', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const step = fc.tuple(fc.constantFrom('set', 'get', 'delete'), key, fc.nat(6));
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const recent = new Recent<number>(10, (n) => n);
      for (const [name, at, weight] of steps) {
        if (name === 'set') recent.set(at, weight);
        else if (name === 'get') recent.get(at);
        else recent.delete(at);
        assert.ok(recent.weight <= 10);
      }
      const held = ['a', 'b', 'c', 'd', 'e'].map((at) => recent.get(at) ?? 0);
      assert.equal(
        recent.weight,
        held.reduce((a, b) => a + b, 0),
      );
    }),
  );
});
