import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import {
  adobeRgbProfile,
  iccDescription,
  iccFromCicp,
  withJpegIcc,
} from '../../../../src/engine/metadata/icc.ts';
import { deltaE2000, labFromSrgb } from '../../../support/compare.ts';

type Rgb = [number, number, number];
const LEVELS = [0, 36, 73, 109, 146, 182, 219, 255];
/** 8 × 8 × 8 colours. */
const GRID: Rgb[] = LEVELS.flatMap((r) => LEVELS.flatMap((g) => LEVELS.map((b): Rgb => [r, g, b])));

const srgbEncode = (v: number) => (v <= 0.003_130_8 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);
const srgbDecode = (v: number) => (v <= 0.040_45 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);

// Published linear RGB to linear sRGB matrices, not derived as the profiles are.
const P3_TO_SRGB = [
  [1.224_940_2, -0.224_940_2, 0],
  [-0.042_056_9, 1.042_056_9, 0],
  [-0.019_637_6, -0.078_636_1, 1.098_273_7],
];
const BT2020_TO_SRGB = [
  [1.660_491, -0.587_641_1, -0.072_849_9],
  [-0.124_550_5, 1.132_899_9, -0.008_349_4],
  [-0.018_150_8, -0.100_578_9, 1.118_729_7],
];
const ADOBE_TO_SRGB = [
  [1.398_355_7, -0.398_355_7, 0],
  [0, 1, 0],
  [0, -0.042_932_8, 1.042_932_8],
];

const cicp = (primaries: number, transfer: number) => ({ primaries, transfer, matrix: 0, fullRange: true });

function exact(color: Rgb, decode: (v: number) => number, matrix: number[][]): Rgb {
  const linear = color.map((v) => decode(v / 255));
  return matrix.map((row) => {
    const light = row.reduce((sum, m, i) => sum + m * (linear[i] ?? 0), 0);
    return 255 * srgbEncode(Math.min(Math.max(light, 0), 1));
  }) as Rgb;
}

/** What libvips makes of the colours when a PNG carries the profile. */
async function throughLibvips(colors: Rgb[], icc: Uint8Array): Promise<Rgb[]> {
  const raw = { width: colors.length, height: 1, channels: 3 as const };
  const png = await sharp(Buffer.from(colors.flat()), { raw }).png().toBuffer();
  const data = Buffer.concat([Buffer.from('iCCPtest\0\0', 'latin1'), deflateSync(icc)]);
  const chunk = Buffer.alloc(data.length + 8);
  chunk.writeUInt32BE(data.length - 4, 0);
  data.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(data), data.length + 4);
  const withProfile = Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]);
  const out = await sharp(withProfile).toColourspace('srgb').raw().toBuffer();
  return colors.map((_, i) => [...out.subarray(3 * i, 3 * i + 3)] as Rgb);
}

const difference = (a: Rgb, b: Rgb) =>
  deltaE2000(labFromSrgb(...a), labFromSrgb(...(b.map(Math.round) as Rgb)));

async function assertClose(icc: Uint8Array | undefined, expected: (color: Rgb) => Rgb): Promise<void> {
  assert.ok(icc);
  const found = await throughLibvips(GRID, icc);
  for (const [i, color] of GRID.entries()) {
    const want = expected(color);
    const deltaE = difference(found[i]!, want);
    assert.ok(deltaE < 1, `${color} → ${found[i]}, expected ${want}: ΔE ${deltaE}`);
  }
}

