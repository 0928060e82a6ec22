/** After so long a task stands before all that came later, whatever their priority: nobody waits for ever. */
const PATIENCE_MS = 5_000;

/** Tasks that wait for a child: higher priority first, and in the order of their arrival within a priority. */
export class WaitingList<T extends { readonly priority: number; readonly queuedAt: number }> {
  readonly #items: T[] = [];

  get length(): number {
    return this.#items.length;
  }

  add(item: T): void {
    const after = this.#items.findLastIndex((other) => other.priority >= item.priority);
    this.#items.splice(after + 1, 0, item);
  }

  /** For one that has been at the front already. */
  putBack(item: T): void {
    this.#items.unshift(item);
  }

  take(): T | undefined {
    const [first] = this.#items;
    if (!first) return undefined;
    const oldest = this.#items.reduce((a, b) => (b.queuedAt < a.queuedAt ? b : a), first);
    const isPatient = performance.now() - oldest.queuedAt < PATIENCE_MS;
    const next = isPatient ? first : oldest;
    this.remove(next);
    return next;
  }

  /** @returns whether it was waiting */
  remove(item: T): boolean {
    const at = this.#items.indexOf(item);
    if (at >= 0) this.#items.splice(at, 1);
    return at >= 0;
  }

  takeAll(): T[] {
    return this.#items.splice(0);
  }
}
