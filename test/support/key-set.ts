/** An issuer's key set as a real HTTP server, to be rotated and broken at will. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JWK } from 'jose';

export interface KeySet {
  url: string;
  /** What is given out. */
  keys: JWK[];
  /** How often it was asked. */
  asked: number;
  /** Answers in place of the keys. */
  fault: ((response: ServerResponse) => void) | undefined;
}

export async function startKeySet(t: { after(fn: () => void): unknown }, keys: JWK[] = []): Promise<KeySet> {
  const set: KeySet = { url: '', keys, asked: 0, fault: undefined };
  const server = createServer((_request, response) => {
    set.asked += 1;
    if (set.fault) set.fault(response);
    else response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: set.keys }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  set.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  return set;
}
