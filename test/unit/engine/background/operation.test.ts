import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HexColor } from '../../../../src/contract/plan.ts';
import { type BackgroundOperation, removeBackground } from '../../../../src/engine/background/index.ts';
import { DEFAULT_LIMITS } from '../../../../src/engine/limits.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { Problem } from '../../../../src/problem.ts';
import { compose } from '../../../support/compositions.ts';

const METHODS = ['auto', 'grabcut', 'watershed', 'person'] as const;
const context = { limits: DEFAULT_LIMITS };

const operation = (of: Partial<BackgroundOperation> = {}): BackgroundOperation => ({
  op: 'background',
  method: 'auto',
  color: '#00000000',
  mask: false,
  ...of,
});

/** A red disc in the middle of a light ground. */
function disc(width: number, height: number, channels: 1 | 2 | 3 | 4): Pixels {
  const data = new Uint8Array(width * height * channels);
  const radius = Math.min(width, height) * 0.3;
  for (let i = 0; i < width * height; i++) {
    const inside = Math.hypot((i % width) - width / 2, Math.floor(i / width) - height / 2) < radius;
    const levels = channels <= 2 ? [inside ? 60 : 230] : inside ? [200, 30, 40] : [225, 230, 235];
    levels.forEach((level, c) => {
      data[i * channels + c] = level;
    });
    if (channels % 2 === 0) data[(i + 1) * channels - 1] = i % width < width / 2 ? 255 : 100;
  }
  return { data, width, height, channels, depth: 8 };
}

const at = ({ data, width, channels }: Pixels, x: number, y: number): number[] => [
  ...data.subarray((y * width + x) * channels, (y * width + x + 1) * channels),
];

describe('background', () => {
  test('is transparent, a colour, or left out for the matte itself', async () => {
    const cut = await removeBackground(disc(120, 90, 3), operation(), context);
    assert.equal(cut.channels, 4);
    assert.deepEqual(at(cut, 2, 2)[3], 0);
    assert.deepEqual(at(cut, 60, 45), [200, 30, 40, 255]);
    const onBlue = await removeBackground(disc(120, 90, 3), operation({ color: '#0000ff' }), context);
    assert.equal(onBlue.channels, 3);
    assert.deepEqual(at(onBlue, 2, 2), [0, 0, 255]);
    assert.deepEqual(at(onBlue, 60, 45), [200, 30, 40]);
    const mask = await removeBackground(disc(120, 90, 3), operation({ mask: true }), context);
    assert.equal(mask.channels, 1);
    assert.deepEqual([at(mask, 2, 2), at(mask, 60, 45)], [[0], [255]]);
  });

  test('is found in grey pictures, and what was transparent stays so', async () => {
    const gray = await removeBackground(disc(120, 90, 1), operation(), context);
    assert.deepEqual([at(gray, 2, 2).at(-1), at(gray, 60, 45)], [0, [60, 60, 60, 255]]);
    for (const channels of [2, 4] as const) {
      const half = await removeBackground(disc(120, 90, channels), operation(), context);
      assert.equal(at(half, 50, 45)[3], 255);
      assert.equal(at(half, 75, 45)[3], 100);
      assert.equal(at(half, 2, 2)[3], 0);
    }
  });

  for (const method of METHODS) {
    test(`${method}: the same picture gives the same bytes`, async () => {
      const { rgb, width, height } = await compose(77, 'blurred', { shape: 'figure', longSidePx: 240 });
      const once = async () =>
        (
          await removeBackground(
            { data: rgb.slice(), width, height, channels: 3, depth: 8 },
            operation({ method }),
            context,
          )
        ).data;
      assert.deepEqual(Buffer.from(await once()), Buffer.from(await once()));
    });

    test(`${method}: odd pictures come through`, async () => {
      const plain = (width: number, height: number): Pixels => ({
        data: new Uint8Array(width * height * 3).fill(250),
        width,
        height,
        channels: 3,
        depth: 8,
      });
      for (const [width, height] of [
        [1, 1],
        [3, 2],
        [1, 5_000],
        [64, 64],
      ] as const) {
        const out = await removeBackground(plain(width, height), operation({ method }), context);
        assert.deepEqual([out.width, out.height, out.channels], [width, height, 4]);
        // Where nothing stands out, nothing is taken away.
        assert.ok(
          out.data.every((level, i) => i % 4 !== 3 || level === 255),
          `${width}×${height}`,
        );
      }
    });
  }

  test('sixteen bits come down to eight, in the same colours', async () => {
    const eight = disc(120, 90, 3);
    const samples = Uint16Array.from(eight.data, (level) => level * 257);
    const deep: Pixels = { ...eight, data: new Uint8Array(samples.buffer), depth: 16 };
    const out = await removeBackground(deep, operation(), context);
    assert.deepEqual([out.depth, at(out, 60, 45)], [8, [200, 30, 40, 255]]);
  });

  test('a model of the operator’s is asked for by name only where there is one', async () => {
    await assert.rejects(
      removeBackground(disc(40, 40, 3), operation({ method: 'model' }), context),
      (error: unknown) => error instanceof Problem && error.code === 'invalid_plan',
    );
  });

  test('stops when it is called off', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(
      removeBackground(disc(40, 40, 3), operation(), { ...context, signal }),
      (error: unknown) => error instanceof Problem && error.code === 'cancelled',
    );
  });

  test('colours are given with or without transparency', async () => {
    const color: HexColor = '#00ff0080';
    const out = await removeBackground(disc(120, 90, 3), operation({ color }), context);
    assert.deepEqual(at(out, 2, 2), [0, 255, 0, 128]);
    assert.deepEqual(at(out, 60, 45), [200, 30, 40, 255]);
  });
});
