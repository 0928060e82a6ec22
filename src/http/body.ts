/** Reads a request's body at the pace of what it is written to, and gives up on clients that stall. */
import type { IncomingMessage } from 'node:http';
import { Writable } from 'node:stream';
import { Problem } from '../problem.ts';
import { allowBody } from './early-answer.ts';

/** A body that brings less than this in a window is not a slow network but an attack, or a client that hangs. */
const MIN_BYTES_A_WINDOW = 4096;
const STALL_WINDOW_MS = 30_000;

export interface BodyOptions {
  signal: AbortSignal;
  /** Time in which at least 4096 bytes must arrive; 30 s when absent. */
  stallWindowMs?: number;
}

/**
 * Pipes a body into a stream until both have ended. When it fails the request is only let go, not destroyed: its
 * connection still has to carry the answer.
 * @param endedEarly what an error of `into` that is no Problem means
 * @throws Problem `request_timeout` when the client stalls, `cancelled` when it goes; the signal's reason; what `into`
 *   fails with
 */
export async function pipeBody(
  raw: IncomingMessage,
  into: Writable,
  options: BodyOptions,
  endedEarly: (cause: unknown) => Problem,
): Promise<void> {
  const stalled = new AbortController();
  const signal = AbortSignal.any([options.signal, stalled.signal]);
  const window = setInterval(stallCheck(raw, stalled), options.stallWindowMs ?? STALL_WINDOW_MS);
  try {
    allowBody(raw);
    await pump(raw, into, signal, endedEarly);
  } finally {
    clearInterval(window);
  }
}

/** A body that is the file itself. */
export async function receiveBody(
  raw: IncomingMessage,
  sink: { write(chunk: Buffer): Promise<void> },
  options: BodyOptions,
): Promise<void> {
  const into = new Writable({
    write(chunk: Buffer, _encoding, done) {
      sink.write(chunk).then(() => done(), done);
    },
  });
  await pipeBody(raw, into, options, Problem.from);
}

function pump(
  raw: IncomingMessage,
  into: Writable,
  signal: AbortSignal,
  endedEarly: (cause: unknown) => Problem,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  const onClose = (): void => {
    if (!raw.complete) reject(new Problem('cancelled', { detail: 'The client closed the connection.' }));
  };
  let ended = raw.readableEnded;
  let finished = false;
  const onEnd = (): void => {
    ended = true;
    if (finished) resolve();
  };
  into.on('finish', () => {
    finished = true;
    if (ended) resolve();
  });
  into.on('error', (error) => reject(error instanceof Problem ? error : endedEarly(error)));
  raw.on('error', noop).on('end', onEnd).on('close', onClose);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  else raw.pipe(into);
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort);
    raw.unpipe(into).off('end', onEnd).off('close', onClose);
  });
}

function stallCheck(raw: IncomingMessage, stalled: AbortController): () => void {
  let before = raw.socket.bytesRead;
  return () => {
    const now = raw.socket.bytesRead;
    if (now - before < MIN_BYTES_A_WINDOW) {
      stalled.abort(new Problem('request_timeout', { detail: 'The body arrives too slowly.' }));
    }
    before = now;
  };
}

/** The media type without its parameters, in lower case; empty where there is none. */
export function mediaType(header: string | undefined): string {
  const [type = ''] = (header ?? '').split(';', 1);
  return type.trim().toLowerCase();
}

function noop(): void {}
