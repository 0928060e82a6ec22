import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import type { Operation, OutputFormat } from '../../../src/contract/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { joinTiffs } from '../../../src/engine/encode/tiff-pages.ts';
import { DEFAULT_LIMITS, endExiftool, type Limits, render } from '../../../src/engine/index.ts';
import { runExiftool } from '../../../src/engine/metadata/exiftool.ts';
import { tiffPages } from '../../../src/engine/probe/tiff.ts';
import { Problem } from '../../../src/problem.ts';
import { fixture } from '../../support/fixtures.ts';
import { landscape, letterF, type Picture, storedFor } from '../../support/pictures.ts';
import { tempDir } from '../../support/temp.ts';
import { picture, tiff } from './support/image-bytes.ts';

const dir = tempDir({ after });
after(() => endExiftool());
let count = 0;
const fresh = () => join(dir, `${count++}.tif`);

const image = ({ data, width, height, channels }: Picture): Sharp =>
  sharp(data, { raw: { width, height, channels } });

/** Pages that differ in all that pages can differ in: size, depth, channels, compression, turn. */
const pages: Sharp[] = [
  image(landscape(320, 240)).tiff({ compression: 'lzw', predictor: 'horizontal' }),
  image(letterF(96, 64)).toColourspace('rgb16').tiff({ compression: 'deflate' }),
  image(letterF(31, 17)).toColourspace('b-w').tiff({ compression: 'none' }),
  image(letterF(40, 30)).ensureAlpha(0.5).tiff({ compression: 'lzw' }),
  image(letterF(64, 48)).toColourspace('b-w').tiff({ compression: 'ccittfax4', bitdepth: 1 }),
  image(storedFor(6, letterF(50, 20)))
    .withMetadata({ orientation: 6 })
    .tiff({ compression: 'lzw' }),
  image(landscape(200, 3000)).tiff({ tile: true, tileWidth: 64, tileHeight: 64 }),
];

async function book(of: Sharp[] = pages): Promise<{ path: string; singles: Buffer[] }> {
  const singles = await Promise.all(of.map((page) => page.clone().toBuffer()));
  const paths = singles.map((bytes) => {
    const path = fresh();
    writeFileSync(path, bytes);
    return path;
  });
  const path = fresh();
  await joinTiffs(paths, path);
  return { path, singles };
}

async function make(
  sourcePath: string,
  format: OutputFormat,
  operations: Operation[] = [],
  more: { limits?: Partial<Limits>; metadata?: 'keep' } = {},
) {
  const outDir = join(dir, `out-${count++}`);
  mkdirSync(outDir);
  const plan = parsePlan({ operations, output: { format, metadata: more.metadata ?? 'strip' } });
  const limits = { ...DEFAULT_LIMITS, ...more.limits };
  const { renditions } = await render({ sourcePath, outDir, plans: [plan], limits });
  return renditions[0]!;
}

const sizesOf = async (path: string): Promise<string[]> => {
  const { pages: n = 1 } = await sharp(path).metadata();
  const of = async (page: number) => {
    const { width, height } = await sharp(path, { page }).metadata();
    return `${width}×${height}`;
  };
  return Promise.all(Array.from({ length: n }, (_, page) => of(page)));
};

describe('joined TIFFs', () => {
  test('every page reads as it did by itself', async () => {
    const { path, singles } = await book();
    assert.equal((await sharp(path).metadata()).pages, pages.length);
    for (const [page, single] of singles.entries()) {
      const [found, expected] = [sharp(path, { page }), sharp(single)];
      const [a, b] = [await found.metadata(), await expected.metadata()];
      for (const key of ['width', 'height', 'depth', 'channels', 'compression', 'orientation'] as const)
        assert.equal(a[key], b[key], `${key} of page ${page}`);
      assert.deepEqual(await found.raw().toBuffer(), await expected.raw().toBuffer(), `page ${page}`);
    }
  });

  test('exiftool finds no fault in any directory', async () => {
    const { path } = await book();
    const { stdout, warnings, errors } = await runExiftool(['-validate', '-warning', '-a', '-s3', path]);
    assert.deepEqual([errors, warnings], [[], []]);
    assert.doesNotMatch(stdout, /offset|overlap|IFD pointer|truncated/i);
  });
});

