/**
 * Runs a WebAssembly decoder in a worker thread of this process.
 *
 * A thread, because a decoder blocks for seconds and can be stopped in no other way; not the pool's process,
 * because that one has to go on listening. One call runs at a time. The thread is kept for the next call
 * unless anything went wrong in it: a module that has thrown is in an unknown state, and its next call may
 * never return.
 */
import { readFile } from 'node:fs/promises';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { Problem } from '../../../problem.ts';
import type { Answer, FaultCode, WorkerStart } from './serve.ts';

export interface WasmDecoderOptions {
  /** As the user knows the format: `HEIC`. Stands in details. */
  name: string;
  /** The worker's source file. */
  worker: URL;
  /** The compiled decoder. */
  wasm: URL;
  /**
   * A thread whose WebAssembly memory is larger than this after a call is not kept: that memory only grows,
   * and would stay resident while the process does something else.
   */
  maxKeptHeapBytes: number;
  resourceLimits?: ResourceLimits;
}

export interface CallOptions {
  /** Wall time from the call on, waiting for an earlier call included. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** setTimeout takes more for 1. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const hosts = new Set<WasmHost<never, unknown>>();

/** Ends all decoder threads of this process, the busy ones too. A later call starts new ones. */
export async function closeWasmWorkers(): Promise<void> {
  await Promise.all(Array.from(hosts, (host) => host.close()));
}

export class WasmHost<Request, Reply> {
  readonly #options: WasmDecoderOptions;
  #module: Promise<WebAssembly.Module> | undefined;
  #worker: Worker | undefined;
  /** Settles, never rejects, when the calls before are done and their threads, if condemned, are gone. */
  #last: Promise<unknown> = Promise.resolve();
  /** The answer that the running call waits for. */
  #answer: PromiseWithResolvers<Answer<Reply>> | undefined;

  constructor(options: WasmDecoderOptions) {
    this.#options = options;
    hosts.add(this as WasmHost<never, unknown>);
  }

  /**
   * @throws Problem as the decoder states it; `processing_timeout` or `cancelled`, and then the thread is ended
   * at once; `memory_exceeded` or `decoder_crashed` where the decoder broke.
   */
  async call(request: Request, { timeoutMs, signal }: CallOptions): Promise<Reply> {
    const stop = Promise.withResolvers<never>();
    stop.promise.catch(() => {});
    const onAbort = () => stop.reject(new Problem('cancelled', { cause: signal?.reason }));
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(
      () => {
        const detail = `Decoding this ${this.#options.name} image took longer than ${timeoutMs / 1000} s.`;
        stop.reject(new Problem('processing_timeout', { detail }));
      },
      Math.min(timeoutMs, MAX_TIMER_MS),
    );

    const before = this.#last;
    const done = Promise.withResolvers<unknown>();
    this.#last = done.promise;
    let running = false;
    try {
      await Promise.race([before, stop.promise]);
      running = true;
      const reply = await this.#run(request, stop.promise);
      done.resolve(undefined);
      return reply;
    } catch (error) {
      // The caller need not wait until the thread is dead; the next call must.
      done.resolve(running ? this.#end() : before);
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Ends the thread; a call that is running fails as `cancelled`. */
  async close(): Promise<void> {
    this.#answer?.reject(new Problem('cancelled'));
    await this.#end();
  }

  async #run(request: Request, stop: Promise<never>): Promise<Reply> {
    this.#module ??= readFile(this.#options.wasm).then((bytes) => WebAssembly.compile(bytes));
    const wasm = await Promise.race([this.#module, stop]);
    this.#worker ??= this.#start(wasm);
    const worker = this.#worker;
    const answer = Promise.withResolvers<Answer<Reply>>();
    answer.promise.catch(() => {});
    this.#answer = answer;
    worker.ref();
    worker.postMessage(request);
    try {
      const message = await Promise.race([answer.promise, stop]);
      if (message.kind === 'fault') throw this.#broken(message.code, message.cause);
      if (message.kind === 'problem') {
        const { code, ...options } = message.problem;
        throw new Problem(code, { ...options, cause: message.cause });
      }
      worker.unref();
      if (message.heapBytes > this.#options.maxKeptHeapBytes) await this.#end();
      return message.reply;
    } finally {
      this.#answer = undefined;
    }
  }

  #start(wasm: WebAssembly.Module): Worker {
    const worker = new Worker(this.#options.worker, {
      workerData: { wasm } satisfies WorkerStart,
      // A decoder reads nothing of the environment, and the process's own flags are not meant for it.
      env: {},
      argv: [],
      execArgv: [],
      ...(this.#options.resourceLimits && { resourceLimits: this.#options.resourceLimits }),
    });
    const lost = (code: FaultCode, cause: unknown) => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#answer?.reject(this.#broken(code, cause));
    };
    worker.on('message', (message: Answer<Reply>) => {
      if (this.#worker === worker) this.#answer?.resolve(message);
    });
    worker.on('error', (error: NodeJS.ErrnoException) =>
      lost(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory_exceeded' : 'decoder_crashed', error),
    );
    worker.on('exit', (code) => lost('decoder_crashed', `the thread ended with code ${code}`));
    return worker;
  }

  #broken(code: FaultCode, cause: unknown): Problem {
    const { name } = this.#options;
    switch (code) {
      case 'decoder_crashed':
        return new Problem(code, { detail: `The ${name} decoder crashed on this image.`, cause });
      case 'memory_exceeded':
        return new Problem(code, { detail: `Decoding this ${name} image needs too much memory.`, cause });
      case 'internal':
        return new Problem(code, { cause });
    }
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
