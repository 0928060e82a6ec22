import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import type { NormalOperation } from '../../../../src/contract/plan.ts';
import { watermark } from '../../../../src/engine/steps/watermark.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { Problem } from '../../../../src/problem.ts';
import { tempDir } from '../../../support/temp.ts';
import { all, at, context, painted } from './painted.ts';

type Watermark = Extract<NormalOperation, { op: 'watermark' }>;
const op = (more: Partial<Watermark>): Watermark => ({
  op: 'watermark',
  gravity: 'southeast',
  opacity: 1,
  scale: 0.2,
  margin: 10,
  tile: false,
  ...(more.text !== undefined && { color: '#ffffff' }),
  ...more,
});
const text = (pixels: Pixels, more: Partial<Watermark>) =>
  watermark(pixels, op({ text: 'Tintype', ...more }), context());

/** A mark of one colour, twice as wide as high. */
async function markFile(dir: string, color: string, width = 40, height = 20): Promise<string> {
  const path = join(dir, `mark-${color.slice(1)}-${width}.png`);
  await sharp({ create: { width, height, channels: 4, background: color } })
    .png()
    .toFile(path);
  return path;
}

async function marked(
  t: Parameters<typeof tempDir>[0],
  pixels: Pixels,
  more: Partial<Watermark>,
  color = '#ff0000',
) {
  const assets = { mark: await markFile(tempDir(t), color) };
  return watermark(pixels, op({ image: 'mark', ...more }), context(assets));
}

/** The rectangle of the pixels that `differs` picks. */
function boxOf(pixels: Pixels, differs: (pixel: number[]) => boolean) {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  all(pixels).forEach((pixel, i) => {
    if (!differs(pixel)) return;
    const [x, y] = [i % pixels.width, Math.floor(i / pixels.width)];
    [left, top] = [Math.min(left, x), Math.min(top, y)];
    [right, bottom] = [Math.max(right, x), Math.max(bottom, y)];
  });
  return { left, top, width: right - left + 1, height: bottom - top + 1 };
}

const gray = (channels: 1 | 3 | 4 = 3, depth: 8 | 16 = 8) =>
  painted(200, 100, () => [100, 100, 100, 255].slice(0, channels === 1 ? 1 : channels), depth);

test('a solid mark of a fifth of the width stands at the margin of each side and corner', async (t) => {
  const places: Record<string, [number, number]> = {
    northwest: [10, 10],
    north: [80, 10],
    northeast: [150, 10],
    west: [10, 40],
    center: [80, 40],
    east: [150, 40],
    southwest: [10, 70],
    south: [80, 70],
    southeast: [150, 70],
  };
  for (const [gravity, [left, top]] of Object.entries(places)) {
    const out = await marked(t, gray(), { gravity: gravity as Watermark['gravity'] });
    assert.deepEqual(
      boxOf(out, ([, green]) => green !== 100),
      { left, top, width: 40, height: 20 },
      gravity,
    );
    assert.deepEqual(at(out, left, top), [255, 0, 0]);
  }
});

test('opacity mixes the mark with the picture, and multiplies what the mark has of its own', async (t) => {
  assert.deepEqual(at(await marked(t, gray(), { opacity: 0.5 }), 160, 75), [178, 50, 50]);
  assert.deepEqual(at(await marked(t, gray(), { opacity: 0.25 }), 160, 75), [139, 75, 75]);
  assert.deepEqual(at(await marked(t, gray(), { opacity: 0.5 }, '#ff000080'), 160, 75), [139, 75, 75]);
  assert.deepEqual(at(await marked(t, gray(), { opacity: 0 }), 160, 75), [100, 100, 100]);
});

test('16 bits stay 16 bits, and a mark on transparency shows its own colour', async (t) => {
  const deep = await marked(t, gray(3, 16), { opacity: 0.5 });
  assert.equal(deep.depth, 16);
  assert.deepEqual(at(deep, 160, 75), [45_618, 12_850, 12_850]);
  const clear = painted(200, 100, () => [0, 90, 0, 0]);
  assert.deepEqual(at(await marked(t, clear, { opacity: 0.5 }), 160, 75), [255, 0, 0, 128]);
  assert.deepEqual(at(clear, 0, 0), [0, 90, 0, 0]);
});

