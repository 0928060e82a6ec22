/**
 * The one exiftool of this process: a perl that stays open and takes commands on its standard input, so that a
 * command costs its own work only and not perl's start (about 50 ms of CPU against 350).
 *
 * No shell, no user configuration (`-config ""`: such a file is perl code) and no inherited environment. It ends
 * when its standard input closes, so it does not outlive an owner that is killed, once the command in hand is
 * done; whoever kills an owner in the middle of a command should kill its process group.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { ExifTool, ExifToolTask, exiftoolPath } from 'exiftool-vendored';
import { Problem } from '../../problem.ts';

/** A command without a deadline of its own, and the outer bound on any command. */
const DEFAULT_TIMEOUT_MS = 60_000;
const MAX_TIMEOUT_MS = 600_000;
/** A usual command stays under 100 MB; compressed text in a PNG can inflate without end. */
const DEFAULT_MAX_MEMORY_BYTES = 1024 ** 3;
const MEMORY_CHECK_MS = 50;
/** Without the second, a copy of tags looks up the names of the file's owner and group, in /etc/passwd or the network's. */
const ALWAYS = ['-charset', 'filename=utf8', '-api', 'SystemTags=0'];

export interface CommandOptions {
  /** Wall time, waiting for earlier commands included. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Resident memory of perl while the command runs; watched on Linux. 1 GiB by default. */
  maxMemoryBytes?: number;
}

export interface CommandResult {
  stdout: string;
  /** What exiftool said on standard error, without its prefix; metadata that was skipped, mostly. */
  warnings: string[];
  /** Why the command was not carried out for the file; empty when it was. */
  errors: string[];
}

let instance: ExifTool | undefined;

/**
 * The stay-open exiftool of this process; perl starts with the first command.
 * It never keeps the process alive by itself.
 * @throws Problem `dependency_down` where there is no perl
 */
export function exiftool(): ExifTool {
  // It ends itself after perl has failed to start too often.
  if (!instance || instance.ended) {
    const perl = findPerl();
    instance = new ExifTool({
      maxProcs: 1,
      taskRetries: 0,
      // The next command after one that was stopped does not wait.
      minDelayBetweenSpawnMillis: 0,
      taskTimeoutMillis: MAX_TIMEOUT_MS,
      geolocation: false,
      useMWG: false,
      checkPerl: false,
      processFactory: async () =>
        spawn(
          perl,
          [await exiftoolPath(), '-config', '', '-stay_open', 'True', '-@', '-'],
          // LANG: messages in English, numbers with a point.
          { stdio: 'pipe', shell: false, windowsHide: true, env: { LANG: 'C', LC_ALL: 'C' } },
        ),
    });
  }
  return instance;
}

/** Ends exiftool, if it was started. A later command starts a new one. */
export async function endExiftool(): Promise<void> {
  const ending = instance;
  instance = undefined;
  await ending?.end();
}

/** E.g. `13.59`. Starts exiftool; good for a check at start-up. */
export async function exiftoolVersion(): Promise<string> {
  const { stdout } = await runExiftool(['-ver']);
  return stdout.trim();
}

/**
 * Runs one command.
 * @param args one argument each, without `-execute`; a value may hold anything but line breaks
 * @throws Problem `processing_timeout` past the deadline, `memory_exceeded`, `cancelled` by the signal,
 *   `dependency_down` where perl is missing, `metadata_failed` where exiftool itself dies. What exiftool finds
 *   wrong with a file is no Problem: see `errors` and `warnings`.
 */
export async function runExiftool(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, signal, maxMemoryBytes = DEFAULT_MAX_MEMORY_BYTES } = options;
  if (signal?.aborted) throw new Problem('cancelled', { cause: signal.reason });
  const tool = exiftool();
  const task = new CommandTask([...ALWAYS, ...args]);
  let stopped: Problem | undefined;
  const stop = (problem: Problem) => {
    stopped ??= problem;
    // A command that has not begun is only taken off the queue; one that runs takes its perl with it.
    const running = task.runtimeMs !== undefined;
    task.reject(problem);
    // Whatever closing what was killed may report, the command's own problem says it all.
    if (running) killProcesses(tool).catch(() => undefined);
  };
  const timer = setTimeout(
    () =>
      stop(new Problem('processing_timeout', { detail: 'Reading or writing the metadata took too long.' })),
    Math.min(timeoutMs, MAX_TIMEOUT_MS),
  );
  const watch = setInterval(() => {
    if (task.runtimeMs === undefined || residentBytes(tool.pids) <= maxMemoryBytes) return;
    stop(new Problem('memory_exceeded', { detail: 'The metadata needs more memory than allowed.' }));
  }, MEMORY_CHECK_MS);
  const onAbort = () => stop(new Problem('cancelled', { cause: signal?.reason }));
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await tool.enqueueTask(() => task, false);
  } catch (cause) {
    throw stopped ?? new Problem('metadata_failed', { detail: 'The metadata tool failed.', cause });
  } finally {
    clearTimeout(timer);
    clearInterval(watch);
    signal?.removeEventListener('abort', onAbort);
  }
}

function residentBytes(pids: number[]): number {
  let bytes = 0;
  for (const pid of pids) {
    try {
      const [, kilobytes = 0] =
        /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
      bytes += 1024 * Number(kilobytes);
    } catch {
      // It has ended, or this is no Linux.
    }
  }
  return bytes;
}

/** Kills at once: a graceful end would wait for the very command that is to be stopped. */
async function killProcesses(tool: ExifTool): Promise<void> {
  for (const pid of tool.pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  await tool.closeChildProcesses(false);
}

/**
 * Calls back with a name for `path` that exiftool takes as it is: absolute, so that it cannot be read as an
 * option, and without line breaks, which end an argument, or `%`, which `-tagsFromFile` expands. A file with
 * such a name is reached through a link that exists during the call. For reading only.
 */
export async function withPlainName<T>(path: string, use: (plainPath: string) => Promise<T>): Promise<T> {
  const absolute = resolve(path);
  if (!/[%\r\n]/.test(absolute)) return use(absolute);
  const dir = await mkdtemp(join(tmpdir(), 'tintype-name-'));
  try {
    const link = join(dir, 'source');
    await symlink(absolute, link);
    return await use(link);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

class CommandTask extends ExifToolTask<CommandResult> {
  #stderr = '';

  override onStderr(data: string | Buffer): void {
    this.#stderr += data.toString();
    super.onStderr(data);
  }

  protected parse(stdout: string): CommandResult {
    const warnings: string[] = [];
    const errors: string[] = [];
    for (const line of this.#stderr.split('\n')) {
      if (line.startsWith('Error: ')) errors.push(line.slice('Error: '.length));
      else if (line.trim() !== '') warnings.push(line.replace(/^Warning: /, ''));
    }
    return { stdout, warnings, errors };
  }
}

function findPerl(): string {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(dir, 'perl');
    if (!isAbsolute(path)) continue;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Problem('dependency_down', {
    detail: 'Reading and keeping metadata needs perl, which exiftool runs on; it was not found on the PATH.',
  });
}
