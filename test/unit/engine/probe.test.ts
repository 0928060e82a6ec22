import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { describeUnsupported, probe, sniff } from '../../../src/engine/probe.ts';
import type { Facts } from '../../../src/engine/types.ts';
import {
  be16,
  be32,
  box,
  bytes,
  exif,
  gif,
  jpeg,
  picture,
  png,
  pngChunk,
  riff,
  segment,
  sof,
  sos,
  tiff,
  vp8,
  vp8l,
  vp8x,
} from './support/image-bytes.ts';
import { factsOf, refuses } from './support/probing.ts';
import { SVG, samples } from './support/samples.ts';

const all = await samples();

describe('probe', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tintype-probe-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const expected: Record<string, Partial<Facts>> = {
    'jpeg baseline': { width: 20, height: 12, colorSpace: 'rgb', family: 'libvips', mime: 'image/jpeg' },
    'jpeg progressive, P3, turned': { width: 12, height: 20, orientation: 6 },
    'jpeg cmyk': { colorSpace: 'cmyk' },
    'jpeg by hand': { width: 20, height: 30, orientation: 8 },
    'png rgba': { alpha: true, bitDepth: 8, colorSpace: 'rgb', pages: 1 },
    'png P3': { alpha: false },
    'png animated': { width: 3, height: 4, orientation: 5, pages: 7, animated: true },
    'gif animated': { width: 20, height: 12, pages: 2, animated: true, alpha: true, colorSpace: 'palette' },
    'webp lossless': { width: 20, height: 12, alpha: true },
    'webp animated': { width: 20, height: 12, pages: 2, animated: true, alpha: true },
    'webp turned': { width: 12, height: 20, orientation: 6, alpha: false },
    avif: { width: 20, height: 12, family: 'libvips' },
    'avif sequence': { width: 64, height: 48, pages: 3, animated: true },
    'heic grid with alpha': {
      width: 40,
      height: 60,
      alpha: true,
      bitDepth: 10,
      pages: 1,
      family: 'heif',
      orientation: 1,
    },
    'heic still': { width: 48, height: 64, alpha: false },
    'tiff pages': { width: 4, height: 3, pages: 3, animated: false, colorSpace: 'gray' },
    dng: { format: 'dng', width: 54, height: 36, bitDepth: 14, colorSpace: 'cfa', family: 'raw' },
    cr2: { format: 'cr2', width: 60, height: 40 },
    'raw pef': { format: 'raw', width: 40, height: 60, orientation: 1 },
    rw2: { format: 'rw2', width: 60, height: 40 },
    raf: { width: 40, height: 60 },
    crw: { width: 40, height: 60 },
    'raw mrw': { width: 60, height: 40 },
    'raw x3f': { width: 60, height: 40 },
    cr3: { width: 40, height: 60 },
    svg: { width: 40, height: 30, alpha: true },
    'svg zipped': { width: 40, height: 30 },
    'bmp bit fields': { width: 3, height: 2, alpha: true, colorSpace: 'rgb', family: 'bmp' },
    'bmp os2': { width: 3, height: 2, alpha: false, colorSpace: 'palette' },
  };

  for (const [name, file] of all) {
    test(`reads the facts of ${name}`, async () => {
      const path = join(folder, 'upload.txt');
      await writeFile(path, file);
      const facts = await probe(path, DEFAULT_LIMITS);
      assert.equal(facts.format, name.split(' ')[0]);
      assert.equal(facts.bytes, file.length);
      const wanted = expected[name] ?? {};
      assert.deepEqual({ ...facts, ...wanted }, facts);
      assert.deepEqual(await factsOf(file), facts, 'a file and memory give the same');
    });
  }

  test('names the embedded profile', async () => {
    for (const name of ['png P3', 'webp lossy', 'tiff', 'avif', 'jpeg progressive, P3, turned']) {
      assert.match((await factsOf(all.get(name)!)).iccProfile ?? '', /P3/i, name);
    }
  });

  test('refuses an empty file, and one that is too long, before looking into it', async () => {
    await refuses(Buffer.alloc(0), 'unsupported_media_type', /empty/);
    await refuses(all.get('tiff')!, 'upload_too_large', /at most 100/, { maxBytes: 100 });
  });

  test('stops when it is cancelled', async () => {
    const path = join(folder, 'cancelled');
    await writeFile(path, all.get('tiff')!);
    await assert.rejects(probe(path, DEFAULT_LIMITS, AbortSignal.abort()), { code: 'cancelled' });
  });

  test('refuses pictures of more pixels than allowed, in every format', async () => {
    for (const [name, file] of all)
      await refuses(file, 'image_too_large', /pixels/, { maxPixels: 5 }).catch((error) =>
        assert.fail(`${name}: ${error}`),
      );
  });

  test('counts pages up to one above the limit', async () => {
    const frames = Array.from({ length: 50 }, () => ({ width: 1, height: 1 }));
    for (const file of [
      gif(1, 1, frames),
      tiff(frames.map(() => picture(1, 1))),
      png({ before: [pngChunk('acTL', be32(5000, 0))] }),
    ]) {
      assert.equal((await factsOf(file, { maxFrames: 10 })).pages, 11);
    }
  });
});

