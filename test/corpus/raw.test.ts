/** Camera RAW over the corpus: the same pixels as native LibRaw, and no picture out of a file without any. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import sharp, { type SharpOptions } from 'sharp';
import { extractPreview } from '../../src/engine/decode/preview.ts';
import { decodeRaw } from '../../src/engine/decode/raw.ts';
import { closeWasmWorkers } from '../../src/engine/decode/wasm/host.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { endExiftool } from '../../src/engine/metadata/exiftool.ts';
import type { Facts, SourceFormat } from '../../src/engine/types.ts';
import { psnr } from '../support/compare.ts';
import { corpusMissing, good, goodFacts, hostile } from '../support/corpus.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';

/** Measured: 74 dB and more against LibRaw 0.20; single pixels differ by up to 19 where AHD decides otherwise. */
const MIN_PSNR_DB = 70;

const WITHIN = { maxPixels: DEFAULT_LIMITS.maxPixels, timeoutMs: 30_000 };

function factsOf(name: string): Facts {
  const extension = name.split('.').pop()!;
  return {
    format: (extension === 'kdc' ? 'raw' : extension) as SourceFormat,
    family: 'raw',
    mime: 'image/x-dcraw',
    bytes: 0,
    width: 1,
    height: 1,
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: 12,
    colorSpace: 'cfa',
  };
}

const raws = goodFacts.filter(({ name }) => name.startsWith('raw-'));

describe('RAW over the corpus', { skip: corpusMissing }, () => {
  after(async () => {
    await closeWasmWorkers();
    await endExiftool();
  });

  for (const { name } of raws.filter(({ decodable }) => decodable !== false)) {
    it(`develops ${name} as dcraw_emu does`, async (t) => {
      const pixels = await decodeRaw(good(name), factsOf(name), WITHIN);
      const dcraw = requireTool(t, 'dcraw_emu');
      if (!dcraw) return;
      const tiff = join(tempDir(t), 'out.tiff');
      execFileSync(dcraw, ['-w', '-W', '-o', '1', '-q', '3', '-T', '-Z', tiff, good(name)], {
        stdio: 'ignore',
      });
      const { data, info } = await sharp(tiff, { ignoreIcc: true } as SharpOptions)
        .raw()
        .toBuffer({ resolveWithObject: true });
      assert.deepEqual([pixels.width, pixels.height], [info.width, info.height]);
      const found = psnr(pixels.data, data);
      t.diagnostic(`${name}: ${found.toFixed(1)} dB`);
      assert.ok(found >= MIN_PSNR_DB, `${found.toFixed(1)} dB`);
    });
  }

  /** What their pictures were taken out of still has its preview, or has not. */
  const PREVIEWS: Record<string, boolean> = {
    'raw-canon-r6-pruned.cr3': true,
    'raw-exiftool.cr2': false,
    'raw-exiftool.nef': false,
    'raw-exiftool.raf': true,
    'raw-exiftool.rw2': true,
  };

  for (const { name } of raws.filter(({ decodable }) => decodable === false)) {
    it(`refuses ${name}, which has no pixels, and says whether it has a preview`, async (t) => {
      if (!requireTool(t, 'perl')) return;
      await assert.rejects(decodeRaw(good(name), factsOf(name), WITHIN), {
        code: 'raw_not_developable',
        extra: { preview_available: PREVIEWS[name]! },
      });
    });
  }

  it('extracts the largest preview, not the thumbnail beside it', async (t) => {
    if (!requireTool(t, 'perl')) return;
    const sizes: Record<string, [number, number]> = {
      'raw-canon-r6-pruned.cr3': [1620, 1080],
      'raw-dsc8695.dng': [600, 400],
      'raw-canon.crw': [1440, 960],
    };
    for (const [name, size] of Object.entries(sizes)) {
      const path = await extractPreview(good(name), tempDir(t));
      assert.equal(readFileSync(path).readUInt16BE(0), 0xffd8);
      const { width, height } = await sharp(path).metadata();
      assert.deepEqual([width, height], size, name);
    }
  });

  for (const name of ['crw-poc-841.crw', 'raf-poc-857.raf', 'gen-flip24-raw-kodak-dc50.kdc']) {
    it(`refuses ${name} within its time`, async () => {
      await assert.rejects(decodeRaw(hostile(name), factsOf(name), WITHIN), { code: 'raw_not_developable' });
    });
  }
});
