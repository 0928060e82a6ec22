import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { PoolEvent } from '../../../src/engine/pool/events.ts';
import { Problem } from '../../../src/problem.ts';
import {
  firstEvent,
  HANG_MS,
  isAlive,
  limits,
  MIB,
  makePool,
  problem,
  TASKS,
  until,
} from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';

const PARENT = fileURLToPath(new URL('../../support/pool-parent.ts', import.meta.url));

/** A task module of this text. */
function moduleOf(folder: string, text: string): URL {
  const path = join(folder, 'tasks.mjs');
  writeFileSync(path, text);
  return pathToFileURL(path);
}

describe('children', () => {
  it('that cannot start are given up after a few trials, and tasks fail as dependency_down', async (t) => {
    const exits: PoolEvent[] = [];
    const module = moduleOf(tempDir(t), 'throw new Error("the native library is missing");');
    const onEvent = (event: PoolEvent) => event.type === 'child_exited' && exits.push(event);
    const pool = makePool(t, { onEvent }, module);
    const waiting = pool.run('echo', 1, { limits });
    await assert.rejects(pool.start(), problem('dependency_down'));
    const error = await waiting.catch((e): Problem => e);
    problem('dependency_down')(error);
    assert.ok(error instanceof Problem && Number(error.retryAfterSeconds) >= 1);
    assert.match(String(error.cause), /the native library is missing/);
    await assert.rejects(pool.run('echo', 1, { limits }), problem('dependency_down'));
    assert.ok(exits.length <= 8, `${exits.length} children were tried`);
    const first = exits[0];
    assert.ok(first?.type === 'child_exited');
    assert.match(first.stderr, /the native library is missing/);
  });

  it('that do not come up in time are killed', async (t) => {
    const module = moduleOf(
      tempDir(t),
      'await new Promise(() => setInterval(() => {}, 1000)); export const tasks = {};',
    );
    const pool = makePool(t, { size: 1, startTimeoutMs: 150 }, module);
    await assert.rejects(pool.run('echo', 1, { limits }), problem('dependency_down'));
  });

  it('come back once the fault is gone', async (t) => {
    const folder = tempDir(t);
    const repaired = join(folder, 'repaired');
    const module = moduleOf(
      folder,
      `import { existsSync } from 'node:fs';
       if (!existsSync(${JSON.stringify(repaired)})) throw new Error('not yet');
       export const tasks = { echo: (value) => value };`,
    );
    const pool = makePool(t, { size: 1 }, module);
    await assert.rejects(pool.run('echo', 1, { limits }), problem('dependency_down'));
    writeFileSync(repaired, '');
    await until('a child is there', () => pool.stats().idle === 1);
    assert.equal(await pool.run('echo', 1, { limits }), 1);
  });

  it('are replaced after their number of tasks, and no task notices', async (t) => {
    const pool = makePool(t, { maxTasksPerChild: 20 });
    const numbers = Array.from({ length: 200 }, (_, i) => i);
    assert.deepEqual(await Promise.all(numbers.map((i) => pool.run('echo', i, { limits }))), numbers);
    // One child may have done nearly all of it before the other was up.
    await until('an old child was replaced', () => pool.stats().recycled >= 1);
    await until('the pool is whole', () => pool.stats().idle === 2);
    const { restarts, failed } = pool.stats();
    assert.deepEqual({ restarts, failed }, { restarts: 0, failed: 0 });
  });

  it('that hold too much memory after a task are replaced', async (t) => {
    const pool = makePool(t, { size: 1, maxIdleRssBytes: 400 * MIB });
    const pid = await pool.run('leak', { bytes: 500 * MIB }, { limits });
    await until('it was replaced', () => pool.stats().recycled === 1);
    const successor = await pool.run('describe', undefined, { limits });
    assert.notEqual(successor.pid, pid);
    await until('it is dead', () => !isAlive(pid));
    assert.ok(pool.stats().peakRssBytes > 500 * MIB);
  });

  it('cannot start where the work folder cannot be used: that is told, not waited for', async (t) => {
    const workDir = join(tempDir(t), 'file');
    writeFileSync(workDir, '');
    const pool = makePool(t, { workDir });
    await assert.rejects(pool.start(), problem('dependency_down'));
    await assert.rejects(pool.scratch(), problem('dependency_down'));
    await assert.rejects(pool.run('echo', 1, { limits }), problem('dependency_down'));
  });

  it('that were just replaced are gone, with their folders, when close resolves', async (t) => {
    const workDir = tempDir(t);
    const pids: number[] = [];
    const onEvent = (event: PoolEvent) => event.type === 'child_started' && pids.push(event.pid);
    const pool = makePool(t, { workDir, size: 1, maxTasksPerChild: 1, onEvent });
    while (pids.length < 3) await pool.run('echo', 1, { limits });
    await pool.close();
    assert.ok(!pids.some(isAlive));
    assert.deepEqual(readdirSync(workDir), []);
  });

  it('do not end at a signal that a service manager sends to the whole group', async (t) => {
    const pool = makePool(t, { size: 1 });
    const { promise, report } = firstEvent<{ pid: number }>();
    const task = pool.run('sleep', { ms: 200 }, { limits, report });
    const { pid } = await promise;
    process.kill(pid, 'SIGTERM');
    process.kill(pid, 'SIGINT');
    await task;
    assert.equal(pool.stats().restarts, 0);
  });
});

