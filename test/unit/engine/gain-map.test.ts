import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import type { Operation } from '../../../src/contract/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { readGainMap } from '../../../src/engine/decode/gain-map.ts';
import { DEFAULT_LIMITS, endExiftool, render } from '../../../src/engine/index.ts';
import { runExiftool } from '../../../src/engine/metadata/exiftool.ts';
import { hdrJpeg } from '../../support/gain-maps.ts';
import { landscape, storedFor } from '../../support/pictures.ts';
import { tempDir } from '../../support/temp.ts';

const dir = tempDir({ after });
after(() => endExiftool());
let count = 0;

const [WIDTH, HEIGHT] = [320, 240];
const picture = landscape(WIDTH, HEIGHT);

/** Half the picture's size; its four quarters are 40, 100, 160 and 220, clockwise from the top left. */
function quarters(width = WIDTH / 2, height = HEIGHT / 2) {
  const data = Uint8Array.from({ length: width * height }, (_, i) => {
    const [right, low] = [i % width >= width / 2, i >= (width * height) / 2];
    return low ? (right ? 160 : 220) : right ? 100 : 40;
  });
  return { data, width, height };
}

async function make(
  source: Buffer,
  operations: Operation[] = [],
  metadata: 'keep' | 'strip' = 'keep',
  format: 'jpeg' | 'webp' = 'jpeg',
  dpi?: number,
): Promise<string> {
  const outDir = join(dir, String(count++));
  mkdirSync(outDir);
  const sourcePath = join(outDir, 'source');
  writeFileSync(sourcePath, source);
  const plan = parsePlan({ operations, output: { format, metadata, ...(dpi && { dpi }) } });
  const { renditions } = await render({ sourcePath, outDir, plans: [plan], limits: DEFAULT_LIMITS });
  return renditions[0]!.path;
}

/** The gain map in a file: its size and its corners, clockwise from the top left. */
async function mapOf(path: string) {
  const found = await readGainMap(path);
  if (!found) return undefined;
  const { data, info } = await sharp(found.jpeg)
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const at = (x: number, y: number) => Math.round(data[(y * width + x) * channels]! / 10) * 10;
  const [right, low] = [width - 3, height - 3];
  return { width, height, corners: [at(2, 2), at(right, 2), at(right, low), at(2, low)] };
}

