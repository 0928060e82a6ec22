/** One child process of the pool: its life, the task that it runs, and the bounds that the task must keep. */
import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Problem } from '../../problem.ts';
import type { ChildMessage, RunMessage } from './protocol.ts';
import type { Scratch, Workspace } from './scratch.ts';

// The extension follows this file's own: .ts from source, .js when compiled.
const ENTRY = fileURLToPath(new URL(`./child${extname(import.meta.url)}`, import.meta.url));
const MAX_STDERR_CHARS = 8_192;
const MAX_TIMER_MS = 2 ** 31 - 1;
/** A process that was killed is gone within milliseconds, unless the kernel holds it in a stuck disk read. */
const MAX_DYING_MS = 5_000;
/** The output of a dead process may still be in the pipe; a stray process may hold the pipe open. */
const MAX_STDERR_DRAIN_MS = 200;
/** Collecting the heap after a task takes milliseconds. */
const MAX_TIDYING_MS = 10_000;

/**
 * All that a child inherits. Named one by one: the server's environment holds keys and passwords, and a decoder
 * has no need of them.
 */
const INHERITED = ['PATH', 'TZ', 'LD_LIBRARY_PATH', 'FONTCONFIG_PATH', 'FONTCONFIG_FILE', 'XDG_DATA_DIRS'];

const NODE_OPTIONS = [
  // Pixels lie outside of the JavaScript heap; what lies in it is small.
  '--max-old-space-size=512',
  '--expose-gc',
  '--disable-warning=ExperimentalWarning',
];

/** What a task must keep to, and where its progress goes. */
export interface Job {
  kind: string;
  input: unknown;
  timeoutMs: number;
  maxMemoryBytes: number;
  /** Absent where nobody listens. */
  report?: ((event: unknown) => void) | undefined;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The end of what the child wrote to stderr. */
  stderr: string;
  /**
   * Why the pool killed it: its task's bounds or caller, no answer in time, or no further use for it.
   * Absent where it died by itself.
   */
  reason?: Problem | 'unresponsive' | 'retired';
}

export interface MemberHooks {
  /** Able to take a task, for the first time or after one. */
  idle(): void;
  /** Last call of all. Its task, if it had one, has been rejected by then. */
  exit(exit: Exit): void;
}

interface Running extends Job {
  id: number;
  started: boolean;
  timer: NodeJS.Timeout | undefined;
  peakRssBytes: number;
  resolve: (outcome: { value: unknown; peakRssBytes: number }) => void;
  reject: (reason: Problem | NotStarted) => void;
}

/** The child was gone before it began the task: another child may have it. */
export class NotStarted extends Error {
  override readonly name = 'NotStarted';
}

export class Member {
  state: 'starting' | 'idle' | 'busy' | 'tidying' | 'dying' | 'dead' = 'starting';
  /** Has come up once. */
  ready = false;
  /** Resident bytes when last sampled, descendants included. */
  rssBytes = 0;
  /** Has worked since then. */
  isUnseen = false;
  /** Tasks that it has begun. */
  taskCount = 0;
  readonly #child: ChildProcess;
  readonly #hooks: MemberHooks;
  readonly #folder: Scratch;
  #running: Running | undefined;
  #reason: Exit['reason'];
  #stderr = '';
  #timer: NodeJS.Timeout | undefined;
  #nextId = 1;