describe('temporary files', () => {
  it('of a task go when its scratch folder is disposed of, those of a child when it dies', async (t) => {
    const workDir = tempDir(t);
    const pool = makePool(t, { size: 1, workDir });
    let dir = '';
    let childDir = '';
    {
      await using scratch = await pool.scratch();
      dir = scratch.dir;
      assert.ok(dir.startsWith(workDir));
      childDir = await pool.run('writeTemp', { dir }, { limits });
      assert.deepEqual(readdirSync(dir), ['left-behind.tmp']);
    }
    assert.ok(!existsSync(dir));
    assert.ok(existsSync(childDir));
    await assert.rejects(pool.run('exit', undefined, { limits }), problem('decoder_crashed'));
    await until('the child’s folder is gone', () => !existsSync(childDir));
  });

  it('leave nothing in the work folder after close; a folder that is held goes with its holder', async (t) => {
    const workDir = tempDir(t);
    const pool = makePool(t, { workDir });
    const held = await pool.scratch();
    await pool.run('writeTemp', { dir: held.dir }, { limits });
    await pool.close();
    assert.ok(existsSync(join(held.dir, 'left-behind.tmp')));
    await held[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(workDir), []);
  });

  it('and processes of a parent that was killed are gone after the next start', async (t) => {
    const workDir = tempDir(t);
    const parent = spawn(process.execPath, [PARENT, workDir], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => parent.kill('SIGKILL'));
    const [line] = await once(parent.stdout, 'data');
    const pids: number[] = JSON.parse(String(line));
    assert.equal(pids.length, 4);
    assert.ok(pids.every(isAlive));

    const neighbour = makePool(t, { workDir, size: 1 });
    await neighbour.start();
    assert.equal(readdirSync(workDir).length, 2, 'a living owner’s folder is left alone');

    parent.kill('SIGKILL');
    await until('all that it had started is dead, the deaf one too', () => !pids.some(isAlive));
    assert.equal(readdirSync(workDir).length, 2);
    const next = makePool(t, { workDir, size: 1 });
    await next.start();
    await neighbour.close();
    await next.close();
    assert.deepEqual(readdirSync(workDir), []);
  });

  it('of others are left alone, unless they are of another host and a day old', async (t) => {
    const workDir = tempDir(t);
    const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);
    const [old, young] = ['tintype-00000000-1-1-AAAAAA', 'tintype-00000000-1-1-BBBBBB'] as const;
    for (const name of ['photos', old, young]) mkdirSync(join(workDir, name));
    for (const name of ['photos', old]) utimesSync(join(workDir, name), yesterday, yesterday);
    const pool = makePool(t, { workDir, size: 1 });
    await pool.start();
    await pool.close();
    assert.deepEqual(readdirSync(workDir).sort(), ['photos', young]);
  });
});

describe('close', () => {
  it('lets running and waiting tasks finish, refuses new ones, and leaves no process', async (t) => {
    const pids: number[] = [];
    const onEvent = (event: PoolEvent) => event.type === 'child_started' && pids.push(event.pid);
    const pool = makePool(t, { onEvent });
    const work = Array.from({ length: 6 }, (_, i) => pool.run('echo', i, { limits }));
    const closed = pool.close();
    await assert.rejects(pool.run('echo', 1, { limits }), problem('shutting_down'));
    assert.deepEqual(await Promise.all(work), [0, 1, 2, 3, 4, 5]);
    await closed;
    assert.ok(pids.length >= 1);
    assert.ok(!pids.some(isAlive));
    await assert.rejects(pool.scratch(), problem('shutting_down'));
  });

  it('kills what is not done when the grace is over, which may be shortened', async (t) => {
    const pool = makePool(t, { size: 1 });
    const { promise, report } = firstEvent<{ pid: number; sleeper: number }>();
    const running = assert.rejects(pool.run('hang', null, { limits, report }), problem('shutting_down'));
    const waiting = assert.rejects(pool.run('echo', 1, { limits }), problem('shutting_down'));
    const { pid, sleeper } = await promise;
    const slow = pool.close({ graceMs: 600_000 });
    await pool.close({ graceMs: 50 });
    await Promise.all([slow, running, waiting]);
    await until('all are dead', () => !isAlive(pid) && !isAlive(sleeper));
  });

  it('is not needed for a parent to end: an idle pool holds no process', async (t) => {
    const workDir = tempDir(t);
    const script = join(workDir, 'parent.ts');
    const source = new URL('../../../src/engine/pool/task-pool.ts', import.meta.url);
    writeFileSync(
      script,
      `import { TaskPool } from ${JSON.stringify(source.href)};
       const pool = new TaskPool(new URL(${JSON.stringify(TASKS.href)}), { size: 2, workDir: ${JSON.stringify(workDir)} });
       await pool.start();
       const { pid } = await pool.run('describe', undefined, { limits: ${JSON.stringify(limits)} });
       console.log(pid);`,
    );
    const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const hung = setTimeout(() => parent.kill('SIGKILL'), HANG_MS);
    const [[line], [code]] = await Promise.all([once(parent.stdout, 'data'), once(parent, 'exit')]);
    clearTimeout(hung);
    assert.equal(code, 0);
    await until('the children ended with it', () => !isAlive(Number(line)));
  });

  it('leaves no listener on a signal that outlives the tasks', async (t) => {
    const pool = makePool(t);
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    await Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', i, { limits, signal })));
    await assert.rejects(pool.run('exit', undefined, { limits, signal }), problem('decoder_crashed'));
    assert.equal(listeners, 0);
  });
});