describe('sniff', () => {
  test('goes by content', () => {
    for (const [name, file] of all) {
      const format = name.split(' ')[0]!;
      const inTiff = ['dng', 'nef', 'arw'].includes(format) || name === 'raw pef';
      assert.equal(sniff(file)?.format, inTiff ? 'tiff' : format, name);
    }
  });

  test('takes HEIF brands that say nothing of the codec for AVIF where avif is among them', () => {
    assert.equal(sniff(box('ftyp', 'mif1', be32(0), 'mif1', 'avif', 'miaf'))?.format, 'avif');
    assert.equal(sniff(box('ftyp', 'mif1', be32(0), 'mif1', 'heic'))?.format, 'heic');
    assert.notEqual(sniff(box('ftyp', 'isom', be32(0), 'isom', 'avif'))?.format, 'avif');
  });

  test('finds the svg root behind declaration, comments, document type and byte order mark', () => {
    for (const text of [
      '\ufeff<?xml version="1.0"?>\n<!-- <html> --><!DOCTYPE svg [ <!ELEMENT a (b)> ]>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
      '<svg:svg xmlns:svg="http://www.w3.org/2000/svg"></svg:svg>',
      '  \n<svg>',
    ]) {
      assert.equal(sniff(Buffer.from(text))?.format, 'svg', text);
    }
    assert.equal(sniff(Buffer.from(`\ufeff${SVG}`, 'utf16le'))?.format, 'svg');
  });

  test('is not taken in by text that merely holds <svg', () => {
    for (const text of [
      'hello <svg>',
      '<html><svg></svg></html>',
      '<!-- <svg> -->',
      '<image><svg/></image>',
      '<svgx/>',
      '<!DOCTYPE svg [<svg>',
      '<',
    ]) {
      assert.equal(sniff(Buffer.from(text)), undefined, text);
    }
    assert.equal(
      sniff(riff(['VP8L', vp8l(1, 1)], ['XMP ', '<svg xmlns="http://www.w3.org/2000/svg">']))?.format,
      'webp',
    );
  });

  test('needs more than the letters BM', () => {
    assert.equal(sniff(Buffer.from('BMW is a maker of cars, and this is text.')), undefined);
  });

  test('says what an unsupported file is', () => {
    const words: [string, string | undefined][] = [
      ['%PDF-1.7', 'a PDF'],
      ['\0\0\0\x18ftypisom\0\0\0\0', 'an MP4 video'],
      ['\0\0\0\x14ftypqt  ', 'a QuickTime video'],
      ['\x1a\x45\xdf\xa3', 'a WebM or Matroska video'],
      ['PK\x03\x04', 'a ZIP archive'],
      ['<!doctype html>', 'an HTML page'],
      ['{"a":1}', 'JSON text'],
      ['push graphic-context\n', 'an ImageMagick drawing (MVG)'],
      ['just words', 'plain text'],
      ['\x01\x02\x03', undefined],
    ];
    for (const [text, word] of words) assert.equal(describeUnsupported(bytes(text)), word, text);
  });

  test('names what it found in the refusal', () =>
    refuses(bytes('%PDF-1.4'), 'unsupported_media_type', /is a PDF/));
});

describe('probe of JPEG', () => {
  test('refuses what has no frame, no scan, or no size', async () => {
    await refuses(jpeg(), 'undecodable_image', /no frame header/);
    await refuses(jpeg(sof(0xc0, 8, 8)), 'undecodable_image', /no picture data/);
    await refuses(jpeg(sos()), 'undecodable_image', /no frame header/);
    await refuses(jpeg(sof(0xc0, 0, 8), sos()), 'undecodable_image', /0 × 8/);
    await refuses(bytes(0xff, 0xd8, 0xff, 0xe1, be16(9999)), 'undecodable_image', /ends before/);
  });

  test('refuses lossless, 12-bit and two-component JPEG by name', async () => {
    await refuses(jpeg(sof(0xc3, 8, 8), sos()), 'undecodable_image', /Lossless/);
    await refuses(jpeg(sof(0xc1, 8, 8, 3, 12), sos()), 'undecodable_image', /12 bits/);
    await refuses(jpeg(sof(0xc0, 8, 8, 2), sos(2)), 'undecodable_image', /2 components/);
  });

  test('refuses a progressive JPEG of more than 100 scans', async () => {
    const scans = Array.from({ length: 101 }, () => sos());
    await refuses(jpeg(sof(0xc2, 8, 8), ...scans), 'undecodable_image', /100 scans/);
    await factsOf(jpeg(sof(0xc2, 8, 8), ...scans.slice(1)));
    // A sequential picture is complete after the scan that holds all of it.
    await factsOf(jpeg(sof(0xc0, 8, 8), ...scans));
  });

  test('takes a senseless orientation for upright, and a broken EXIF block too', async () => {
    for (const value of [0, 9, 65535]) {
      assert.equal(
        (await factsOf(jpeg(segment(0xe1, 'Exif\0\0', exif(value)), sof(0xc0, 8, 4), sos()))).orientation,
        1,
      );
    }
    assert.equal(
      (await factsOf(jpeg(segment(0xe1, 'Exif\0\0II*\0\xff\xff\xff\xff'), sof(0xc0, 8, 4), sos())))
        .orientation,
      1,
    );
  });
});

