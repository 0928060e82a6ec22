/** Work on one thing at a time, by the thing's name: whoever comes second finds done what the first was asked for as well. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Resolves when all who asked for the same name before have disposed of theirs.
   * @throws the signal's reason where it aborts first
   */
  async take(name: string, signal: AbortSignal): Promise<Disposable> {
    const before = this.#last.get(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    // Also where this one gives up waiting, those behind it wait for those before it.
    const mine = before ? before.then(() => promise) : promise;
    this.#last.set(name, mine);
    void mine.then(() => this.#last.get(name) === mine && this.#last.delete(name));
    try {
      signal.throwIfAborted();
      if (before) await orAbort(before, signal);
    } catch (error) {
      resolve();
      throw error;
    }
    return { [Symbol.dispose]: resolve };
  }
}

/** @throws the signal's reason where it aborts first */
export function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', abort));
}
