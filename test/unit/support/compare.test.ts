import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import {
  decodePixels,
  deltaE2000,
  deltaEStats,
  type Lab,
  labFromSrgb,
  meanDeltaE,
  psnr,
} from '../../support/compare.ts';

/** From the test data published with Sharma, Wu and Dalal (2005): every branch of the hue terms is among them. */
const SHARMA: [Lab, Lab, number][] = [
  [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
  [[50, -1.3802, -84.2814], [50, 0, -82.7485], 1.0],
  [[50, 0, 0], [50, -1, 2], 2.3669],
  [[50, 2.49, -0.001], [50, -2.49, 0.0009], 7.1792],
  [[50, 2.49, -0.001], [50, -2.49, 0.0011], 7.2195],
  [[50, -0.001, 2.49], [50, 0.0011, -2.49], 4.7461],
  [[50, 2.5, 0], [50, 0, -2.5], 4.3065],
  [[50, 2.5, 0], [73, 25, -18], 27.1492],
  [[50, 2.5, 0], [61, -5, 29], 22.8977],
  [[50, 2.5, 0], [56, -27, -3], 31.903],
  [[60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644],
  [[63.0109, -31.0961, -5.8663], [62.8187, -29.7946, -4.0864], 1.263],
  [[22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373],
  [[2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082],
];

describe('colour difference', () => {
  test('CIEDE2000 equals the published pairs to four digits, both ways round', () => {
    for (const [a, b, expected] of SHARMA) {
      assert.equal(deltaE2000(a, b).toFixed(4), expected.toFixed(4));
      assert.equal(deltaE2000(b, a).toFixed(4), expected.toFixed(4));
    }
  });

  test('sRGB white, black and red have their known L*a*b* values', () => {
    const rounded = (lab: Lab) => lab.map((value) => Math.round(value * 10) / 10 + 0);
    assert.deepEqual(rounded(labFromSrgb(255, 255, 255)), [100, 0, 0]);
    assert.deepEqual(rounded(labFromSrgb(0, 0, 0)), [0, 0, 0]);
    assert.deepEqual(rounded(labFromSrgb(255, 0, 0)), [53.2, 80.1, 67.2]);
  });

  test('one pixel of four that differs is seen in the mean and the maximum', () => {
    const white = { data: new Uint8Array(12).fill(255), width: 2, height: 2, channels: 3 as const };
    const spotted = { ...white, data: Uint8Array.from([0, 0, 0, ...new Array(9).fill(255)]) };
    assert.equal(meanDeltaE(white, white), 0);
    assert.equal(Math.round(deltaEStats(white, spotted).max), 100);
    assert.equal(Math.round(meanDeltaE(white, spotted)), 25);
  });

  test('pictures of two sizes are refused', () => {
    const a = { data: new Uint8Array(6), width: 2, height: 1, channels: 3 as const };
    assert.throws(() => meanDeltaE(a, { ...a, width: 1, height: 2 }), /2×1 and 1×2/);
    assert.throws(() => psnr(new Uint8Array(3), new Uint8Array(6)), RangeError);
  });
});

describe('PSNR', () => {
  test('is infinite for equal samples and 48.13 dB where every sample is off by one', () => {
    assert.equal(psnr(Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3)), Infinity);
    assert.equal(psnr(Uint8Array.of(1, 2, 3), Uint8Array.of(2, 1, 4)).toFixed(2), '48.13');
  });
});

describe('decodePixels', () => {
  test('spreads grey to RGB and keeps alpha', async () => {
    const gray = await sharp({ create: { width: 3, height: 2, channels: 3, background: '#777' } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const opaque = await decodePixels(gray);
    assert.deepEqual([opaque.width, opaque.height, opaque.channels, opaque.data.length], [3, 2, 3, 18]);
    assert.deepEqual([...opaque.data.subarray(0, 3)], [0x77, 0x77, 0x77]);

    const clear = await sharp({ create: { width: 1, height: 1, channels: 4, background: '#ff000080' } })
      .png()
      .toBuffer();
    assert.deepEqual([...(await decodePixels(clear)).data], [255, 0, 0, 128]);
  });

  test('reads 16-bit files as 8-bit samples', async () => {
    const deep = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#ff8000' } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    assert.deepEqual([...(await decodePixels(deep)).data], [255, 128, 0]);
  });
});
