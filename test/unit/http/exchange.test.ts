import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { Exchanges } from '../../../src/http/exchange.ts';
import { Problem } from '../../../src/problem.ts';

const resource = (released: string[], name: string): AsyncDisposable => ({
  [Symbol.asyncDispose]: async () => void released.push(name),
});

function open(writableFinished: boolean) {
  const errors: unknown[] = [];
  const exchanges = new Exchanges((error) => errors.push(error));
  const response = Object.assign(new EventEmitter(), { writableFinished }) as unknown as ServerResponse;
  const request = {} as IncomingMessage;
  const exchange = exchanges.open(request, response, () => {});
  return { exchanges, exchange, request, response, errors };
}

describe('an exchange', () => {
  it('releases what it holds when the answer is out, last in first out, and aborts nothing', async () => {
    const released: string[] = [];
    const { exchanges, exchange, response } = open(true);
    await exchange.hold(resource(released, 'first'));
    await exchange.hold(resource(released, 'second'));
    response.emit('close');
    await exchanges.released();
    assert.deepEqual(released, ['second', 'first']);
    assert.equal(exchange.signal.aborted, false);
    assert.equal(exchanges.size, 0);
  });

  it('ends the work when the client leaves, and releases at once what comes after', async () => {
    const released: string[] = [];
    const { exchange, response } = open(false);
    response.emit('close');
    assert.equal((exchange.signal.reason as Problem).code, 'cancelled');
    assert.equal(exchange.problem?.code, 'cancelled');
    await assert.rejects(exchange.hold(resource(released, 'late')), { code: 'cancelled' });
    assert.deepEqual(released, ['late']);
  });

  it('is opened once', () => {
    const { exchanges, exchange, request, response } = open(true);
    assert.equal(
      exchanges.open(request, response, () => assert.fail('opened twice')),
      exchange,
    );
    assert.equal(exchanges.size, 1);
  });

  it('reports what cannot be released', async () => {
    const { exchanges, exchange, response, errors } = open(true);
    const failure = new Error('stuck');
    await exchange.hold({ [Symbol.asyncDispose]: () => Promise.reject(failure) });
    response.emit('close');
    await exchanges.released();
    assert.deepEqual(errors, [failure]);
  });

  it('keeps its first problem', () => {
    const { exchange } = open(true);
    exchange.fail(new Problem('internal'));
    exchange.fail(new Problem('cancelled'));
    assert.equal(exchange.problem?.code, 'internal');
  });
});
