/** HEIC over the corpus: the same pixels as native libheif, and no picture out of a damaged file. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import sharp, { type SharpOptions } from 'sharp';
import { decodeHeif } from '../../src/engine/decode/heif.ts';
import { closeWasmWorkers } from '../../src/engine/decode/wasm/host.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { probe } from '../../src/engine/probe.ts';
import type { Facts } from '../../src/engine/types.ts';
import { psnr } from '../support/compare.ts';
import { corpusMissing, good, goodFacts, hostile, hostileFacts } from '../support/corpus.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';

/**
 * Measured: 8-bit pictures are equal but for single steps of rounding (66 dB and more), deeper ones differ by
 * when they are brought down to 8 bits (50 dB and more).
 */
const MIN_PSNR_DB = 49;

/**
 * heif-convert takes seconds to compress a large PNG. The others were compared once: heic-arrow equal,
 * heic-samsung-motion 112 dB, heic-xiaomi 69, heif-canon-10bit 56, heif-sony-orient8 50.
 */
const COMPARED_MAX_PIXELS = 1_000_000;
const COMPARED_HERO = 'heic-iphone-a.heic';

const WITHIN = { maxPixels: DEFAULT_LIMITS.maxPixels, timeoutMs: 60_000 };

const isHeif = ({ name }: { name: string }) => /\.(heic|heif|hif)$/.test(name) && !name.includes('-named');

/** heif-convert writes one file for each picture; the primary one need not be the first. */
const PRIMARY_FILE: Record<string, string> = { 'heic-multi-3.heic': 'out-2.png' };

/** 8-bit samples of a PNG as stored, without colour conversion. */
async function samplesOf(png: string, channels: 3 | 4): Promise<Buffer> {
  const deep = (await sharp(png).metadata()).depth === 'ushort';
  const image = sharp(png, { ignoreIcc: true } as SharpOptions).toColourspace(deep ? 'rgb16' : 'srgb');
  const shaped = channels === 4 ? image.ensureAlpha() : image.removeAlpha();
  const raw = await shaped.raw({ depth: deep ? 'ushort' : 'uchar' }).toBuffer();
  if (!deep) return raw;
  const wide = new Uint16Array(raw.buffer, raw.byteOffset, raw.length / 2);
  return Buffer.from(Uint8Array.from(wide, (value) => Math.round(value / 257)));
}

/** Transparent pixels have no colour to compare. */
function blankTransparent(rgba: Uint8Array, alphaOf: Uint8Array): void {
  for (let i = 3; i < rgba.length; i += 4) if (alphaOf[i] === 0) rgba.fill(0, i - 3, i);
}

describe('HEIC over the corpus', { skip: corpusMissing }, () => {
  after(closeWasmWorkers);

  for (const { name, width, height, alpha } of goodFacts.filter(isHeif)) {
    it(`decodes ${name} to the size and the pixels of native libheif`, async (t) => {
      const path = good(name);
      const pixels = await decodeHeif(path, await probe(path, DEFAULT_LIMITS), WITHIN);
      assert.deepEqual([pixels.width, pixels.height], [width, height]);
      assert.equal(pixels.channels, alpha ? 4 : 3);
      if (width * height > COMPARED_MAX_PIXELS && name !== COMPARED_HERO) return;
      const heifConvert = requireTool(t, 'heif-convert');
      if (!heifConvert) return;
      const folder = tempDir(t);
      execFileSync(heifConvert, [path, join(folder, 'out.png')], { stdio: 'ignore' });
      const file = join(folder, PRIMARY_FILE[name] ?? 'out.png');
      if (!existsSync(file)) renameSync(join(folder, 'out-1.png'), file);
      const reference = await samplesOf(file, alpha ? 4 : 3);
      if (alpha) {
        blankTransparent(pixels.data, reference);
        blankTransparent(reference, reference);
      }
      const found = psnr(pixels.data, reference);
      t.diagnostic(`${name}: ${found.toFixed(1)} dB`);
      assert.ok(found >= MIN_PSNR_DB, `${found.toFixed(1)} dB`);
    });
  }

  const unreadable: Facts = {
    format: 'heic',
    family: 'heif',
    mime: 'image/heic',
    bytes: 0,
    width: 1,
    height: 1,
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: 8,
    colorSpace: 'rgb',
  };

  // Straight to the decoder, without the probe that refuses most of them before.
  for (const { name, why } of hostileFacts.filter(isHeif)) {
    it(`refuses ${name} (${why})`, async () => {
      await assert.rejects(decodeHeif(hostile(name), unreadable, WITHIN), (error: { code?: string }) =>
        ['undecodable_image', 'image_too_large'].includes(error.code!),
      );
    });
  }
});
