import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Problem } from '../../../src/problem.ts';
import { firstEvent, isAlive, limits, MIB, makePool, problem, until } from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';

describe('a task', () => {
  it('gives its value and its events, in their order', async (t) => {
    const pool = makePool(t);
    const seen: number[] = [];
    const count = await pool.run('events', { count: 100 }, { limits, report: (event) => seen.push(event) });
    assert.equal(count, 100);
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, i) => i),
    );
    const value = { bytes: new Uint8Array([1, 2, 3]), map: new Map([['a', 1n]]), none: undefined };
    assert.deepEqual(await pool.run('echo', value, { limits }), value);
  });

  it('fails with the Problem that it throws, the cause included', async (t) => {
    const pool = makePool(t);
    const error = await pool.run('throwProblem', undefined, { limits }).catch((e) => e);
    problem('undecodable_image')(error);
    assert.equal(error.detail, 'The file ends early.');
    assert.deepEqual(error.extra, { preview_available: true });
    assert.match(error.cause.message, /short read/);
  });

  it('fails as internal where it throws anything else, or returns what cannot be sent', async (t) => {
    const pool = makePool(t);
    const error = await pool.run('throwError', undefined, { limits }).catch((e) => e);
    problem('internal')(error);
    assert.match(error.cause.message, /a bug/);
    assert.equal(error.detail, undefined);
    await assert.rejects(pool.run('returnFunction', undefined, { limits }), problem('internal'));
    assert.equal(pool.stats().restarts, 0, 'a thrown error costs no child');
  });

  it('fails where its input cannot be sent, and the next one goes on', async (t) => {
    const pool = makePool(t, { size: 1 });
    await assert.rejects(
      pool.run('echo', () => {}, { limits }),
      problem('internal'),
    );
    assert.equal(await pool.run('echo', 1, { limits }), 1);
    assert.equal(pool.stats().restarts, 0);
  });

  it('fails where the listener of its events throws, and the next one goes on', async (t) => {
    const pool = makePool(t, { size: 1 });
    const report = () => {
      throw new Problem('storage_full');
    };
    await assert.rejects(pool.run('events', { count: 1 }, { limits, report }), problem('storage_full'));
    assert.equal(await pool.run('echo', 1, { limits }), 1);
  });

  it('sees none of the parent’s secrets, has a folder of its own, and is the first to go when memory is short', async (t) => {
    const secrets = { JWT_SECRET_KEY: 'a'.repeat(32), AWS_SECRET_ACCESS_KEY: 'b', DATABASE_URL: 'c' };
    Object.assign(process.env, secrets);
    t.after(() => {
      for (const name of Object.keys(secrets)) delete process.env[name];
    });
    const workDir = tempDir(t);
    const { env, cwd, oomScore } = await makePool(t, { workDir }).run('describe', undefined, { limits });
    for (const name of Object.keys(secrets)) assert.ok(!(name in env), `${name} is inherited`);
    assert.equal(env.TMPDIR, cwd);
    assert.equal(env.HOME, cwd);
    assert.ok(cwd.startsWith(workDir));
    if (process.platform === 'linux') assert.ok(oomScore >= 500, `oom_score_adj is ${oomScore}`);
  });
});

describe('a failure', () => {
  it('costs its own task only: crash, exit, hang and growth among fifty good tasks', async (t) => {
    const pool = makePool(t);
    const good = (from: number) =>
      Array.from({ length: 10 }, (_, i) => pool.run('echo', from + i, { limits }));
    const small = { ...limits, maxMemoryBytes: 400 * MIB };
    const sleepers: number[] = [];
    const report = (event: { sleeper: number }) => sleepers.push(event.sleeper);
    const results = Promise.all([
      ...good(0),
      assert.rejects(
        pool.run('crash', { signal: 'SIGSEGV' }, { limits, report }),
        (error) =>
          problem('decoder_crashed')(error) &&
          /SIGSEGV.*about to crash/s.test(((error as Problem).cause as Error).message),
      ),
      ...good(10),
      assert.rejects(pool.run('exit', undefined, { limits }), problem('decoder_crashed')),
      assert.rejects(
        pool.run('hang', null, { limits: { ...limits, timeoutMs: 300 }, report }),
        problem('processing_timeout'),
      ),
      ...good(20),
      assert.rejects(
        pool.run('grow', { maxBytes: 1200 * MIB }, { limits: small }),
        problem('memory_exceeded'),
      ),
      ...good(30),
      assert.rejects(
        pool.run('crash', { signal: 'SIGABRT' }, { limits, report }),
        problem('decoder_crashed'),
      ),
      ...good(40),
    ]);
    const values = (await results).filter((value) => value !== undefined);
    assert.deepEqual(
      values,
      Array.from({ length: 50 }, (_, i) => i),
    );
    const { completed, failed } = pool.stats();
    assert.deepEqual({ completed, failed }, { completed: 50, failed: 5 });
    assert.equal(sleepers.length, 3);
    await until('what the dead children had started is dead too', () => !sleepers.some(isAlive));
    await until('the pool is whole again', () => pool.stats().idle === 2);
    assert.equal(pool.stats().restarts, 5);
  });

  it('is memory_exceeded where a process that the task started takes the memory', async (t) => {
    const pool = makePool(t, { size: 1 });
    const task = pool.run(
      'growElsewhere',
      { bytes: 400 * MIB },
      { limits: { ...limits, maxMemoryBytes: 350 * MIB } },
    );
    await assert.rejects(task, problem('memory_exceeded'));
  });

  it('is memory_exceeded where the JavaScript heap is full', async (t) => {
    const pool = makePool(t, { size: 1 });
    await assert.rejects(pool.run('growHeap', undefined, { limits }), problem('memory_exceeded'));
    assert.equal(await pool.run('echo', 1, { limits }), 1);
  });

  it('has a detail without paths or signals', async (t) => {
    const pool = makePool(t, { size: 1 });
    const failures = [
      pool.run('crash', { signal: 'SIGKILL' }, { limits }),
      pool.run('hang', null, { limits: { ...limits, timeoutMs: 100 } }),
      pool.run('grow', { maxBytes: 900 * MIB }, { limits: { ...limits, maxMemoryBytes: 300 * MIB } }),
    ];
    for (const result of await Promise.allSettled(failures)) {
      assert.equal(result.status, 'rejected');
      assert.doesNotMatch(result.reason.detail, /\/|SIG|child/);
    }
  });
});

