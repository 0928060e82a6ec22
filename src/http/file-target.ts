/** A new file that an incoming one is written to. */
import { type FileHandle, open } from 'node:fs/promises';
import { Problem } from '../problem.ts';
import type { ByteTarget } from '../services/intake.ts';

export class FileTarget implements ByteTarget, AsyncDisposable {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @param path must not exist. @throws Problem `storage_full` */
  static async create(path: string): Promise<FileTarget> {
    try {
      return new FileTarget(await open(path, 'wx', 0o600));
    } catch (error) {
      throw storageProblem(error);
    }
  }

  /** Resolves when the chunk is with the file system. @throws Problem `storage_full` */
  async write(chunk: Uint8Array): Promise<void> {
    try {
      for (let offset = 0; offset < chunk.length; ) {
        offset += (await this.#file.write(chunk, offset, chunk.length - offset)).bytesWritten;
      }
    } catch (error) {
      throw storageProblem(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

function storageProblem(cause: unknown): Problem {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return new Problem(code === 'ENOSPC' || code === 'EDQUOT' ? 'storage_full' : 'internal', { cause });
}
