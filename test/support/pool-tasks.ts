/** A task module for the pool's tests: tasks that do to their process what hostile images do to decoders. */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Problem } from '../../src/problem.ts';

const hoard: Buffer[] = [];

/** A process that outlives its parent unless it is killed. */
const startSleeper = () => spawn('sleep', ['600'], { stdio: 'inherit' }).pid ?? 0;

export const tasks = {
  echo: <V>(value: V): V => value,

  describe: () => ({
    pid: process.pid,
    env: { ...process.env },
    cwd: process.cwd(),
    oomScore: process.platform === 'linux' ? Number(readFileSync('/proc/self/oom_score_adj', 'utf8')) : 0,
  }),

  /** Says who it is, then works until it is killed without ever reading a message. */
  hang: (_: null, report: (event: { pid: number; sleeper: number }) => void) => {
    report({ pid: process.pid, sleeper: startSleeper() });
    // The channel is written by the event loop of this thread: give it a turn before it is taken away.
    return new Promise<never>(() =>
      setTimeout(() => {
        for (;;);
      }, 20),
    );
  },

  /** Waits without using the processor. */
  sleep: async ({ ms }: { ms: number }, report: (event: { pid: number; sleeper: number }) => void) => {
    report({ pid: process.pid, sleeper: startSleeper() });
    await new Promise((resolve) => setTimeout(resolve, ms));
  },

  /** Takes memory, 16 MiB at a time, to `maxBytes`. */
  grow: async ({ maxBytes }: { maxBytes: number }) => {
    for (let held = 0; held < maxBytes; held += 2 ** 24) {
      hoard.push(Buffer.alloc(2 ** 24, 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return 'was not stopped';
  },

  /** As a metadata tool does on a file that lies to it. */
  growElsewhere: ({ bytes }: { bytes: number }) => {
    spawn(process.execPath, [
      '-e',
      `globalThis.held = Buffer.alloc(${bytes}, 1); setInterval(() => {}, 1000)`,
    ]);
    return new Promise<never>(() => {});
  },

  /** Holds memory after the task has ended, as a decoder that leaks. */
  leak: ({ bytes }: { bytes: number }) => {
    hoard.push(Buffer.alloc(bytes, 1));
    return process.pid;
  },

  growHeap: () => {
    const arrays: number[][] = [];
    for (;;) arrays.push(new Array(4_000_000).fill(arrays.length));
  },

  crash: async ({ signal }: { signal: NodeJS.Signals }, report: (event: { sleeper: number }) => void) => {
    report({ sleeper: startSleeper() });
    console.error('about to crash');
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(process.pid, signal);
    await new Promise(() => {});
  },

  exit: () => process.exit(3),

  throwProblem: (): never => {
    throw new Problem('undecodable_image', {
      detail: 'The file ends early.',
      extra: { preview_available: true },
      cause: new Error('short read'),
    });
  },

  throwError: (): never => {
    throw new Error('a bug');
  },

  returnFunction: () => () => {},

  writeTemp: ({ dir }: { dir: string }) => {
    for (const folder of [dir, tmpdir()]) writeFileSync(join(folder, 'left-behind.tmp'), 'x');
    return tmpdir();
  },

  events: ({ count }: { count: number }, report: (event: number) => void) => {
    for (let i = 0; i < count; i++) report(i);
    return count;
  },
};
