/**
 * Some hundred uploads as a service gets them: many formats, small and large ones, the same file again and again, and
 * files that are broken or meant to do harm. From the corpus where it is, from the fixtures otherwise; the same for
 * every run.
 */
import { readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { probe } from '../../src/engine/probe.ts';
import { corpusDir, good, hostile } from './corpus.ts';
import { fixture } from './fixtures.ts';
import { seededRandom } from './pictures.ts';

export interface MixedFile {
  name: string;
  bytes: Buffer;
  /** As displayed; undefined where only developing tells (RAW). Hostile files have none. */
  size?: { width: number; height: number };
  /** May be refused, or fail, with a code of the client's fault; must not do anything else. */
  hostile: boolean;
}

const CORPUS = {
  good: [
    'jpeg-gps-dscn0010.jpg',
    'jpeg-orient-6.jpg',
    'jpeg-cmyk-noicc.jpg',
    'jpeg-icc-p3.jpg',
    'jpeg-progressive.jpg',
    'jpeg-grey.jpg',
    'png-rgba16.png',
    'png-alpha-1024.png',
    'png-interlaced-rgba16.png',
    'gif-animated-cogs.gif',
    'bmp-rgb24.bmp',
    'tiff-tiled-jpeg.tif',
    'svg-logo.svg',
    'webp-lossless-alpha.webp',
    'webp-exif.webp',
    'avif-icc-exif-xmp.avif',
    'heic-alpha-512.heic',
    'heif-rgba8.heif',
    'raw-dsc8695.dng',
  ],
  heavy: ['jpeg-phone-12mp-a.jpg', 'heic-iphone-a.heic', 'jpeg-nikon-d3100.jpg'],
  hostile: [
    'gen-cut50-jpeg-progressive.jpg',
    'png-broken-stream.png',
    'gif-truncated.gif',
    'heic-truncated.heic',
    'gen-jpg-sof-65500.jpg',
    'gen-svg-deep.svg',
    'gen-html-named.jpg',
    'tif-segfault.tif',
    'jpg-exif-endless.jpg',
    'png-text-dos.png',
    'heic-oom-box.heic',
    'gen-png-icc-bomb.png',
  ],
};
const FIXTURES = {
  good: [
    'jpeg-metadata.jpg',
    'jpeg-orientation-6.jpg',
    'jpeg-cmyk.jpg',
    'png-16bit.png',
    'png-alpha.png',
    'gif-animated.gif',
    'bmp-24bit.bmp',
    'tiff-16bit.tif',
    'svg-shapes.svg',
    'webp-alpha.webp',
    'avif-8bit.avif',
    'heic-metadata.heic',
    'dng-bayer.dng',
  ],
  heavy: ['jpeg-display-p3.jpg'],
};

/** One in so many. */
const HEAVY_EVERY = 60;
const HOSTILE_EVERY = 12;
const SHARED_EVERY = 4;

/** @param seed of the order, and of what makes a file like no other */
export async function mixedFiles(count: number, seed: number): Promise<MixedFile[]> {
  const random = seededRandom(seed);
  const sources = await loadSources();
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  return Array.from({ length: count }, (_, i) => {
    if (i % HEAVY_EVERY === HEAVY_EVERY - 1) return like(pick(sources.heavy), `${seed} ${i}`);
    if (i % HOSTILE_EVERY === HOSTILE_EVERY - 1) return pick(sources.hostile);
    const file = pick(sources.good);
    return i % SHARED_EVERY === 0 ? file : like(file, `${seed} ${i}`);
  });
}

async function loadSources() {
  if (corpusDir) {
    return {
      good: await Promise.all(CORPUS.good.map((name) => goodFile(good(name)))),
      heavy: await Promise.all(CORPUS.heavy.map((name) => goodFile(good(name)))),
      hostile: CORPUS.hostile.map((name) => hostileFile(name, readFileSync(hostile(name)))),
    };
  }
  const files = await Promise.all(FIXTURES.good.map((name) => goodFile(fixture(name))));
  return {
    good: files,
    heavy: await Promise.all(FIXTURES.heavy.map((name) => goodFile(fixture(name)))),
    hostile: [
      ...files.map(({ name, bytes }) => hostileFile(name, bytes.subarray(0, bytes.length / 2))),
      hostileFile('page.jpg', Buffer.from('<!doctype html><title>not a picture</title>')),
    ],
  };
}

async function goodFile(path: string): Promise<MixedFile> {
  const { width, height } = await probe(path, { ...DEFAULT_LIMITS, maxBytes: statSync(path).size });
  const name = path.slice(path.lastIndexOf('/') + 1);
  const isRaw = extname(name) === '.dng';
  return { name, bytes: readFileSync(path), hostile: false, ...(!isRaw && { size: { width, height } }) };
}

const hostileFile = (name: string, bytes: Buffer): MixedFile => ({ name, bytes, hostile: true });

/** The same picture with other bytes, in a place where no decoder looks. */
function like(file: MixedFile, mark: string): MixedFile {
  const [text, bytes] = [Buffer.from(mark), file.bytes];
  switch (extname(file.name)) {
    case '.webp':
      return file; // its length is written in its head
    case '.svg':
      return { ...file, bytes: Buffer.concat([bytes, Buffer.from(`<!-- ${mark} -->`)]) };
    case '.heic':
    case '.heif':
    case '.avif': {
      const head = Buffer.alloc(8, 'free', 'latin1');
      head.writeUInt32BE(8 + text.length);
      head.write('free', 4, 'latin1');
      return { ...file, bytes: Buffer.concat([bytes, head, text]) };
    }
    default:
      return { ...file, bytes: Buffer.concat([bytes, text]) };
  }
}
