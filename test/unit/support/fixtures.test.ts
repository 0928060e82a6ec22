import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { decodePixels, deltaEStats, meanDeltaE, psnr, type RawPixels } from '../../support/compare.ts';
import { fixture } from '../../support/fixtures.ts';
import { landscape, letterF } from '../../support/pictures.ts';

const letter = letterF(96, 64);
const photo = landscape(320, 240);

async function shown(name: string): Promise<RawPixels> {
  return decodePixels(await sharp(fixture(name)).autoOrient().png().toBuffer());
}

describe('fixtures', () => {
  const folder = dirname(fixture('README.md'));

  test('each stands in the README, and together they stay under a megabyte', () => {
    const readme = readFileSync(join(folder, 'README.md'), 'utf8').replaceAll('{1…8}', '1');
    const images = readdirSync(folder).filter((name) => /\.(?!md$)\w+$/.test(name));
    const unnamed = images.filter(
      (name) => !readme.includes(`\`${name.replace(/-[2-8]\.jpg$/, '-1.jpg')}\``),
    );
    assert.deepEqual(unnamed, []);
    const bytes = images.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    assert.ok(bytes < 1_000_000, `${bytes} bytes`);
  });

  for (let orientation = 1; orientation <= 8; orientation++) {
    test(`orientation ${orientation} is an upright F when it is turned as EXIF says`, async () => {
      const name = `jpeg-orientation-${orientation}.jpg`;
      const stored = await sharp(fixture(name)).metadata();
      assert.equal(stored.orientation, orientation);
      assert.deepEqual([stored.width, stored.height], orientation >= 5 ? [64, 96] : [96, 64]);
      const upright = await shown(name);
      assert.deepEqual([upright.width, upright.height], [96, 64]);
      assert.ok(psnr(upright.data, letter.data) > 30);
    });
  }

  test('the P3 picture has the colours of the sRGB one; the Adobe RGB one has others', async () => {
    assert.ok(meanDeltaE(await shown('jpeg-display-p3.jpg'), photo) < 2);
    const { mean, p95 } = deltaEStats(await shown('jpeg-adobe-rgb.jpg'), photo);
    assert.ok(mean > 2 && p95 > 4, `mean ${mean}, p95 ${p95}`);
  });

  test('the palette PNG, the interlaced PNG and the GIF hold the exact letter', async () => {
    for (const name of ['png-palette.png', 'png-interlaced.png', 'gif-still.gif']) {
      const pixels = await decodePixels(await sharp(fixture(name)).removeAlpha().png().toBuffer());
      assert.equal(psnr(pixels.data, letter.data), Infinity, name);
    }
  });
});
