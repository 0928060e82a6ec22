/**
 * Who holds a lease or a staged file: one life of one process, by a name that another process can check without a
 * clock. `<host>:<pid>:<start>:<boot>`:
 *
 * - `host`: the host's name, and a hash over it, the machine's id and the process-id namespace. Containers may share a
 *   host name and a data folder while each has a process 1 of its own: only inside one namespace does a process id
 *   mean anything.
 * - `start`: when the process was born, in the platform's own unit; tells it from a later process with the same id.
 *   0 where that cannot be known.
 * - `boot`: of which start of the machine; Linux counts `start` from there.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

const OWNER = /^([a-zA-Z0-9.-]+):([1-9]\d*):(\d+):([0-9a-f-]*)$/;
const READABLE_HOST_CHARACTERS = 24;

interface Self {
  host: string;
  boot: string;
  name: string;
}

let known: Self | undefined;

/** The name of this process. Some 90 characters: letters, digits, `.`, `-` and three colons. */
export const processOwner = (): string => self().name;

/**
 * True only where it is certain that the process is no more: it ran here, and is dead, or the machine was started anew.
 * False for a process of another host or namespace, and for a text that is no owner: those are known by time alone.
 */
export function ownerIsGone(owner: string): boolean {
  const { host, boot, name } = self();
  const [, ownerHost, pid, start, ownerBoot] = OWNER.exec(owner) ?? [];
  if (owner === name || ownerHost !== host) return false;
  return ownerBoot !== boot || !mayLive(Number(pid), Number(start));
}

export const isOwner = (text: string): boolean => OWNER.test(text);

function self(): Self {
  if (known) return known;
  const identity = [hostname(), textOf('/etc/machine-id'), pidNamespace()].join('\n');
  const hash = createHash('sha256').update(identity).digest('hex').slice(0, 8);
  const readable = hostname()
    .replaceAll(/[^a-zA-Z0-9.-]/g, '-')
    .slice(0, READABLE_HOST_CHARACTERS);
  const host = `${readable}.${hash}`;
  const boot = textOf('/proc/sys/kernel/random/boot_id') ?? '';
  known = { host, boot, name: `${host}:${process.pid}:${Number(startOf(process.pid)) || 0}:${boot}` };
  return known;
}

/** In doubt true. */
function mayLive(pid: number, start: number): boolean {
  const found = startOf(pid);
  if (found === 'dead') return false;
  if (found !== undefined && start !== 0) return found === start;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * On Linux field 22 of /proc/<pid>/stat (proc_pid_stat(5)), ticks since boot; elsewhere milliseconds of the epoch, from
 * ps. `dead` is a process that has ended and that nobody has collected; undefined where it cannot be read: there is no
 * such process, or /proc hides it, or this process has no file descriptor left.
 */
function startOf(pid: number): number | 'dead' | undefined {
  if (process.platform === 'linux') {
    const text = textOf(`/proc/${pid}/stat`);
    // The second field is the command in parentheses and may itself hold spaces and parentheses.
    const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
    if (fields?.[0] === 'Z' || fields?.[0] === 'X') return 'dead';
    return fields && Number(fields[19]);
  }
  const ps = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  return Date.parse(ps.stdout?.trim() ?? '') || undefined;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
