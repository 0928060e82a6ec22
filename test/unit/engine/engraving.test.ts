/** Files for laser cutters, plotters and printing: one bit a pixel, dots an inch, BMP. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import type { OutputOptions, Plan } from '../../../src/contract/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { decodeBmp } from '../../../src/engine/decode/bmp.ts';
import { setDensity } from '../../../src/engine/encode/density.ts';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { probe } from '../../../src/engine/probe.ts';
import { render } from '../../../src/engine/render.ts';
import { letterF } from '../../support/pictures.ts';
import { requireTool } from '../../support/tools.ts';

const WIDTH = 101;
const HEIGHT = 67;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tintype-engraving-'));
});
after(() => rm(folder, { recursive: true, force: true }));

let made = 0;
async function make(sourcePath: string, output: OutputOptions, operations: Plan['operations'] = []) {
  const outDir = await mkdtemp(join(folder, `${made++}-`));
  const plan = parsePlan({ operations, output: { metadata: 'strip', ...output } });
  const { renditions } = await render({ sourcePath, plans: [plan], limits: DEFAULT_LIMITS, outDir });
  return renditions[0]!.path;
}

async function sourceOf(image: Sharp, name: string): Promise<string> {
  const path = join(folder, name);
  await image.toFile(path);
  return path;
}

const picture = () => {
  const { data, width, height, channels } = letterF(WIDTH, HEIGHT);
  return sharp(data, { raw: { width, height, channels } });
};

/** Levels of one channel, by the engine's own decoder where it is a BMP. */
async function grayOf(path: string): Promise<Uint8Array> {
  if (!path.endsWith('.bmp')) return sharp(path).extractChannel(0).raw({ depth: 'uchar' }).toBuffer();
  const { data, channels } = await decodeBmp(path, await probe(path, DEFAULT_LIMITS));
  return data.filter((_, i) => i % channels === 0);
}

const ONE_BIT: [string, OutputOptions][] = [
  ['PNG', { format: 'png', depth: 1 }],
  ['TIFF, CCITT Group 4', { format: 'tiff', depth: 1 }],
  ['TIFF, LZW', { format: 'tiff', depth: 1, compression: 'lzw' }],
  ['TIFF, deflate', { format: 'tiff', depth: 1, compression: 'deflate' }],
  ['TIFF, uncompressed', { format: 'tiff', depth: 1, compression: 'none' }],
  ['BMP', { format: 'bmp', depth: 1 }],
];

describe('one bit a pixel', () => {
  for (const [name, output] of ONE_BIT) {
    test(`${name}: holds the dithered pixels, black as black`, async (t) => {
      const source = await sourceOf(picture().png(), 'picture.png');
      const dither = [{ op: 'dither', method: 'floyd-steinberg' }] as const;
      const wanted = await grayOf(await make(source, { format: 'png' }, [...dither]));
      const path = await make(source, output, [...dither]);
      assert.deepEqual(Buffer.from(await grayOf(path)), Buffer.from(wanted));
      const convert = requireTool(t, 'imagemagick');
      if (!convert) return;
      const theirs = execFileSync(convert, [path, '-depth', '8', 'gray:-']);
      assert.deepEqual(theirs, Buffer.from(wanted));
    });

    test(`${name}: takes levels from 128 on for white, of what is not black and white`, async () => {
      const ramp = Uint8Array.from({ length: 256 * 3 }, (_, i) => Math.floor(i / 3));
      const image = sharp(ramp, { raw: { width: 256, height: 1, channels: 3 } });
      const path = await make(await sourceOf(image.png(), 'ramp.png'), output);
      assert.deepEqual(
        [...(await grayOf(path))],
        Array.from({ length: 256 }, (_, i) => (i >= 128 ? 255 : 0)),
      );
    });
  }

  test('takes transparent pixels for white', async () => {
    const clear = sharp({ create: { width: 9, height: 5, channels: 4, background: '#00000000' } });
    const source = await sourceOf(clear.png(), 'clear.png');
    for (const [name, output] of ONE_BIT) {
      assert.deepEqual([...new Set(await grayOf(await make(source, output)))], [255], name);
    }
  });

  test('is one bit in the file, and no more', async (t) => {
    const source = await sourceOf(picture().png(), 'picture.png');
    const png = await readFile(await make(source, { format: 'png', depth: 1 }));
    assert.deepEqual([png[24], png[25]], [1, 0]); // IHDR: depth, gray
    const bmp = await readFile(await make(source, { format: 'bmp', depth: 1 }));
    assert.equal(bmp.readUInt16LE(28), 1);
    assert.equal(bmp.length, 62 + 16 * HEIGHT);
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    const tagsOf = (path: string) =>
      JSON.parse(
        execFileSync(exiftool, [
          '-json',
          '-n',
          '-BitsPerSample',
          '-Compression',
          '-PhotometricInterpretation',
          path,
        ]).toString(),
      )[0];
    const g4 = tagsOf(await make(source, { format: 'tiff', depth: 1 }));
    assert.deepEqual([g4.BitsPerSample, g4.Compression, g4.PhotometricInterpretation], [1, 4, 0]);
    const lzw = tagsOf(await make(source, { format: 'tiff', depth: 1, compression: 'lzw' }));
    assert.deepEqual([lzw.BitsPerSample, lzw.Compression, lzw.PhotometricInterpretation], [1, 5, 1]);
  });
});

