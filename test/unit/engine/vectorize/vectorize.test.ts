import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { DEFAULT_LIMITS } from '../../../../src/engine/limits.ts';
import { cleanSvg } from '../../../../src/engine/probe/svg-safe.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { type VectorizeOptions, vectorize } from '../../../../src/engine/vectorize/index.ts';
import { Problem } from '../../../../src/problem.ts';
import { psnr } from '../../../support/compare.ts';
import { drawn, logos, onGround } from '../../../support/logos.ts';
import { draw, landscape, seededRandom } from '../../../support/pictures.ts';

const WHITE = [255, 255, 255] as const;
const GREEN = [0, 160, 0] as const;

const OPTIONS: VectorizeOptions = { colors: 'color', detail: 'medium', maxBytes: 2_000_000 };
const trace = (pixels: Pixels, options: Partial<VectorizeOptions> = {}) =>
  vectorize(pixels, { ...OPTIONS, ...options }, {});

/** Of a drawing, rendered, against the pixels that it was made of, on a ground that shows what is transparent. */
async function likeness(svg: string, pixels: Pixels, ground: readonly [number, number, number] = GREEN) {
  const rendered = await drawn(svg);
  assert.deepEqual([rendered.width, rendered.height], [pixels.width, pixels.height]);
  return psnr(onGround(rendered, ground), onGround(pixels, ground));
}

/** RGBA, each row a string of letters. */
function painted(rows: string[], colors: Record<string, number[]>, scale = 1): Pixels {
  const [width, height] = [rows[0]!.length * scale, rows.length * scale];
  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const letter = rows[Math.floor(y / scale)]![Math.floor(x / scale)]!;
      data.set(colors[letter] ?? [0, 0, 0, 0], (y * width + x) * 4);
    }
  }
  return { data, width, height, channels: 4, depth: 8 };
}

const alphaAt = ({ data, width }: Pixels, x: number, y: number) => data[(y * width + x) * 4 + 3]!;
const pathsIn = (svg: string) => svg.split('<path').length - 1;

