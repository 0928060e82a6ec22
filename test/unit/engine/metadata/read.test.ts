import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import { type ImageInfo, imageInfoSchema, MAX_INFO_TEXT_CHARS } from '../../../../src/contract/info.ts';
import { endExiftool, runExiftool } from '../../../../src/engine/metadata/exiftool.ts';
import { readInfo } from '../../../../src/engine/metadata/read.ts';
import type { Facts } from '../../../../src/engine/types.ts';
import { tempDir } from '../../../support/temp.ts';

const dir = tempDir({ after });
after(endExiftool);

const FACTS: Facts = {
  format: 'jpeg',
  family: 'libvips',
  mime: 'image/jpeg',
  bytes: 1,
  width: 8,
  height: 8,
  orientation: 1,
  pages: 1,
  animated: false,
  alpha: false,
  bitDepth: 8,
  colorSpace: 'rgb',
};

let files = 0;

async function infoOf(tags: string[], facts: Partial<Facts> = {}, format: 'jpeg' | 'png' = 'jpeg') {
  const path = join(dir, `${files++}.${format}`);
  await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
    .toFormat(format)
    .toFile(path);
  if (tags.length > 0) {
    const { errors } = await runExiftool(['-overwrite_original', '-m', '-n', ...tags, path]);
    assert.deepEqual(errors, []);
  }
  const info = await readInfo(path, { ...FACTS, ...facts });
  return imageInfoSchema.parse(info);
}

const dateOf = async (...tags: string[]) => (await infoOf(tags)).date_taken;

describe('the info of a picture', () => {
  test('has every field of a camera', async () => {
    const info = await infoOf([
      ...['-Make=NIKON CORPORATION', '-Model=NIKON Z 8', '-LensModel=NIKKOR Z 50mm f/1.8 S', '-ISO=640'],
      ...['-DateTimeOriginal=2024:05:01 10:20:30', '-OffsetTimeOriginal=+05:30', '-FocalLength=50.0000001'],
      ...[
        '-FNumber=1.8',
        '-ExposureTime=0.004',
        '-Orientation=8',
        '-GPSLatitude=33.8675',
        '-GPSLatitudeRef=S',
      ],
      ...['-GPSLongitude=151.2075', '-GPSLongitudeRef=E', '-GPSAltitude=20', '-GPSAltitudeRef=1'],
      ...[
        '-XMP-dc:Title=Harbour',
        '-ImageDescription=Opera house',
        '-XMP-dc:Subject=sea',
        '-XMP-dc:Subject=sky',
      ],
      ...[
        '-IPTC:Keywords=sky',
        '-IPTC:Keywords=night',
        '-Artist=Ada',
        '-Copyright=© Ada',
        '-Software=Ver.1.0',
      ],
    ]);
    assert.deepEqual(info, {
      camera_make: 'NIKON CORPORATION',
      camera_model: 'NIKON Z 8',
      lens: 'NIKKOR Z 50mm f/1.8 S',
      date_taken: '2024-05-01T10:20:30+05:30',
      iso: 640,
      focal_length: 50,
      aperture: 1.8,
      shutter_speed: '1/250',
      orientation: 8,
      color_space: 'sRGB',
      gps: { latitude: -33.8675, longitude: 151.2075, altitude: -20 },
      title: 'Harbour',
      description: 'Opera house',
      keywords: ['sea', 'sky', 'night'],
      artist: 'Ada',
      copyright: '© Ada',
      software: 'Ver.1.0',
    } satisfies ImageInfo);
  });

  test('is null where the file says nothing', async () => {
    const { orientation, color_space, ...rest } = await infoOf([], { orientation: 3 });
    assert.equal(orientation, 3);
    assert.equal(color_space, 'sRGB');
    assert.deepEqual(new Set(Object.values(rest)), new Set([null]));
  });

  test('is null for bytes that no one can read', async () => {
    const path = join(dir, 'noise.jpg');
    await writeFile(path, 'no picture');
    assert.equal((await readInfo(path, FACTS)).camera_make, null);
    assert.equal((await readInfo(join(dir, 'missing.jpg'), FACTS)).camera_make, null);
  });

  test('takes titles and the like from IPTC and from the text of a PNG', async () => {
    const iptc = await infoOf([
      ...['-IPTC:ObjectName=Title', '-IPTC:Caption-Abstract=Caption', '-IPTC:By-line=Ada'],
      '-IPTC:CopyrightNotice=2024',
    ]);
    const { title, description, artist, copyright } = iptc;
    assert.deepEqual([title, description, artist, copyright], ['Title', 'Caption', 'Ada', '2024']);
    const png = await infoOf(['-PNG:Title=Chunk', '-PNG:Author=Grace'], { format: 'png' }, 'png');
    assert.deepEqual([png.title, png.artist], ['Chunk', 'Grace']);
  });
});

