import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeBmp } from '../../../src/engine/decode/bmp.ts';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { probe } from '../../../src/engine/probe.ts';
import type { Pixels } from '../../../src/engine/types.ts';
import { Problem } from '../../../src/problem.ts';
import { type BmpCase, bmpCases } from '../../support/bmp-cases.ts';
import { seededRandom } from '../../support/pictures.ts';
import { requireTool } from '../../support/tools.ts';

const cases = await bmpCases();
const good = cases.filter((c) => c.expected);

describe('BMP of every kind', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tintype-bmp-cases-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  let files = 0;
  const decode = async (file: Uint8Array, maxPixels = 100_000): Promise<Pixels> => {
    const path = join(folder, `${files++ % 256}.bmp`);
    await writeFile(path, file);
    return decodeBmp(path, await probe(path, { ...DEFAULT_LIMITS, maxPixels }));
  };

  for (const { name, file, expected, refused } of cases) {
    if (refused) {
      test(`refuses ${name}`, async () => {
        await assert.rejects(decode(file), (error: unknown) => {
          assert.ok(error instanceof Problem, String(error));
          assert.equal(error.status === 422 || error.status === 413, true, error.code);
          assert.match(error.detail ?? '', refused);
          return true;
        });
      });
    } else test(`reads ${name}`, async () => assertPixels(await decode(file), expected!));
  }

  test('ends in a picture or a Problem wherever a file is cut', async () => {
    for (const [number, { name, file }] of cases.entries()) {
      // Every seventh byte of the headers; behind them each case takes its own.
      const lengths: number[] = [];
      for (let length = 0; length < file.length; length += length < 150 ? 7 : 49) lengths.push(length);
      const shift = number % 7;
      await Promise.all(
        lengths.map((length) =>
          settles(decode(file.subarray(0, length + shift)), `${name}, cut to ${length + shift} bytes`),
        ),
      );
    }
  });

  test('ends in a picture or a Problem whatever bytes are changed', async () => {
    const random = seededRandom(20);
    for (const { name, file } of cases) {
      for (let round = 0; round < 12; round++) {
        const copy = Buffer.from(file);
        // Mostly in the headers, where a byte does most.
        for (let n = 0; n <= round % 4; n++) {
          const within = random() < 0.7 ? Math.min(80, copy.length) : copy.length;
          copy[2 + Math.floor(random() * (within - 2))] = Math.floor(random() * 256);
        }
        await settles(decode(copy), `${name}, changed, round ${round}`);
      }
    }
  });

  test('agrees with ImageMagick on what that reads too', async (t) => {
    const convert = requireTool(t, 'imagemagick');
    if (!convert) return;
    const compared: string[] = [];
    for (const { name, file, expected } of good.filter((c) => IMAGEMAGICK_AGREES.test(c.name))) {
      const path = join(folder, 'compared.bmp');
      await writeFile(path, file);
      const png: Buffer = execFileSync(convert, [
        `bmp:${path}`,
        '-depth',
        '8',
        '-type',
        'TrueColorAlpha',
        'png32:-',
      ]);
      const image = sharp(png);
      const theirs = await (expected!.channels === 3 ? image.removeAlpha() : image).raw().toBuffer();
      const ours = await decode(file);
      // Five bits are scaled to eight with another rounding.
      const tolerance = name.startsWith('16') ? 1 : 0;
      assert.equal(theirs.length, ours.data.length, name);
      for (const [i, value] of theirs.entries()) {
        assert.ok(Math.abs(ours.data[i]! - value) <= tolerance, `${name}, sample ${i}`);
      }
      compared.push(name);
    }
    assert.ok(compared.length >= 15, `${compared.length} compared`);
  });
});

/** Depths and headers that ImageMagick 6 reads as the formats' descriptions say. */
const IMAGEMAGICK_AGREES =
  /^((1 bit|4 bits|8 bits|24 bits)(, OS\/2 1\.x| under a header of (40|108|124) bytes|, top-down)?|RLE[48]|16 bits, 5-[56]-5|a gap before.*|32 bits with alpha, V5)$/;

async function settles(decoding: Promise<Pixels>, what: string): Promise<void> {
  try {
    const { data, width, height, channels } = await decoding;
    assert.equal(data.length, width * height * channels, what);
  } catch (error) {
    assert.ok(error instanceof Problem && error.code !== 'internal', `${what}: ${error}`);
  }
}

function assertPixels(pixels: Pixels, expected: NonNullable<BmpCase['expected']>): void {
  assert.deepEqual(
    [pixels.width, pixels.height, pixels.channels],
    [expected.width, expected.height, expected.channels],
  );
  assert.equal(pixels.data.length, expected.data.length);
  const { tolerance = 0 } = expected;
  for (const [i, value] of expected.data.entries()) {
    if (Math.abs(pixels.data[i]! - value) > tolerance) {
      const pixel = Math.floor(i / expected.channels);
      assert.fail(
        `at ${pixel % expected.width}, ${Math.floor(pixel / expected.width)}, channel ${i % expected.channels}: expected ${value}, got ${pixels.data[i]}`,
      );
    }
  }
}
