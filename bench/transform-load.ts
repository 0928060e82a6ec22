/**
 * Asks for one URL over and over, over some connections that stay open: `node transform-load.ts <port> <path> <seconds>
 * <connections>`. Prints how many answers it got. It reads no more of an answer than it must: a client that costs more
 * than the server would measure itself.
 */
import { connect } from 'node:net';

const [port = '', path = '', seconds = '', connections = ''] = process.argv.slice(2);
const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
const HEAD_END = Buffer.from('\r\n\r\n');
const end = performance.now() + Number(seconds) * 1000;
let answers = 0;

async function client(): Promise<void> {
  const socket = connect(Number(port), '127.0.0.1');
  socket.setNoDelay(true);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let head: Buffer = Buffer.alloc(0);
  let left = -1;
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk;
    if (left < 0) {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const at = head.indexOf(HEAD_END);
      if (at < 0) return;
      const text = head.toString('latin1', 0, at);
      if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(text));
      left = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1]);
      if (Number.isNaN(left)) return reject(new Error(`no length: ${text}`));
      rest = head.subarray(at + HEAD_END.length);
      head = Buffer.alloc(0);
    }
    left -= rest.length;
    if (left > 0) return;
    answers += 1;
    left = -1;
    if (performance.now() < end) socket.write(request);
    else {
      socket.destroy();
      resolve();
    }
  });
  socket.on('error', reject);
  socket.write(request);
  await promise;
}

await Promise.all(Array.from({ length: Number(connections) }, client));
process.stdout.write(String(answers));
