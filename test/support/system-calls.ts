/** What a server asks of the kernel: which files it opens and changes, whom it calls, what it runs. By strace. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** What is watched: every way to a file's content or name, to an address, and to another program. */
const CALLS = [
  'open,openat,openat2,creat,truncate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat',
  'mkdir,mkdirat,rmdir,chmod,fchmodat,chown,lchown,fchownat,mknod,mknodat',
  'connect,sendto,sendmsg,sendmmsg,bind,execve,execveat',
  // A ring takes the same orders without a call that is seen here.
  'io_uring_setup',
]
  .join(',')
  .split(',')
  // Not every processor's kernel has the older ones.
  .map((name) => `?${name}`)
  .join(',');

const CHANGES_NAMES =
  /^(creat|truncate|rename|renameat2?|link|linkat|symlink|symlinkat|unlink|unlinkat|mkdir|mkdirat|rmdir|f?chmod(at)?|l?chown|fchownat|mknod|mknodat)$/;
const WRITES = /\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)\b/;

/** For `startServerProcess`: the program becomes the server, strace its grandchild, which ends with it. */
export const tracer = (strace: string, output: string): string[] => [
  strace,
  ...['-D', '-f', '-qq', '-y', '-ttt', '-s', '512', '--seccomp-bpf', '-e', `trace=${CALLS}`, '-o', output],
];

/** Why strace cannot be used though it is there, such as a sandbox without ptrace; undefined where it can. */
export function tracingForbidden(strace: string): string | undefined {
  const options = ['-f', '-qq', '--seccomp-bpf', '-e', 'trace=execve', 'true'];
  const { status, stderr } = spawnSync(strace, options, { encoding: 'utf8', timeout: 10_000 });
  return status === 0 && stderr.includes('execve(')
    ? undefined
    : `needs ptrace: ${stderr.trim().slice(0, 200)}`;
}

export interface SystemCall {
  /** Of the thread. */
  pid: number;
  /** Milliseconds since 1970, as of `Date.now()`. */
  at: number;
  name: string;
  /** Arguments and result, as strace writes them. */
  text: string;
  /** Absolute, of all files that it names; also what it opened, where that is another by a link. */
  paths: string[];
  /** It changes a file or a name, or opens a file so that this could be done. */
  writes: boolean;
  failed: boolean;
}

export function readTrace(path: string): SystemCall[] {
  const begun = new Map<string, string>();
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, pid = '', at = '', rest = ''] = /^(\d+)\s+([\d.]+) (.*)$/.exec(line) ?? [];
      const unfinished = /^(.*) <unfinished \.\.\.>$/.exec(rest)?.[1];
      if (unfinished !== undefined) {
        begun.set(pid, unfinished);
        return [];
      }
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1];
      const whole = resumed === undefined ? rest : `${begun.get(pid) ?? ''}${resumed}`;
      const [, name, text] = /^(\w+)\((.*)$/s.exec(whole) ?? [];
      return name === undefined || text === undefined
        ? []
        : [callOf(Number(pid), Number(at) * 1000, name, text)];
    });
}

function callOf(pid: number, at: number, name: string, text: string): SystemCall {
  const [, input = text, result = ''] = /^(.*)\)\s+= (.*)$/s.exec(text) ?? [];
  const opens = /^(open|openat|openat2)$/.test(name);
  const changes = CHANGES_NAMES.test(name);
  const paths = opens || changes ? pathsIn(input, /^\d+<(\/[^>]*)>/.exec(result)?.[1]) : [];
  return {
    pid,
    at,
    name,
    text,
    paths,
    writes: changes || (opens && WRITES.test(input)),
    failed: result.startsWith('-1'),
  };
}

/** `AT_FDCWD</folder>, "name"`, `5</folder>, "name"` or `"/name"`, several times; a target of a link counts too. */
function pathsIn(input: string, opened: string | undefined): string[] {
  const named = [...input.matchAll(/(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g)].map(
    ([, folder, name = '']) =>
      folder === undefined && !name.startsWith('/') ? name : resolve(folder ?? '/', name),
  );
  return opened === undefined ? named : [...named, opened.replace(/ ?\(deleted\)$/, '')];
}
