/**
 * Answers a client that is still sending. Closing a socket that holds unread bytes resets the connection, and the
 * reset can overtake the answer; so the answer goes out whole, then what still arrives is read and thrown away for
 * a bounded while, and only then is the response ended and the connection closed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

const MAX_DRAINED_BYTES = 32 * 1024 * 1024;
const MAX_DRAIN_MS = 5_000;
/** A client that has stopped sending has either read the answer or gone. */
const IDLE_MS = 1_000;

const awaitingContinue = new WeakMap<IncomingMessage, ServerResponse>();

/** Notes that the client sent `Expect: 100-continue` and holds its body back. */
export function holdBody(request: IncomingMessage, response: ServerResponse): void {
  awaitingContinue.set(request, response);
}

/** Tells a client that holds its body back to send it. Until then a refusal spares it the sending. */
export function allowBody(request: IncomingMessage): void {
  awaitingContinue.get(request)?.writeContinue();
  awaitingContinue.delete(request);
}

/** Whether bytes of the body may still arrive. */
export function bodyPending(request: IncomingMessage): boolean {
  if (request.complete || request.readableEnded || request.destroyed) return false;
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0;
}

/**
 * A stream of `body` that ends only when the request's body has ended, went quiet, or was drained for long enough.
 * The response needs its Content-Length, so that the client knows the answer is complete before the stream ends.
 */
export function answerBeforeBodyEnds(body: Uint8Array, request: IncomingMessage): Readable {
  let drainedBytes = 0;
  const answer = new Readable({
    read() {},
    destroy(error, callback) {
      stop();
      callback(error);
    },
  });
  const end = (): void => {
    stop();
    if (!answer.destroyed) answer.push(null);
  };
  const onData = (chunk: Buffer): void => {
    drainedBytes += chunk.length;
    if (drainedBytes > MAX_DRAINED_BYTES) end();
    else idle.refresh();
  };
  const idle = setTimeout(end, IDLE_MS);
  const deadline = setTimeout(end, MAX_DRAIN_MS);
  function stop(): void {
    clearTimeout(idle);
    clearTimeout(deadline);
    request.off('data', onData).off('end', end).off('close', end);
  }
  answer.push(body);
  request.on('error', ignore).on('data', onData).once('end', end).once('close', end);
  request.resume();
  return answer;
}

/** The client has its answer; how its connection ends no longer matters. */
function ignore(): void {}