describe('bits a channel', () => {
  test('16 of a picture with 8: white stays white', async () => {
    const source = await sourceOf(picture().png(), 'picture.png');
    const eight = await sharp(source).raw().toBuffer();
    for (const format of ['png', 'tiff'] as const) {
      for (const operations of [[], [{ op: 'flop' }, { op: 'flop' }]] as Plan['operations'][]) {
        const path = await make(source, { format, depth: 16 }, operations);
        assert.equal((await sharp(path).metadata()).depth, 'ushort');
        const { data } = await sharp(path)
          .toColourspace('rgb16')
          .raw({ depth: 'ushort' })
          .toBuffer({ resolveWithObject: true });
        const levels = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
        assert.ok(
          levels.every((level, i) => level >> 8 === eight[i]),
          format,
        );
      }
    }
  });

  test('8 of a picture with 16, where 8 are asked for; else 16', async () => {
    const samples = Uint16Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 977) & 0xffff);
    const deep = sharp(samples, { raw: { width: 40, height: 30, channels: 3 } }).toColourspace('rgb16');
    const source = await sourceOf(deep.png(), 'deep.png');
    for (const format of ['png', 'tiff'] as const) {
      assert.equal((await sharp(await make(source, { format, depth: 8 })).metadata()).depth, 'uchar');
      assert.equal((await sharp(await make(source, { format })).metadata()).depth, 'ushort');
    }
  });
});

describe('BMP', () => {
  test('of 24 and 32 bits hold the pixels, the latter with their transparency', async (t) => {
    const { data, width, height } = letterF(WIDTH, HEIGHT);
    const rgba = Buffer.alloc(width * height * 4);
    for (let i = 0; i < width * height; i++) {
      rgba.set(data.subarray(i * 3, i * 3 + 3), i * 4);
      rgba[i * 4 + 3] = i % width < 50 ? 255 : i % 200;
    }
    const source = await sourceOf(sharp(rgba, { raw: { width, height, channels: 4 } }).png(), 'rgba.png');
    const path = await make(source, { format: 'bmp', depth: 32 });
    const facts = await probe(path, DEFAULT_LIMITS);
    assert.equal(facts.alpha, true);
    assert.deepEqual(Buffer.from((await decodeBmp(path, facts)).data), rgba);
    const opaque = await make(await sourceOf(picture().png(), 'picture.png'), { format: 'bmp' });
    assert.deepEqual(
      Buffer.from((await decodeBmp(opaque, await probe(opaque, DEFAULT_LIMITS))).data),
      Buffer.from(data),
    );
    const convert = requireTool(t, 'imagemagick');
    if (!convert) return;
    assert.deepEqual(execFileSync(convert, [path, '-depth', '8', 'rgba:-']), rgba);
    assert.deepEqual(execFileSync(convert, [opaque, '-depth', '8', 'rgb:-']), Buffer.from(data));
  });

  test('of a gray picture is gray', async () => {
    const source = await sourceOf(picture().png(), 'picture.png');
    const gray = await grayOf(await make(source, { format: 'png' }, [{ op: 'grayscale' }]));
    for (const depth of [24, 32] as const) {
      const path = await make(source, { format: 'bmp', depth }, [{ op: 'grayscale' }]);
      const { data, channels } = await decodeBmp(path, await probe(path, DEFAULT_LIMITS));
      assert.equal(channels, depth / 8);
      for (const c of [0, 1, 2]) assert.deepEqual([...data.filter((_, i) => i % channels === c)], [...gray]);
    }
  });
});

