/** Resident memory of processes, their descendants included. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);
const linux = process.platform === 'linux';

/**
 * How often memory is worth reading: reading /proc takes some 0.1 ms, `ps` is a process each time. A decoder
 * fills about 2 GB/s at most, so that a cap can be overrun by some 200 MB before it is seen.
 */
export const SAMPLE_EVERY_MS = linux ? 100 : 500;

/**
 * Resident bytes of each process together with all its descendants; a process that has gone is left out.
 * Pages that a child shares with its parent count for both.
 */
export async function sampleResidentBytes(pids: readonly number[]): Promise<Map<number, number>> {
  return linux ? sampleProc(pids) : samplePs(pids);
}

function sampleProc(pids: readonly number[]): Map<number, number> {
  const found = new Map<number, number>();
  for (const pid of pids) {
    const bytes = treeBytes(pid);
    if (bytes !== undefined) found.set(pid, bytes);
  }
  return found;
}

function treeBytes(pid: number): number | undefined {
  const own = ownBytes(pid);
  if (own === undefined) return undefined;
  let sum = own;
  for (const child of childrenOf(pid)) sum += treeBytes(child) ?? 0;
  return sum;
}

/** VmRSS rather than statm: it does not depend on the page size, which is 16 or 64 kB on some ARM kernels. */
function ownBytes(pid: number): number | undefined {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** The kernel lists children by the thread that forked them. */
function childrenOf(pid: number): number[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // it ended meanwhile
  }
  return threads.flatMap((thread) =>
    readOrEmpty(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // the process or thread ended meanwhile
  }
}

async function samplePs(pids: readonly number[]): Promise<Map<number, number>> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=,rss=']);
  const own = new Map<number, number>();
  const children = new Map<number, number[]>();
  for (const line of stdout.split('\n')) {
    const [pid, parent, kib] = line.trim().split(/\s+/).map(Number);
    if (pid === undefined || parent === undefined || kib === undefined) continue;
    own.set(pid, kib * 1024);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const sum = (pid: number): number =>
    (children.get(pid) ?? []).reduce((total, child) => total + sum(child), own.get(pid) ?? 0);
  return new Map(pids.filter((pid) => own.has(pid)).map((pid) => [pid, sum(pid)]));
}
