/** Every kind of source in every format: the same picture, as large, as upright, as clear, and moving where it can. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import type { OutputFormat } from '../../src/contract/plan.ts';
import { parsePlan } from '../../src/contract/plan-normal.ts';
import { decodeApng } from '../../src/engine/decode/apng.ts';
import { decodeBmp } from '../../src/engine/decode/bmp.ts';
import { framesOf } from '../../src/engine/decode/motion.ts';
import { DEFAULT_LIMITS, endExiftool, type Rendition, render } from '../../src/engine/index.ts';
import { probe } from '../../src/engine/probe.ts';
import { apng, timingOf } from '../support/animations.ts';
import { decodePixels, meanDeltaE, type RawPixels } from '../support/compare.ts';
import { fixture } from '../support/fixtures.ts';
import { hashDistance, type PerceptualHash, perceptualHash } from '../support/perceptual-hash.ts';
import { draw, landscape, letterF, type Picture, storedFor } from '../support/pictures.ts';
import { tempDir } from '../support/temp.ts';
import { videoTools } from '../support/videos.ts';

const FORMATS = ['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif', 'bmp', 'apng'] as const;
const HOLDS_ALPHA: readonly OutputFormat[] = ['png', 'webp', 'avif', 'tiff', 'gif', 'apng'];
/** Of 63 bits. A mirrored F differs in some 30. */
const MAX_DISTANCE = 8;

const dir = tempDir({ after });
after(() => endExiftool());
let count = 0;

const F = letterF(96, 64);
const PHOTO = landscape(320, 240);
const QUADRANTS = draw(64, 48, (x, y) =>
  y < 0.5 ? (x < 0.5 ? [200, 40, 40] : [40, 180, 60]) : x < 0.5 ? [50, 70, 200] : [230, 220, 90],
);
const HALF_CLEAR: Picture = {
  ...QUADRANTS,
  data: QUADRANTS.data.map((value, i) => (Math.floor(i / 3) % 64 < 32 ? value : (value + 255) / 2)),
};
const RAMP = draw(64, 48, (x, y) => [78 + x * 25, 117 + y * 19, 128]);
const GRAY_RAMP = draw(64, 48, (x) => [x * 255, x * 255, x * 255]);
const SHAPES = draw(120, 80, (x, y) => {
  if (y < 0.5) return x < 0.5 ? [200, 40, 40] : [40, 160, 60];
  if (x < 0.5) return [40, 70, 190];
  return Math.hypot(x * 120 - 90, y * 80 - 60) < 18 ? [243, 228, 158] : [255, 255, 255];
});
/** As the fixtures with an alpha ramp look on white; where pixels are clear or not, the middle is the border. */
const fading = (alphaOf: (x: number) => number): Picture => ({
  ...F,
  data: F.data.map((value, i) => {
    const alpha = alphaOf(1 - (Math.floor(i / 3) % F.width) / (F.width - 1));
    return Math.round(value * alpha + 255 * (1 - alpha));
  }),
});
const FADING_F = fading((alpha) => alpha);
const HALF_F = fading(Math.round);

interface Source {
  /** What it shows, upright, on white. */
  shows: Picture;
  /** In a GIF, whose pixels are clear or not. */
  showsAsGif?: Picture;
  /** There is nothing in it that a hash could hold on to: samples are compared. */
  smooth?: true;
  path?: string;
  /** Near the upper left corner and in the lower right one. */
  alpha?: readonly [number, number];
  /** All that it shows, where it moves, and for how long each; it plays so many times. */
  moves?: { frames: Picture[]; delayMs: number[]; plays: number };
}

const fadingF: Source = { shows: FADING_F, showsAsGif: HALF_F, alpha: [255, 0] };
const turns = [1, 2, 3, 4].map((orientation) => storedFor(orientation, F));
const delayMs = [100, 200, 300, 400];

