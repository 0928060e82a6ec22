/**
 * Colours against an independent conversion: ImageMagick with lcms, from each file's own profile to sRGB. The bound of
 * each file is a mean ΔE2000 over its pixels; below 1 nobody sees a difference, and JPEG's own rounding costs some 0.3.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { parsePlan } from '../../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { Pool } from '../../src/engine/pool/pool.ts';
import { decodePixels, deltaEStats } from '../support/compare.ts';
import { corpusMissing, good } from '../support/corpus.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';

const run = promisify(execFile);

const FILES: { name: string; what: string; mean: number; assume?: string }[] = [
  { name: 'jpeg-icc-p3.jpg', what: 'Display P3', mean: 0.5 },
  { name: 'png-p3.png', what: 'Display P3', mean: 0.5 },
  { name: 'jpeg-icc-adobergb.jpg', what: 'Adobe RGB', mean: 0.5 },
  { name: 'png-prophoto.png', what: 'ProPhoto RGB', mean: 0.5 },
  { name: 'jpeg-icc-srgb.jpg', what: 'sRGB', mean: 0.5 },
  { name: 'png-xmp-orientation.png', what: 'ColorMatch RGB', mean: 0.5 },
  { name: 'jpeg-cmyk-icc.jpg', what: 'CMYK, SWOP', mean: 1 },
  { name: 'tiff-cmyk-fogra.tif', what: 'CMYK, FOGRA39', mean: 1 },
  {
    name: 'jpeg-cmyk-noicc.jpg',
    what: 'CMYK without a profile, taken as SWOP',
    mean: 6,
    assume: 'jpeg-cmyk-icc.jpg',
  },
  { name: 'tiff-cielab.tiff', what: 'CIE L*a*b*', mean: 1 },
  { name: 'jpeg-xyb.jpg', what: 'XYB', mean: 1.5 },
];

describe('colours', { skip: corpusMissing }, () => {
  let pool: Pool;
  const dir = tempDir({ after });
  let srgb: string;

  before(async () => {
    pool = new Pool({ size: 1, workDir: join(dir, 'pool') });
    srgb = join(dir, 'srgb.icc');
    const tagged = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
      .withIccProfile('srgb')
      .png()
      .toBuffer();
    await writeFile(srgb, (await sharp(tagged).metadata()).icc!);
  });
  after(() => pool?.close({ graceMs: 1000 }));

  for (const { name, what, mean, assume } of FILES) {
    test(`${name} (${what}) becomes sRGB within a mean ΔE2000 of ${mean}`, async (t) => {
      const magick = requireTool(t, 'imagemagick');
      if (!magick) return;
      await using scratch = await pool.scratch();
      const { renditions } = await pool.render({
        sourcePath: good(name),
        plans: [parsePlan({ output: { format: 'png', metadata: 'strip' } })],
        limits: DEFAULT_LIMITS,
        outDir: scratch.dir,
      });
      const assumed: string[] = [];
      if (assume) {
        const icc = join(dir, 'assumed.icc');
        await writeFile(icc, (await sharp(good(assume)).metadata()).icc!);
        assumed.push('-profile', icc);
      }
      const reference = join(dir, `${name}.png`);
      const convert = [
        '-intent',
        'perceptual',
        ...assumed,
        '-profile',
        srgb,
        '-depth',
        '8',
        '-strip',
        reference,
      ];
      await run(magick, [`${good(name)}[0]`, '-auto-orient', ...convert]);
      const stats = deltaEStats(await decodePixels(renditions[0]!.path), await decodePixels(reference));
      t.diagnostic(
        `${what}: mean ${stats.mean.toFixed(2)}, 95 % below ${stats.p95.toFixed(2)}, at most ${stats.max.toFixed(1)}`,
      );
      assert.ok(stats.mean <= mean, `mean ΔE2000 is ${stats.mean.toFixed(2)}`);
    });
  }
});