describe('the date', () => {
  test('has an offset only where one was recorded', async () => {
    assert.equal(await dateOf('-DateTimeOriginal=2024:02:29 23:59:59'), '2024-02-29T23:59:59');
    assert.equal(
      await dateOf('-DateTimeOriginal=2024:02:29 23:59:59', '-OffsetTimeOriginal=-08:00'),
      '2024-02-29T23:59:59-08:00',
    );
    assert.equal(await dateOf('-XMP-exif:DateTimeOriginal=2024:02:29 23:59:59Z'), '2024-02-29T23:59:59Z');
    assert.equal(
      await dateOf('-DateTimeOriginal=2024:02:29 23:59:59', '-OffsetTimeOriginal=+99:99'),
      '2024-02-29T23:59:59',
    );
  });

  test('is null where it is impossible', async () => {
    for (const date of [
      '9999:99:99 99:99:99',
      '0000:00:00 00:00:00',
      '2023:02:29 10:00:00',
      '2024:01:01 24:00:00',
    ]) {
      assert.equal(await dateOf(`-DateTimeOriginal=${date}`), null, date);
    }
  });

  test('falls back to when it was digitised', async () => {
    assert.equal(
      await dateOf('-DateTimeOriginal=0000:00:00 00:00:00', '-CreateDate=2020:01:02 03:04:05'),
      '2020-01-02T03:04:05',
    );
  });
});

test('the position is null where it is impossible or not whole', async () => {
  for (const tags of [
    ['-GPSLatitude=999', '-GPSLatitudeRef=N', '-GPSLongitude=5', '-GPSLongitudeRef=E'],
    ['-GPSLatitude=5', '-GPSLatitudeRef=N', '-GPSLongitude=181', '-GPSLongitudeRef=E'],
    ['-GPSLatitude=5', '-GPSLatitudeRef=N'],
  ]) {
    assert.equal((await infoOf(tags)).gps, null, tags.join(' '));
  }
});

test('the shutter speed is a fraction below a quarter second', async () => {
  for (const [seconds, text] of [
    ['0.000125', '1/8000'],
    ['0.25', '1/4'],
    ['0.5', '0.5'],
    ['30', '30'],
  ]) {
    assert.equal((await infoOf([`-ExposureTime=${seconds}`])).shutter_speed, text);
  }
});

describe('text', () => {
  test('is bounded, and free of control characters', async () => {
    const path = join(dir, 'long.txt');
    await writeFile(path, `a\u0007\u001b[31mb\r\n\tc ${'😀'.repeat(5000)}`);
    const { description } = await infoOf([`-ImageDescription<=${path}`]);
    assert.ok(description?.startsWith('a[31mb c 😀'), String(description).slice(0, 40));
    assert.ok(description!.length <= MAX_INFO_TEXT_CHARS && description!.isWellFormed());
  });

  test('that is made for a machine is only text', async () => {
    const { artist, title } = await infoOf(['-Artist=<script>alert(1)</script>', '-XMP-dc:Title==1+1']);
    assert.deepEqual([artist, title], ['<script>alert(1)</script>', '=1+1']);
  });

  test('of a lens that the camera does not know is null', async () => {
    for (const name of ['----', '0.0 mm f/0.0', 'Unknown (123)', ' ']) {
      const expected = name === '0.0 mm f/0.0' ? name : null;
      assert.equal((await infoOf([`-LensModel=${name}`])).lens, expected, name);
    }
  });
});

test('the colour space is the profile, else what EXIF says, else what the pixels are', async () => {
  const spaceOf = async (tags: string[], facts: Partial<Facts>) => (await infoOf(tags, facts)).color_space;
  assert.equal(await spaceOf(['-ColorSpace=1'], { iccProfile: 'Display P3' }), 'Display P3');
  assert.equal(await spaceOf(['-ColorSpace=65535', '-InteropIndex=R03'], {}), 'Adobe RGB');
  assert.equal(await spaceOf(['-ColorSpace=1'], {}), 'sRGB');
  assert.equal(await spaceOf([], { colorSpace: 'cmyk' }), 'CMYK');
});
