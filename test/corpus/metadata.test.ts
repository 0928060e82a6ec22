/** Metadata of the corpus, carried into renditions of every format: exiftool reads the source and the rendition. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import { imageInfoSchema } from '../../src/contract/info.ts';
import { EXTENSIONS, type OutputFormat } from '../../src/contract/plan.ts';
import { endExiftool, exiftoolVersion, runExiftool } from '../../src/engine/metadata/exiftool.ts';
import { keepMetadata } from '../../src/engine/metadata/keep.ts';
import { readInfo } from '../../src/engine/metadata/read.ts';
import type { Facts, Family, SourceFormat } from '../../src/engine/types.ts';
import { Problem } from '../../src/problem.ts';
import { corpusMissing, type GoodFacts, good, goodFacts, hostile, hostileFacts } from '../support/corpus.ts';
import { tempDir } from '../support/temp.ts';

const FORMATS = ['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif'] as const satisfies OutputFormat[];
const WIDTH = 64;
const HEIGHT = 48;

type Tags = Record<string, unknown>;

const dir = tempDir({ after });
after(endExiftool);

const ALIASES: Record<string, SourceFormat> = {
  jpg: 'jpeg',
  mpo: 'jpeg',
  tif: 'tiff',
  hif: 'heic',
  heif: 'heic',
  svgz: 'svg',
  kdc: 'raw',
};
const FAMILIES: Partial<Record<SourceFormat, Family>> = { bmp: 'bmp', heic: 'heif' };

function factsOf(file: GoodFacts): Facts {
  const extension = file.name.split('.').at(-1) ?? '';
  const format = ALIASES[extension] ?? (extension as SourceFormat);
  return {
    format,
    family: file.format.startsWith('RAW') ? 'raw' : (FAMILIES[format] ?? 'libvips'),
    mime: 'image/any',
    bytes: file.bytes,
    width: file.width,
    height: file.height,
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: false,
    bitDepth: 8,
    colorSpace: 'rgb',
  };
}

const blanks = new Map<OutputFormat, Buffer>();

/** A rendition of the format without metadata, in a file of its own. */
async function rendition(format: (typeof FORMATS)[number], name: string): Promise<string> {
  const path = join(dir, `${name}.${EXTENSIONS[format]}`);
  let bytes = blanks.get(format);
  if (!bytes) {
    const picture = sharp({ create: { width: WIDTH, height: HEIGHT, channels: 3, background: '#a63' } });
    bytes = await picture.toFormat(format, format === 'tiff' ? { compression: 'lzw' } : {}).toBuffer();
    blanks.set(format, bytes);
  }
  await writeFile(path, bytes);
  return path;
}

async function read(args: string[], paths: string[]): Promise<Tags[]> {
  const { stdout } = await runExiftool(['-m', '-n', '-j', ...args, ...paths]);
  return JSON.parse(stdout) as Tags[];
}

/** What must be equal where the source has it in EXIF, XMP or IPTC, by exiftool's family 0. */
const NAMES = [
  ...[
    'Make',
    'Model',
    'DateTimeOriginal',
    'OffsetTimeOriginal',
    'OffsetTime',
    'SubSecTimeOriginal',
    'LensModel',
  ],
  ...[
    'ISO',
    'SerialNumber',
    'FNumber',
    'ExposureTime',
    'GPSLatitude',
    'GPSLongitude',
    'GPSAltitude',
    'GPSDateStamp',
  ],
  ...['Artist', 'Copyright', 'Title', 'Description', 'Rights', 'Creator', 'Rating', 'ObjectName', 'By-line'],
  ...['CopyrightNotice', 'Caption-Abstract', 'City', 'Keywords', 'Subject'],
];
const READ_ARGS = ['-G0', ...NAMES.map((name) => `-${name}`)];

/** Where a format holds no IPTC, its XMP says the same. */
const XMP_OF_IPTC: Record<string, string> = {
  'IPTC:ObjectName': 'XMP:Title',
  'IPTC:By-line': 'XMP:Creator',
  'IPTC:CopyrightNotice': 'XMP:Rights',
  'IPTC:Caption-Abstract': 'XMP:Description',
  'IPTC:City': 'XMP:City',
  'IPTC:Keywords': 'XMP:Subject',
};

/** The tag of a rendition that must say what `key` says in the source; undefined where none need to. */
function heir(key: string, format: OutputFormat, source: Tags): string | undefined {
  const [group] = key.split(':');
  if (group === 'XMP') return key;
  // EXIF has no place in a GIF; what becomes XMP there is tested by itself.
  if (group === 'EXIF') return format === 'gif' ? undefined : key;
  if (group !== 'IPTC') return undefined;
  if (format === 'jpeg' || format === 'png' || format === 'tiff') return key;
  const xmp = XMP_OF_IPTC[key];
  return xmp !== undefined && xmp in source ? undefined : xmp;
}

