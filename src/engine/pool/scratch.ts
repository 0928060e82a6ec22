/**
 * Temporary folders. Everything of a pool lies in one folder under the work folder; its name says which process
 * of which host owns it, so that the next start can tell what a killed process left behind.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Problem } from '../../problem.ts';

/** A folder of one's own, mode 0700; disposing of it removes it with all that it holds. */
export interface Scratch extends AsyncDisposable {
  readonly dir: string;
}

const run = promisify(execFile);

/**
 * In containers that share a work folder a process id says nothing across hosts, so another host's folder goes
 * only when nothing was added to it for this long. No task lives nearly as long.
 */
const FOREIGN_FOLDER_AGE_MS = 24 * 60 * 60 * 1000;

const FOLDER = /^tintype-([0-9a-f]{8})-(\d+)-(\d+)-[A-Za-z0-9]{6}$/;

export class Workspace {
  readonly dir: string;
  /** For the compiled code of the pool's children. */
  readonly codeCacheDir: string;
  #closed = false;

  private constructor(dir: string) {
    this.dir = dir;
    this.codeCacheDir = join(dir, 'code');
  }

  /**
   * @param workDir made if it is missing
   * @throws Problem `storage_full`, `dependency_down`
   */
  static async open(workDir: string): Promise<Workspace> {
    const birth = await birthOf(process.pid);
    try {
      await mkdir(workDir, { recursive: true });
      return new Workspace(await mkdtemp(join(workDir, `tintype-${hostId()}-${process.pid}-${birth ?? 0}-`)));
    } catch (error) {
      throw unusable(error);
    }
  }

  /**
   * Synchronous, so that starting a child is one step; it costs some 20 µs.
   * @throws Problem `storage_full`, `dependency_down`
   */
  folder(purpose: 'child' | 'task'): Scratch {
    try {
      const dir = mkdtempSync(join(this.dir, `${purpose}-`));
      return { dir, [Symbol.asyncDispose]: () => this.#remove(dir) };
    } catch (error) {
      throw unusable(error);
    }
  }

  /** Removes the pool's folder, unless someone still holds a scratch folder in it: that one's end removes both. */
  async close(): Promise<void> {
    this.#closed = true;
    await rm(this.codeCacheDir, { recursive: true, force: true });
    await rmdir(this.dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST' && error.code !== 'ENOENT') throw error;
    });
  }

  async #remove(dir: string): Promise<void> {
    // Retried, since a process that was just killed may have been creating a file at that moment.
    await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    if (this.#closed) await this.close();
  }
}

function unusable(error: unknown): Problem {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new Problem('storage_full', { cause: error });
  return new Problem('dependency_down', { detail: 'The work folder cannot be used.', cause: error });
}

/**
 * Removes the folders of processes that are no more.
 * @returns what could not be removed, with the reason; an unreadable leftover is no reason not to start
 */
export async function sweep(workDir: string): Promise<{ dir: string; error: unknown }[]> {
  const failed: { dir: string; error: unknown }[] = [];
  const entries = await readdir(workDir, { withFileTypes: true }).catch((error) => {
    failed.push({ dir: workDir, error });
    return [];
  });
  for (const entry of entries) {
    const [, host, pid, birth] = FOLDER.exec(entry.name) ?? [];
    if (!entry.isDirectory() || host === undefined) continue;
    const dir = join(workDir, entry.name);
    try {
      if (await isAbandoned(dir, host, Number(pid), Number(birth)))
        await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') failed.push({ dir, error }); // else another sweeper won
    }
  }
  return failed;
}

async function isAbandoned(dir: string, host: string, pid: number, birth: number): Promise<boolean> {
  if (host !== hostId()) return Date.now() - (await stat(dir)).mtimeMs > FOREIGN_FOLDER_AGE_MS;
  return (await birthOf(pid)) !== birth;
}

const hostId = (): string => createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/**
 * When a process was born, in a unit of the platform's own; it tells a process from a later one that was given
 * the same id. On Linux field 22 of /proc/<pid>/stat (proc_pid_stat(5)), ticks since boot.
 * @returns undefined where there is no such process
 */
async function birthOf(pid: number): Promise<number | undefined> {
  if (process.platform === 'linux') {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
    // The second field is the command in parentheses and may itself hold spaces and parentheses.
    const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
    // One that has ended and was not waited for yet works on nothing.
    return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
  }
  const { stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.trim() === '' ? undefined : Date.parse(stdout.trim()) || 0;
}
