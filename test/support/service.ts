/** Starts the real service in this process, on a free port, with a data folder of its own. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Service, serve } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import type { ProblemDocument } from '../../src/contract/resources.ts';
import { createLogger } from '../../src/http/request-log.ts';

export interface TestService extends Service {
  port: number;
  /** What was logged, parsed. */
  log: Record<string, unknown>[];
  logText: () => string;
  /** The folders that requests hold at the moment. */
  scratch: () => string[];
  /** What is left in the work folder. */
  workFolder: () => string[];
  /** Takes it away from under the service. */
  removeWorkFolder: () => Promise<void>;
}

export interface Ending {
  after(fn: () => void | Promise<void>): unknown;
}

/**
 * To be called in the body of a `describe`: what `before` starts with it ends with the suite, last in first out. (The
 * `after` of node:test, called within `before`, would run when `before` is over.)
 */
export function endWithSuite(): Ending {
  const ends: (() => void | Promise<void>)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });
  return { after: (end) => ends.push(end) };
}

/** @param t a test's context, or `endWithSuite()` */
export async function startService(t: Ending, env: Record<string, string> = {}): Promise<TestService> {
  const lines: string[] = [];
  const dataDir = mkdtempSync(join(tmpdir(), 'tintype-test-'));
  const config = loadConfig({
    PORT: '0',
    DATA_DIR: dataDir,
    NODE_ENV: 'test',
    WORKER_CONCURRENCY: '2',
    SHUTDOWN_TIMEOUT_SECONDS: '10',
    ...env,
  });
  let service: Service | undefined;
  t.after(async () => {
    await service?.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  service = await serve(config, {
    logger: createLogger('debug', { write: (line) => lines.push(line) }),
    announce: () => {},
  });
  const work = join(dataDir, 'work');
  return {
    ...service,
    port: Number(new URL(service.address).port),
    get log() {
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    logText: () => lines.join(''),
    workFolder: () => readdirSync(work),
    removeWorkFolder: () => rename(work, `${work}-gone`),
    scratch: () =>
      readdirSync(work).flatMap((pool) =>
        readdirSync(join(work, pool)).filter((folder) => folder.startsWith('task-')),
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
  form.append('file', new Blob([file as Uint8Array<ArrayBuffer>]), filename);
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

export async function rawConnection({ port }: Pick<TestService, 'port'>): Promise<RawConnection> {
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
  await once(socket, 'connect');
  const until = (pattern: RegExp) =>
    new Promise<string>((found, failed) => {
      const look = () => pattern.test(text) && found(text);
      socket.on('data', look);
      socket.on('close', () => failed(new Error(`closed before ${pattern}: ${text.slice(0, 500)}`)));
      look();
    });
  return { socket, answer, until };
}

/** Only tells a hang from a machine that is busy. */
const MAX_WAIT_MS = 60_000;

/** Waits for something that happens by itself, soon. */
export async function eventually(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; waitedMs < MAX_WAIT_MS; waitedMs += 20) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what}: not within ${MAX_WAIT_MS / 1000} s`);
}

/** What `fetch` takes as a body; the DOM's types, which would name it, are not those of this project. */
export type FetchBody = NonNullable<RequestInit['body']>;
