/** What the pool's tests share. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type PoolOptions, TaskPool } from '../../src/engine/pool/task-pool.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';
import type { tasks } from './pool-tasks.ts';
import { tempDir } from './temp.ts';

export const TASKS = new URL('./pool-tasks.ts', import.meta.url);
export const MIB = 2 ** 20;
export const limits = { timeoutMs: 60_000, maxMemoryBytes: 2048 * MIB };
/** Far above what anything here takes: only a hang reaches it. */
export const HANG_MS = 60_000;

type TestPool = TaskPool<typeof tasks>;

export function makePool(t: TestContext, options: Partial<PoolOptions> = {}, module = TASKS): TestPool {
  const pool = new TaskPool<typeof tasks>(module, { size: 2, workDir: tempDir(t), ...options });
  t.after(() => pool.close({ graceMs: 0 }));
  return pool;
}

export const problem = (code: ProblemCode) => (error: unknown) => {
  assert.ok(error instanceof Problem, `expected a Problem, got ${error}`);
  assert.equal(error.code, code, String(error.cause));
  return true;
};

/** A dead process that its parent has not collected yet counts as dead: orphans are collected by init, in its time. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + HANG_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `still waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Resolves with the first event of a task. */
export function firstEvent<E>() {
  const { promise, resolve } = Promise.withResolvers<E>();
  return { promise, report: resolve };
}
