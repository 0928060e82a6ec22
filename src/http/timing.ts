/** Milliseconds of the stages of one request, for the `Server-Timing` header (W3C Server Timing). */
export class Timing {
  readonly #stages: string[] = [];

  async of<T>(stage: string, work: () => Promise<T>): Promise<T> {
    const startedAtMs = performance.now();
    const result = await work();
    this.#stages.push(`${stage};dur=${(performance.now() - startedAtMs).toFixed(1)}`);
    return result;
  }

  header(): string {
    return this.#stages.join(', ');
  }
}
