/**
 * Background removal: CPU on 12 MP pixels, how near the mattes come to true ones on pictures that nothing was tuned on,
 * and the memory of a pool's child over 50 runs.
 *
 *   npm run bench:background
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { parsePlan } from '../src/contract/plan-normal.ts';
import { removeBackground } from '../src/engine/background/index.ts';
import { DEFAULT_LIMITS } from '../src/engine/limits.ts';
import { Pool } from '../src/engine/pool/pool.ts';
import { compositions } from '../test/support/compositions.ts';
import { meanErrors } from '../test/support/mattes.ts';
import { save } from './compare.ts';
import { median } from './cpu.ts';
import { benchInput } from './inputs.ts';

const METHODS = ['auto', 'grabcut', 'watershed', 'person'] as const;
const ROUNDS = 5;
const TARGET_GRABCUT_MS = 1_500;
const HELD_OUT_SEED = 90_210;
const PER_GROUND = 15;
const RUNS = 50;
/** Of the runs: until then caches and buffers find their size. */
const WARM_UP = 10;
const TARGET_GROWTH = 1.1;
const MIB = 1024 * 1024;

const round = (n: number, digits: number) => Math.round(n * 10 ** digits) / 10 ** digits;

sharp.cache(false);
sharp.concurrency(1);
const photo = await benchInput('jpeg-12mp');
const { data, info } = await sharp(photo).rotate().removeAlpha().raw().toBuffer({ resolveWithObject: true });

/** Decoding and encoding left out; the first run, which loads OpenCV, as well. */
async function cpuOf(method: (typeof METHODS)[number]): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const pixels = {
      data: new Uint8Array(data),
      width: info.width,
      height: info.height,
      channels: 3,
      depth: 8,
    } as const;
    const before = process.cpuUsage();
    await removeBackground(
      pixels,
      { op: 'background', method, color: '#00000000', mask: false },
      { limits: DEFAULT_LIMITS },
    );
    const { user, system } = process.cpuUsage(before);
    if (i > 0) times.push((user + system) / 1000);
  }
  return Math.round(median(times));
}

const cpu: Record<string, number> = {};
for (const method of METHODS) {
  cpu[method] = await cpuOf(method);
  process.stdout.write(`${info.width}×${info.height}, ${method}: ${cpu[method]} ms CPU\n`);
}

const pictures = await compositions(HELD_OUT_SEED, PER_GROUND);
const quality: Record<
  string,
  Record<string, { iou: number; meanError: number; edge: number; edgeUntouched: number }>
> = {};
for (const method of ['auto', 'grabcut', 'watershed'] as const) {
  const grounds: (typeof quality)[string] = {};
  for (const [ground, errors] of await meanErrors(pictures, method)) {
    grounds[ground] = {
      iou: round(errors.iou, 3),
      meanError: round(errors.meanError, 4),
      edge: round(errors.edge, 1),
      edgeUntouched: round(errors.edgeUntouched, 1),
    };
    process.stdout.write(`${method.padEnd(10)} ${ground.padEnd(9)} ${JSON.stringify(grounds[ground])}\n`);
  }
  quality[method] = grounds;
}

const dir = await mkdtemp(join(tmpdir(), 'tintype-bench-'));
const pool = new Pool({ size: 1, workDir: dir });
const plan = parsePlan({
  operations: [{ op: 'background', method: 'grabcut' }],
  output: { format: 'webp', quality: 80, effort: 0, metadata: 'strip' },
});
const rss: number[] = [];
for (let run = 0; run < RUNS; run++) {
  await using scratch = await pool.scratch();
  await pool.render({ sourcePath: photo, plans: [plan], limits: DEFAULT_LIMITS, outDir: scratch.dir });
  rss.push(Math.max(...Object.values(pool.stats().rssBytes)));
}
const { restarts, recycled } = pool.stats();
await pool.close({ graceMs: 1_000 });
await rm(dir, { recursive: true, force: true });
const early = median(rss.slice(WARM_UP, WARM_UP + 10));
const late = median(rss.slice(-10));
const memory = {
  runs: RUNS,
  earlyMiB: Math.round(early / MIB),
  lateMiB: Math.round(late / MIB),
  growth: round(late / early, 3),
  targetGrowth: TARGET_GROWTH,
  restarts,
  recycled,
};
process.stdout.write(`${JSON.stringify(memory)}\n`);

const ok = cpu.grabcut! <= TARGET_GRABCUT_MS && memory.growth <= TARGET_GROWTH && restarts + recycled === 0;
save('background', 'npm run bench:background', {
  cpuMs: { picture: `${info.width}×${info.height}`, ...cpu, targetGrabcut: TARGET_GRABCUT_MS },
  quality: { seed: HELD_OUT_SEED, picturesOnEachGround: PER_GROUND, methods: quality },
  memory,
  ok,
});
process.exitCode = ok ? 0 : 1;