/** What is rightly not the same, and why. */
const EXCEPTIONS: Record<string, Record<string, string>> = {
  'avif-gainmap.avif': { 'XMP:SubSecTimeOriginal': 'no tag of XMP' },
  'jpeg-ultrahdr.jpg': { 'XMP:SubSecTimeOriginal': 'no tag of XMP' },
  'jpeg-panorama360.jpg': { 'EXIF:GPSAltitude': '0/0, undefined' },
};

/** Rationals are rounded anew when they are written: some eight digits stay, 0.1 mm of a position. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a === 'number' && typeof b === 'number') {
    return Math.abs(a - b) <= 1e-7 * Math.max(Math.abs(a), Math.abs(b));
  }
  return [a].flat().join().trim() === [b].flat().join().trim();
}

describe('metadata of the good files', { skip: corpusMissing }, () => {
  for (const [index, file] of goodFacts.filter(({ format }) => !/^(MP4|MOV|WebM)/.test(format)).entries()) {
    // JPEG and one other: each format meets sources of each kind, and the run stays short.
    const formats = [FORMATS[0], FORMATS[1 + (index % (FORMATS.length - 1))]!];
    test(`${file.name} keeps it in ${formats.join(' and ')}`, async () => {
      const facts = factsOf(file);
      const source = good(file.name);
      const [before = {}] = await read(READ_ARGS, [source]);
      const paths: string[] = [];
      for (const format of formats) {
        const path = await rendition(format, file.name);
        await keepMetadata(source, { path, format, width: WIDTH, height: HEIGHT }, facts, {
          timeoutMs: 20_000,
        });
        paths.push(path);
      }
      const all = await read(READ_ARGS, paths);
      for (const [i, format] of formats.entries()) {
        for (const [key, value] of Object.entries(before)) {
          const tag = heir(key, format, before);
          if (tag === undefined || String(value).trim() === '' || EXCEPTIONS[file.name]?.[key]) continue;
          const found = all[i]?.[tag];
          assert.ok(same(found, value), `${format}: ${key} was ${value}, is ${found}`);
        }
      }

      const whole = await read(['-a', '-G1', '-ee'], paths);
      for (const [i, format] of formats.entries()) {
        for (const [key, value] of Object.entries(whole[i] ?? {})) {
          if (/:Orientation$/.test(key) && !/^(Canon|Nikon|Panasonic|Sony|Apple)/.test(key))
            assert.equal(value, 1, key);
          assert.doesNotMatch(
            key,
            /ThumbnailImage$|PreviewImage$|JpgFromRaw$|OtherImage$|MPImage|^(IFD1|SubIFD\d*):/,
            format,
          );
        }
        await sharp(paths[i]!).stats();
      }
      assert.ok(!readdirSync(dir).some((name) => name.includes('_exiftool_tmp')));
    });
  }

  test('is read into the fields of /info, each within its schema', async () => {
    for (const file of goodFacts) {
      const info = await readInfo(good(file.name), factsOf(file));
      imageInfoSchema.parse(info);
      if (file.gpsLatitude !== undefined && file.gpsLongitude !== undefined) {
        assert.ok(info.gps, file.name);
        assert.ok(same(info.gps.latitude, file.gpsLatitude), file.name);
        assert.ok(same(info.gps.longitude, file.gpsLongitude), file.name);
      }
      // jpeg-many-tags.jpg has five makers; the index has another than EXIF.
      if (file.make !== undefined && !/^video|many-tags/.test(file.name)) {
        assert.equal(info.camera_make, file.make.trim(), file.name);
      }
    }
  });
});

describe('metadata of the hostile files', { skip: corpusMissing }, () => {
  test('is kept or left, and read or not, without a fault of ours', { timeout: 120_000 }, async () => {
    // Before 12.24 a DjVu annotation could run perl (CVE-2021-22204).
    assert.ok(Number(await exiftoolVersion()) >= 12.24);
    for (const { name } of hostileFacts) {
      if (/eicar/.test(name)) continue;
      const path = await rendition('jpeg', 'hostile');
      const facts: Facts = { ...factsOf(goodFacts[0]!), format: 'jpeg', family: 'libvips' };
      const target = { path, format: 'jpeg' as const, width: WIDTH, height: HEIGHT };
      try {
        await keepMetadata(hostile(name), target, facts, { timeoutMs: 2_000 });
        imageInfoSchema.parse(await readInfo(hostile(name), facts, { timeoutMs: 2_000 }));
      } catch (error) {
        assert.ok(error instanceof Problem && error.code === 'processing_timeout', `${name}: ${error}`);
        // Two take their time: 3,000 pages, and 60 MB of XMP.
        assert.match(name, /^gen-(tif-3000-pages|png-itxt-xmp-bomb)/);
      }
      assert.ok((await stat(path)).size < 300_000, name);
      await sharp(path).stats();
    }
  });
});
