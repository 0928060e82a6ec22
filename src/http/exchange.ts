/**
 * What the server keeps about one request while it runs: a signal that ends its work, what to release after
 * it, and what the log line will say.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import type { Principal } from '../domain/access.ts';
import { Problem } from '../problem.ts';

export class Exchange {
  readonly startedAtMs = performance.now();
  /** Who is asking, once their token was checked. */
  principal: Principal | undefined;
  /** Of whatever the answer becomes, a result or a problem. */
  readonly headers: Record<string, string | number> = {};
  #problem: Problem | undefined;
  readonly #held = new AsyncDisposableStack();
  readonly #controller = new AbortController();

  /** Aborts when the client goes away, or when the server ends its patience at shutdown. The reason is a Problem. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What was answered in place of a result, or would have been. */
  get problem(): Problem | undefined {
    return this.#problem;
  }

  fail(problem: Problem): void {
    this.#problem ??= problem;
  }

  /** Ends the work. */
  abort(reason: Problem): void {
    this.#controller.abort(reason);
  }

  /**
   * Keeps a resource until the answer is out or the connection is gone; the last one held goes first.
   * @throws the signal's reason where that has happened already; the resource is released then
   */
  async hold<T extends AsyncDisposable>(resource: T): Promise<T> {
    if (!this.#held.disposed) return this.#held.use(resource);
    await resource[Symbol.asyncDispose]();
    throw this.signal.reason ?? new Problem('cancelled');
  }

  release(): Promise<void> {
    return this.#held.disposeAsync();
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
        const gone = new Problem('cancelled', { detail: 'The client closed the connection.' });
        exchange.fail(gone);
        exchange.abort(gone);
      }
      const released = exchange.release().catch(this.#onReleaseFailed);
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