test('a grey picture becomes RGB under a coloured mark and stays grey under a grey one', async (t) => {
  const red = await marked(t, gray(1), {});
  assert.deepEqual([red.channels, at(red, 160, 75), at(red, 0, 0)], [3, [255, 0, 0], [100, 100, 100]]);
  const white = await marked(t, gray(1), {}, '#ffffff');
  assert.deepEqual([white.channels, at(white, 160, 75)], [1, [255]]);
});

test('a mark is never larger than the picture without its margins', async (t) => {
  const wide = await marked(
    t,
    painted(200, 30, () => [100, 100, 100]),
    { scale: 1 },
  );
  // Between 7 px above and below.
  assert.deepEqual(
    boxOf(wide, ([, green]) => green !== 100),
    { left: 158, top: 7, width: 32, height: 16 },
  );
  for (const [width, height] of [
    [1, 1],
    [3, 50],
    [50, 2],
  ] as const) {
    const tiny = await marked(
      t,
      painted(width, height, () => [100, 100, 100]),
      { scale: 1, margin: 10_000 },
    );
    assert.ok(
      all(tiny).some(([red]) => red !== 100),
      `${width}×${height}`,
    );
  }
});

test('tiles cover the picture in rows of which every second is moved', async (t) => {
  const out = await marked(
    t,
    painted(400, 300, () => [100, 100, 100]),
    { tile: true, scale: 0.1, margin: 5 },
  );
  // Marks of 40 × 20 px, 10 px apart.
  const isMark = (x: number, y: number) => at(out, x, y)[1] === 0;
  for (let row = 0; row < 10; row++) {
    const y = 5 + row * 30 + 10;
    const start = row % 2 ? 5 - 25 : 5;
    for (let x = 0; x < 400; x++)
      assert.equal(isMark(x, y), (x - start) % 50 < 40 && x >= start, `${x},${y}`);
    assert.ok(!isMark(20, y + 15));
  }
});

test('a turned photo and a vector drawing serve as marks, the drawing sharp at any size', async (t) => {
  const dir = tempDir(t);
  const turned = join(dir, 'turned.jpg');
  // Upright: 20 wide, 40 high, its upper half red.
  await sharp({ create: { width: 40, height: 20, channels: 3, background: '#0000ff' } })
    .composite([
      { input: { create: { width: 20, height: 20, channels: 3, background: '#ff0000' } }, left: 0, top: 0 },
    ])
    .withMetadata({ orientation: 6 })
    .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
    .toFile(turned);
  const out = await watermark(gray(), op({ image: 'x', scale: 0.1 }), context({ x: turned }));
  assert.deepEqual(
    boxOf(out, ([, green]) => green! < 50),
    { left: 170, top: 50, width: 20, height: 40 },
  );
  assert.ok(at(out, 180, 55)[0]! > 240 && at(out, 180, 85)[2]! > 240);

  const drawing = join(dir, 'drawing.svg');
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="2"><rect width="2" height="2" fill="#f00"/></svg>';
  await writeFile(drawing, svg);
  const sharpEdge = await watermark(
    gray(),
    op({ image: 'x', scale: 0.4, gravity: 'center' }),
    context({ x: drawing }),
  );
  assert.deepEqual(
    boxOf(sharpEdge, ([, green]) => green === 0),
    { left: 60, top: 30, width: 40, height: 40 },
  );
});

