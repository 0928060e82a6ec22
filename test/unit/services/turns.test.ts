import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Turns } from '../../../src/services/turns.ts';

const never = new AbortController().signal;
/** Everything that can go on has gone on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('turns', () => {
  test('of one name come one after the other, in the order they were asked for; other names do not wait', async () => {
    const turns = new Turns();
    const log: string[] = [];
    const ask = async (name: string, who: string) => {
      const turn = await turns.take(name, never);
      log.push(who);
      return turn;
    };
    const first = await ask('a', 'a1');
    const second = ask('a', 'a2');
    const third = ask('a', 'a3');
    await ask('b', 'b1');
    await settled();
    assert.deepEqual(log, ['a1', 'b1']);
    first[Symbol.dispose]();
    const held = await second;
    await settled();
    assert.deepEqual(log, ['a1', 'b1', 'a2']);
    held[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    assert.deepEqual(log, ['a1', 'b1', 'a2', 'a3']);
  });

  test('that are given up while they wait let nobody past those before them', async () => {
    const turns = new Turns();
    const first = await turns.take('a', never);
    const impatient = new AbortController();
    const second = turns.take('a', impatient.signal);
    let hasThird = false;
    const third = turns.take('a', never).then((turn) => {
      hasThird = true;
      return turn;
    });
    impatient.abort(new Error('no more'));
    await assert.rejects(second, /no more/);
    await settled();
    assert.equal(hasThird, false);
    first[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    await assert.rejects(turns.take('a', AbortSignal.abort(new Error('too late'))), /too late/);
    (await turns.take('a', never))[Symbol.dispose]();
  });
});
