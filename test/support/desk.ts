/** A place to run the command from, as people do: a process of its own, in its own folder. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { tempDir } from './temp.ts';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
export const LAUNCHER = fileURLToPath(new URL('../../bin/tintype.mjs', import.meta.url));

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  /** Resolves when standard output or standard error has matched. */
  says(pattern: RegExp): Promise<void>;
  outcome: Promise<Outcome>;
}

/** Two folders: one to run in, and one for temporary files, which must be empty in the end. */
export class Desk {
  readonly dir: string;
  readonly temp: string;

  constructor(t: TestContext) {
    const root = tempDir(t);
    this.dir = join(root, 'desk');
    this.temp = join(root, 'temp');
    mkdirSync(this.dir);
    mkdirSync(this.temp);
  }

  put(name: string, bytes: Uint8Array | string): string {
    const path = join(this.dir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return path;
  }

  read(name: string): Buffer {
    return readFileSync(join(this.dir, name));
  }

  /** All names below the folder, hidden ones included. */
  files(folder = '.'): string[] {
    return readdirSync(join(this.dir, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(this.dir, folder).length + 1))
      .sort();
  }

  env(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const { NO_COLOR, npm_lifecycle_event, ...env } = process.env;
    return { ...env, TMPDIR: this.temp, ...extra };
  }

  start(args: string[], command: string[] = [process.execPath, MAIN]): Running {
    const [file = '', ...before] = command;
    const child = spawn(file, [...before, ...args], {
      cwd: this.dir,
      env: this.env(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    const { promise: outcome, resolve } = Promise.withResolvers<Outcome>();
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.on('close', (status) => resolve({ status, stdout, stderr }));
    const says = (pattern: RegExp) =>
      new Promise<void>((done, fail) => {
        const look = () => {
          if (pattern.test(stdout) || pattern.test(stderr)) done();
        };
        child.stdout.on('data', look);
        child.stderr.on('data', look);
        child.on('close', () => fail(new Error(`ended without saying ${pattern}:\n${stdout}${stderr}`)));
        look();
      });
    return { child, says, outcome };
  }

  async run(...args: string[]): Promise<Outcome> {
    const outcome = await this.start(args).outcome;
    assert.deepEqual(readdirSync(this.temp), [], 'temporary files are left');
    return outcome;
  }
}

/** Noise: slow to encode, so that a batch of it can be caught in the middle. */
export const noise = (width: number, height: number) =>
  sharp({
    create: {
      width,
      height,
      channels: 3,
      background: 'gray',
      noise: { type: 'gaussian', mean: 128, sigma: 40 },
    },
  })
    .png({ compressionLevel: 0 })
    .toBuffer();