describe('HDR gain maps', () => {
  test('are kept from JPEG to JPEG, scaled, cut and turned with the picture', async () => {
    const cases: [string, Operation[], number, number, number[]][] = [
      ['as it is', [], 160, 120, [40, 100, 160, 220]],
      ['smaller', [{ op: 'resize', width: 80 }], 40, 30, [40, 100, 160, 220]],
      ['turned', [{ op: 'rotate', angle: 90 }], 120, 160, [220, 40, 100, 160]],
      ['mirrored', [{ op: 'flop' }], 160, 120, [100, 40, 220, 160]],
      [
        'the right half',
        [{ op: 'crop', left: 160, top: 0, width: 160, height: 240 }],
        80,
        120,
        [100, 100, 160, 160],
      ],
      [
        'the lower half, smaller, upside down',
        [
          { op: 'crop', left: 0, top: 120, width: 320, height: 120 },
          { op: 'resize', width: 64 },
          { op: 'flip' },
        ],
        32,
        12,
        [220, 160, 160, 220],
      ],
      ['to cover', [{ op: 'resize', width: 60, height: 60, fit: 'cover' }], 30, 30, [40, 100, 160, 220]],
    ];
    for (const dialect of ['hdrgm', 'apple'] as const) {
      const source = await hdrJpeg(picture, quarters(), dialect, { littleEndian: dialect === 'apple' });
      for (const [what, operations, width, height, corners] of cases) {
        const path = await make(source, operations);
        assert.deepEqual(await mapOf(path), { width, height, corners }, `${dialect}: ${what}`);
        // Google's own decoder, which libvips asks, takes the file for what it is.
        const { gainMap } = await sharp(path).metadata();
        assert.ok(gainMap, `${dialect}: ${what}`);
        assert.equal((await sharp(gainMap.image).metadata()).channels, 1);
      }
    }
  });

  test('are turned upright with a picture that is stored otherwise', async () => {
    const stored = storedFor(6, picture);
    const turned = await sharp(quarters().data, { raw: { width: 160, height: 120, channels: 1 } })
      .rotate(270)
      .toColourspace('b-w')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { width, height } = turned.info;
    const source = await hdrJpeg(stored, { ...{ data: turned.data, width, height } }, 'hdrgm', {
      orientation: 6,
    });
    const path = await make(source, [{ op: 'resize', width: 160 }]);
    assert.deepEqual(await mapOf(path), { width: 80, height: 60, corners: [40, 100, 160, 220] });
  });

  test('the index and the container give the true places and sizes, and other metadata stays', async () => {
    const source = await hdrJpeg(picture, quarters(), 'hdrgm');
    const tagged = join(dir, 'tagged.jpg');
    writeFileSync(
      tagged,
      await sharp(source)
        .withExif({ IFD0: { Artist: 'Ada' } })
        .jpeg()
        .toBuffer(),
    );
    const exif = (await sharp(tagged).metadata()).exif!;
    const head = Buffer.from([0xff, 0xe1, (exif.length + 2) >> 8, (exif.length + 2) & 255]);
    const shift = head.length + exif.length;
    // Before the rest: offsets of the index count from the index itself.
    const withExif = Buffer.concat([source.subarray(0, 2), head, exif, source.subarray(2)]);
    const size = withExif.indexOf('MPF\0', 0, 'latin1') + 4 + 54;
    withExif.writeUInt32BE(withExif.readUInt32BE(size) + shift, size);
    const path = await make(withExif, [{ op: 'resize', width: 100 }]);
    const bytes = readFileSync(path);
    const { stdout } = await runExiftool([
      '-j',
      '-a',
      '-G1',
      '-MPF:all',
      '-IFD0:Artist',
      '-XMP-GContainer:all',
      '-XMP-hdrgm:all',
      path,
    ]);
    const [tags] = JSON.parse(stdout) as Record<string, unknown>[];
    assert.equal(tags!['IFD0:Artist'], 'Ada');
    assert.equal(tags!['XMP-hdrgm:Version'], 1);
    const [start, length] = [
      tags!['MPImage2:MPImageStart'] as number,
      tags!['MPImage2:MPImageLength'] as number,
    ];
    assert.equal(start + length, bytes.length);
    assert.equal(tags!['MPImage1:MPImageLength'], start);
    assert.equal(tags!['XMP-GContainer:DirectoryItemLength'], length);
    assert.equal(bytes.readUInt16BE(start), 0xffd8);
    assert.equal(bytes.readUInt16BE(start - 2), 0xffd9);
  });

  test('dots an inch do not move the map', async () => {
    const source = await hdrJpeg(picture, quarters(), 'hdrgm');
    const path = await make(source, [], 'keep', 'jpeg', 300);
    assert.deepEqual(await mapOf(path), { width: 160, height: 120, corners: [40, 100, 160, 220] });
    const { stdout } = await runExiftool(['-s3', '-n', '-MPImage1:MPImageLength', '-XResolution', path]);
    const [length, dpi] = stdout.trim().split('\n').map(Number);
    assert.equal(readFileSync(path).readUInt16BE(length!), 0xffd8);
    assert.equal(dpi, 300);
  });

  test('are dropped where they no longer fit, where metadata is stripped and in other formats', async () => {
    const source = await hdrJpeg(picture, quarters(), 'hdrgm');
    const none: [string, string][] = [
      ['stripped', await make(source, [], 'strip')],
      ['padded', await make(source, [{ op: 'resize', width: 300, height: 300, fit: 'pad' }])],
      ['turned by 10°', await make(source, [{ op: 'rotate', angle: 10 }])],
      ['grey', await make(source, [{ op: 'grayscale' }])],
      ['WebP', await make(source, [], 'keep', 'webp')],
    ];
    for (const [what, path] of none) {
      assert.equal(readFileSync(path).indexOf('hdrgm', 0, 'latin1'), -1, what);
      assert.equal(readFileSync(path).indexOf('MPF\0', 0, 'latin1'), -1, what);
    }
  });

  test('a map that is cut off, no picture, or larger than the picture is left out', async () => {
    const source = await hdrJpeg(picture, quarters(), 'hdrgm');
    const noPicture = Buffer.from(source);
    noPicture.fill(0, source.lastIndexOf('</x:xmpmeta>') + '</x:xmpmeta>'.length);
    const wild = Buffer.from(source);
    wild.writeUInt32BE(0xffff_fff0, wild.indexOf('MPF\0', 0, 'latin1') + 4 + 74);
    const cases: [string, Buffer][] = [
      ['cut off', source.subarray(0, -100)],
      ['no picture', noPicture],
      ['placed behind the end', wild],
      ['too large', await hdrJpeg(picture, quarters(400, 300), 'hdrgm')],
    ];
    for (const [what, bytes] of cases) {
      const path = await make(bytes);
      assert.equal(await mapOf(path), undefined, what);
      assert.equal((await sharp(path).metadata()).width, WIDTH, what);
    }
  });

  test('a JPEG without one is left as it is', async () => {
    const plain = join(dir, 'plain.jpg');
    await sharp(picture.data, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
      .jpeg()
      .toFile(plain);
    assert.equal(await readGainMap(plain), undefined);
  });
});
