import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { extractPreview, hasPreview } from '../../../src/engine/decode/preview.ts';
import { decodeRaw } from '../../../src/engine/decode/raw.ts';
import { isTruncatedRaw } from '../../../src/engine/decode/truncation.ts';
import { closeWasmWorkers } from '../../../src/engine/decode/wasm/host.ts';
import { endExiftool } from '../../../src/engine/metadata/exiftool.ts';
import type { Facts, Pixels } from '../../../src/engine/types.ts';
import { writeDng } from '../../support/dng.ts';
import { tempDir } from '../../support/temp.ts';
import { requireTool } from '../../support/tools.ts';

const WITHIN = { maxPixels: 1_000_000, timeoutMs: 30_000 };
const [WIDTH, HEIGHT] = [96, 64];

/** Linear; one channel is at the top, so that LibRaw has no reason to stretch. */
const COLORS = {
  topLeft: [65_535, 6_000, 3_000],
  topRight: [3_000, 40_000, 8_000],
  bottomLeft: [5_000, 8_000, 50_000],
  bottomRight: [30_000, 30_000, 30_000],
} as const;

const facts: Facts = {
  format: 'dng',
  family: 'raw',
  mime: 'image/x-adobe-dng',
  bytes: 0,
  width: WIDTH,
  height: HEIGHT,
  orientation: 1,
  pages: 1,
  animated: false,
  alpha: false,
  bitDepth: 16,
  colorSpace: 'cfa',
};

const quadrants = (x: number, y: number) =>
  y < HEIGHT / 2
    ? x < WIDTH / 2
      ? COLORS.topLeft
      : COLORS.topRight
    : x < WIDTH / 2
      ? COLORS.bottomLeft
      : COLORS.bottomRight;

/** LibRaw's default tone curve, that of BT.709. */
function tone(linear: number): number {
  const light = linear / 65_535;
  return 255 * (light < 0.018 ? 4.5 * light : 1.099 * light ** 0.45 - 0.099);
}

function assertColor({ data, width }: Pixels, x: number, y: number, expected: readonly number[]): void {
  const at = (y * width + x) * 3;
  const found = [...data.subarray(at, at + 3)];
  for (const [i, value] of found.entries()) {
    assert.ok(Math.abs(value - tone(expected[i]!)) <= 3, `expected ${expected.map(tone)}, found ${found}`);
  }
}