const fixtures: Record<string, Source> = {
  'jpeg-metadata.jpg': { shows: PHOTO },
  'jpeg-progressive.jpg': { shows: PHOTO },
  'jpeg-gray.jpg': { shows: F },
  'jpeg-cmyk.jpg': { shows: landscape(160, 120) },
  'jpeg-display-p3.jpg': { shows: PHOTO },
  'jpeg-adobe-rgb.jpg': { shows: PHOTO },
  'jpeg-prophoto.jpg': { shows: PHOTO },
  'png-16bit.png': { shows: RAMP, smooth: true },
  'png-palette.png': { shows: F },
  'png-interlaced.png': { shows: F },
  'png-alpha.png': fadingF,
  'png-gray-alpha.png': fadingF,
  'webp-alpha.webp': fadingF,
  'gif-still.gif': { shows: F },
  'gif-animated.gif': { shows: F, moves: { frames: turns, delayMs, plays: 0 } },
  'webp-animated.webp': { shows: F, moves: { frames: turns, delayMs, plays: 3 } },
  'tiff-16bit.tif': { shows: F },
  'tiff-4-pages.tif': { shows: F },
  'bmp-24bit.bmp': { shows: F },
  'bmp-8bit-palette.bmp': { shows: F },
  'svg-shapes.svg': { shows: SHAPES, alpha: [255, 0] },
  'avif-8bit.avif': { shows: PHOTO },
  'avif-10bit.avif': { shows: PHOTO },
  'heic-metadata.heic': { shows: PHOTO },
  'heic/quadrants.heic': { shows: QUADRANTS },
  'heic/alpha.heic': { shows: HALF_CLEAR, showsAsGif: QUADRANTS, alpha: [255, 128] },
  'heic/premultiplied.heic': { shows: HALF_CLEAR, showsAsGif: QUADRANTS, alpha: [255, 128] },
  'heic/deep.heic': { shows: QUADRANTS },
  'heic/display-p3.heic': { shows: QUADRANTS },
  'heic/grey.heic': { shows: GRAY_RAMP, smooth: true },
  'dng-bayer.dng': { shows: landscape(120, 80) },
};
for (let orientation = 1; orientation <= 8; orientation++)
  fixtures[`jpeg-orientation-${orientation}.jpg`] = { shows: F };

