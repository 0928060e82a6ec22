/**
 * The worker's side of `host.ts`: one request in, one answer out. What the two say to each other stands here.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Problem, type ProblemCode, type SerializedProblem } from '../../../problem.ts';

/** What a worker is started with. */
export interface WorkerStart {
  /** Compiled once by the process; the threads share its code. */
  wasm: WebAssembly.Module;
}

export type Answer<Reply> =
  | { kind: 'reply'; reply: Reply; heapBytes: number }
  /** The decoder refuses this image. What lies beneath is for the log, so its text will do. */
  | { kind: 'problem'; problem: SerializedProblem; cause?: string }
  /** Something broke in the thread. */
  | { kind: 'fault'; code: FaultCode; cause: string };

export type FaultCode = Extract<ProblemCode, 'decoder_crashed' | 'memory_exceeded' | 'internal'>;

export interface Served<Reply> {
  reply: Reply;
  /** Buffers that move to the caller instead of being copied. */
  transfer: ArrayBuffer[];
}

export interface Decoder<Request, Reply> {
  decode(request: Request): Served<Reply>;
  /** Bytes of WebAssembly memory; it never shrinks. */
  heapBytes(): number;
}

/**
 * Answers requests for the life of this worker. The decoder is started with the first one, so that a decoder
 * that cannot start fails a call and not the thread.
 */
export function serve<Request, Reply>(
  start: (wasm: WebAssembly.Module) => Promise<Decoder<Request, Reply>>,
): void {
  const port = parentPort!;
  const { wasm } = workerData as WorkerStart;
  let decoder: Promise<Decoder<Request, Reply>> | undefined;

  port.on('message', async (request: Request) => {
    try {
      decoder ??= start(wasm);
      const { decode, heapBytes } = await decoder;
      const { reply, transfer } = decode(request);
      port.postMessage({ kind: 'reply', reply, heapBytes: heapBytes() } satisfies Answer<Reply>, transfer);
    } catch (error) {
      port.postMessage(refusal(error));
    }
  });
}

function refusal(error: unknown): Answer<never> {
  if (!(error instanceof Problem)) return { kind: 'fault', code: faultCode(error), cause: text(error) };
  const problem = error.serialize();
  return error.cause === undefined
    ? { kind: 'problem', problem }
    : { kind: 'problem', problem, cause: text(error.cause) };
}

function faultCode(error: unknown): FaultCode {
  // A system error: the source could not be read.
  if ((error as NodeJS.ErrnoException).syscall !== undefined) return 'internal';
  const message = error instanceof Error ? error.message : String(error);
  return OUT_OF_MEMORY.test(message) ? 'memory_exceeded' : 'decoder_crashed';
}

/** Ours, Emscripten's and V8's words for it. */
const OUT_OF_MEMORY = /out of memory|\bOOM\b|enlarge memory|could not allocate|allocation failed/i;

function text(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
