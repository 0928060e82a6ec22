/** One plan by itself is encoded straight from the file, with what libvips knows of it. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import type { Plan } from '../../../src/contract/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS, endExiftool, render } from '../../../src/engine/index.ts';
import { decodePixels, meanDeltaE } from '../../support/compare.ts';
import { fixture } from '../../support/fixtures.ts';
import { letterF } from '../../support/pictures.ts';
import { tempDir } from '../../support/temp.ts';

const dir = tempDir({ after });
after(() => endExiftool());

type Operations = NonNullable<Plan['operations']>;
const SMALLER: Operations = [{ op: 'resize', width: 48 }];

describe('a picture that is stored turned, rendered alone', () => {
  for (const format of ['avif', 'tiff', 'jpeg', 'webp', 'png', 'gif'] as const) {
    for (const metadata of ['strip', 'keep'] as const) {
      test(`is shown upright as ${format}, metadata ${metadata}`, async () => {
        for (let orientation = 1; orientation <= 8; orientation++) {
          for (const operations of [[], SMALLER] as Operations[]) {
            const outDir = join(dir, `${format}-${metadata}-${orientation}-${operations.length}`);
            mkdirSync(outDir);
            const output = { format, metadata, ...(format === 'avif' && { effort: 0 }) };
            const { renditions } = await render({
              ...{ sourcePath: fixture(`jpeg-orientation-${orientation}.jpg`), outDir },
              plans: [parsePlan({ operations, output })],
              limits: DEFAULT_LIMITS,
            });
            const { path, width, height } = renditions[0]!;
            const shown = await decodePixels(await sharp(path).autoOrient().png().toBuffer());
            const what = `${orientation}, ${operations.length} operations`;
            const size = operations.length === 0 ? [96, 64] : [48, 32];
            assert.deepEqual([width, height, shown.width, shown.height], [...size, ...size], what);
            const letter = letterF(96, 64);
            const raw = { width: letter.width, height: letter.height, channels: 3 as const };
            const expected = sharp(letter.data, { raw }).resize(size[0], size[1]).png();
            const apart = meanDeltaE(shown, await decodePixels(await expected.toBuffer()));
            assert.ok(apart < 6, `${what}: ${apart}`);
          }
        }
      });
    }
  }
});