describe('vectorize', () => {
  for (const [name, source] of Object.entries(logos())) {
    test(`draws the logo "${name}" again, small, and the same each time`, async () => {
      const pixels = await drawn(source, 600);
      const svg = await trace(pixels);
      const decibels = [await likeness(svg, pixels, WHITE), await likeness(svg, pixels, GREEN)];
      assert.ok(Math.min(...decibels) >= 33, `${decibels} dB`);
      assert.ok(svg.length < 8_000, `${svg.length} bytes`);
      assert.equal(await trace(pixels), svg);
    });
  }

  test('draws small logos well, from their soft edges', async () => {
    for (const name of ['transparent', 'fox', 'rocket']) {
      const pixels = await drawn(logos()[name]!, 200);
      const decibels = await likeness(await trace(pixels), pixels);
      assert.ok(decibels >= 32, `${name}: ${decibels} dB`);
    }
  });

  test('draws a logo that JPEG has passed through in its few colours', async () => {
    const jpeg = await sharp(Buffer.from(logos().mark ?? ''))
      .jpeg({ quality: 80 })
      .toBuffer();
    const pixels = await drawn(jpeg);
    const svg = await trace(pixels);
    assert.ok((await likeness(svg, pixels)) >= 32);
    const fills = new Set(svg.match(/fill="[^"]+"/g) ?? []);
    assert.ok(fills.size <= 5, [...fills].join());
  });

  test('keeps small letters whose colour no flat part has', async () => {
    const pixels = await drawn(logos().word!, 240);
    const rendered = await drawn(await trace(pixels));
    const darkIn = ({ data, width }: Pixels) => {
      let sum = 0;
      for (let y = 68; y < 82; y++) for (let x = 0; x < width; x++) sum += 255 - data[(y * width + x) * 4]!;
      return sum;
    };
    const kept = darkIn(rendered) / darkIn(pixels);
    assert.ok(kept > 0.75 && kept < 1.3, `${kept} of the ink`);
  });

  test('writes straight edges exactly', async () => {
    const pixels = painted(['rrw', 'rrw'], { r: [204, 0, 0, 255], w: [255, 255, 255, 255] }, 10);
    assert.match(
      await trace(pixels),
      // The red one reaches a little under the white one.
      /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="30" height="20" viewBox="0 0 30 20"><path fill="#c00" d="m20\.\d+ 0v20h-20\.\d+v-20z"\/><path fill="#fff" d="m30 0v20h-10v-20z"\/><\/svg>$/,
    );
    assert.equal(await likeness(await trace(pixels), pixels), Infinity);
  });

  test('makes one path of one colour, and none of nothing', async () => {
    const one = painted(['b'], { b: [0, 0, 0, 255] }, 16);
    assert.match(await trace(one), /<path d="m16 0v16h-16v-16z"\/><\/svg>$/);
    const dot = painted(['g'], { g: [10, 200, 30, 255] });
    assert.match(await trace(dot), /width="1" height="1" .*<path fill="#0ac81e" d="m1 0v1h-1v-1z"\/>/);
    const nothing = painted(['.'], {}, 40);
    for (const colors of ['color', 'bw'] as const) assert.equal(pathsIn(await trace(nothing, { colors })), 0);
    assert.equal(pathsIn(await trace(painted(['.'], {}))), 0);
  });

  test('leaves open what is transparent, holes in holes among it', async () => {
    const pixels = painted(
      ['aaaaaaa', 'abbbbba', 'ab...ba', 'ab.c.ba', 'ab...ba', 'abbbbba', 'aaaaaaa'],
      { a: [200, 30, 30, 255], b: [30, 30, 200, 255], c: [30, 160, 30, 255] },
      20,
    );
    const rendered = await drawn(await trace(pixels));
    assert.equal(alphaAt(rendered, 50, 50), 0);
    assert.equal(alphaAt(rendered, 70, 70), 255);
    assert.equal(alphaAt(rendered, 10, 70), 255);
    assert.ok((await likeness(await trace(pixels), pixels)) > 35);
  });

  test('keeps how far a colour can be seen through', async () => {
    const pixels = painted(['....', '.rr.', '.rr.', '....'], { r: [255, 0, 0, 128] }, 20);
    const svg = await trace(pixels);
    assert.match(svg, /fill="#f00" fill-opacity="\.5"/);
    assert.equal(alphaAt(await drawn(svg), 40, 40), 128);
  });

  test('leaves no seam where colours meet', async () => {
    const pixels = await drawn(
      '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><path fill="#c33" d="M0 0h300v300z"/><path fill="#36c" d="M0 0v300h300z"/><path fill="#c33" d="M150 150 0 0h20z"/></svg>',
    );
    for (let at = 3; at < pixels.data.length; at += 4) pixels.data[at] = 255;
    const rendered = await drawn(await trace(pixels));
    let least = 255;
    for (let i = 5; i < 295; i++)
      least = Math.min(least, alphaAt(rendered, i, i), alphaAt(rendered, i + 1, i));
    assert.ok(least >= 253, `alpha ${least}`);
  });

  test('draws a photograph like a poster, finer where more detail is asked for', async () => {
    const picture = landscape(240, 160);
    const pixels: Pixels = { ...picture, depth: 8 };
    const reference = await drawnPixels(pixels);
    const sizes: number[] = [];
    for (const detail of ['low', 'medium', 'high'] as const) {
      const svg = await trace(pixels, { detail });
      sizes.push(svg.length);
      const decibels = await likeness(svg, reference);
      assert.ok(decibels > 22, `${detail}: ${decibels} dB`);
    }
    assert.deepEqual(
      sizes,
      sizes.toSorted((a, b) => a - b),
    );
  });

  test('finds colours where hardly one comes twice, and where nothing is flat', async () => {
    const random = seededRandom(3);
    const mosaic = draw(160, 160, () => [0, 0, 0]);
    for (let y = 0; y < 160; y += 4) {
      for (let x = 0; x < 160; x += 4) {
        const color = [random() * 256, random() * 256, random() * 256];
        for (let k = 0; k < 16; k++) mosaic.data.set(color, ((y + (k >> 2)) * 160 + x + (k & 3)) * 3);
      }
    }
    const noise = draw(160, 160, (x) => (x < 0.5 ? [random() * 90, 0, 0] : [255, 255, 255 - random() * 90]));
    for (const [name, picture, atLeast] of [
      ['mosaic', mosaic, 13],
      ['noise', noise, 17],
    ] as const) {
      const svg = await trace({ ...picture, depth: 8 });
      const decibels = await likeness(svg, await drawnPixels({ ...picture, depth: 8 }));
      assert.ok(decibels > atLeast, `${name}: ${decibels} dB, ${svg.length} bytes`);
    }
  });

  test('draws more coarsely until it fits, and says where nothing would', async () => {
    const pixels: Pixels = { ...landscape(240, 160), depth: 8 };
    const full = await trace(pixels, { detail: 'high' });
    const maxBytes = Math.floor(full.length / 8);
    const small = await trace(pixels, { detail: 'high', maxBytes });
    assert.ok(small.length <= maxBytes);
    assert.ok((await likeness(small, await drawnPixels(pixels))) > 18);
    await assert.rejects(trace(pixels, { maxBytes: 150 }), (error: unknown) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'invalid_plan');
      assert.match(error.detail ?? '', /at least \d+ bytes; at most 150/);
      return true;
    });
  });

  test('gives what the service itself takes for a safe SVG', async () => {
    for (const name of ['mark', 'castle']) {
      const pixels = await drawn(logos()[name]!, 400);
      const svg = await trace(pixels);
      const safe = await cleanSvg(svg, DEFAULT_LIMITS);
      assert.equal(psnr((await drawn(safe)).data, (await drawn(svg)).data), Infinity);
      assert.doesNotMatch(svg, /<(?!svg |path |\/svg>)/);
    }
  });

  test('says the size of the picture, whatever size was traced', async () => {
    const source = logos().castle!.replace(/width="1000" height="1000"/, 'width="1500" height="1500"');
    const pixels = await drawn(source);
    const svg = await trace(pixels);
    assert.match(svg, /width="1500" height="1500" viewBox="0 0 1500 1500"/);
    assert.ok((await likeness(svg, pixels)) > 34);
  });

  test('reads gray, gray with alpha, and 16 bits', async () => {
    const levels = Uint16Array.from({ length: 40 * 40 }, (_, i) => (i % 40 < 20 ? 0x4000 : 0xffff));
    const data = new Uint8Array(levels.buffer);
    const deep = await trace({ data, width: 40, height: 40, channels: 1, depth: 16 });
    assert.match(deep, /fill="#4[01]4[01]4[01]"/);
    const gray = Uint8Array.from({ length: 40 * 40 * 2 }, (_, i) =>
      i % 2 === 1 ? (i % 80 < 40 ? 255 : 0) : 85,
    );
    const half = await trace({ data: gray, width: 40, height: 40, channels: 2, depth: 8 });
    assert.match(half, /<path fill="#555" d="m20 0v40h-20v-40z"\/><\/svg>$/);
  });

  test('draws in black alone, at the level that sets the picture apart best', async () => {
    // Ink of 120 on paper of 150: at 128 the paper's noise would decide.
    const pixels = await drawn(
      '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400"><rect width="400" height="400" fill="#969696"/><circle cx="200" cy="200" r="120" fill="#6a6a6a"/></svg>',
    );
    const svg = await trace(pixels, { colors: 'bw' });
    assert.equal(pathsIn(svg), 1);
    assert.doesNotMatch(svg, /fill/);
    const rendered = await drawn(svg);
    const inked = rendered.data.reduce((sum, value, i) => sum + (i % 4 === 3 ? value / 255 : 0), 0);
    assert.ok(Math.abs(inked - Math.PI * 120 ** 2) < 300, `${inked} px of ink`);
    assert.equal(alphaAt(rendered, 5, 5), 0);
  });

  test('takes transparent parts for paper in black and white', async () => {
    const pixels = painted(['....', '.kk.', '.kk.', '....'], { k: [20, 20, 20, 255] }, 25);
    const svg = await trace(pixels, { colors: 'bw' });
    assert.equal(pathsIn(svg), 1);
    assert.ok(
      (await likeness(svg, painted(['....', '.kk.', '.kk.', '....'], { k: [0, 0, 0, 255] }, 25))) > 40,
    );
  });

  test('stops where it is told to', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(vectorize(painted(['a'], {}), OPTIONS, { signal }), { name: 'AbortError' });
  });
});

const drawnPixels = async ({ data, width, height }: Pixels): Promise<Pixels> => {
  const out = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) out.set(data.subarray(i * 3, i * 3 + 3), i * 4);
  return { data: out, width, height, channels: 4, depth: 8 };
};
