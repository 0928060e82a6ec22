import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import sharp from 'sharp';
import { endExiftool, runExiftool } from '../../../../src/engine/metadata/exiftool.ts';
import { identifyingTags } from '../../../../src/engine/metadata/strip.ts';
import { tempDir } from '../../../support/temp.ts';

const dir = tempDir({ after });
after(endExiftool);

const FORMATS = { jpeg: 'jpg', png: 'png', webp: 'webp', avif: 'avif', tiff: 'tif', gif: 'gif' } as const;

for (const [format, extension] of Object.entries(FORMATS)) {
  test(`a ${format} as it is encoded identifies nothing; what is written into it is found`, async () => {
    const path = join(dir, `plain.${extension}`);
    await sharp({ create: { width: 64, height: 48, channels: 4, background: '#a638' } })
      .toFormat(format as keyof typeof FORMATS, format === 'tiff' ? { compression: 'lzw' } : {})
      .toFile(path);
    assert.deepEqual(await identifyingTags(path), []);
    await runExiftool(['-overwrite_original', '-XMP-dc:Creator=Ada', '-XMP-exif:GPSLatitude=5', path]);
    const found = await identifyingTags(path);
    assert.ok(found.includes('XMP-dc:Creator') && found.includes('XMP-exif:GPSLatitude'), found.join());
  });
}

test('a thumbnail, a serial number and an embedded comment are found', async () => {
  const path = join(dir, 'camera.jpg');
  const thumbnail = join(dir, 'thumbnail.jpg');
  const picture = sharp({ create: { width: 64, height: 48, channels: 3, background: '#a63' } }).jpeg();
  await picture.toFile(path);
  await picture.toFile(thumbnail);
  await runExiftool([
    ...[
      '-overwrite_original',
      `-IFD1:ThumbnailImage<=${thumbnail}`,
      '-SerialNumber=123',
      '-Comment=by Ada',
      path,
    ],
  ]);
  const found = await identifyingTags(path);
  for (const tag of ['IFD1:ThumbnailImage', 'ExifIFD:SerialNumber', 'File:Comment'])
    assert.ok(found.includes(tag), tag);
});