describe('cancellation', () => {
  it('kills a task that runs, with what it had started', async (t) => {
    const pool = makePool(t, { size: 1 });
    const stop = new AbortController();
    const { promise, report } = firstEvent<{ pid: number; sleeper: number }>();
    const task = pool.run('hang', null, { limits, signal: stop.signal, report });
    const { pid, sleeper } = await promise;
    assert.ok(isAlive(pid) && isAlive(sleeper));
    stop.abort();
    await assert.rejects(task, problem('cancelled'));
    assert.ok(!isAlive(pid), 'the child is gone when the task is rejected');
    await until('the grandchild is gone', () => !isAlive(sleeper));
    assert.equal(await pool.run('echo', 'next', { limits }), 'next');
  });

  it('drops a task that waits, without cost to the one that runs', async (t) => {
    const pool = makePool(t, { size: 1 });
    const stop = new AbortController();
    const running = pool.run('sleep', { ms: 200 }, { limits });
    const waiting = pool.run('echo', 1, { limits, signal: stop.signal });
    stop.abort();
    await assert.rejects(waiting, problem('cancelled'));
    await running;
    assert.equal(pool.stats().restarts, 0);
  });

  it('refuses a task whose signal is aborted already, and ignores an abort after the end', async (t) => {
    const pool = makePool(t, { size: 1 });
    await assert.rejects(pool.run('echo', 1, { limits, signal: AbortSignal.abort() }), problem('cancelled'));
    const stop = new AbortController();
    await pool.run('echo', 1, { limits, signal: stop.signal });
    stop.abort();
    assert.equal(await pool.run('echo', 2, { limits }), 2);
    assert.equal(pool.stats().restarts, 0);
  });

  it('many times in a row does not make the pool think that its children cannot start', async (t) => {
    const pool = makePool(t, { size: 1 });
    await pool.start();
    for (let i = 0; i < 8; i++) {
      const stop = new AbortController();
      const task = pool.run('hang', null, { limits, signal: stop.signal });
      await until('it runs', () => pool.stats().busy === 1);
      stop.abort();
      await assert.rejects(task, problem('cancelled'));
    }
    assert.equal(await pool.run('echo', 1, { limits }), 1);
  });
});

describe('the waiting list', () => {
  it('goes by priority, then by arrival', async (t) => {
    const pool = makePool(t, { size: 1 });
    const order: string[] = [];
    const push = (name: string, priority?: number) =>
      pool.run('echo', name, { limits, priority }).then((value) => order.push(value as string));
    const first = pool.run('sleep', { ms: 100 }, { limits });
    await until('the only child is taken', () => pool.stats().busy === 1);
    await Promise.all([
      push('a'),
      push('low', -1),
      push('b'),
      push('high', 5),
      push('c', 0),
      push('high 2', 5),
    ]);
    await first;
    assert.deepEqual(order, ['high', 'high 2', 'a', 'b', 'c', 'low']);
  });

  it('refuses what goes past its bound, saying when to come back', async (t) => {
    const pool = makePool(t, { size: 1, maxWaiting: 1 });
    await pool.start();
    const running = pool.run('sleep', { ms: 100 }, { limits });
    const waiting = pool.run('echo', 1, { limits });
    const error = await pool.run('echo', 2, { limits }).catch((e): Problem => e);
    problem('overloaded')(error);
    assert.ok(error instanceof Problem && error.retryAfterSeconds && error.retryAfterSeconds >= 1);
    await Promise.all([running, waiting]);
  });

  it('gives a task to another child where the first one died before it began', async (t) => {
    const pool = makePool(t, { size: 1 });
    const { pid } = await pool.run('describe', undefined, { limits });
    await until('it is idle', () => pool.stats().idle === 1);
    process.kill(pid, 'SIGKILL');
    assert.equal(await pool.run('echo', 1, { limits }), 1);
  });
});