describe('dots an inch', () => {
  const FORMATS: OutputOptions[] = [
    { format: 'jpeg' },
    { format: 'jpeg', progressive: true },
    { format: 'png' },
    { format: 'png', depth: 1 },
    { format: 'png', depth: 16 },
    { format: 'tiff' },
    { format: 'tiff', depth: 1 },
    { format: 'tiff', compression: 'none' },
    { format: 'bmp' },
    { format: 'bmp', depth: 1 },
    { format: 'bmp', depth: 32 },
  ];

  for (const output of FORMATS) {
    const name = Object.values(output).join(' ');
    test(`${name}: 300 and 1270 are read back by other programs`, async (t) => {
      const source = await sourceOf(picture().png(), 'picture.png');
      for (const dpi of [300, 1270]) {
        const path = await make(source, { ...output, dpi });
        const convert = requireTool(t, 'imagemagick');
        if (!convert) return;
        const found = execFileSync(convert, [path, '-units', 'PixelsPerInch', '-format', '%x %y', 'info:']);
        for (const value of found.toString().split(' ').map(Number)) {
          assert.ok(Math.abs(value - dpi) < 0.02, `${found}`);
        }
        const exiftool = requireTool(t, 'exiftool');
        if (!exiftool) return;
        const args = [
          '-json',
          '-n',
          '-XResolution',
          '-ResolutionUnit',
          '-PixelsPerUnitX',
          '-PixelsPerMeterX',
        ];
        const tags = JSON.parse(execFileSync(exiftool, [...args, path]).toString())[0];
        if (output.format === 'jpeg') assert.deepEqual([tags.XResolution, tags.ResolutionUnit], [dpi, 1]);
        if (output.format === 'tiff') assert.deepEqual([tags.XResolution, tags.ResolutionUnit], [dpi, 2]);
        if (output.format === 'png') assert.equal(tags.PixelsPerUnitX, Math.round(dpi / 0.0254));
        if (output.format === 'bmp') assert.equal(tags.PixelsPerMeterX, Math.round(dpi / 0.0254));
      }
    });
  }

  test('stand in the metadata that is kept, too, and bring no metadata of their own', async (t) => {
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    const tagsOf = (path: string) =>
      JSON.parse(execFileSync(exiftool, ['-json', '-n', '-G1', '-a', path]).toString())[0];
    const source = await sourceOf(
      picture()
        .withExif({ IFD0: { Artist: 'An engraver', XResolution: '72/1', YResolution: '72/1' } })
        .jpeg(),
      'tagged.jpg',
    );
    for (const format of ['jpeg', 'png', 'tiff'] as const) {
      const kept = tagsOf(await make(source, { format, dpi: 600, metadata: 'keep' }));
      assert.equal(kept['IFD0:Artist'], 'An engraver');
      for (const tag of ['IFD0:XResolution', 'IFD0:YResolution', 'JFIF:XResolution']) {
        assert.ok([undefined, 600].includes(kept[tag]), `${format} ${tag} ${kept[tag]}`);
      }
      const stripped = Object.keys(tagsOf(await make(source, { format, dpi: 600 })));
      const groups = format === 'tiff' ? /^(ICC|ExifIFD|XMP|GPS)/ : /^(ICC|IFD|ExifIFD|XMP|GPS)/;
      assert.deepEqual(
        stripped.filter((tag) => groups.test(tag)),
        [],
        format,
      );
    }
  });

  test('are added to a JPEG and a PNG that say nothing of it', async () => {
    const jpeg = await picture().jpeg().toBuffer();
    assert.equal(jpeg.indexOf('JFIF'), -1);
    const png = await picture().png().toBuffer();
    const at = png.indexOf('pHYs') - 4;
    const plain = Buffer.concat([png.subarray(0, at), png.subarray(at + 21)]);
    for (const [format, bytes] of [
      ['jpeg', jpeg],
      ['png', plain],
    ] as const) {
      const path = join(folder, `plain.${format}`);
      await writeFile(path, bytes);
      assert.notEqual((await sharp(path).metadata()).density, 400);
      await setDensity(path, format, 300);
      const { length } = await readFile(path);
      await setDensity(path, format, 400);
      assert.equal((await readFile(path)).length, length);
      assert.equal(Math.round((await sharp(path).metadata()).density ?? 0), 400);
      assert.deepEqual(await sharp(path).raw().toBuffer(), await sharp(bytes).raw().toBuffer());
    }
  });

  test('leave alone what has no place for them', async () => {
    for (const format of ['webp', 'avif', 'gif'] as const) {
      const path = await sourceOf(picture().toFormat(format), `plain.${format}`);
      const copy = `${path}.copy`;
      await copyFile(path, copy);
      await setDensity(path, format, 300);
      assert.deepEqual(await readFile(path), await readFile(copy));
    }
  });
});
