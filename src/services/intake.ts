/** Files on their way in: counted, looked at and hashed while they are written. */
import { createHash } from 'node:crypto';
import { Problem } from '../problem.ts';

/** Takes bytes, one chunk at a time. */
export interface ByteTarget {
  write(chunk: Uint8Array): Promise<void>;
}

/** A look at the beginning of a file before more of it is taken. */
export interface HeadInspection {
  bytes: number;
  /** Sees the first `bytes` bytes, or the whole file where it is shorter; throws to refuse it. */
  look: (head: Uint8Array) => void;
}

export interface IntakeOptions {
  maxBytes: number;
  inspect?: HeadInspection;
  /** Compute the SHA-256 as well. */
  hash?: true;
}

export class Intake implements ByteTarget {
  bytes = 0;
  readonly #target: ByteTarget;
  readonly #options: IntakeOptions;
  readonly #hash;
  /** What `inspect` waits for; undefined when it has seen it. */
  #head: Uint8Array[] | undefined;
  #sha256: string | undefined;

  constructor(target: ByteTarget, options: IntakeOptions) {
    this.#target = target;
    this.#options = options;
    this.#hash = options.hash && createHash('sha256');
    if (options.inspect) this.#head = [];
  }

  /** Lower-case hex. To be asked for after `finish`. */
  get sha256(): string {
    if (this.#sha256 === undefined) throw new TypeError('the file is not finished, or was not hashed');
    return this.#sha256;
  }

  /** @throws Problem `upload_too_large`, what `inspect` throws, what the target throws */
  async write(chunk: Uint8Array): Promise<void> {
    const { maxBytes, inspect } = this.#options;
    this.bytes += chunk.length;
    if (this.bytes > maxBytes) throw new Problem('upload_too_large', { detail: `${atMost(maxBytes)}.` });
    if (this.#head) {
      this.#head.push(chunk);
      if (this.bytes >= (inspect?.bytes ?? 0)) this.#inspect();
    }
    const written = this.#target.write(chunk);
    // While another thread writes.
    this.#hash?.update(chunk);
    await written;
  }

  /** Call when the file is complete: a short one is inspected only now. */
  finish(): void {
    if (this.bytes === 0) throw new Problem('malformed_request', { detail: 'The file is empty.' });
    if (this.#head) this.#inspect();
    this.#sha256 ??= this.#hash?.digest('hex');
  }

  #inspect(): void {
    const head = this.#head ?? [];
    this.#head = undefined;
    const { inspect } = this.#options;
    inspect?.look((head.length === 1 ? head[0]! : Buffer.concat(head)).subarray(0, inspect.bytes));
  }
}

/** The limit in the client's words, without a full stop. */
export const atMost = (maxBytes: number): string => `The file may have at most ${readableBytes(maxBytes)}`;

export function readableBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${Math.round((bytes / 1024 / 1024) * 10) / 10} MB`;
}
