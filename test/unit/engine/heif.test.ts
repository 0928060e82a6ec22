import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { decodeHeif } from '../../../src/engine/decode/heif.ts';
import { closeWasmWorkers } from '../../../src/engine/decode/wasm/host.ts';
import type { Facts, Pixels } from '../../../src/engine/types.ts';
import { tempDir } from '../../support/temp.ts';

const WITHIN = { maxPixels: 1_000_000, timeoutMs: 30_000 };

const QUADRANTS = {
  topLeft: [200, 40, 40],
  topRight: [40, 180, 60],
  bottomLeft: [50, 70, 200],
  bottomRight: [230, 220, 90],
};

/** What probe says of the fixtures; the decoder goes by the size only. */
const facts: Facts = {
  format: 'heic',
  family: 'heif',
  mime: 'image/heic',
  bytes: 0,
  width: 64,
  height: 48,
  orientation: 1,
  pages: 1,
  animated: false,
  alpha: false,
  bitDepth: 8,
  colorSpace: 'rgb',
};

const fixture = (name: string) => join(import.meta.dirname, '../../fixtures/heic', name);

function pixelAt({ data, width, channels }: Pixels, x: number, y: number): number[] {
  const at = (y * width + x) * channels;
  return [...data.subarray(at, at + channels)];
}

function assertNear(actual: number[], expected: number[], tolerance = 6): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of actual.entries()) {
    assert.ok(Math.abs(value - expected[i]!) <= tolerance, `expected ${expected}, found ${actual}`);
  }
}

function assertQuadrants(pixels: Pixels, expected: typeof QUADRANTS, tolerance?: number): void {
  const { width, height } = pixels;
  const [left, top, right, bottom] = [8, 8, width - 9, height - 9];
  assertNear(pixelAt(pixels, left, top).slice(0, 3), expected.topLeft, tolerance);
  assertNear(pixelAt(pixels, right, top).slice(0, 3), expected.topRight, tolerance);
  assertNear(pixelAt(pixels, left, bottom).slice(0, 3), expected.bottomLeft, tolerance);
  assertNear(pixelAt(pixels, right, bottom).slice(0, 3), expected.bottomRight, tolerance);
}

