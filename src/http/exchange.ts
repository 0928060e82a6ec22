/**
 * What the server keeps about one request while it runs: a signal that ends its work, what to release after
 * it, and what the log line will say.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { Problem, type ProblemCode } from '../problem.ts';

export class Exchange {
  readonly startedAtMs = performance.now();
  /** Released when the answer is out or the connection is gone, last in first out. */
  readonly resources = new AsyncDisposableStack();
  problemCode: ProblemCode | undefined;
  /** What the log should know beyond the problem's code. */
  cause: unknown;
  readonly #controller = new AbortController();

  /** Aborts when the client goes away, or when the server ends its patience at shutdown. The reason is a Problem. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: Problem): void {
    this.#controller.abort(reason);
  }
}

/** All the requests that a server is working on. */
export class Exchanges {
  readonly #running = new Set<Exchange>();
  readonly #releasing = new Set<Promise<void>>();
  readonly #byRequest = new WeakMap<IncomingMessage, Exchange>();
  readonly #onReleaseFailed: (error: unknown) => void;

  constructor(onReleaseFailed: (error: unknown) => void) {
    this.#onReleaseFailed = onReleaseFailed;
  }

  get size(): number {
    return this.#running.size;
  }

  /** A request that is open already stays as it is. */
  open(request: IncomingMessage, response: ServerResponse, onClose: (exchange: Exchange) => void): Exchange {
    const known = this.#byRequest.get(request);
    if (known) return known;
    const exchange = new Exchange();
    this.#running.add(exchange);
    this.#byRequest.set(request, exchange);
    response.once('close', () => {
      this.#running.delete(exchange);
      if (!response.writableFinished) {
        exchange.abort(new Problem('cancelled', { detail: 'The client closed the connection.' }));
      }
      const released = exchange.resources.disposeAsync().catch(this.#onReleaseFailed);
      this.#releasing.add(released);
      void released.then(() => this.#releasing.delete(released));
      onClose(exchange);
    });
    return exchange;
  }

  of(request: FastifyRequest): Exchange {
    const exchange = this.#byRequest.get(request.raw);
    if (!exchange) throw new Error('the request was never opened');
    return exchange;
  }

  /** Ends the work of every running request. */
  abortAll(reason: Problem): void {
    for (const exchange of this.#running) exchange.abort(reason);
  }

  /** Resolves when what finished requests held is released. */
  async released(): Promise<void> {
    await Promise.all(this.#releasing);
  }
}
