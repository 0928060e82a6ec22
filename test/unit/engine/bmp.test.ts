import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeBmp } from '../../../src/engine/decode/bmp.ts';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { probe } from '../../../src/engine/probe.ts';
import { type BmpOptions, bmp, bytes, le16, le32 } from './support/image-bytes.ts';

const BLACK = [0, 0, 0];
const WHITE = [255, 255, 255];
/** Blue, green, red, as the file has them; and as pixels. */
const ORANGE = [0, 128, 255];
const ORANGE_RGB = [255, 128, 0];

describe('decodeBmp', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tintype-bmp-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const decodeFile = async (file: Buffer) => {
    const path = join(folder, 'a.bmp');
    await writeFile(path, file);
    return decodeBmp(path, await probe(path, DEFAULT_LIMITS));
  };
  const decode = (options: BmpOptions) => decodeFile(bmp(options));
  const pixelsOf = async (options: BmpOptions) => [...(await decode(options)).data];
  const refuses = (options: BmpOptions, detail: RegExp) =>
    assert.rejects(decode(options), (error: { code?: string; detail?: string }) => {
      assert.equal(error.code, 'undecodable_image');
      assert.match(error.detail ?? '', detail);
      return true;
    });

  test('puts the last stored row on top, and pads rows to four bytes', async () => {
    const pixels = [1, 2, 3, 0, 4, 5, 6, 0];
    assert.deepEqual(await pixelsOf({ width: 1, height: 2, bits: 24, pixels }), [6, 5, 4, 3, 2, 1]);
    assert.deepEqual(await pixelsOf({ width: 1, height: -2, bits: 24, pixels }), [3, 2, 1, 6, 5, 4]);
  });

  test('reads a last row whose padding is missing', async () => {
    assert.deepEqual(await pixelsOf({ width: 1, height: 1, bits: 24, pixels: [1, 2, 3] }), [3, 2, 1]);
  });

  test('reads palettes of 1, 2, 4 and 8 bits', async () => {
    const palette = [BLACK, ORANGE];
    const line = [...BLACK, ...ORANGE_RGB, ...ORANGE_RGB];
    const rows: [number, number][] = [
      [1, 0b01100000],
      [2, 0b00010100],
    ];
    for (const [bits, first] of rows) {
      assert.deepEqual(
        await pixelsOf({ width: 3, height: 1, bits, palette, pixels: [first, 0, 0, 0] }),
        line,
        `${bits}`,
      );
    }
    assert.deepEqual(
      await pixelsOf({ width: 3, height: 1, bits: 4, palette, pixels: [0x01, 0x10, 0, 0] }),
      line,
    );
    assert.deepEqual(await pixelsOf({ width: 3, height: 1, bits: 8, palette, pixels: [0, 1, 1, 0] }), line);
  });

  test('reads the short palette entries of OS/2', async () => {
    const pixels = [0b10000000, 0, 0, 0];
    const os2 = { width: 2, height: 1, bits: 1, headerBytes: 12, palette: [ORANGE, WHITE], pixels };
    assert.deepEqual(await pixelsOf(os2), [...WHITE, ...ORANGE_RGB]);
  });

  test('takes an index beyond the palette for black', async () => {
    assert.deepEqual(
      await pixelsOf({ width: 1, height: 1, bits: 8, palette: [WHITE], pixels: [9, 0, 0, 0] }),
      BLACK,
    );
  });

  test('scales 5 and 6 bits to 8', async () => {
    const white565 = { width: 1, height: 1, bits: 16, compression: 3, masks: [0xf800, 0x07e0, 0x001f] };
    assert.deepEqual(await pixelsOf({ ...white565, pixels: [0xff, 0xff, 0, 0] }), WHITE);
    // Red 16 of 31, green 0, blue 1 of 31.
    assert.deepEqual(await pixelsOf({ ...white565, pixels: le16(0x8001, 0) }), [132, 0, 8]);
    assert.deepEqual(await pixelsOf({ width: 1, height: 1, bits: 16, pixels: le16(0x7c00, 0) }), [255, 0, 0]);
  });

  test('reads fields of 10 bits and of the highest bit', async () => {
    const deep = {
      width: 1,
      height: 1,
      bits: 32,
      compression: 3,
      masks: [0x3ff00000, 0x000ffc00, 0x000003ff],
    };
    assert.deepEqual(await pixelsOf({ ...deep, pixels: le32(0x3ff00000 | (512 << 10)) }), [255, 128, 0]);
    const high = { ...deep, headerBytes: 108, masks: [0xff, 0xff00, 0xff0000, 0x80000000] };
    assert.deepEqual(await pixelsOf({ ...high, pixels: [1, 2, 3, 0x80] }), [1, 2, 3, 255]);
  });

  test('has alpha only where a header gives it bits', async () => {
    const plain = { width: 2, height: 1, bits: 32, pixels: [3, 2, 1, 9, 6, 5, 4, 8] };
    assert.deepEqual(await pixelsOf(plain), [1, 2, 3, 4, 5, 6]);
    const masks = [0xff0000, 0xff00, 0xff, 0xff000000];
    const v4 = { ...plain, compression: 3, headerBytes: 108, masks };
    assert.deepEqual(await pixelsOf(v4), [1, 2, 3, 9, 4, 5, 6, 8]);
    assert.deepEqual(await pixelsOf({ ...plain, compression: 6, masks }), [1, 2, 3, 9, 4, 5, 6, 8]);
  });

  test('takes alpha that is zero everywhere for never filled in', async () => {
    const masks = [0xff0000, 0xff00, 0xff, 0xff000000];
    const options = {
      width: 1,
      height: 1,
      bits: 32,
      compression: 3,
      headerBytes: 124,
      masks,
      pixels: [3, 2, 1, 0],
    };
    assert.deepEqual(await pixelsOf(options), [1, 2, 3, 255]);
  });

  const runs = { width: 4, height: 2, bits: 8, compression: 1, palette: [BLACK, ORANGE, WHITE] };
  const row = (...indices: number[]) => indices.flatMap((i) => [BLACK, ORANGE_RGB, WHITE][i]!);

  test('reads RLE8: runs, literals with padding, jumps, ends', async () => {
    // Below: two of orange, then three literals cut at the edge by an end of line; above: one skipped, one white.
    const pixels = [2, 1, 0, 0, 0, 2, 1, 0, 2, 2, 0, 1];
    assert.deepEqual(await pixelsOf({ ...runs, pixels }), [...row(0, 2, 2, 0), ...row(1, 1, 0, 0)]);
    const literals = [0, 3, 1, 2, 1, 0, 0, 0, 4, 2];
    assert.deepEqual(await pixelsOf({ ...runs, pixels: literals }), [...row(2, 2, 2, 2), ...row(1, 2, 1, 0)]);
  });

  test('reads RLE4: both indices of a run in turn', async () => {
    const options = { ...runs, bits: 4, compression: 2, pixels: [4, 0x12, 0, 0, 0, 3, 0x12, 0x10, 0, 1] };
    assert.deepEqual(await pixelsOf(options), [...row(1, 2, 1, 0), ...row(1, 2, 1, 2)]);
  });

  test('refuses runs past the edge, and data that ends early', async () => {
    await refuses({ ...runs, pixels: [5, 1, 0, 1] }, /past the edge/);
    await refuses({ ...runs, pixels: [4, 1, 0, 0, 4, 1, 0, 0, 1, 1] }, /past the edge/);
    await refuses({ ...runs, pixels: [0, 2, 0, 9, 1, 1] }, /past the edge/);
    await refuses({ ...runs, pixels: [4, 1, 0, 0] }, /ends before/);
    await refuses({ ...runs, pixels: [0, 200, 1, 1] }, /ends before/);
    await refuses({ ...runs, height: -2, pixels: [0, 1] }, /top-down/);
  });

  test('refuses short files and impossible headers', async () => {
    await refuses({ width: 2, height: 2, bits: 24, pixels: [1, 2, 3] }, /ends before/);
    await refuses({ width: -2, height: 2, bits: 24, pixels: [1] }, /-2/);
    await refuses({ width: 2, height: 0, bits: 24, pixels: [1] }, /2 × 0/);
    await refuses({ width: 1, height: 1, bits: 7, pixels: [1] }, /7 bits/);
    await refuses({ width: 1, height: 1, bits: 24, compression: 9, pixels: [1, 2, 3] }, /compression 9/);
    await refuses(
      { width: 1, height: 1, bits: 32, compression: 3, masks: [5, 2, 8], pixels: [1, 2, 3, 4] },
      /contiguous/,
    );
    await refuses(
      { width: 1, height: 1, bits: 32, compression: 3, masks: [0, 0, 0], pixels: [1, 2, 3, 4] },
      /empty/,
    );
    await refuses({ width: 1, height: 1, bits: 24, headerBytes: 15, pixels: [1, 2, 3, 4] }, /15 bytes/);
  });

  test('hands over the profile of a V5 header', async () => {
    const file = bmp({ width: 1, height: 1, bits: 24, headerBytes: 124, pixels: [1, 2, 3, 0] });
    file.writeUInt32LE(0x4d424544, 14 + 56);
    file.writeUInt32LE(file.length - 14, 14 + 112);
    file.writeUInt32LE(7, 14 + 116);
    const pixels = await decodeFile(bytes(file, 'profile'));
    assert.equal(Buffer.from(pixels.icc ?? []).toString(), 'profile');
    assert.equal((await decodeFile(bytes(file, 'prof'))).icc, undefined);
  });
});