describe('HEIC decoder', () => {
  after(closeWasmWorkers);

  it('decodes 8-bit RGB without padding', async () => {
    const pixels = await decodeHeif(fixture('quadrants.heic'), facts, WITHIN);
    const { width, height, channels, depth, icc } = pixels;
    assert.deepEqual(
      { width, height, channels, depth, icc },
      { width: 64, height: 48, channels: 3, depth: 8, icc: undefined },
    );
    assert.equal(pixels.data.length, 64 * 48 * 3);
    assertQuadrants(pixels, QUADRANTS);
  });

  it('brings 10 bits down to 8', async () => {
    const pixels = await decodeHeif(fixture('deep.heic'), { ...facts, bitDepth: 10 }, WITHIN);
    assert.equal(pixels.depth, 8);
    assertQuadrants(pixels, QUADRANTS);
  });

  it('decodes alpha', async () => {
    const pixels = await decodeHeif(fixture('alpha.heic'), { ...facts, alpha: true }, WITHIN);
    assert.equal(pixels.channels, 4);
    assertNear(pixelAt(pixels, 8, 8), [...QUADRANTS.topLeft, 255]);
    assertNear(pixelAt(pixels, 56, 8), [...QUADRANTS.topRight, 128]);
  });

  it('makes premultiplied alpha straight', async () => {
    const pixels = await decodeHeif(fixture('premultiplied.heic'), { ...facts, alpha: true }, WITHIN);
    assertQuadrants(pixels, QUADRANTS, 10);
    assertNear(pixelAt(pixels, 56, 8), [...QUADRANTS.topRight, 128], 10);
  });

  it('spreads grey over three channels', async () => {
    const pixels = await decodeHeif(fixture('grey.heic'), { ...facts, colorSpace: 'gray' }, WITHIN);
    assert.equal(pixels.channels, 3);
    assertNear(pixelAt(pixels, 20, 20), [80, 80, 80]);
    assertNear(pixelAt(pixels, 50, 20), [200, 200, 200]);
  });

  it('hands over the ICC profile', async () => {
    const { icc } = await decodeHeif(fixture('display-p3.heic'), facts, WITHIN);
    assert.equal(Buffer.from(icc!).toString('latin1', 36, 40), 'acsp');
  });

  it('turns the picture as irot says, width and height with it', async (t) => {
    const path = join(tempDir(t), 'turned.heic');
    // The pixi box becomes an irot box of the same length: one step counter-clockwise.
    const file = readFileSync(fixture('quadrants.heic'));
    const at = file.indexOf('pixi');
    file.write('irot', at, 'latin1');
    file.fill(0, at + 4, at + 12);
    file[at + 4] = 1;
    writeFileSync(path, file);
    const pixels = await decodeHeif(path, { ...facts, width: 48, height: 64 }, WITHIN);
    assert.deepEqual([pixels.width, pixels.height], [48, 64]);
    assertQuadrants(pixels, {
      topLeft: QUADRANTS.topRight,
      topRight: QUADRANTS.bottomRight,
      bottomLeft: QUADRANTS.topLeft,
      bottomRight: QUADRANTS.bottomLeft,
    });
  });

  it('refuses more pixels than allowed, by the file’s own word too', async () => {
    const few = { ...WITHIN, maxPixels: 3_000 };
    await assert.rejects(decodeHeif(fixture('quadrants.heic'), facts, few), { code: 'image_too_large' });
    const lied = { ...facts, width: 1, height: 1 };
    await assert.rejects(decodeHeif(fixture('quadrants.heic'), lied, few), { code: 'image_too_large' });
  });

  it('refuses a file that is cut, wherever the cut is', async (t) => {
    const whole = readFileSync(fixture('alpha.heic'));
    const path = join(tempDir(t), 'cut.heic');
    for (const bytes of [whole.length - 1, whole.length - 40, whole.length >> 1, 300, 20, 0]) {
      writeFileSync(path, whole.subarray(0, bytes));
      await assert.rejects(
        decodeHeif(path, facts, WITHIN),
        (error: Error & { code?: string; detail?: string }) =>
          error.code === 'undecodable_image' && /^HEIC: /.test(error.detail!),
        `${bytes} of ${whole.length} bytes`,
      );
    }
  });

  it('refuses picture data that is overwritten, rather than showing it grey', async (t) => {
    const file = readFileSync(fixture('quadrants.heic'));
    file.fill(0, file.indexOf('mdat') + 12);
    const path = join(tempDir(t), 'zeroed.heic');
    writeFileSync(path, file);
    await assert.rejects(decodeHeif(path, facts, WITHIN), { code: 'undecodable_image' });
  });

  it('accepts bytes after the last box, as cameras append them', async (t) => {
    const path = join(tempDir(t), 'trailer.heic');
    writeFileSync(
      path,
      Buffer.concat([readFileSync(fixture('quadrants.heic')), Buffer.from('\x7f\0\0\0SEFH not a box')]),
    );
    assertQuadrants(await decodeHeif(path, facts, WITHIN), QUADRANTS);
  });

  it('stops at its deadline and when cancelled, and decodes the next picture all the same', async () => {
    await closeWasmWorkers();
    const path = fixture('quadrants.heic');
    await assert.rejects(decodeHeif(path, facts, { ...WITHIN, timeoutMs: 1 }), {
      code: 'processing_timeout',
    });
    await assert.rejects(decodeHeif(path, facts, { ...WITHIN, signal: AbortSignal.abort() }), {
      code: 'cancelled',
    });
    assertQuadrants(await decodeHeif(path, facts, WITHIN), QUADRANTS);
  });
});
