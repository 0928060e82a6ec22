/** What the kernel tells of processes: Linux only. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** For a test's `skip` option. */
export const processesHidden: string | false = process.platform === 'linux' ? false : 'needs /proc of Linux';

export interface ProcessStatus {
  pid: number;
  parent: number;
  name: string;
  /** `R`, `S`, `Z` for one that has ended and that nobody has asked about, … */
  state: string;
  /** The most that was resident so far; 0 for one that has ended. */
  peakRssBytes: number;
  /** Who traces it; 0 for nobody. */
  tracer: number;
}

/** Undefined where there is none. */
export function processStatus(pid: number): ProcessStatus | undefined {
  const text = contentOf(`/proc/${pid}/status`);
  if (text === '') return undefined;
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(text)?.[1];
  return {
    pid,
    parent: Number(field('PPid')),
    name: field('Name') ?? '',
    state: field('State') ?? '',
    peakRssBytes: Number(field('VmHWM') ?? 0) * 1024,
    tracer: Number(field('TracerPid')),
  };
}

/** The children of a process, theirs, and so on. */
export function descendants(pid: number): ProcessStatus[] {
  const all = processIds().flatMap((id) => processStatus(id) ?? []);
  const found: ProcessStatus[] = [];
  const parents = [pid];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    for (const child of all.filter((one) => one.parent === parent)) {
      found.push(child);
      parents.push(child.pid);
    }
  }
  return found;
}

/** Processes that work in a folder or have it in their environment, whoever their parent is by now. */
export function processesIn(folder: string): number[] {
  return processIds().filter(
    (id) =>
      id !== process.pid &&
      (contentOf(`/proc/${id}/environ`).includes(folder) || cwdOf(id).startsWith(folder)),
  );
}

function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return ''; // it has ended, or is another user's
  }
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it has ended, or is another user's
  }
}
