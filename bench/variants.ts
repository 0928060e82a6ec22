/**
 * The four web variants (4096, 1200, 600, 150 px, WebP quality 85) of a 12 MP JPEG: the pool against the best that
 * sharp alone can do in one process, and against four plain pipelines.
 *
 *   npm run bench:variants -- [12mp.jpg]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { parsePlan } from '../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS } from '../src/engine/limits.ts';
import { Pool } from '../src/engine/pool/pool.ts';
import { compare, save } from './compare.ts';
import { benchInput } from './inputs.ts';

const QUALITY = 85;
const SIDES = [4096, 1200, 600, 150];
const input = await benchInput('jpeg-12mp', process.argv[2]);
const dir = await mkdtemp(join(tmpdir(), 'tintype-bench-'));
const pool = new Pool({ size: availableParallelism(), workDir: join(dir, 'pool') });
const plans = SIDES.map((side) =>
  parsePlan({
    operations: [{ op: 'resize', width: side, height: side }],
    output: { format: 'webp', quality: QUALITY, metadata: 'strip' },
  }),
);

async function ours(): Promise<void> {
  await using scratch = await pool.scratch();
  await pool.render({ sourcePath: input, plans, limits: DEFAULT_LIMITS, outDir: scratch.dir });
}

/** One streaming decode and encode for the large picture, one shrink-on-load decode and a chain for the others. */
async function bestBare(): Promise<void> {
  sharp.concurrency(1);
  sharp.cache(false);
  const head = await sharp(input)
    .autoOrient()
    .resize(1200, 1200, { fit: 'inside', withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const level = (from: typeof head) => sharp(from.data, { raw: from.info });
  const w600 = await level(head)
    .resize(600, 600, { fit: 'inside' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const w150 = await level(w600)
    .resize(150, 150, { fit: 'inside' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  for (const [from, side] of [
    [w150, 150],
    [w600, 600],
    [head, 1200],
  ] as const) {
    await level(from)
      .webp({ quality: QUALITY, effort: side > 500 ? 2 : 4 })
      .toFile(join(dir, `best-${side}.webp`));
  }
  await sharp(input)
    .autoOrient()
    .resize(4096, 4096, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: QUALITY, effort: 2 })
    .toFile(join(dir, 'best-4096.webp'));
}

async function naive(): Promise<void> {
  sharp.concurrency(0);
  sharp.cache(true);
  for (const side of SIDES) {
    await sharp(input)
      .autoOrient()
      .resize(side, side, { fit: 'inside', withoutEnlargement: true })
      .webp({ quality: QUALITY })
      .toFile(join(dir, `naive-${side}.webp`));
  }
}

const results = await compare(
  'four web variants of a 12 MP JPEG',
  'JPEG 12 MP → WebP 4096, 1200, 600, 150 px, quality 85',
  [
    { name: 'tintype pool', what: 'effort 2 above 0.2 MP, else 4; shrink-on-load chain', run: ours },
    { name: 'best bare sharp', what: 'the same strategy by hand, one process', run: bestBare },
    { name: 'naive sharp', what: 'four pipelines, effort 4, sharp at its defaults', run: naive },
  ],
  { 'best bare sharp': 1.1, 'naive sharp': 0.55 },
);
save('variants', 'npm run bench:variants', results);
await pool.close({ graceMs: 1000 });
await rm(dir, { recursive: true, force: true });
process.exitCode = results.ratios.every((r) => r.ok !== false) ? 0 : 1;