test('an image that is not at hand is an invalid plan; one that is none says so', async (t) => {
  await assert.rejects(
    watermark(gray(), op({ image: 'missing' }), context()),
    (error: unknown) => error instanceof Problem && error.code === 'invalid_plan',
  );
  const path = join(tempDir(t), 'note.txt');
  await writeFile(path, 'no picture');
  await assert.rejects(watermark(gray(), op({ image: 'x' }), context({ x: path })), (error: unknown) => {
    assert.ok(error instanceof Problem && error.code === 'unsupported_media_type');
    assert.match(error.detail ?? '', /^The watermark's image: /);
    return true;
  });
});

test('a text changes pixels only inside of its box, and is as wide as asked', async () => {
  const out = await text(
    painted(600, 300, () => [100, 100, 100]),
    { scale: 0.5 },
  );
  const box = boxOf(out, ([red]) => red !== 100);
  assert.ok(box.left >= 590 - 300 && box.left + box.width <= 590 && box.top + box.height <= 290);
  assert.ok(box.width > 0.9 * 300, `${box.width}`);
});

test('a text can be read on black, white and grey, in any colour', async () => {
  for (const color of ['#ffffff', '#000000', '#ffff00'] as const) {
    for (const ground of [0, 128, 255]) {
      const out = await text(
        painted(300, 120, () => [ground, ground, ground]),
        { scale: 0.9, opacity: 0.5, color },
      );
      const strongest = Math.max(
        ...all(out)
          .flat()
          .map((level) => Math.abs(level - ground)),
      );
      assert.ok(strongest >= 50, `${color} on ${ground}: ${strongest}`);
    }
  }
});

test('nothing in a text is taken for markup, and every script, line and length is drawn', async () => {
  const texts = [
    '<b>&amp;</b> "quoted" \u0001\u0000',
    '</span><span size="999999">x',
    'שלום مرحبا',
    '日本語 😀 ©',
    'two\r\nlines',
    '\ud800 lone',
    'W'.repeat(200),
    'a\n'.repeat(99),
  ];
  for (const shown of texts) {
    const out = await text(
      painted(300, 150, () => [100, 100, 100]),
      { text: shown, scale: 1 },
    );
    const box = boxOf(out, ([red]) => red !== 100);
    assert.ok(box.left >= 10 && box.left + box.width <= 290, JSON.stringify(shown));
    assert.ok(box.top >= 10 && box.top + box.height <= 140, JSON.stringify(shown));
    assert.ok(box.width > 0, JSON.stringify(shown));
  }
});

test('a text of nothing visible is an invalid plan', async () => {
  await assert.rejects(
    text(gray(), { text: '\u200b' }),
    (error: unknown) => error instanceof Problem && error.code === 'invalid_plan',
  );
});

test('a letter as large as a large picture is drawn in seconds, with its shadow', async () => {
  const side = 6000;
  const data = new Uint8Array(side * side * 3).fill(255);
  const started = process.cpuUsage();
  const out = await text({ data, width: side, height: side, channels: 3, depth: 8 }, { text: 'A', scale: 1 });
  const { user, system } = process.cpuUsage(started);
  assert.ok((user + system) / 1e6 < 20, `${(user + system) / 1e6} s of CPU`);
  // The letter is white: what can be seen on white is its shadow.
  let shadowPx = 0;
  for (let i = 0; i < out.data.length; i += 3) if (out.data[i]! < 200) shadowPx++;
  assert.ok(shadowPx > side * side * 0.01, `${shadowPx} px`);
});

test('a JPEG with stray bytes between its markers serves as a mark, as it serves as a picture', async (t) => {
  const jpeg = await sharp({ create: { width: 40, height: 20, channels: 3, background: '#ff0000' } })
    .jpeg()
    .toBuffer();
  const scan = jpeg.indexOf(Buffer.from([0xff, 0xda]));
  const path = join(tempDir(t), 'stray.jpg');
  await writeFile(path, Buffer.concat([jpeg.subarray(0, scan), Buffer.alloc(8), jpeg.subarray(scan)]));
  const out = await watermark(gray(), op({ image: 'mark' }), context({ mark: path }));
  assert.deepEqual(
    boxOf(out, ([, green]) => green !== 100),
    { left: 150, top: 70, width: 40, height: 20 },
  );
});

test('a text fits on the smallest picture and on 16-bit, grey and transparent ones', async () => {
  for (const pixels of [
    painted(1, 1, () => [100]),
    painted(2, 40, () => [100]),
    painted(5, 3, () => [100, 0, 0]),
  ]) {
    await text(pixels, { scale: 1 });
  }
  for (const pixels of [
    painted(200, 100, () => [100], 16),
    painted(200, 100, () => [100, 255]),
    painted(200, 100, () => [0, 0, 0, 0]),
    painted(200, 100, () => [9, 9, 9, 0], 16),
  ]) {
    const before = at(pixels, 0, 0);
    const out = await text(pixels, { scale: 0.9, gravity: 'center' });
    assert.deepEqual([out.depth, out.channels], [pixels.depth, pixels.channels]);
    assert.ok(all(out).filter((pixel) => pixel.join() !== before.join()).length > 500);
  }
});

test('within a job the mark is made once, however many frames it comes upon', async (t) => {
  const path = await markFile(tempDir(t), '#ff0000');
  const job = context({ mark: path });
  await watermark(gray(), op({ image: 'mark' }), job);
  rmSync(path);
  assert.deepEqual(at(await watermark(gray(), op({ image: 'mark' }), job), 160, 75), [255, 0, 0]);
  await assert.rejects(watermark(gray(), op({ image: 'mark' }), context({ mark: path })));
});
