/**
 * Whole conversions with metadata, against the command-line tools that people chain today.
 *
 *   npm run bench:convert
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { parsePlan } from '../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS } from '../src/engine/limits.ts';
import { Pool } from '../src/engine/pool/pool.ts';
import { compare, save } from './compare.ts';
import { benchInput } from './inputs.ts';

const run = promisify(execFile);
const dir = await mkdtemp(join(tmpdir(), 'tintype-bench-'));
const pool = new Pool({ size: availableParallelism(), workDir: join(dir, 'pool') });
const plan = parsePlan({ output: { format: 'jpeg', quality: 95, metadata: 'keep' } });
const out = join(dir, 'out.jpg');

const ours = (sourcePath: string) => async () => {
  await using scratch = await pool.scratch();
  await pool.render({ sourcePath, plans: [plan], limits: DEFAULT_LIMITS, outDir: scratch.dir });
};

const copyTags = (from: string) =>
  run('exiftool', [
    '-q',
    '-q',
    '-m',
    '-overwrite_original',
    '-TagsFromFile',
    from,
    '-all:all',
    '-Orientation=',
    out,
  ]);

const heic = await benchInput('heic-12mp');
const heicResult = await compare(
  '12 MP HEIC → JPEG with metadata',
  '12 MP HEIC → JPEG quality 95',
  [
    { name: 'tintype pool', what: '4:4:4, P3 to sRGB, exiftool stay-open', run: ours(heic) },
    {
      name: 'heif-convert + exiftool',
      what: 'two processes; 4:2:0, no colour conversion',
      run: async () => {
        await run('heif-convert', ['-q', '95', heic, out]);
        await copyTags(heic);
      },
    },
  ],
  { 'heif-convert + exiftool': 1.0 },
);

const dng = await benchInput('dng-24mp');
const dngResult = await compare(
  '24 MP Bayer DNG → JPEG with metadata',
  '24 MP Bayer DNG, 16 bit, uncompressed → JPEG quality 95 4:4:4',
  [
    { name: 'tintype pool', what: 'LibRaw in WebAssembly, AHD', run: ours(dng) },
    {
      name: 'dcraw_emu + sharp + exiftool',
      what: 'dcraw_emu -w -W -o 1 -q 3 -T, sharp to JPEG, exiftool process',
      run: async () => {
        const tiff = join(dir, 'dcraw.tif');
        await run('dcraw_emu', ['-w', '-W', '-o', '1', '-q', '3', '-T', '-Z', tiff, dng]);
        await sharp(tiff)
          .jpeg({ quality: 95, chromaSubsampling: '4:4:4', optimiseCoding: false })
          .toFile(out);
        await copyTags(dng);
      },
    },
  ],
  { 'dcraw_emu + sharp + exiftool': 1.15 },
  { rounds: 5, repeat: 1 },
);

save('convert', 'npm run bench:convert', [heicResult, dngResult]);
await pool.close({ graceMs: 1000 });
await rm(dir, { recursive: true, force: true });
process.exitCode = [heicResult, dngResult].every((c) => c.ratios.every((r) => r.ok !== false)) ? 0 : 1;