describe('TIFF to TIFF', () => {
  test('keeps all pages, upright, each of its size and depth', async () => {
    const { path } = await book();
    const made = await make(path, 'tiff');
    assert.deepEqual(await sizesOf(made.path), [
      '320×240',
      '96×64',
      '31×17',
      '40×30',
      '64×48',
      '50×20',
      '200×3000',
    ]);
    assert.equal(made.pages, 7);
    assert.deepEqual([made.width, made.height], [320, 240]);
    assert.equal((await sharp(made.path, { page: 0 }).metadata()).depth, 'uchar');
    assert.equal((await sharp(made.path, { page: 1 }).metadata()).depth, 'ushort');
    assert.equal((await sharp(made.path, { page: 3 }).metadata()).hasAlpha, true);
    assert.deepEqual(
      await sharp(made.path, { page: 1 }).toColourspace('rgb16').raw({ depth: 'ushort' }).toBuffer(),
      await pages[1]!.clone().toColourspace('rgb16').raw({ depth: 'ushort' }).toBuffer(),
    );
    const turned = await sharp(made.path, { page: 5 }).raw().toBuffer();
    assert.deepEqual(turned, Buffer.from(letterF(50, 20).data));
  });

  test('works on every page by itself', async () => {
    const { path } = await book();
    const made = await make(path, 'tiff', [
      { op: 'resize', width: 30, height: 30 },
      { op: 'rotate', angle: 90 },
    ]);
    assert.deepEqual(await sizesOf(made.path), [
      '23×30',
      '20×30',
      '16×30',
      '23×30',
      '23×30',
      '12×30',
      '30×2',
    ]);
  });

  test('one page where one is asked for, the first in every other format', async () => {
    const { path } = await book();
    const one = await make(path, 'tiff', [{ op: 'frame', page: 5 }]);
    assert.deepEqual([one.pages, one.width, one.height], [1, 50, 20]);
    for (const format of ['png', 'webp', 'gif', 'jpeg'] as const) {
      const { pages: n, width, height } = await make(path, format);
      assert.deepEqual([n, width, height], [1, 320, 240], format);
    }
  });

  test('metadata of the first page is kept, and no page is lost by it', async () => {
    const { path } = await book();
    await runExiftool(['-overwrite_original', '-IFD0:Artist=Ada', '-IFD0:Orientation#=3', path]);
    const made = await make(path, 'tiff', [{ op: 'resize', width: 20 }], { metadata: 'keep' });
    assert.equal((await sizesOf(made.path)).length, 7);
    const { stdout } = await runExiftool(['-s3', '-IFD0:Artist', '-IFD0:Orientation#', made.path]);
    assert.deepEqual(stdout.trim().split('\n'), ['Ada', '1']);
    for (let page = 0; page < 7; page++) await sharp(made.path, { page }).raw().toBuffer();
  });

  test('thumbnails, smaller copies and masks in the chain are no pages', async () => {
    const path = fresh();
    const directories = [{}, { 254: [2] }, { 254: [1] }, { 254: [4] }, { 255: { short: [2] } }, { 254: [0] }];
    writeFileSync(path, tiff(directories.map((more) => picture(8, 1, more))));
    assert.deepEqual(await tiffPages(path, 100), [0, 1, 5]);
    const made = await make(path, 'tiff', [{ op: 'crop', left: 1, top: 0, width: 3, height: 1 }]);
    assert.deepEqual(await sizesOf(made.path), ['3×1', '3×1', '3×1']);
  });

  test('refuses more pages than are allowed', async () => {
    await assert.rejects(
      make(fixture('tiff-4-pages.tif'), 'tiff', [], { limits: { maxFrames: 3 } }),
      (error: Problem) => error instanceof Problem && error.code === 'too_many_frames',
    );
    assert.equal(
      (await make(fixture('tiff-4-pages.tif'), 'tiff', [], { limits: { maxFrames: 4 } })).pages,
      4,
    );
  });
});

describe('16 bits a channel', () => {
  const deepest = async (path: string) => {
    const { depth } = await sharp(path).metadata();
    assert.equal(depth, 'ushort');
    const data = await sharp(path).toColourspace('rgb16').raw({ depth: 'ushort' }).toBuffer();
    return new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  };

  test('PNG to TIFF and back changes no sample', async () => {
    const original = await deepest(fixture('png-16bit.png'));
    const asTiff = await make(fixture('png-16bit.png'), 'tiff');
    const back = await make(asTiff.path, 'png');
    assert.deepEqual(await deepest(asTiff.path), original);
    assert.deepEqual(await deepest(back.path), original);
  });

  test('a resize keeps steps that 8 bits cannot tell apart', async () => {
    const { path } = await make(fixture('png-16bit.png'), 'tiff', [{ op: 'resize', width: 32 }]);
    const samples = await deepest(path);
    // The ramp's red rises by 100 a pixel, and so by 200 at half the size.
    for (let x = 4; x < 28; x++)
      assert.ok(Math.abs(samples[(10 * 32 + x) * 3]! - (20_050 + x * 200)) <= 8, `red at ${x}`);
  });

  test('Display P3 comes down to sRGB in 16 bits', async () => {
    const width = 64;
    const data = new Uint16Array(width * 4 * 3);
    const red = (x: number) => 20_000 + x * 50;
    for (let i = 0; i < width * 4; i++) data.set([red(i % width), 30_000, 25_000], i * 3);
    const wide = fresh();
    // The numbers stay, and get another meaning.
    await sharp(data, { raw: { width, height: 4, channels: 3 } })
      .toColourspace('rgb16')
      .withIccProfile('p3')
      .png()
      .toFile(wide);
    for (const format of ['png', 'tiff'] as const) {
      const made = await make(wide, format);
      assert.equal((await sharp(made.path).metadata()).icc, undefined);
      const samples = await deepest(made.path);
      const reds = Array.from({ length: width }, (_, x) => samples[x * 3]!);
      // 3,150 of 65,535 are 13 levels of 8 bits.
      assert.ok(new Set(reds).size > 50, `${new Set(reds).size} different reds`);
      for (const [x, found] of reds.entries())
        assert.ok(Math.abs(found - srgbRed(red(x), 30_000)) < 100, `${format} at ${x}: ${found}`);
    }
  });
});

/** Red in sRGB of a Display P3 colour; the primaries' matrix gives blue no part in it. */
function srgbRed(red: number, green: number): number {
  const linear = (sample: number) => ((sample / 65_535 + 0.055) / 1.055) ** 2.4;
  const light = 1.2249 * linear(red) - 0.2247 * linear(green);
  return 65_535 * (1.055 * light ** (1 / 2.4) - 0.055);
}

test('a page of a fixture reads the same through the service as by itself', async () => {
  const source = fixture('tiff-4-pages.tif');
  const made = await make(source, 'tiff');
  for (let page = 0; page < 4; page++) {
    const pixelsOf = (path: string | Buffer) => sharp(path, { page }).raw().toBuffer();
    assert.deepEqual(await pixelsOf(made.path), await pixelsOf(readFileSync(source)));
  }
});
