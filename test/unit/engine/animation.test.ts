import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import type { Operation, OutputFormat } from '../../../src/contract/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { framesOf, pipelineOfFrames } from '../../../src/engine/decode/motion.ts';
import { wholeUnits } from '../../../src/engine/encode/timing.ts';
import { DEFAULT_LIMITS, endExiftool, type Limits, render } from '../../../src/engine/index.ts';
import { runExiftool } from '../../../src/engine/metadata/exiftool.ts';
import { mapFrames } from '../../../src/engine/steps/frames.ts';
import type { FrameSequence } from '../../../src/engine/types.ts';
import { Problem } from '../../../src/problem.ts';
import { apng, type Color, filled, gif, timingOf } from '../../support/animations.ts';
import { fixture } from '../../support/fixtures.ts';
import { tempDir } from '../../support/temp.ts';

const dir = tempDir({ after });
after(() => endExiftool());
let count = 0;

async function make(
  source: Buffer,
  format: OutputFormat,
  operations: Operation[] = [],
  limits: Partial<Limits> = {},
) {
  const outDir = join(dir, String(count++));
  mkdirSync(outDir);
  const sourcePath = join(outDir, 'source');
  writeFileSync(sourcePath, source);
  const plan = parsePlan({
    operations,
    output: { format, metadata: 'strip', ...(format === 'webp' && { lossless: true }) },
  });
  const { renditions } = await render({
    ...{ sourcePath, outDir, plans: [plan] },
    limits: { ...DEFAULT_LIMITS, ...limits },
  });
  return { ...renditions[0]!, bytes: readFileSync(renditions[0]!.path) };
}

/** Each frame as RGBA. */
async function framesIn(bytes: Buffer): Promise<{ width: number; height: number; frames: Buffer[] }> {
  const moving = bytes.includes('acTL') ? (await make(bytes, 'webp')).bytes : bytes;
  const { data, info } = await sharp(moving, { pages: -1 })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const height = info.pageHeight ?? info.height;
  const frameBytes = info.width * height * 4;
  const frames = Array.from({ length: info.height / height }, (_, i) =>
    data.subarray(i * frameBytes, (i + 1) * frameBytes),
  );
  return { width: info.width, height, frames };
}

const RED: Color = [255, 0, 0, 255];
const BLUE: Color = [0, 0, 255, 255];
const GREEN: Color = [0, 255, 0, 255];
const COLORS = [RED, BLUE, GREEN, BLUE];

const [WIDTH, HEIGHT] = [24, 16];
const DELAYS_MS = [70, 0, 10, 5000];

/** Four frames of one colour each, which play three times. */
const moving: Record<'gif' | 'webp' | 'apng', Buffer> = {
  gif: gif(
    ...([WIDTH, HEIGHT, [RED, BLUE, GREEN].map((c) => c.slice(0, 3))] as const),
    [0, 1, 2, 1].map((index, i) => ({
      ...{ width: WIDTH, height: HEIGHT, index },
      centiseconds: DELAYS_MS[i]! / 10,
    })),
    2,
  ),
  apng: apng({
    ...{ width: WIDTH, height: HEIGHT, plays: 3 },
    frames: COLORS.map((color, i) => ({
      ...{ width: WIDTH, height: HEIGHT, samples: filled(WIDTH, HEIGHT, color) },
      delay: [DELAYS_MS[i]!, 1000],
    })),
  }),
  webp: Buffer.alloc(0),
};
moving.webp = (await make(moving.apng, 'webp')).bytes;