describe('probe of PNG', () => {
  test('refuses a wrong header checksum, zero frames, and no picture data', async () => {
    const wrong = png();
    wrong[29]! ^= 1;
    await refuses(wrong, 'undecodable_image', /checksum/);
    await refuses(png({ before: [pngChunk('acTL', be32(0, 0))] }), 'undecodable_image', /no frames/);
    await refuses(png({ width: 0 }), 'undecodable_image', /0 × 3/);
    await refuses(png({ depth: 3 }), 'undecodable_image', /does not exist/);
  });

  test('refuses a chunk that is longer than the file, unless it follows the picture', async () => {
    const huge = bytes(be32(0x7fffffff), 'iCCP', 0, 0, 0, 0);
    await refuses(png({ before: [huge] }), 'undecodable_image', /iCCP/);
    await factsOf(png({ after: [bytes(be32(0x7fffffff), 'tEXt', 0, 0, 0, 0)] }));
  });

  test('reads transparency of a palette, cICP, and does not inflate a profile beyond a megabyte', async () => {
    const { deflateSync } = await import('node:zlib');
    const bomb = pngChunk('iCCP', bytes('name\0\0', deflateSync(Buffer.alloc(20_000_000))));
    const facts = await factsOf(
      png({ colorType: 3, before: [pngChunk('cICP', [9, 16, 0, 1]), bomb, pngChunk('tRNS', [0])] }),
    );
    assert.equal(facts.alpha, true);
    assert.deepEqual(facts.cicp, { primaries: 9, transfer: 16, matrix: 0, fullRange: true });
    assert.equal(facts.iccProfile, 'name');
  });
});

describe('probe of GIF', () => {
  test('sizes the picture as the decoder does', async () => {
    const { default: sharp } = await import('sharp');
    const cases: [number, number, Parameters<typeof gif>[2]][] = [
      [10, 10, [{ left: 5, top: 5, width: 10, height: 10 }]],
      [
        10,
        10,
        [
          { width: 5, height: 5 },
          { width: 30, height: 30 },
        ],
      ],
      [640, 480, [{ left: 5, top: 6, width: 10, height: 10 }]],
      [2048, 2048, [{ width: 5, height: 5 }]],
      [2049, 10, [{ width: 5, height: 5 }]],
      [0, 0, [{ width: 5, height: 5 }]],
    ];
    for (const [width, height, frames] of cases) {
      const file = gif(width, height, frames);
      const decoded = await sharp(file).metadata();
      const facts = await factsOf(file);
      assert.deepEqual([facts.width, facts.height], [decoded.width, decoded.height], `${width} × ${height}`);
    }
  });

  test('refuses a screen or a first frame of too many pixels, and a file without a frame', async () => {
    await refuses(gif(65535, 65535, [{ width: 1, height: 1 }]), 'image_too_large');
    const wide = gif(10, 10, [{ width: 1, height: 1 }]);
    wide.writeUInt16LE(65535, 24);
    wide.writeUInt16LE(65535, 26);
    await refuses(wide, 'image_too_large');
    await refuses(gif(10, 10, []), 'undecodable_image', /no frame/);
  });

  test('keeps the whole frames of a file that is cut short', async () => {
    const file = gif(30, 30, [
      { width: 30, height: 30 },
      { width: 30, height: 30 },
      { width: 30, height: 30 },
    ]);
    assert.equal((await factsOf(file.subarray(0, Math.floor(file.length / 2)))).pages, 2);
  });
});

describe('probe of WebP', () => {
  test('refuses a file that is shorter than its RIFF chunk says', () =>
    refuses(riff(['VP8L', vp8l(4, 3)]).subarray(0, -1), 'undecodable_image', /ends before/));

  test('refuses a canvas without a picture, and one of another size than its picture', async () => {
    await refuses(riff(['VP8X', vp8x(0, 4, 3)]), 'undecodable_image', /no picture data/);
    await refuses(
      riff(['VP8X', vp8x(2, 4, 3)], ['VP8L', vp8l(4, 3)]),
      'undecodable_image',
      /no picture data/,
    );
    await refuses(riff(['VP8X', vp8x(0, 4, 3)], ['VP8L', vp8l(5, 3)]), 'undecodable_image', /one size/);
    await refuses(riff(['VP8X', vp8x(0, 16_777_216, 16_777_216)]), 'image_too_large');
    await refuses(riff(['VP8 ', vp8(0, 3)]), 'undecodable_image', /0 × 3/);
  });

  test('reads EXIF with and without the prefix of JPEG', async () => {
    for (const block of [exif(8), bytes('Exif\0\0', exif(8, true))]) {
      const facts = await factsOf(riff(['VP8X', vp8x(8, 4, 3)], ['VP8 ', vp8(4, 3)], ['EXIF', block]));
      assert.deepEqual([facts.width, facts.height, facts.orientation], [3, 4, 8]);
    }
  });
});
