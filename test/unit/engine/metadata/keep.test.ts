import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import { EXTENSIONS, type OutputFormat } from '../../../../src/contract/plan.ts';
import { endExiftool, runExiftool } from '../../../../src/engine/metadata/exiftool.ts';
import { keepMetadata } from '../../../../src/engine/metadata/keep.ts';
import type { Facts, SourceFormat } from '../../../../src/engine/types.ts';
import { Problem } from '../../../../src/problem.ts';
import { tempDir } from '../../../support/temp.ts';

const dir = tempDir({ after });
after(endExiftool);

const WIDTH = 64;
const HEIGHT = 48;
type Tags = Record<string, unknown>;

const blank = (format: Exclude<OutputFormat, 'apng' | 'svg'>) =>
  sharp({ create: { width: WIDTH, height: HEIGHT, channels: 3, background: '#a63' } })[
    format === 'bmp' ? 'png' : format
  ]();

let files = 0;

/** A picture of the format with these tags in it. */
async function picture(
  format: Exclude<SourceFormat & OutputFormat, 'bmp' | 'svg'>,
  tags: string[],
): Promise<string> {
  const path = join(dir, `source-${files++}.${EXTENSIONS[format]}`);
  await blank(format).toFile(path);
  const { errors, warnings } = await runExiftool(['-overwrite_original', '-m', '-n', ...tags, path]);
  assert.deepEqual([...errors, ...warnings], [], 'the fixture could not be written');
  return path;
}

const factsOf = (format: SourceFormat, more: Partial<Facts> = {}): Facts => ({
  format,
  family: 'libvips',
  mime: `image/${format}`,
  bytes: 1,
  width: WIDTH,
  height: HEIGHT,
  orientation: 1,
  pages: 1,
  animated: false,
  alpha: false,
  bitDepth: 8,
  colorSpace: 'rgb',
  ...more,
});

/** A rendition without metadata, and its tags (`-n`, by family 1) after the source's were kept in it. */
async function kept(
  source: string,
  facts: Facts,
  format: Exclude<OutputFormat, 'bmp' | 'apng' | 'svg'> = 'jpeg',
) {
  const path = join(dir, `out-${files++}.${EXTENSIONS[format]}`);
  await blank(format).toFile(path);
  const { warnings } = await keepMetadata(source, { path, format, width: WIDTH, height: HEIGHT }, facts);
  const { stdout } = await runExiftool(['-j', '-n', '-a', '-G1', '-struct', path]);
  const [tags] = JSON.parse(stdout) as [Tags];
  return { path, tags, warnings };
}

const has = (tags: Tags, expected: Tags) => {
  const found = Object.fromEntries(Object.keys(expected).map((key) => [key, tags[key]]));
  assert.deepEqual(found, expected);
};
const keysLike = (tags: Tags, pattern: RegExp) => Object.keys(tags).filter((key) => pattern.test(key));

const CAMERA = [
  ...['-IFD0:Make=Canon', '-IFD0:Model=EOS R5', '-IFD0:Artist=Ada Lövelace', '-IFD0:Copyright=© Ada'],
  ...['-ExifIFD:DateTimeOriginal=2024:05:01 10:20:30', '-ExifIFD:OffsetTimeOriginal=+02:00'],
  ...['-ExifIFD:SubSecTimeOriginal=07', '-ExifIFD:FNumber=1.79', '-ExifIFD:FocalLength=4.38'],
  ...['-ExifIFD:ExposureTime=0.0123', '-ExifIFD:LensModel=RF 50mm', '-ExifIFD:SerialNumber=0012'],
  ...['-GPS:GPSLatitude=43.4675', '-GPS:GPSLatitudeRef=N', '-GPS:GPSLongitude=11.885'],
  ...['-GPS:GPSLongitudeRef=W', '-GPS:GPSAltitude=12.5', '-GPS:GPSAltitudeRef=1'],
  ...['-XMP-dc:Title=A title', '-XMP-dc:Subject=sea', '-XMP-dc:Subject=sky', '-XMP-xmp:Rating=4'],
];

