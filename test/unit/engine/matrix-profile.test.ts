import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { toSrgbInPlace } from '../../../src/engine/decode/matrix-profile.ts';
import { pipelineOf } from '../../../src/engine/decode/pixels.ts';
import { adobeRgbProfile, iccFromCicp } from '../../../src/engine/metadata/icc.ts';
import type { Pixels } from '../../../src/engine/types.ts';

/** Every combination of 18 values a channel. */
function cube(channels: 3 | 4): Pixels {
  const values = Array.from({ length: 18 }, (_, i) => i * 15);
  const data = Uint8Array.from(
    values.flatMap((r) =>
      values.flatMap((g) => values.flatMap((b) => (channels === 4 ? [r, g, b, r] : [r, g, b]))),
    ),
  );
  return { data, width: 18 * 18, height: 18, channels, depth: 8 };
}

async function profileOf(name: 'p3' | 'srgb'): Promise<Uint8Array> {
  const tagged = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
    .withIccProfile(name)
    .png()
    .toBuffer();
  return (await sharp(tagged).metadata()).icc!;
}

const cicp = (primaries: number, transfer: number) =>
  iccFromCicp({ primaries, transfer, matrix: 0, fullRange: true })!;

const PROFILES: Record<string, () => Promise<Uint8Array> | Uint8Array> = {
  'Display P3': () => profileOf('p3'),
  sRGB: () => profileOf('srgb'),
  'Adobe RGB': adobeRgbProfile,
  'BT.2020 with gamma 2.2': () => cicp(9, 4),
  'P3 with PQ': () => cicp(12, 16),
};

for (const [name, profile] of Object.entries(PROFILES)) {
  test(`agrees with lcms for ${name} within one level of 255`, async () => {
    const icc = await profile();
    for (const channels of [3, 4] as const) {
      const expected = await pipelineOf({ ...cube(channels), icc })
        .toColourspace('srgb')
        .raw()
        .toBuffer();
      const { data, icc: left } = toSrgbInPlace({ ...cube(channels), icc });
      assert.equal(left, undefined);
      const worst = data.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i]!)), 0);
      assert.ok(worst <= 1, `${channels} channels: differs by ${worst}`);
    }
  });
}

test('leaves profiles of another kind, and anything that is no profile, to others', () => {
  const lut = Buffer.from(adobeRgbProfile());
  lut.write('A2B0', 132, 'latin1');
  for (const icc of [lut, lut.subarray(0, 200), Buffer.alloc(500), Buffer.alloc(0)]) {
    const pixels = { ...cube(3), icc };
    const before = Buffer.from(pixels.data);
    assert.equal(toSrgbInPlace(pixels), pixels);
    assert.ok(before.equals(pixels.data));
  }
});
