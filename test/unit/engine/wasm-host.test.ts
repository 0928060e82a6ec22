import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { closeWasmWorkers, type WasmDecoderOptions, WasmHost } from '../../../src/engine/decode/wasm/host.ts';
import type { Order } from '../../support/unruly-worker.ts';

const OPTIONS: WasmDecoderOptions = {
  name: 'TEST',
  worker: new URL('../../support/unruly-worker.ts', import.meta.url),
  wasm: new URL(import.meta.resolve('libheif-js/libheif-wasm/libheif.wasm')),
  maxKeptHeapBytes: 1_000_000,
};
const WITHIN = { timeoutMs: 30_000 };

function host(t: { after(fn: () => Promise<void>): void }): WasmHost<Order, number> {
  const made = new WasmHost<Order, number>(OPTIONS);
  t.after(() => made.close());
  return made;
}

describe('WebAssembly decoder host', () => {
  it('keeps its thread from call to call', async (t) => {
    const decoder = host(t);
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 1);
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 2);
  });

  it('answers calls made at once in their order, each with its own answer', async (t) => {
    const decoder = host(t);
    const orders = [1, 2, 3, 4].map((value) => decoder.call({ do: 'echo', value }, WITHIN));
    assert.deepEqual(await Promise.all(orders), [1, 2, 3, 4]);
  });

  it('ends a thread whose memory has grown too large', async (t) => {
    const decoder = host(t);
    await decoder.call({ do: 'grow' }, WITHIN);
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 1);
  });

  it('passes a refusal on with its cause, and takes a new thread after it', async (t) => {
    const decoder = host(t);
    await assert.rejects(decoder.call({ do: 'refuse' }, WITHIN), (error: Error) => {
      assert.match(String(error.cause), /because/);
      return (error as { code?: string }).code === 'undecodable_image' && error.message === 'No.';
    });
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 1);
  });

  for (const order of ['throw', 'exit'] as const) {
    it(`reports a decoder that breaks (${order}) and takes a new thread`, async (t) => {
      const decoder = host(t);
      await assert.rejects(decoder.call({ do: order }, WITHIN), { code: 'decoder_crashed' });
      assert.equal(await decoder.call({ do: 'count' }, WITHIN), 1);
    });
  }

  it('stops a decoder that never returns at its deadline, and works on', async (t) => {
    const decoder = host(t);
    await assert.rejects(decoder.call({ do: 'spin' }, { timeoutMs: 100 }), { code: 'processing_timeout' });
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 1);
  });

  it('stops a decoder when its signal says so, and works on', async (t) => {
    const decoder = host(t);
    await decoder.call({ do: 'count' }, WITHIN);
    const cancel = new AbortController();
    const spinning = decoder.call({ do: 'spin' }, { ...WITHIN, signal: cancel.signal });
    setImmediate(() => cancel.abort());
    await assert.rejects(spinning, { code: 'cancelled' });
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 1);
  });

  it('lets a call that waits for its turn be cancelled without harm to the one that runs', async (t) => {
    const decoder = host(t);
    const running = decoder.call({ do: 'echo', value: 7 }, WITHIN);
    const waiting = decoder.call({ do: 'spin' }, { ...WITHIN, signal: AbortSignal.abort() });
    await assert.rejects(waiting, { code: 'cancelled' });
    assert.equal(await running, 7);
    assert.equal(await decoder.call({ do: 'count' }, WITHIN), 2);
  });

  it('closes with a call under way', async (t) => {
    const decoder = host(t);
    await decoder.call({ do: 'count' }, WITHIN);
    const spinning = assert.rejects(decoder.call({ do: 'spin' }, WITHIN), { code: 'cancelled' });
    setImmediate(() => void closeWasmWorkers());
    await spinning;
  });

  it('holds up neither an exit while a decoder spins nor the end of an idle process', () => {
    const run = (body: string) =>
      spawnSync(
        process.execPath,
        [
          '--input-type=module',
          '-e',
          `import { WasmHost } from ${JSON.stringify(new URL('../../../src/engine/decode/wasm/host.ts', import.meta.url).href)};
          const decoder = new WasmHost({
            name: 'TEST',
            worker: new URL(${JSON.stringify(OPTIONS.worker.href)}),
            wasm: new URL(${JSON.stringify(OPTIONS.wasm.href)}),
            maxKeptHeapBytes: 1e6,
          });
          await decoder.call({ do: 'count' }, { timeoutMs: 30_000 });
          ${body}`,
        ],
        { timeout: 30_000, encoding: 'utf8' },
      );
    const busy = run(`void decoder.call({ do: 'spin' }, { timeoutMs: 30_000 }).catch(() => {});
      setTimeout(() => process.exit(7), 50);`);
    assert.equal(busy.status, 7, busy.stderr);
    const idle = run('');
    assert.equal(idle.status, 0, idle.stderr);
  });
});