  /** @throws where its folder, its home and temporary folder, cannot be made; it is removed when the child is dead */
  constructor(taskModule: URL, workspace: Workspace, startTimeoutMs: number, hooks: MemberHooks) {
    const folder = workspace.folder('child');
    this.#hooks = hooks;
    this.#folder = folder;
    this.#child = fork(ENTRY, [taskModule.href, String(process.pid)], {
      cwd: folder.dir,
      detached: true, // its own process group, so that one signal reaches exiftool and the like as well
      env: environment(folder.dir, workspace.codeCacheDir),
      execArgv: NODE_OPTIONS,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR_CHARS);
    });
    this.#child.on('message', (message) => this.#hear(message as ChildMessage));
    this.#child.on('exit', (code, signal) => this.#exited(code, signal));
    this.#child.on('error', (error) => {
      // Could not be spawned at all (no 'exit' follows), or could not be signalled or written to (one does).
      this.#stderr += String(error);
      if (this.#child.pid === undefined) void this.#finish(null, null);
    });
    this.#timer = setTimeout(() => this.kill('unresponsive'), startTimeoutMs);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * @returns the task's value, and the most memory that was seen while it ran (0 for one too short to be sampled)
   * @throws Problem: the task's own; `processing_timeout`, `decoder_crashed`, `memory_exceeded`; what `kill` gave
   * @throws NotStarted
   */
  run(job: Job): Promise<{ value: unknown; peakRssBytes: number }> {
    if (this.state !== 'idle') throw new Error(`a ${this.state} child takes no task`);
    this.state = 'busy';
    this.#hold(true);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = this.#deadline(job);
      this.#running = { ...job, id, timer, started: false, peakRssBytes: 0, resolve, reject };
      const { kind, input, report } = job;
      const message: RunMessage = { type: 'run', id, kind, input, reports: report !== undefined };
      try {
        this.#child.send(message, (error) => {
          if (error) this.kill('unresponsive');
        });
      } catch (error) {
        // The input holds what cannot be cloned, a function for instance: the child never saw it.
        this.#end();
        this.#running = undefined;
        reject(Problem.from(error));
        this.#rest();
      }
    });
  }

  /** To be called with each new reading; kills the child if its task has outgrown its cap. */
  sampled(rssBytes: number): void {
    this.rssBytes = rssBytes;
    this.isUnseen = false;
    if (!this.#running) return;
    this.#running.peakRssBytes = Math.max(this.#running.peakRssBytes, rssBytes);
    if (rssBytes <= this.#running.maxMemoryBytes) return;
    this.kill(
      new Problem('memory_exceeded', {
        detail: `Processing this image takes more than ${mebibytes(this.#running.maxMemoryBytes)} of memory, the most that is allowed.`,
        cause: new Error(`child ${this.pid} and its descendants hold ${mebibytes(rssBytes)}`),
      }),
    );
  }

  /** Kills the whole group at once. A task that is running is rejected with `reason` when the child is gone. */
  kill(reason: NonNullable<Exit['reason']>): void {
    if (this.#reason !== undefined || this.state === 'dead') return;
    this.#reason = reason;
    this.state = 'dying';
    clearTimeout(this.#timer);
    clearTimeout(this.#running?.timer);
    this.#killGroup();
    this.#hold(true);
    this.#timer = setTimeout(() => void this.#finish(null, null), MAX_DYING_MS);
  }

  #hear(message: ChildMessage): void {
    // What a child says after its sentence counts no more; the last words of one that died by itself do.
    if (this.#reason !== undefined) return;
    if (message.type === 'ready') {
      this.ready = true;
      this.#rest();
      return;
    }
    if (message.type === 'idle') {
      this.#rest();
      return;
    }
    const running = this.#running;
    if (running?.id !== message.id) return; // an event that a finished task sent late
    switch (message.type) {
      case 'started':
        running.started = true;
        this.taskCount += 1;
        clearTimeout(running.timer);
        running.timer = this.#deadline(running);
        return;
      case 'event':
        try {
          running.report?.(message.event);
        } catch (error) {
          this.kill(Problem.from(error)); // the listener is the caller's: its failure is this task's alone
        }
        return;
      case 'done':
        this.#end();
        running.resolve({ value: message.value, peakRssBytes: running.peakRssBytes });
        break;
      case 'failed': {
        const problem = Problem.deserialize(message.problem);
        if (message.cause !== undefined) problem.cause = new Error(message.cause);
        this.#end();
        running.reject(problem);
      }
    }
    this.#running = undefined;
    if (message.idle) this.#rest();
  }

  #rest(): void {
    if (this.state === 'dying' || this.state === 'dead') return;
    clearTimeout(this.#timer);
    this.state = 'idle';
    this.isUnseen = true;
    this.#hold(false);
    this.#hooks.idle();
  }

  #end(): void {
    clearTimeout(this.#running?.timer);
    if (this.state !== 'busy') return;
    this.state = 'tidying';
    this.#timer = setTimeout(() => this.kill('unresponsive'), MAX_TIDYING_MS);
  }

  #deadline({ timeoutMs }: Job): NodeJS.Timeout {
    return setTimeout(
      () =>
        this.kill(
          new Problem('processing_timeout', {
            detail: `Processing this image takes more than ${timeoutMs / 1000} seconds, the most that is allowed.`,
          }),
        ),
      Math.min(timeoutMs, MAX_TIMER_MS),
    );
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.state !== 'dead') this.state = 'dying';
    clearTimeout(this.#timer);
    clearTimeout(this.#running?.timer);
    // What a crashed child had started is still there, and is nobody's now.
    this.#killGroup();
    const drained = setTimeout(() => void this.#finish(code, signal), MAX_STDERR_DRAIN_MS);
    this.#child.once('close', () => {
      clearTimeout(drained);
      void this.#finish(code, signal);
    });
  }

  async #finish(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (this.state === 'dead') return;
    this.state = 'dead';
    clearTimeout(this.#timer);
    this.#child.stderr?.destroy();
    const exit: Exit = {
      code,
      signal,
      stderr: this.#stderr,
      ...(this.#reason !== undefined && { reason: this.#reason }),
    };
    const running = this.#running;
    this.#running = undefined;
    clearTimeout(running?.timer);
    running?.reject(causeOfDeath(exit, running.started));
    try {
      await this.#folder[Symbol.asyncDispose]();
    } catch (error) {
      exit.stderr += `\nits folder could not be removed: ${error}`;
    }
    this.#hooks.exit(exit);
  }

  /** A process with nothing to do must not keep the parent from ending. */
  #hold(on: boolean): void {
    const method = on ? 'ref' : 'unref';
    this.#child[method]();
    this.#child.channel?.[method]();
    (this.#child.stderr as { ref?(): void; unref?(): void } | null)?.[method]?.();
  }

  #killGroup(): void {
    if (this.pid === undefined) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') this.#child.kill('SIGKILL');
    }
  }
}

function causeOfDeath(exit: Exit, started: boolean): Problem | NotStarted {
  if (exit.reason instanceof Problem) return exit.reason;
  if (!started) return new NotStarted();
  const cause = new ChildExit(exit);
  if (exit.stderr.includes('JavaScript heap out of memory')) return new Problem('memory_exceeded', { cause });
  return new Problem('decoder_crashed', {
    detail: 'The decoder broke down on this image, which is most likely damaged.',
    cause,
  });
}

/** How a child died, for the log. */
export class ChildExit extends Error {
  override readonly name = 'ChildExit';
  /**
   * By SIGKILL, and not by its pool: an operator, or the kernel short of memory. The task may be innocent.
   */
  readonly killedFromOutside: boolean;

  constructor({ code, signal, stderr, reason }: Exit) {
    const asked = reason === 'unresponsive' ? ', since it did not answer' : '';
    const how = signal === null ? `exited with status ${code}` : `was ended by ${signal}${asked}`;
    super(`the child ${how}\n${stderr}`.trim());
    this.killedFromOutside = signal === 'SIGKILL' && reason === undefined;
  }
}

function environment(home: string, codeCacheDir: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    // Halves the start of every child but the first, and saves it 30 MB: nothing is compiled or stripped of types.
    NODE_COMPILE_CACHE: codeCacheDir,
    HOME: home,
    TMPDIR: home,
    XDG_CACHE_HOME: home,
    LANG: 'C.UTF-8',
    // glibc makes up to eight arenas a core and returns little of them: two hold the peak near 425 MB.
    MALLOC_ARENA_MAX: '2',
  };
  for (const name of INHERITED) if (process.env[name] !== undefined) env[name] = process.env[name];
  return env;
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
