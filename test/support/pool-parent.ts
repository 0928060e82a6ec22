/**
 * A process with a pool, for tests that kill it. Arguments: the work folder.
 * Prints, as one line of JSON, its children and what they have started, once both are at work.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TaskPool } from '../../src/engine/pool/task-pool.ts';
import type { tasks } from './pool-tasks.ts';

const pool = new TaskPool<typeof tasks>(new URL('./pool-tasks.ts', import.meta.url), {
  size: 2,
  workDir: process.argv[2] ?? '',
});
const scratch = await pool.scratch();
writeFileSync(join(scratch.dir, 'half.jpg'), 'half');
const limits = { timeoutMs: 600_000, maxMemoryBytes: 2 ** 32 };
const pids: number[] = [];
const report = (event: { pid: number; sleeper: number }) => {
  pids.push(event.pid, event.sleeper);
  if (pids.length === 4) console.log(JSON.stringify(pids));
};
// One is deaf in a loop, the other one would hear that the parent has gone.
await Promise.all([
  pool.run('hang', null, { limits, report }),
  pool.run('sleep', { ms: 600_000 }, { limits, report }),
]);
