/**
 * Resident memory of the pool (its children and their exiftool) over 200 mixed conversions: the peak, and how much the
 * last quarter stands above the second.
 *
 *   npm run bench:memory
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePlan } from '../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS } from '../src/engine/limits.ts';
import { Pool } from '../src/engine/pool/pool.ts';
import { Problem } from '../src/problem.ts';
import { corpusDir } from '../test/support/corpus.ts';
import { save } from './compare.ts';
import { median } from './cpu.ts';
import { benchInput } from './inputs.ts';

const CONVERSIONS = 200;
const TARGET_GROWTH = 1.15;
const MIB = 1024 * 1024;

const dir = await mkdtemp(join(tmpdir(), 'tintype-bench-'));
const pool = new Pool({ size: availableParallelism(), workDir: join(dir, 'pool') });
const plans = (['jpeg', 'webp', 'png'] as const).map((format) =>
  parsePlan({ operations: [{ op: 'resize', width: 1600, height: 1600 }], output: { format } }),
);

/** The same fifty conversions four times: what then grows from quarter to quarter is kept memory, not a larger picture. */
const QUARTER = CONVERSIONS / 4;
const large = await Promise.all(
  (['jpeg-12mp', 'heic-12mp', 'jpeg-14mp'] as const).map((kind) => benchInput(kind)),
);
const small = corpusDir
  ? (await readdir(join(corpusDir, 'good')))
      .filter((name) => !/^(video|raw-exiftool|raw-canon-r6)/.test(name))
      .sort()
      .map((name) => join(corpusDir as string, 'good', name))
  : large;
const sources = Array.from({ length: QUARTER }, (_, i) =>
  i % 4 === 0 ? large[(i / 4) % large.length]! : small[Math.floor((i * small.length) / QUARTER)]!,
);

const rssOf = () => Object.values(pool.stats().rssBytes).reduce((sum, bytes) => sum + bytes, 0);
const samples: { done: number; rss: number }[] = [];
let done = 0;
let failed = 0;
const timer = setInterval(() => samples.push({ done, rss: rssOf() }), 50);

async function lane(): Promise<void> {
  for (;;) {
    const n = started++;
    if (n >= CONVERSIONS) return;
    const sourcePath = sources[n % QUARTER]!;
    await using scratch = await pool.scratch();
    try {
      await pool.render({
        sourcePath,
        plans: [plans[(n % QUARTER) % plans.length]!],
        limits: DEFAULT_LIMITS,
        outDir: scratch.dir,
      });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      failed++;
    }
    done++;
  }
}
let started = 0;
await Promise.all(Array.from({ length: availableParallelism() }, lane));
clearInterval(timer);

const quarter = (n: number) =>
  median(samples.filter((s) => Math.floor((s.done / CONVERSIONS) * 4) === n).map((s) => s.rss));
const second = quarter(1);
const last = quarter(3);
const results = {
  conversions: CONVERSIONS,
  failed,
  children: availableParallelism(),
  peakMiB: Math.round(Math.max(...samples.map((s) => s.rss)) / MIB),
  secondQuarterMedianMiB: Math.round(second / MIB),
  lastQuarterMedianMiB: Math.round(last / MIB),
  growth: Math.round((last / second) * 1000) / 1000,
  target: TARGET_GROWTH,
  ok: last / second <= TARGET_GROWTH,
};
process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`);
save('memory', 'npm run bench:memory', results);
await pool.close({ graceMs: 1000 });
await rm(dir, { recursive: true, force: true });
process.exitCode = results.ok ? 0 : 1;
