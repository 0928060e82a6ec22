/** A decoder thread that does as it is told, for tests of the host. */

import { serve } from '../../src/engine/decode/wasm/serve.ts';
import { Problem } from '../../src/problem.ts';

export type Order =
  | { do: 'echo'; value: number }
  | { do: 'spin' | 'throw' | 'refuse' | 'exit' | 'grow' | 'count' };

let calls = 0;
let heapBytes = 1_000;

serve<Order, number>(async () => ({
  heapBytes: () => heapBytes,
  decode(order) {
    calls += 1;
    switch (order.do) {
      case 'echo':
        return { reply: order.value, transfer: [] };
      case 'count':
        return { reply: calls, transfer: [] };
      case 'grow':
        heapBytes = 1e9;
        return { reply: calls, transfer: [] };
      case 'refuse':
        throw new Problem('undecodable_image', { detail: 'No.', cause: new Error('because') });
      case 'throw':
        throw new Error('unreachable');
      case 'exit':
        process.exit(3);
        break;
      case 'spin':
        for (;;) calls += 1;
    }
    throw new Error('not an order');
  },
}));
