/** Starts the real service in this process, on a free port, with a data folder of its own. */
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Service, serve } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import type { ProblemDocument } from '../../src/contract/resources.ts';
import { createLogger } from '../../src/http/request-log.ts';
import { tempDir } from './temp.ts';

export interface TestService extends Service {
  port: number;
  /** What was logged, parsed. */
  log: Record<string, unknown>[];
  logText: () => string;
  /** What the pool's folder holds besides its children's own folders. */
  scratch: () => string[];
}

/** Takes a test's context, or `{ after }` of node:test for all the tests of a file. */
export async function startService(
  t: { after(fn: () => void | Promise<void>): unknown },
  env: Record<string, string> = {},
): Promise<TestService> {
  const lines: string[] = [];
  const dataDir = tempDir(t);
  const config = loadConfig({
    PORT: '0',
    DATA_DIR: dataDir,
    NODE_ENV: 'test',
    WORKER_CONCURRENCY: '2',
    SHUTDOWN_TIMEOUT_SECONDS: '10',
    ...env,
  });
  const service = await serve(config, {
    logger: createLogger('debug', { write: (line) => lines.push(line) }),
    announce: () => {},
  });
  t.after(() => service.close());
  const work = join(dataDir, 'work');
  return {
    ...service,
    port: Number(new URL(service.address).port),
    get log() {
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    logText: () => lines.join(''),
    scratch: () =>
      readdirSync(work).flatMap((pool) =>
        readdirSync(join(work, pool)).filter((folder) => !folder.startsWith('child-')),
      ),
  };
}

export interface ConvertRequest {
  query?: string;
  filename?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Sends bytes as the multipart part `file`. */
export function convert(
  { address }: Service,
  file: Uint8Array,
  { query = '', filename = 'photo.jpg', ...init }: ConvertRequest = {},
): Promise<Response> {
  const form = new FormData();
  form.append('file', new Blob([file as BlobPart]), filename);
  return fetch(`${address}/convert${query && `?${query}`}`, { method: 'POST', body: form, ...init });
}

export async function problemOf(response: Response): Promise<ProblemDocument> {
  const type = response.headers.get('content-type');
  if (type !== 'application/problem+json')
    throw new Error(`expected a problem, got ${response.status} ${type}`);
  return (await response.json()) as ProblemDocument;
}

/** The bytes of a request by hand, for what no proper client would send. */
export function multipartParts(boundary: string, parts: [head: string, body: Uint8Array | string][]): Buffer {
  const chunks = parts.flatMap(([head, body]) => [`--${boundary}\r\n${head}\r\n\r\n`, body, '\r\n']);
  return Buffer.concat([...chunks, `--${boundary}--\r\n`].map((chunk) => Buffer.from(chunk as string)));
}

export interface RawConnection {
  socket: Socket;
  /** All that the server sent, once it has closed the connection. */
  answer: Promise<string>;
  /** Resolves when what came so far fits. */
  until: (pattern: RegExp) => Promise<string>;
}

export async function rawConnection({ port }: TestService): Promise<RawConnection> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let text = '';
  const { promise: answer, resolve } = Promise.withResolvers<string>();
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', () => {}); // a reset is one way for a connection to close
  socket.on('end', () => socket.end());
  socket.on('close', () => resolve(text));
  await new Promise<void>((connected) => {
    socket.once('connect', connected);
  });
  const until = (pattern: RegExp) =>
    new Promise<string>((found, failed) => {
      const look = () => pattern.test(text) && found(text);
      socket.on('data', look);
      socket.on('close', () => failed(new Error(`closed before ${pattern}: ${text.slice(0, 500)}`)));
      look();
    });
  return { socket, answer, until };
}

/** Waits for something that happens by itself, soon. */
export async function eventually(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 20) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what}: not within 10 s`);
}