describe('animations', () => {
  for (const from of ['gif', 'webp', 'apng'] as const) {
    for (const to of ['gif', 'webp', 'apng'] as const) {
      test(`${from} to ${to} keeps frames, delays and plays, and a resize does so too`, async () => {
        const same = await make(moving[from], to);
        assert.deepEqual(timingOf(same.bytes), { delayMs: DELAYS_MS, plays: 3 });
        assert.equal(same.pages, 4);
        const { frames } = await framesIn(same.bytes);
        for (const [i, color] of COLORS.entries())
          assert.deepEqual(frames[i], Buffer.from(filled(WIDTH, HEIGHT, color)), `frame ${i}`);
        const small = await make(moving[from], to, [{ op: 'resize', width: 9 }]);
        assert.deepEqual([small.width, small.height, small.pages], [9, 6, 4]);
        assert.deepEqual(timingOf(small.bytes), { delayMs: DELAYS_MS, plays: 3 });
      });
    }
  }

  test('what plays once, for ever or 65,535 times does so in every format', async () => {
    for (const plays of [0, 1, 65_535]) {
      const frame = { width: 4, height: 4, samples: filled(4, 4, RED) };
      const other = { ...frame, samples: filled(4, 4, BLUE) };
      const source = apng({ width: 4, height: 4, plays, frames: [frame, other] });
      for (const format of ['gif', 'webp', 'apng'] as const)
        assert.equal(timingOf((await make(source, format)).bytes).plays, plays, format);
    }
  });

  test('no row of a frame gets into its neighbour, whatever the size, turn or fit', async () => {
    const cases: Operation[][] = [
      [{ op: 'resize', width: 11, height: 7, fit: 'stretch' }],
      [{ op: 'resize', width: 50, height: 41, fit: 'stretch', enlarge: true }],
      [{ op: 'resize', width: 10, height: 10, fit: 'cover' }],
      [
        { op: 'rotate', angle: 90 },
        { op: 'resize', width: 7 },
      ],
      [{ op: 'crop', left: 3, top: 5, width: 13, height: 9 }, { op: 'flip' }],
    ];
    for (const operations of cases) {
      const { bytes, width, height } = await make(moving.webp, 'webp', operations);
      const { frames } = await framesIn(bytes);
      for (const [i, color] of COLORS.entries())
        assert.deepEqual(frames[i], Buffer.from(filled(width, height, color)), JSON.stringify(operations));
    }
  });

  test('frames smaller than the canvas are composed by their way to be disposed of', async () => {
    const white: Color = [255, 255, 255];
    const source = gif(
      8,
      8,
      [[255, 0, 0], [0, 0, 255], white],
      [
        { width: 8, height: 8, index: 0, centiseconds: 10 },
        { left: 2, top: 2, width: 4, height: 4, index: 1, centiseconds: 10, dispose: 3 },
        { left: 0, top: 0, width: 2, height: 2, index: 1, centiseconds: 10, dispose: 2 },
        { left: 6, top: 6, width: 2, height: 2, index: 2, centiseconds: 10 },
      ],
    );
    for (const format of ['gif', 'webp', 'apng'] as const) {
      const { frames } = await framesIn((await make(source, format)).bytes);
      const at = (frame: number, x: number, y: number) => [
        ...frames[frame]!.subarray((y * 8 + x) * 4, (y * 8 + x) * 4 + 4),
      ];
      assert.deepEqual(at(1, 3, 3), BLUE, format);
      assert.deepEqual(at(2, 3, 3), RED, format);
      assert.deepEqual(at(2, 1, 1), BLUE, format);
      assert.equal(at(3, 1, 1)[3], 0, format);
      assert.deepEqual(at(3, 3, 3), RED, format);
      assert.deepEqual(at(3, 7, 7), [255, 255, 255, 255], format);
    }
  });

  test('a GIF counts in hundredths: each frame begins at the nearest, and the whole keeps its length', async () => {
    const delays = [33, 33, 34, 15, 15, 4, 4];
    const source = apng({
      ...{ width: 4, height: 4 },
      frames: delays.map((ms, i) => ({
        ...{ width: 4, height: 4, samples: filled(4, 4, [i * 20, 0, 0, 255]) },
        delay: [ms, 1000],
      })),
    });
    const { delayMs } = timingOf((await make(source, 'gif')).bytes);
    assert.deepEqual(delayMs, [30, 40, 30, 20, 10, 0, 10]);
    assert.deepEqual(wholeUnits([100 / 3, 100 / 3, 100 / 3], 1), [33, 34, 33]);
  });

  test('minutes on one frame are kept', async () => {
    const frame = { width: 4, height: 4, samples: filled(4, 4, RED) };
    const other = { ...frame, samples: filled(4, 4, BLUE) };
    const source = apng({
      ...{ width: 4, height: 4 },
      frames: [
        { ...frame, delay: [120, 1] },
        { ...other, delay: [1, 20] },
      ],
    });
    for (const format of ['gif', 'webp', 'apng'] as const)
      assert.deepEqual(timingOf((await make(source, format)).bytes).delayMs, [120_000, 50], format);
  });

  test('frames that do not differ stay frames in a GIF; a WebP joins them and keeps the time', async () => {
    const frame = (color: Color, ms: number) => ({
      ...{ width: 4, height: 4, samples: filled(4, 4, color) },
      delay: [ms, 1000] as [number, number],
    });
    const frames = [frame(RED, 10), frame(RED, 0), frame(BLUE, 5), frame(BLUE, 100)];
    const source = apng({ width: 4, height: 4, frames });
    assert.deepEqual(timingOf((await make(source, 'apng')).bytes).delayMs, [10, 0, 5, 100]);
    assert.deepEqual(timingOf((await make(source, 'gif')).bytes).delayMs, [10, 0, 10, 100]);
    assert.deepEqual(timingOf((await make(source, 'webp')).bytes).delayMs, [10, 105]);
  });

  test('clear pixels stay clear through a resize', async () => {
    const frame = (color: Color) => ({ width: 16, height: 16, samples: filled(16, 16, color) });
    const source = apng({ width: 16, height: 16, frames: [frame([0, 0, 0, 0]), frame(RED)] });
    for (const format of ['gif', 'webp', 'apng'] as const) {
      const { frames } = await framesIn((await make(source, format, [{ op: 'resize', width: 5 }])).bytes);
      assert.ok(
        frames[0]!.every((_, i) => i % 4 !== 3 || frames[0]![i] === 0),
        format,
      );
      assert.deepEqual(frames[1], Buffer.from(filled(5, 5, RED)), format);
    }
  });

  test('PNG keeps an APNG moving and takes the first frame of all else; still formats always do', async () => {
    const png = await make(moving.apng, 'png');
    assert.equal(timingOf(png.bytes).delayMs.length, 4);
    for (const from of ['gif', 'webp', 'apng'] as const) {
      for (const format of ['png', 'jpeg', 'tiff', 'bmp', 'avif'] as const) {
        if (from === 'apng' && format === 'png') continue;
        const { bytes, pages } = await make(moving[from], format);
        assert.equal(pages, 1, `${from} to ${format}`);
        if (format === 'bmp') continue;
        const [r, , b] = await sharp(bytes).toColourspace('srgb').raw().toBuffer();
        assert.ok(r! > 240 && b! < 15, `${from} to ${format}`);
      }
    }
  });

  test('one frame can be asked for, by its number', async () => {
    for (const from of ['gif', 'webp', 'apng'] as const) {
      for (const format of ['png', 'webp', 'gif'] as const) {
        const { bytes, pages } = await make(moving[from], format, [{ op: 'frame', page: 2 }]);
        assert.equal(pages, 1);
        assert.deepEqual([...(await sharp(bytes).ensureAlpha().raw().toBuffer()).subarray(0, 4)], GREEN);
      }
      await assert.rejects(
        make(moving[from], 'png', [{ op: 'frame', page: 4 }]),
        (error: Problem) => error.code === 'invalid_plan' && /the file has 4/.test(error.detail ?? ''),
      );
    }
  });

  test('metadata that is kept leaves frames and timing as they are', async () => {
    const sourcePath = join(dir, 'tagged.webp');
    writeFileSync(sourcePath, moving.webp);
    await runExiftool(['-overwrite_original', '-IFD0:Artist=Ada', '-XMP-dc:Title=Four', sourcePath]);
    const formats = ['gif', 'webp', 'apng'] as const;
    const plans = formats.map((format) => parsePlan({ output: { format, metadata: 'keep' } }));
    const { renditions } = await render({ sourcePath, outDir: dir, plans, limits: DEFAULT_LIMITS });
    for (const { path, plan } of renditions) {
      assert.deepEqual(timingOf(readFileSync(path)), { delayMs: DELAYS_MS, plays: 3 }, plan.output.format);
      const { stdout } = await runExiftool(['-s3', '-XMP-dc:Title', path]);
      assert.equal(stdout.trim(), 'Four');
    }
  });

  test('of a file that declares one frame a still picture is made', async () => {
    const frame = { width: 4, height: 4, samples: filled(4, 4, RED) };
    const sources = [
      apng({ width: 4, height: 4, frames: [frame] }),
      gif(4, 4, [[255, 0, 0]], [{ width: 4, height: 4, index: 0, centiseconds: 5 }]),
    ];
    for (const source of sources) {
      for (const format of ['gif', 'webp', 'apng'] as const) {
        const { bytes, pages } = await make(source, format);
        assert.equal(pages, 1);
        assert.deepEqual([...(await sharp(bytes).ensureAlpha().raw().toBuffer()).subarray(0, 4)], RED);
      }
    }
  });

  test('frames and their pixels in all are limited for what moves, not for one frame', async () => {
    for (const from of ['gif', 'webp', 'apng'] as const) {
      const refuses = (code: string, limits: Partial<Limits>) =>
        assert.rejects(
          make(moving[from], 'webp', [], limits),
          (e) => e instanceof Problem && e.code === code,
        );
      await refuses('too_many_frames', { maxFrames: 3 });
      await refuses('image_too_large', { maxPixels: WIDTH * HEIGHT * 4 - 1 });
      const { pages } = await make(moving[from], 'jpeg', [], { maxPixels: WIDTH * HEIGHT });
      assert.equal(pages, 1);
    }
  });

  test('the fixtures keep their timing in each other’s format', async () => {
    for (const [name, plays] of [
      ['gif-animated.gif', 0],
      ['webp-animated.webp', 3],
    ] as const) {
      for (const format of ['gif', 'webp', 'apng'] as const) {
        const { bytes } = await make(readFileSync(fixture(name)), format, [{ op: 'resize', width: 30 }]);
        assert.deepEqual(timingOf(bytes), { delayMs: [100, 200, 300, 400], plays });
      }
    }
  });
});

