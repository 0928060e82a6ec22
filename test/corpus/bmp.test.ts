import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeBmp } from '../../src/engine/decode/bmp.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { probe } from '../../src/engine/probe.ts';
import { corpusMissing, good, goodFacts } from '../support/corpus.ts';
import { requireTool } from '../support/tools.ts';

describe('the BMP files of the corpus', { skip: corpusMissing }, () => {
  for (const { name } of goodFacts.filter((facts) => facts.format === 'BMP' || facts.name.endsWith('.bmp'))) {
    test(`${name} has the pixels that ImageMagick reads`, async (t) => {
      const convert = requireTool(t, 'imagemagick');
      if (!convert) return;
      const ours = await decodeBmp(good(name), await probe(good(name), DEFAULT_LIMITS));
      const png: Buffer = execFileSync(convert, [
        `bmp:${good(name)}`,
        '-depth',
        '8',
        '-type',
        'TrueColorAlpha',
        'png32:-',
      ]);
      const image = sharp(png);
      const theirs = await (ours.channels === 3 ? image.removeAlpha() : image).raw().toBuffer();
      assert.equal(ours.data.length, theirs.length);
      // Fields of five and six bits are scaled to eight with another rounding.
      const off = ours.data.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i]!)), 0);
      assert.ok(off <= 1, `differs by ${off}`);
    });
  }
});
