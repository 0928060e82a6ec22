import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS as limits } from '../../../src/engine/limits.ts';
import { Pool } from '../../../src/engine/pool/pool.ts';
import type { Rendition } from '../../../src/engine/types.ts';
import { problem } from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';

describe('the pool of the engine', () => {
  it('renders and reads real images, and refuses broken ones with the engine’s Problem', async (t) => {
    const workDir = tempDir(t);
    await using pool = new Pool({ size: 1, workDir });
    await using scratch = await pool.scratch();
    const sourcePath = join(scratch.dir, 'source');
    const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
    await sharp({ create: { width: 640, height: 480, channels: 3, background: '#000', noise } })
      .jpeg()
      .toFile(sourcePath);

    const plans = [300, 100].map((width) =>
      parsePlan({
        operations: [{ op: 'resize', width }],
        output: { format: 'webp', metadata: 'strip' },
      }),
    );
    const made: Rendition[] = [];
    const { facts, renditions } = await pool.render(
      { sourcePath, plans, limits, outDir: scratch.dir },
      { onRendition: (rendition) => made.push(rendition) },
    );
    assert.deepEqual([facts.format, facts.width, facts.height], ['jpeg', 640, 480]);
    assert.deepEqual(
      renditions.map(({ index, width, height }) => [index, width, height]),
      [
        [0, 300, 225],
        [1, 100, 75],
      ],
    );
    assert.deepEqual(
      made.map(({ index }) => index),
      [1, 0],
      'the smallest comes first',
    );
    for (const { path, bytes } of renditions) assert.equal((await stat(path)).size, bytes);

    assert.equal((await pool.info(sourcePath, limits)).facts.width, 640);

    const broken = join(scratch.dir, 'broken');
    writeFileSync(broken, 'this is no image');
    await assert.rejects(
      pool.render({ sourcePath: broken, plans, limits, outDir: scratch.dir }),
      problem('unsupported_media_type'),
    );
    await assert.rejects(pool.info(broken, limits), problem('unsupported_media_type'));
    assert.equal(pool.stats().restarts, 0);
  });
});
