/**
 * Bounded random access to an untrusted file. One window is held at a time, single reads are capped, and so
 * is the work in all: a header that sends its reader hither and thither ends in a Problem.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Problem } from '../../problem.ts';
import { Fields } from './fields.ts';
import { broken } from './header.ts';

/** Read at once when reading goes on near the window, and after a jump. */
const WINDOW_BYTES = 64 * 1024;
const JUMP_BYTES = 4 * 1024;
/** No single header, profile or table that is needed at once is larger. */
const MAX_READ_BYTES = 4 * 1024 * 1024;
const MAX_LOADS = 20_000;

const tooShort = () => broken('The file ends before its picture does.');

/** What `FileHandle` has of this. */
interface OpenFile {
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): { bytesRead: number } | Promise<{ bytesRead: number }>;
  close(): void | Promise<void>;
}

export class Reader implements AsyncDisposable {
  /** Bytes in the file. */
  readonly size: number;
  readonly #file: OpenFile | undefined;
  readonly #signal: AbortSignal | undefined;
  #window: Uint8Array;
  #start = 0;
  #loads = 0;
  #loadedBytes = 0;

  private constructor(size: number, window: Uint8Array, file?: OpenFile, signal?: AbortSignal) {
    this.size = size;
    this.#window = window;
    this.#file = file;
    this.#signal = signal;
  }

  static async open(path: string, signal?: AbortSignal): Promise<Reader> {
    const file = await open(path, 'r');
    try {
      return new Reader((await file.stat()).size, new Uint8Array(0), file, signal);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** For a process that has nothing else to do meanwhile: handing a read to another thread costs more than the read. */
  static openSync(path: string, signal?: AbortSignal): Reader {
    const fd = openSync(path, 'r');
    const file: OpenFile = {
      read: (buffer, offset, length, position) => ({
        bytesRead: readSync(fd, buffer, offset, length, position),
      }),
      close: () => closeSync(fd),
    };
    try {
      return new Reader(fstatSync(fd).size, new Uint8Array(0), file, signal);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Over bytes that are in memory already. */
  static over(bytes: Uint8Array): Reader {
    return new Reader(bytes.length, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }

  /** The bytes where they are in the window already: spares a loop over small records its awaits. */
  peek(offset: number, length: number): Uint8Array | undefined {
    const at = offset - this.#start;
    return at >= 0 && at + length <= this.#window.length ? this.#window.subarray(at, at + length) : undefined;
  }

  /** Exactly `length` bytes. @throws Problem undecodable_image where the file has fewer. */
  async bytes(offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.upTo(offset, length);
    if (bytes.length < length) throw tooShort();
    return bytes;
  }

  async fields(offset: number, length: number, little = false): Promise<Fields> {
    return new Fields(await this.bytes(offset, length), little);
  }

  /** `length` bytes, or as many as the file has there. */
  async upTo(offset: number, length: number): Promise<Uint8Array> {
    if (!Number.isSafeInteger(offset) || offset < 0) throw tooShort();
    const wanted = Math.min(length, this.size - offset);
    if (wanted <= 0) return new Uint8Array(0);
    if (wanted > MAX_READ_BYTES) {
      throw broken(`A header of the image declares ${wanted} bytes; at most ${MAX_READ_BYTES} are read.`);
    }
    return this.peek(offset, wanted) ?? (await this.#load(offset, wanted));
  }

  /** For scanning: from `offset` as far as one load reaches, at least `min` bytes unless the file ends before. */
  async chunk(offset: number, min: number): Promise<Uint8Array> {
    return this.peek(offset, min)
      ? this.#window.subarray(offset - this.#start)
      : this.upTo(offset, WINDOW_BYTES);
  }

  async #load(offset: number, length: number): Promise<Uint8Array> {
    if (this.#signal?.aborted) throw new Problem('cancelled', { cause: this.#signal.reason });
    if (!this.#file) throw tooShort();
    const onward = offset >= this.#start && offset <= this.#start + this.#window.length + WINDOW_BYTES;
    const wanted = Math.min(Math.max(length, onward ? WINDOW_BYTES : JUMP_BYTES), this.size - offset);
    this.#loads += 1;
    this.#loadedBytes += wanted;
    if (this.#loads > MAX_LOADS || this.#loadedBytes > 2 * this.size + 64 * 1024 * 1024) {
      throw broken('The structure of the image is too scattered to be followed.');
    }
    const window = new Uint8Array(wanted);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await this.#file.read(window, filled, wanted - filled, offset + filled);
      if (bytesRead === 0) throw tooShort();
      filled += bytesRead;
    }
    this.#window = window;
    this.#start = offset;
    return window.subarray(0, length);
  }
}