describe('a profile from code points', () => {
  test('takes Display P3 to sRGB', () =>
    assertClose(iccFromCicp(cicp(12, 13)), (color) => exact(color, srgbDecode, P3_TO_SRGB)));

  test('takes BT.2020 to sRGB', () =>
    assertClose(iccFromCicp(cicp(9, 14)), (color) => exact(color, srgbDecode, BT2020_TO_SRGB)));

  test('reads a linear and a gamma 2.2 transfer', async () => {
    const same = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ];
    await assertClose(iccFromCicp(cicp(1, 8)), (color) => exact(color, (v) => v, same));
    await assertClose(iccFromCicp(cicp(1, 4)), (color) => exact(color, (v) => v ** 2.2, same));
  });

  test('keeps white white for every gamut', async () => {
    for (const primaries of [9, 11, 12, 22]) {
      const icc = iccFromCicp(cicp(primaries, 13));
      assert.ok(icc);
      const [white, grey] = await throughLibvips(
        [
          [255, 255, 255],
          [128, 128, 128],
        ],
        icc,
      );
      for (const v of white!) assert.ok(v >= 254, `primaries ${primaries}: white became ${white}`);
      for (const v of grey!) assert.ok(Math.abs(v - 128) <= 1, `primaries ${primaries}: grey became ${grey}`);
    }
  });

  test('brings PQ and HLG down: dark stays, reference white is bright, highlights are not clipped', async () => {
    // Signals for 20, 203 and 1,000 nits: PQ by ST 2084; HLG by BT.2100 (75 % is 203 nits, 100 % is 1,000).
    const cases = [
      { transfer: 16, dark: 0.3516, white: 0.5807, highlight: 0.7518 },
      { transfer: 18, dark: 0.3395, white: 0.75, highlight: 1 },
    ];
    for (const { transfer, dark, white, highlight } of cases) {
      const icc = iccFromCicp(cicp(9, transfer));
      assert.ok(icc);
      const greys = [0, dark, white, highlight].map((v): Rgb => {
        const level = Math.round(255 * v);
        return [level, level, level];
      });
      const [black, low, mid, high] = (await throughLibvips(greys, icc)).map(([, g]) => g);
      assert.equal(black, 0);
      assert.ok(
        Math.abs(low! - 255 * srgbEncode(20 / 203)) <= 4,
        `transfer ${transfer}: 20 nits became ${low}`,
      );
      assert.ok(mid! >= 238 && mid! <= 247, `transfer ${transfer}: reference white became ${mid}`);
      assert.ok(high! > mid! + 4 && high! <= 255, `transfer ${transfer}: 1,000 nits became ${high}`);
    }
  });

  test('is left out for sRGB and for what is not known', () => {
    for (const [primaries, transfer] of [
      [1, 13],
      [1, 1],
      [1, 6],
      [2, 2],
      [12, 2],
      [99, 13],
    ] as const) {
      assert.equal(iccFromCicp(cicp(primaries, transfer)), undefined, `${primaries}/${transfer}`);
    }
  });
});

test('the Adobe RGB profile takes Adobe RGB to sRGB', () =>
  assertClose(adobeRgbProfile(), (color) => exact(color, (v) => v ** 2.199_218_75, ADOBE_TO_SRGB)));

describe('a profile put into a JPEG', () => {
  const plain = () =>
    sharp({ create: { width: 16, height: 16, channels: 3, background: '#00c800' } })
      .jpeg({ quality: 100 })
      .toBuffer();

  test('is what libvips reads and converts by', async () => {
    const jpeg = withJpegIcc(await plain(), adobeRgbProfile());
    const { icc } = await sharp(jpeg).metadata();
    assert.deepEqual(icc, Buffer.from(adobeRgbProfile()));
    const [r, g, b] = await sharp(jpeg).toColourspace('srgb').raw().toBuffer();
    const want = exact([0, 200, 0], (v) => v ** 2.199_218_75, ADOBE_TO_SRGB);
    assert.ok(difference([r!, g!, b!], want) < 1.5, `${[r, g, b]}, expected ${want}`);
  });

  test('may be longer than one segment', async () => {
    const icc = Buffer.alloc(150_000, 7);
    adobeRgbProfile().forEach((byte, i) => {
      icc[i] = byte;
    });
    icc.writeUInt32BE(icc.length, 0);
    const { icc: found } = await sharp(withJpegIcc(await plain(), icc)).metadata();
    assert.deepEqual(found, icc);
  });
});

describe('the description of a profile', () => {
  test('is read from a version 4 profile', () => {
    assert.equal(iccDescription(iccFromCicp(cicp(12, 13))!), 'Display P3, sRGB');
  });

  test('is read from a version 2 profile', () => {
    const name = 'Old display';
    const profile = Buffer.alloc(128 + 16 + 13 + name.length);
    profile.write('acsp', 36, 'latin1');
    profile.writeUInt32BE(1, 128);
    profile.write('desc', 132, 'latin1');
    profile.writeUInt32BE(144, 136);
    profile.writeUInt32BE(13 + name.length, 140);
    profile.write('desc', 144, 'latin1');
    profile.writeUInt32BE(name.length + 1, 152);
    profile.write(`${name}\0`, 156, 'latin1');
    assert.equal(iccDescription(profile), name);
  });

  test('is undefined for bytes that are no profile, and for a profile cut anywhere', () => {
    assert.equal(iccDescription(new Uint8Array(0)), undefined);
    assert.equal(iccDescription(Buffer.alloc(500, 0xff)), undefined);
    const whole = adobeRgbProfile();
    for (let length = 0; length < whole.length; length++) {
      const found = iccDescription(whole.subarray(0, length));
      assert.ok(found === undefined || 'Adobe RGB compatible'.startsWith(found));
    }
  });
});