const CAMERA_EXIF: Tags = {
  'IFD0:Make': 'Canon',
  'IFD0:Model': 'EOS R5',
  'IFD0:Artist': 'Ada Lövelace',
  'IFD0:Copyright': '© Ada',
  'ExifIFD:DateTimeOriginal': '2024:05:01 10:20:30',
  'ExifIFD:OffsetTimeOriginal': '+02:00',
  'ExifIFD:SubSecTimeOriginal': '07',
  'ExifIFD:FNumber': 1.79,
  'ExifIFD:FocalLength': 4.38,
  'ExifIFD:ExposureTime': 0.0123,
  'ExifIFD:LensModel': 'RF 50mm',
  'ExifIFD:SerialNumber': '0012',
  'GPS:GPSLatitude': 43.4675,
  'GPS:GPSLatitudeRef': 'N',
  'GPS:GPSLongitude': 11.885,
  'GPS:GPSLongitudeRef': 'W',
  'GPS:GPSAltitude': 12.5,
  'GPS:GPSAltitudeRef': 1,
};
const CAMERA_XMP: Tags = { 'XMP-dc:Title': 'A title', 'XMP-dc:Subject': ['sea', 'sky'], 'XMP-xmp:Rating': 4 };

describe('keep', () => {
  for (const from of ['jpeg', 'png', 'webp', 'avif', 'tiff'] as const) {
    test(`carries EXIF, GPS and XMP from ${from} into every format`, async () => {
      const source = await picture(from, CAMERA);
      for (const to of ['jpeg', 'png', 'webp', 'avif', 'tiff'] as const) {
        const { path, tags, warnings } = await kept(source, factsOf(from), to);
        has(tags, { ...CAMERA_EXIF, ...CAMERA_XMP });
        assert.deepEqual(warnings, []);
        const pixels = (file: string | Buffer) => sharp(file).raw().toBuffer();
        assert.deepEqual(await pixels(path), await pixels(await blank(to).toBuffer()), `pixels of ${to}`);
      }
    });
  }

  test('makes XMP of EXIF and GPS for GIF, which holds nothing else', async () => {
    const { tags } = await kept(await picture('jpeg', CAMERA), factsOf('jpeg'), 'gif');
    has(tags, {
      ...CAMERA_XMP,
      'XMP-tiff:Make': 'Canon',
      'XMP-tiff:Model': 'EOS R5',
      'XMP-exif:FNumber': 1.79,
      'XMP-exifEX:LensModel': 'RF 50mm',
      'XMP-exif:DateTimeOriginal': '2024:05:01 10:20:30',
      'XMP-exif:GPSLatitude': 43.4675,
      'XMP-exif:GPSLongitude': -11.885,
    });
  });

  test('carries IPTC where the format holds it, in any script, and makes XMP of it elsewhere', async () => {
    const source = await picture('jpeg', [
      ...['-IPTC:CodedCharacterSet=\x1b%G', '-IPTC:Keywords=море', '-IPTC:Keywords=空', '-IPTC:City=Zürich'],
      ...['-IPTC:ObjectName=Title', '-IPTC:By-line=Ada', '-IPTC:Caption-Abstract=Caption'],
    ]);
    for (const format of ['jpeg', 'png', 'tiff'] as const) {
      const { tags } = await kept(source, factsOf('jpeg'), format);
      has(tags, { 'IPTC:Keywords': ['море', '空'], 'IPTC:City': 'Zürich', 'IPTC:By-line': 'Ada' });
    }
    for (const format of ['webp', 'avif', 'gif'] as const) {
      const { tags } = await kept(source, factsOf('jpeg'), format);
      has(tags, {
        'XMP-dc:Subject': ['море', '空'],
        'XMP-photoshop:City': 'Zürich',
        'XMP-dc:Title': 'Title',
        'XMP-dc:Creator': ['Ada'],
        'XMP-dc:Description': 'Caption',
      });
    }
  });

  test('prefers XMP to IPTC where both say the same thing, and does not double it', async () => {
    const source = await picture('jpeg', [
      ...['-IPTC:Keywords=one', '-IPTC:Keywords=two', '-XMP-dc:Subject=one', '-XMP-dc:Subject=two'],
      '-XMP-dc:Title=long title',
      '-IPTC:ObjectName=long t',
    ]);
    const { tags } = await kept(source, factsOf('jpeg'), 'webp');
    has(tags, { 'XMP-dc:Subject': ['one', 'two'], 'XMP-dc:Title': 'long title' });
  });

  test('makes EXIF and XMP of the text chunks of a PNG', async () => {
    const source = await picture('png', ['-PNG:Title=A chunk', '-PNG:Author=Ada', '-PNG:Copyright=2024 Ada']);
    const { tags } = await kept(source, factsOf('png'));
    has(tags, { 'XMP-dc:Title': 'A chunk', 'XMP-dc:Creator': ['Ada'], 'XMP-dc:Rights': '2024 Ada' });
  });

  test('says upright, sRGB and the new size, whatever the source said', async () => {
    const thumbnail = join(dir, 'thumbnail.jpg');
    await blank('jpeg').toFile(thumbnail);
    const source = await picture('jpeg', [
      ...['-IFD0:Orientation=6', '-ExifIFD:ColorSpace=65535', '-InteropIFD:InteropIndex=R03'],
      ...[
        '-ExifIFD:ExifImageWidth=6000',
        '-ExifIFD:ExifImageHeight=4000',
        '-IFD0:ReferenceBlackWhite=1 2 3 4 5 6',
      ],
      ...['-XMP-tiff:Orientation=6', '-XMP-tiff:ImageWidth=6000', '-XMP-exif:ColorSpace=65535'],
      ...[
        '-XMP-photoshop:ICCProfileName=Adobe RGB',
        `-IFD1:ThumbnailImage<=${thumbnail}`,
        '-ExifIFD:Gamma=2.2',
      ],
    ]);
    const facts = factsOf('jpeg', { orientation: 6, width: HEIGHT, height: WIDTH });
    const { tags } = await kept(source, facts);
    has(tags, {
      'IFD0:Orientation': 1,
      'ExifIFD:ColorSpace': 1,
      'InteropIFD:InteropIndex': 'R98',
      'ExifIFD:ExifImageWidth': WIDTH,
      'ExifIFD:ExifImageHeight': HEIGHT,
    });
    const stale = /Thumbnail|IFD1|XMP-(tiff|exif)|ICC|ReferenceBlackWhite|Gamma/;
    assert.deepEqual(keysLike(tags, stale), []);
  });

  test('leaves behind what points to a motion video, a gain map or RAW settings', async () => {
    const source = await picture('jpeg', [
      ...['-XMP-GCamera:MotionPhoto=1', '-XMP-GCamera:MicroVideoOffset=1234', '-XMP-hdrgm:Version=1.0'],
      ...['-XMP-crs:Exposure2012=1.5', '-XMP-GDepth:Format=RangeLinear', '-XMP-dc:Title=stays'],
      '-XMP-GContainer:ContainerDirectory=[{Item={Mime=video/mp4,Semantic=MotionPhoto,Length=1234}}]',
    ]);
    const { tags } = await kept(source, factsOf('jpeg'));
    assert.deepEqual(keysLike(tags, /^XMP-/), ['XMP-x:XMPToolkit', 'XMP-dc:Title']);
  });

  test('keeps positions in pixels only while the pixels are the same', async () => {
    const source = await picture('jpeg', [
      '-ExifIFD:SubjectArea=10 20 5 5',
      '-XMP-GPano:FullPanoWidthPixels=64',
      '-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=64,H=48,Unit=pixel},RegionList=[{Name=Ada,Type=Face}]}',
    ]);
    const positions = /SubjectArea|GPano|Region/;
    const same = await kept(source, factsOf('jpeg'));
    assert.deepEqual(keysLike(same.tags, positions).sort(), [
      'ExifIFD:SubjectArea',
      'XMP-GPano:FullPanoWidthPixels',
      'XMP-mwg-rs:RegionInfo',
    ]);
    for (const facts of [factsOf('jpeg', { width: 640, height: 480 }), factsOf('jpeg', { orientation: 2 })]) {
      assert.deepEqual(keysLike((await kept(source, facts)).tags, positions), []);
    }
  });

  test('drops an impossible position and dates, and goes on', async () => {
    const source = await picture('jpeg', [
      ...['-IFD0:Make=Canon', '-GPS:GPSLatitude=999', '-GPS:GPSLatitudeRef=N', '-GPS:GPSLongitude=181'],
      ...['-GPS:GPSLongitudeRef=E', '-GPS:GPSAltitude=5'],
      ...['-ExifIFD:DateTimeOriginal=9999:99:99 99:99:99', '-ExifIFD:CreateDate=2024:05:01 10:20:30'],
    ]);
    for (const format of ['jpeg', 'gif'] as const) {
      const { tags } = await kept(source, factsOf('jpeg'), format);
      assert.deepEqual(keysLike(tags, /GPSL(at|ong)itude$|GPSPosition|DateTimeOriginal/), []);
    }
    has((await kept(source, factsOf('jpeg'))).tags, {
      'IFD0:Make': 'Canon',
      'GPS:GPSAltitude': 5,
      'ExifIFD:CreateDate': '2024:05:01 10:20:30',
    });
  });

  test('copies text as it is: a formula, a tag and an option are only text', async () => {
    const source = await picture('jpeg', [
      '-IFD0:ImageDescription==HYPERLINK("http://x","y")',
      '-IFD0:Artist=<script>alert(1)</script>',
      '-IFD0:Copyright=$(touch /tmp/x) -ver %d',
    ]);
    const { tags } = await kept(source, factsOf('jpeg'));
    has(tags, {
      'IFD0:ImageDescription': '=HYPERLINK("http://x","y")',
      'IFD0:Artist': '<script>alert(1)</script>',
      'IFD0:Copyright': '$(touch /tmp/x) -ver %d',
    });
  });

  test('leaves a rendition as it is where the source holds nothing, or its metadata cannot be read', async () => {
    const bare = join(dir, 'bare.jpg');
    await blank('jpeg').toFile(bare);
    const { path } = await kept(bare, factsOf('jpeg'));
    assert.deepEqual(await readFile(path), await blank('jpeg').toBuffer());

    const broken = join(dir, 'broken.tif');
    await writeFile(broken, 'II*\0\xff\xff\xff\x7f no directory here', 'latin1');
    const { tags, warnings } = await kept(broken, factsOf('tiff'));
    assert.deepEqual(keysLike(tags, /Make|GPS|XMP|Artist/), []);
    assert.ok(warnings.length > 0);
  });

  test('takes a source of any name', async () => {
    const source = await picture('jpeg', ['-IFD0:Make=Canon']);
    for (const name of ['%d%f', '-all=', 'new\nline\r', '日本 写真.jpg', '@', "'$(x)'|"]) {
      const path = join(dir, name);
      await writeFile(path, await readFile(source));
      has((await kept(path, factsOf('jpeg'))).tags, { 'IFD0:Make': 'Canon' });
    }
  });

  test('has nothing to do for BMP', async () => {
    const facts = factsOf('jpeg');
    const target = { path: join(dir, 'none.bmp'), format: 'bmp' as const, width: WIDTH, height: HEIGHT };
    assert.deepEqual(await keepMetadata(await picture('jpeg', CAMERA), target, facts), { warnings: [] });
  });

  test('gives up at its deadline and leaves the rendition whole, with no file beside it', async () => {
    const source = await picture('jpeg', CAMERA);
    const path = join(tempDir({ after }), 'out.jpg');
    await blank('jpeg').toFile(path);
    const target = { path, format: 'jpeg' as const, width: WIDTH, height: HEIGHT };
    await assert.rejects(
      keepMetadata(source, target, factsOf('jpeg'), { timeoutMs: 1 }),
      (error: unknown) => error instanceof Problem && error.code === 'processing_timeout',
    );
    assert.deepEqual(await readFile(path), await blank('jpeg').toBuffer());
    assert.deepEqual(readdirSync(join(path, '..')), ['out.jpg']);
  });
});
