/** Writes an incoming file chunk by chunk, counts it, and looks at its head as soon as it is here. */
import { type FileHandle, open } from 'node:fs/promises';
import { Problem } from '../problem.ts';

/** A look at the beginning of a file before more of it is taken. */
export interface HeadInspection {
  bytes: number;
  /** Sees the first `bytes` bytes, or the whole file where it is shorter; throws to refuse it. */
  look: (head: Uint8Array) => void;
}

export interface SinkOptions {
  maxBytes: number;
  inspect?: HeadInspection;
}

export class FileSink implements AsyncDisposable {
  bytes = 0;
  readonly #file: FileHandle;
  readonly #options: SinkOptions;
  /** What `inspect` waits for; undefined when it has seen it. */
  #head: Buffer[] | undefined;

  private constructor(file: FileHandle, options: SinkOptions) {
    this.#file = file;
    this.#options = options;
    if (options.inspect) this.#head = [];
  }

  /** @param path must not exist. */
  static async create(path: string, options: SinkOptions): Promise<FileSink> {
    try {
      return new FileSink(await open(path, 'wx', 0o600), options);
    } catch (error) {
      throw storageProblem(error);
    }
  }

  /**
   * Resolves when the chunk is with the file system.
   * @throws Problem `upload_too_large`, `storage_full`, or what `inspect` throws.
   */
  async write(chunk: Buffer): Promise<void> {
    const { maxBytes } = this.#options;
    this.bytes += chunk.length;
    if (this.bytes > maxBytes) throw new Problem('upload_too_large', { detail: `${atMost(maxBytes)}.` });
    if (this.#head) {
      this.#head.push(chunk);
      if (this.bytes >= (this.#options.inspect?.bytes ?? 0)) this.#inspect();
    }
    try {
      for (let offset = 0; offset < chunk.length; ) {
        offset += (await this.#file.write(chunk, offset, chunk.length - offset)).bytesWritten;
      }
    } catch (error) {
      throw storageProblem(error);
    }
  }

  /** Call when the file is complete: a short one is inspected only now. */
  finish(): void {
    if (this.bytes === 0) throw new Problem('malformed_request', { detail: 'The file is empty.' });
    if (this.#head) this.#inspect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  #inspect(): void {
    const head = Buffer.concat(this.#head ?? []);
    this.#head = undefined;
    const { inspect } = this.#options;
    inspect?.look(head.subarray(0, inspect.bytes));
  }
}

/** The limit in the client's words, without a full stop. */
export const atMost = (maxBytes: number): string => `The file may have at most ${readableBytes(maxBytes)}`;

export function readableBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${Math.round((bytes / 1024 / 1024) * 10) / 10} MB`;
}

function storageProblem(cause: unknown): Problem {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return new Problem(code === 'ENOSPC' || code === 'EDQUOT' ? 'storage_full' : 'internal', { cause });
}
