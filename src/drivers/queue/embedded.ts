/**
 * The queue of a service that is one process: a list of ids in memory. It forgets all when the process ends, and tells
 * other processes nothing; their workers, and those of the next start, find the jobs when they poll the catalog.
 */
import type { Delivery, Queue } from '../../ports/queue.ts';
import { Problem } from '../../problem.ts';

/** More are dropped: workers lease until nothing is due, and so many deliveries keep them at it for long enough. */
const MAX_WAITING = 10_000;

export class EmbeddedQueue implements Queue {
  /** In the order of arrival; an id that waits already is not added again. */
  readonly #waiting = new Set<string>();
  readonly #receivers = new Set<(jobId: string | undefined) => void>();
  readonly #delayed = new Set<NodeJS.Timeout>();
  #closed = false;

  async announce(jobIds: readonly string[]): Promise<void> {
    if (this.#closed) throw new Problem('shutting_down');
    for (const jobId of jobIds) this.#deliver(jobId);
  }

  async receive(timeoutMs: number, signal?: AbortSignal): Promise<Delivery | undefined> {
    if (this.#closed || signal?.aborted) return undefined;
    const [first] = this.#waiting;
    if (first !== undefined) {
      this.#waiting.delete(first);
      return this.#delivery(first);
    }
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const giveUp = () => resolve(undefined);
    const timer = setTimeout(giveUp, timeoutMs);
    signal?.addEventListener('abort', giveUp, { once: true });
    this.#receivers.add(resolve);
    const jobId = await promise;
    this.#receivers.delete(resolve);
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
    return jobId === undefined ? undefined : this.#delivery(jobId);
  }

  async check(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#delayed) clearTimeout(timer);
    for (const resolve of this.#receivers) resolve(undefined);
    this.#waiting.clear();
  }

  #deliver(jobId: string): void {
    const [receiver] = this.#receivers;
    if (receiver) {
      this.#receivers.delete(receiver);
      receiver(jobId);
    } else if (this.#waiting.size < MAX_WAITING) this.#waiting.add(jobId);
  }

  #delivery(jobId: string): Delivery {
    let settled = false;
    return {
      jobId,
      ack: async () => {
        settled = true;
      },
      nack: async (delayMs) => {
        if (settled || this.#closed) return;
        settled = true;
        const timer = setTimeout(() => {
          this.#delayed.delete(timer);
          this.#deliver(jobId);
        }, delayMs);
        this.#delayed.add(timer);
      },
    };
  }
}