function saved(name: string, bytes: Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

const built: Record<string, () => Promise<Source>> = {
  APNG: async () => ({
    shows: F,
    path: saved(
      'moves.png',
      apng({
        ...{ width: F.width, height: F.height, colorType: 2, plays: 7 },
        frames: turns.map((turn, i) => ({
          ...{ width: F.width, height: F.height, samples: turn.data, delay: [delayMs[i]!, 1000] },
        })),
      }),
    ),
    moves: { frames: turns, delayMs, plays: 7 },
  }),
  '16-bit grey TIFF': async () => {
    const gray = sharp(F.data, { raw: F }).toColourspace('grey16').tiff({ compression: 'deflate' });
    return { shows: F, path: saved('grey16.tif', await gray.toBuffer()) };
  },
  '16-bit PNG': async () => {
    const deep = sharp(F.data, { raw: F }).toColourspace('rgb16').png();
    return { shows: F, path: saved('rgb16.png', await deep.toBuffer()) };
  },
  'CMYK TIFF': async () => {
    const cmyk = sharp(PHOTO.data, { raw: PHOTO }).toColourspace('cmyk').tiff({ compression: 'lzw' });
    return { shows: PHOTO, path: saved('cmyk.tif', await cmyk.toBuffer()) };
  },
  'one-bit TIFF': async () => {
    const bits = sharp(F.data, { raw: F }).threshold(64).toColourspace('b-w');
    const shows = draw(F.width, F.height, (x, y) => {
      const at = (Math.floor(y * F.height) * F.width + Math.floor(x * F.width)) * 3;
      return F.data[at]! < 30 && F.data[at + 1]! < 30 ? [0, 0, 0] : [255, 255, 255];
    });
    const options = { compression: 'ccittfax4', bitdepth: 1 } as const;
    return { shows, path: saved('bits.tif', await bits.tiff(options).toBuffer()) };
  },
};

/** What a rendition shows, frame by frame, by decoders that did not make it where there are any. */
async function framesIn({ path, plan, pages }: Rendition): Promise<RawPixels[]> {
  const { format } = plan.output;
  if (format === 'bmp') {
    const { data, width, height, channels } = await decodeBmp(path, await probe(path, DEFAULT_LIMITS));
    return [{ data, width, height, channels: channels as 3 | 4 }];
  }
  if (pages > 1 && (format === 'png' || format === 'apng')) {
    const facts = await probe(path, DEFAULT_LIMITS);
    const frames = framesOf(await decodeApng(path, facts, { limits: DEFAULT_LIMITS }));
    return frames.map(({ data, width, height }) => ({ data, width, height, channels: 4 }));
  }
  return Promise.all(Array.from({ length: pages }, (_, page) => decodePixels(path, { page })));
}

const raw = ({ data, width, height }: Picture): RawPixels => ({ data, width, height, channels: 3 });
const known = new Map<Picture, Promise<PerceptualHash>>();
function hashOf(picture: Picture): Promise<PerceptualHash> {
  const hash = known.get(picture) ?? perceptualHash(raw(picture));
  known.set(picture, hash);
  return hash;
}

async function checkShows(found: RawPixels, shows: Picture, what: string): Promise<void> {
  assert.deepEqual([found.width, found.height], [shows.width, shows.height], `${what}: size`);
  const distance = hashDistance(await perceptualHash(found), await hashOf(shows));
  assert.ok(distance <= MAX_DISTANCE, `${what}: ${distance} bits differ`);
}

function checkSamples(found: RawPixels, shows: Picture, what: string): void {
  assert.deepEqual([found.width, found.height], [shows.width, shows.height], `${what}: size`);
  assert.ok(meanDeltaE(found, raw(shows)) < 4, `${what}: ΔE ${meanDeltaE(found, raw(shows))}`);
}

function checkAlpha(
  { data, width, height, channels }: RawPixels,
  ends: readonly number[],
  what: string,
): void {
  assert.equal(channels, 4, `${what}: alpha`);
  const at = (x: number, y: number) => data[(y * width + x) * 4 + 3]!;
  for (const [i, alpha] of [at(2, 2), at(width - 1, height - 1)].entries())
    assert.ok(Math.abs(alpha - ends[i]!) < 15, `${what}: alpha of ${alpha} for ${ends[i]}`);
}

async function check(name: string, source: Source): Promise<void> {
  const outDir = join(dir, String(count++));
  mkdirSync(outDir);
  const plans = FORMATS.map((format) =>
    parsePlan({ output: { format, metadata: 'strip', ...(format === 'avif' && { effort: 0 }) } }),
  );
  const { facts, renditions } = await render({
    ...{ sourcePath: source.path ?? fixture(name), outDir, plans },
    limits: DEFAULT_LIMITS,
  });
  const { format: sourceFormat, pages: sourcePages } = facts;
  for (const [i, format] of FORMATS.entries()) {
    const rendition = renditions[i]!;
    const what = `${name} to ${format}`;
    const frames = await framesIn(rendition);
    const moves =
      source.moves &&
      (['webp', 'gif', 'apng'].includes(format) || (format === 'png' && sourceFormat === 'png'));
    const together = sourceFormat === 'tiff' && format === 'tiff' ? sourcePages : 1;
    assert.equal(frames.length, moves ? source.moves!.frames.length : together, `${what}: frames`);
    if (moves) {
      const timing = timingOf(readFileSync(rendition.path));
      assert.deepEqual(timing, { delayMs: source.moves!.delayMs, plays: source.moves!.plays }, what);
      for (const [frame, shows] of source.moves!.frames.entries())
        await checkShows(frames[frame]!, shows, `${what}, frame ${frame}`);
    } else {
      const shows = (format === 'gif' && source.showsAsGif) || source.shows;
      if (source.smooth) checkSamples(frames[0]!, shows, what);
      else await checkShows(frames[0]!, shows, what);
    }
    if (source.alpha && HOLDS_ALPHA.includes(format)) {
      const ends = source.alpha.map((alpha) => (format === 'gif' ? Math.round(alpha / 255) * 255 : alpha));
      checkAlpha(frames[0]!, ends, what);
    }
  }
}

describe('every source in every format', () => {
  for (const [name, source] of Object.entries(fixtures)) test(name, () => check(name, source));
  for (const [name, build] of Object.entries(built)) test(name, async () => check(name, await build()));

  test('a video and an AVIF sequence', async (t) => {
    const tools = videoTools(t, dir);
    if (!tools) return;
    const turn = (picture: Picture, i: number) =>
      saved(`turn-${i}.rgb`, Buffer.concat(Array.from({ length: 12 }, () => picture.data)));
    const input = (i: number) => [
      ...['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${F.width}x${F.height}`, '-r', '12'],
      ...['-i', turn(turns[i]!, i)],
    ];
    const colours = ['-vf', 'scale=out_color_matrix=bt709', '-colorspace', 'bt709', '-pix_fmt', 'yuv444p'];
    const video = tools.make('f.mp4', ...input(0), ...colours, '-c:v', 'libx264', '-qp', '4');
    await check('MP4', { shows: F, path: video });
    const frames = saved('turns.rgb', Buffer.concat(turns.map((picture) => picture.data)));
    const sequence = tools.make(
      'f.avif',
      ...['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${F.width}x${F.height}`, '-r', '10', '-i', frames],
      ...colours,
      ...['-c:v', 'libaom-av1', '-cpu-used', '8', '-crf', '10', '-f', 'avif'],
    );
    const moves = { frames: turns, delayMs: [100, 100, 100, 100], plays: 0 };
    await check('AVIF sequence', { shows: F, path: sequence, moves });
  });

  test('the hash tells a picture from its turns and mirror images', async () => {
    for (const orientation of [2, 3, 4, 5, 6, 7, 8]) {
      const distance = hashDistance(await hashOf(F), await hashOf(storedFor(orientation, F)));
      assert.ok(distance > 2 * MAX_DISTANCE, `orientation ${orientation}: ${distance}`);
    }
    assert.equal(hashDistance(await hashOf(F), await perceptualHash(raw(letterF(300, 200)))), 0);
  });
});