test('one frame by itself has the height of what is made of it', async () => {
  const pixels = { data: new Uint8Array(40 * 30 * 3), width: 40, height: 30, channels: 3, depth: 8 } as const;
  const image = pipelineOfFrames({ pixels, frameHeight: 30, delayMs: [100], loop: 0 }).resize(20, 15);
  const { info } = await image.gif().toBuffer({ resolveWithObject: true });
  assert.equal(info.pageHeight ?? info.height, 15);
});

describe('mapFrames', () => {
  const sequence: FrameSequence = {
    pixels: { data: filled(2, 4, [1, 2, 3]), width: 2, height: 4, channels: 3, depth: 8 },
    ...{ frameHeight: 2, delayMs: [10, 20], loop: 5 },
  };

  test('gives each frame by itself and joins the results', async () => {
    const seen: number[] = [];
    const done = await mapFrames(sequence, async (frame, index) => {
      seen.push(frame.height);
      return { data: filled(1, 1, [index, 7, 8, 9]), width: 1, height: 1, channels: 4, depth: 8 };
    });
    assert.deepEqual(seen, [2, 2]);
    assert.deepEqual([...done.pixels.data], [0, 7, 8, 9, 1, 7, 8, 9]);
    assert.deepEqual([done.frameHeight, done.delayMs, done.loop], [1, [10, 20], 5]);
    assert.equal(framesOf(done).length, 2);
  });

  test('refuses results of different sizes, and stops when it is told to', async () => {
    const growing = mapFrames(sequence, async (frame, index) => ({
      ...frame,
      ...{ data: filled(2, 2 + index, [1, 2, 3]), height: 2 + index },
    }));
    await assert.rejects(growing, (e) => e instanceof Problem && e.code === 'invalid_plan');
    const stopped = mapFrames(sequence, async (frame) => frame, AbortSignal.abort());
    await assert.rejects(stopped, (e) => e instanceof Problem && e.code === 'cancelled');
  });
});
