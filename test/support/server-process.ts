/** Starts the real service as it runs in production: a process of its own, in folders of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Service } from '../../src/app.ts';
import { MAIN } from './desk.ts';
import type { Ending } from './service.ts';

const MAX_START_MS = 30_000;
const MAX_STOP_MS = 20_000;

export interface ServerProcess extends Service {
  port: number;
  pid: number;
  /** Its DATA_DIR. */
  dataDir: string;
  /** Its TMPDIR, its HOME and the folder that it runs in: nothing should ever appear in them. */
  unused: Record<'temp' | 'home' | 'cwd', string>;
  /** Whether the process still runs. */
  alive(): boolean;
  /** What was logged, parsed. */
  log(): Record<string, unknown>[];
  /** Names of what requests hold at the moment, and of what tasks have left in the children's own folders. */
  scratch(): string[];
  /** Asks it to end, and fails where it does not do so in good order. */
  close(): Promise<void>;
  /** Ends it at once, without a word, and waits until it is gone; its children see to themselves. */
  kill(): Promise<void>;
}

export interface ProcessOptions {
  env?: Record<string, string>;
  /** A program and its arguments that the server is run by; it must become the server itself. */
  launcher?: string[];
  /** Its DATA_DIR, which outlives it; a new one, removed at the end, when absent. */
  dataDir?: string;
  /** `worker`: it has no address. */
  role?: 'serve' | 'worker';
}

const READY = { serve: /listens on (http:\S+)/, worker: /works on \d+ images?()/ };

/** @param t a test's context, or `endWithSuite()` */
export async function startServerProcess(
  t: Ending,
  { env = {}, launcher = [], role = 'serve', ...options }: ProcessOptions = {},
): Promise<ServerProcess> {
  const root = mkdtempSync(join(tmpdir(), 'tintype-test-'));
  const folder = (name: string): string => {
    mkdirSync(join(root, name));
    return join(root, name);
  };
  const dataDir = options.dataDir ?? folder('data');
  const unused = { temp: folder('temp'), home: folder('home'), cwd: folder('cwd') };
  const [file = '', ...args] = [...launcher, process.execPath, MAIN, role];
  const child = spawn(file, args, {
    cwd: unused.cwd,
    // Nothing of the tests' own environment: what a server does must not depend on it.
    env: {
      PATH: process.env.PATH,
      HOME: unused.home,
      TMPDIR: unused.temp,
      PORT: '0',
      DATA_DIR: dataDir,
      NODE_ENV: 'test',
      WORKER_CONCURRENCY: '2',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
  t.after(() => {
    child.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  });
  const address = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`the server ${why}:\n${stderr}${stdout}`));
    const timer = setTimeout(() => fail('does not come up'), MAX_START_MS);
    child.on('error', reject);
    child.on('exit', (status) => fail(`ended with status ${status}`));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
      const [, found] = READY[role].exec(stderr) ?? [];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
  const work = join(dataDir, 'work');
  return {
    address,
    port: Number(URL.parse(address)?.port),
    pid: child.pid!,
    dataDir,
    unused,
    alive: () => child.exitCode === null && child.signalCode === null,
    log: () =>
      stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    scratch: () =>
      readdirSync(work, { recursive: true, encoding: 'utf8' }).filter((name) =>
        /^[^/]+\/(task-|child-[^/]+\/)/.test(name),
      ),
    async close() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), MAX_STOP_MS);
      assert.equal(await exited, 0, `it did not stop in good order:\n${stderr}`);
      clearTimeout(timer);
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