describe('RAW decoder', () => {
  const folder = tempDir({ after });
  const plain = join(folder, 'plain.dng');
  const withPreview = join(folder, 'with-preview.dng');
  let jpeg: Buffer;

  before(async () => {
    jpeg = await sharp({ create: { width: 48, height: 32, channels: 3, background: '#c80' } })
      .jpeg()
      .toBuffer();
    await writeDng(plain, { width: WIDTH, height: HEIGHT, pixel: quadrants });
    const preview = { jpeg, width: 48, height: 32 };
    await writeDng(withPreview, { width: WIDTH, height: HEIGHT, pixel: quadrants, preview });
  });
  after(async () => {
    await closeWasmWorkers();
    await endExiftool();
  });

  /** The first `bytes` of a file, or all but the last where negative. */
  function cut(source: string, bytes: number): string {
    const path = join(folder, 'cut.dng');
    writeFileSync(path, readFileSync(source));
    truncateSync(path, bytes > 0 ? bytes : readFileSync(source).length + bytes);
    return path;
  }

  it('develops a Bayer picture with the camera’s white balance, as bright as it was taken', async () => {
    const pixels = await decodeRaw(plain, facts, WITHIN);
    const { width, height, channels, depth, icc } = pixels;
    assert.deepEqual(
      { width, height, channels, depth, icc },
      { width: WIDTH, height: HEIGHT, channels: 3, depth: 8, icc: undefined },
    );
    assertColor(pixels, 16, 16, COLORS.topLeft);
    assertColor(pixels, WIDTH - 16, 16, COLORS.topRight);
    assertColor(pixels, 16, HEIGHT - 16, COLORS.bottomLeft);
    assertColor(pixels, WIDTH - 16, HEIGHT - 16, COLORS.bottomRight);
  });

  it('turns the picture upright', async () => {
    const path = join(folder, 'turned.dng');
    await writeDng(path, { width: WIDTH, height: HEIGHT, pixel: quadrants, orientation: 6 });
    const pixels = await decodeRaw(path, facts, WITHIN);
    assert.deepEqual([pixels.width, pixels.height], [HEIGHT, WIDTH]);
    assertColor(pixels, 16, 16, COLORS.bottomLeft);
    assertColor(pixels, HEIGHT - 16, 16, COLORS.topLeft);
  });

  it('develops a picture that is black', async () => {
    const path = join(folder, 'black.dng');
    await writeDng(path, { width: WIDTH, height: HEIGHT, pixel: () => [0, 0, 0] });
    const { data } = await decodeRaw(path, facts, WITHIN);
    assert.ok(data.every((value) => value === 0));
  });

  it('refuses more pixels than allowed', async () => {
    await assert.rejects(decodeRaw(plain, facts, { ...WITHIN, maxPixels: 5_000 }), {
      code: 'image_too_large',
    });
  });

  it('stops at its deadline and when cancelled, and develops the next picture all the same', async () => {
    await closeWasmWorkers();
    await assert.rejects(decodeRaw(plain, facts, { ...WITHIN, timeoutMs: 1 }), {
      code: 'processing_timeout',
    });
    const signal = AbortSignal.abort();
    await assert.rejects(decodeRaw(plain, facts, { ...WITHIN, signal }), { code: 'cancelled' });
    assert.equal((await decodeRaw(plain, facts, WITHIN)).width, WIDTH);
  });

  describe('where the sensor’s data is missing', () => {
    it('tells a file that is cut from one that is whole', async () => {
      assert.equal(await isTruncatedRaw(plain, 'dng'), false);
      assert.equal(await isTruncatedRaw(withPreview, 'dng'), false);
      for (const bytes of [-1, -1_000, 600])
        assert.equal(await isTruncatedRaw(cut(plain, bytes), 'dng'), true);
    });

    it('refuses, and says that there is no preview', async (t) => {
      if (!requireTool(t, 'perl')) return;
      await assert.rejects(decodeRaw(cut(plain, -500), facts, WITHIN), {
        code: 'raw_not_developable',
        message: /cannot be developed: .* no embedded preview/,
        extra: { preview_available: false },
      });
    });

    it('refuses, and says how to ask for the preview', async (t) => {
      if (!requireTool(t, 'perl')) return;
      await assert.rejects(decodeRaw(cut(withPreview, -500), facts, WITHIN), {
        code: 'raw_not_developable',
        message: /preview=embedded/,
        extra: { preview_available: true },
      });
    });

    it('refuses what is no RAW file at all', async () => {
      const path = join(folder, 'noise.dng');
      writeFileSync(path, Buffer.alloc(5_000, 0x2a));
      await assert.rejects(decodeRaw(path, facts, WITHIN), { code: 'raw_not_developable' });
    });
  });

  describe('embedded preview', () => {
    it('is written byte for byte', async (t) => {
      if (!requireTool(t, 'perl')) return;
      const path = await extractPreview(withPreview, tempDir(t));
      assert.ok(readFileSync(path).equals(jpeg));
      assert.equal(await hasPreview(withPreview), true);
    });

    it('is to be turned as the RAW file says, where it does not say so itself', async (t) => {
      if (!requireTool(t, 'perl')) return;
      const path = join(tempDir(t), 'turned.dng');
      const preview = { jpeg, width: 48, height: 32 };
      await writeDng(path, { width: WIDTH, height: HEIGHT, pixel: quadrants, orientation: 8, preview });
      assert.equal((await sharp(await extractPreview(path, tempDir(t))).metadata()).orientation, 8);
    });

    it('is found in a file with an awkward name, and written to a folder with one', async (t) => {
      if (!requireTool(t, 'perl')) return;
      const [from, to] = [tempDir(t), tempDir(t)];
      const source = join(from, '-o 100%d ; $(x) é\n.dng');
      writeFileSync(source, readFileSync(withPreview));
      const path = await extractPreview(source, to);
      assert.equal((await stat(path)).size, jpeg.length);
    });

    it('is refused where the file has none', async (t) => {
      if (!requireTool(t, 'perl')) return;
      await assert.rejects(extractPreview(plain, tempDir(t)), { code: 'preview_not_found' });
      assert.equal(await hasPreview(plain), false);
    });

    it('is refused where it is no picture', async (t) => {
      if (!requireTool(t, 'perl')) return;
      const path = join(tempDir(t), 'broken-preview.dng');
      const file = readFileSync(withPreview);
      const at = file.indexOf(jpeg.subarray(0, 20));
      file.fill(0x55, at + 3, at + jpeg.length);
      writeFileSync(path, file);
      await assert.rejects(extractPreview(path, tempDir(t)), { code: 'preview_not_found' });
    });

    it('is not waited for when cancelled', async (t) => {
      if (!requireTool(t, 'perl')) return;
      await assert.rejects(extractPreview(withPreview, tempDir(t), { signal: AbortSignal.abort() }), {
        code: 'cancelled',
      });
    });
  });
});
