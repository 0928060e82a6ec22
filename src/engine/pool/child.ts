/**
 * A pool's child: loads a task module, then runs one task after another as the parent sends them. It trusts no
 * source: it may be killed at any moment, and cleaning up after it is the parent's matter.
 *
 * Arguments: the task module's URL, the parent's process id. Started in a process group of its own.
 */
import { writeFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { Worker } from 'node:worker_threads';
import { Problem } from '../../problem.ts';
import type { ChildMessage, Outcome, RunMessage, TaskTable } from './protocol.ts';

const [, , taskModule, parentPid] = process.argv;
const MAX_CAUSE_CHARS = 4_000;
/** Above this the heap is collected between two tasks: buffers that wait for the collector count as resident. */
const COLLECT_ABOVE_BYTES = 250 * 1024 * 1024;

process.on('disconnect', endGroup);
// A service manager signals the whole control group; the parent alone decides when a task is given up.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});

if (process.platform === 'linux') {
  // The kernel, short of memory, should take a decoder and not the server; no image content in a core file.
  tryToWrite('/proc/self/oom_score_adj', '600');
  tryToWrite('/proc/self/coredump_filter', '0');
}

// 'disconnect' is not heard while this thread is inside a decoder, so a thread watches for the parent's death
// too. Source text instead of a file: a thread this small starts without the TypeScript loader.
new Worker(
  `const parent = ${Number(parentPid)};
   setInterval(() => { if (process.ppid !== parent) process.kill(-process.pid, 'SIGKILL'); }, 500);`,
  { eval: true, resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 } },
).unref();

const { tasks, warmUp }: { tasks: TaskTable; warmUp?: () => Promise<void> } = await import(taskModule ?? '');
await warmUp?.();

process.on('message', async (message: RunMessage) => {
  if (await runTask(message)) return;
  globalThis.gc?.();
  send({ type: 'idle', id: message.id });
});
send({ type: 'ready' });
// Node writes the cache when a process ends by itself, which a child never does.
setImmediate(flushCompileCache);

/** @returns whether nothing has to be tidied up */
async function runTask({ id, kind, input, reports }: RunMessage): Promise<boolean> {
  send({ type: 'started', id });
  try {
    const task = tasks[kind];
    if (!task) throw new Error(`no task is called ${kind}`);
    const report = reports ? (event: unknown) => send({ type: 'event', id, event }) : () => {};
    return end(id, { type: 'done', value: await task(input, report) });
  } catch (error) {
    const problem = Problem.from(error);
    const cause = describe(problem.cause);
    return end(id, { type: 'failed', problem: problem.serialize(), ...(cause !== undefined && { cause }) });
  }
}

/** @throws where the outcome cannot be sent */
function end(id: number, outcome: Outcome): boolean {
  const idle = process.memoryUsage.rss() <= COLLECT_ABOVE_BYTES;
  send({ ...outcome, id, idle });
  return idle;
}

function describe(cause: unknown): string | undefined {
  if (cause === undefined) return undefined;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return text.slice(0, MAX_CAUSE_CHARS);
}

function send(message: ChildMessage): void {
  // The only way to fail is that the parent has gone; 'disconnect' follows.
  if (process.connected) process.send?.(message, () => {});
}

/** For precautions that a sandbox may deny. */
function tryToWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    console.error(`${path} stays as it is: ${error}`);
  }
}

function endGroup(): never {
  process.kill(-process.pid, 'SIGKILL');
  process.exit(1);
}
