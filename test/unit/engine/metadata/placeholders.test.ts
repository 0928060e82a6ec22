import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode } from 'blurhash';
import { thumbHashToRGBA } from 'thumbhash';
import { placeholders } from '../../../../src/engine/metadata/placeholders.ts';
import type { Pixels } from '../../../../src/engine/types.ts';

/** Pixels whose samples `at` gives, 0–255 at 8 bits and 0–65535 at 16. */
function pixels(
  channels: Pixels['channels'],
  at: (x: number, y: number) => number[],
  { width = 40, height = 30, depth = 8 as Pixels['depth'] } = {},
): Pixels {
  const samples: number[] = [];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) samples.push(...at(x, y));
  const data = depth === 16 ? new Uint8Array(Uint16Array.from(samples).buffer) : Uint8Array.from(samples);
  return { data, width, height, channels, depth };
}

const colorOf = (picture: Pixels) => placeholders(picture).dominantColor;
const distance = (a: number[], b: number[]) => Math.max(...a.map((v, i) => Math.abs(v - b[i]!)));

describe('the dominant colour', () => {
  test('is the colour of a plain picture, exactly', () => {
    assert.equal(colorOf(pixels(3, () => [200, 30, 40])), '#c81e28');
    assert.equal(colorOf(pixels(1, () => [128])), '#808080');
  });

  test('is the one that covers most, not the mean of all', () => {
    assert.equal(colorOf(pixels(3, (x) => (x < 25 ? [220, 0, 0] : [0, 220, 0]))), '#dc0000');
  });

  test('counts the shades of one colour as one, against a flat colour of which there is less', () => {
    // The shades lie across the border between two bins, a third of the picture on either side.
    const found = colorOf(pixels(3, (x, y) => (x < 14 ? [250, 250, 250] : [20, 40, 88 + (y % 16)])));
    assert.ok(found.startsWith('#1428'), found);
  });

  test('ignores what is transparent', () => {
    assert.equal(colorOf(pixels(4, (x) => (x < 30 ? [0, 0, 0, 0] : [10, 200, 20, 255]))), '#0ac814');
    assert.equal(colorOf(pixels(2, (x) => (x < 30 ? [0, 0] : [77, 255]))), '#4d4d4d');
    assert.equal(colorOf(pixels(4, () => [1, 2, 3, 0])), '#ffffff');
  });

  test('is the same at 16 bits', () => {
    assert.equal(colorOf(pixels(3, () => [200 * 257, 30 * 257, 40 * 257], { depth: 16 })), '#c81e28');
  });
});

describe('ThumbHash and BlurHash', () => {
  const leftRedRightBlue = pixels(3, (x) => (x < 20 ? [230, 20, 20] : [20, 20, 230]));

  test('bring back the picture, roughly', () => {
    const { thumbhash, blurhash } = placeholders(leftRedRightBlue);
    const thumb = thumbHashToRGBA(Buffer.from(thumbhash, 'base64'));
    const row = 4 * thumb.w * (thumb.h >> 1);
    const [left, right] = [row + 4, row + 4 * (thumb.w - 2)].map((at) => [...thumb.rgba.slice(at, at + 3)]);
    assert.ok(distance(left!, [230, 20, 20]) < 60, `left is ${left}`);
    assert.ok(distance(right!, [20, 20, 230]) < 60, `right is ${right}`);
    const blur = decode(blurhash, 32, 24);
    assert.ok(blur[0]! > blur[2]! && blur[4 * 31]! < blur[4 * 31 + 2]!);
  });

  test('have the picture’s shape in ThumbHash, and 4 × 3 components in BlurHash', () => {
    const { thumbhash, blurhash } = placeholders(leftRedRightBlue);
    const { w, h } = thumbHashToRGBA(Buffer.from(thumbhash, 'base64'));
    assert.ok(Math.abs(w / h - 4 / 3) < 0.15, `${w} × ${h}`);
    assert.equal(blurhash.length, 4 + 2 * 4 * 3);
  });

  test('keep transparency in ThumbHash and see white through it in BlurHash', () => {
    const clear = placeholders(pixels(4, (x) => [0, 0, 0, x < 20 ? 0 : 255]));
    const { rgba, w } = thumbHashToRGBA(Buffer.from(clear.thumbhash, 'base64'));
    assert.ok(rgba[3]! < 80 && rgba[4 * (w - 1) + 3]! > 175);
    const blur = decode(clear.blurhash, 32, 24);
    assert.ok(blur[4 * 4]! - blur[4 * 27]! > 120, `${blur[4 * 4]} and ${blur[4 * 27]}`);
  });

  test('take grey, 16 bits, one pixel, and refuse what is too large', () => {
    for (const channels of [1, 2, 3, 4] as const) {
      const one = pixels(channels, () => Array(channels).fill(255), { width: 1, height: 1 });
      assert.equal(placeholders(one).dominantColor, '#ffffff');
      const deep = pixels(channels, () => Array(channels).fill(65_535), { depth: 16 });
      const flat = pixels(channels, () => Array(channels).fill(255));
      assert.deepEqual(placeholders(deep), placeholders(flat));
    }
    assert.throws(() => placeholders(pixels(1, () => [0], { width: 101 })), RangeError);
  });
});
