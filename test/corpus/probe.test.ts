/** The probe over the corpus of real and hostile images: facts as other tools measured them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { decodeBmp } from '../../src/engine/decode/bmp.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { probe, safeSvg } from '../../src/engine/probe.ts';
import type { Facts } from '../../src/engine/types.ts';
import { Problem } from '../../src/problem.ts';
import {
  corpusDir,
  corpusMissing,
  type GoodFacts,
  good,
  goodFacts,
  hostile,
  hostileFacts,
} from '../support/corpus.ts';
import { noVideoTools } from '../support/videos.ts';

/** Where the probe is right to differ from the corpus's facts, with the reason. */
const GOOD_EXCEPTIONS: Readonly<Record<string, { facts: Partial<Facts>; reason: string }>> = {
  'avif-grid.avif': {
    facts: { pages: 1 },
    reason: 'one picture; heif-info counts its five tiles, which are not marked hidden',
  },
  'tiff-cremieux.tiff': {
    facts: { alpha: true },
    reason: 'ExtraSamples says associated alpha; libvips and convert see it too',
  },
  'raw-colorchart.dng': {
    facts: { width: 1734, height: 1156 },
    reason: 'the active area, which is what is developed',
  },
  'raw-exiftool.raf': {
    facts: { width: 4256, height: 1424 },
    reason: 'the sensor, not the 8 × 8 preview; LibRaw turns this one by 45 degrees',
  },
};

const WITHOUT_FFMPEG = Object.fromEntries(
  [
    ...['gen-cut50-video-imovie.mp4', 'gen-cut50-video.webm', 'gen-flip24-video-imovie.mp4'],
    ...['gen-flip24-video.webm', 'gen-ftyp-only.mp4', 'mov-poc-fgw8.mov', 'mp4-poc-2340.mp4'],
  ].map((name) => [name, { answer: '415', reason: 'videos need ffmpeg' }]),
);

/** Answers of another class than the corpus expects, with the reason. */
const HOSTILE_EXCEPTIONS: Readonly<Record<string, { answer: string; reason: string }>> = {
  ...(noVideoTools ? WITHOUT_FFMPEG : {}),
  'heic-github20.heic': { answer: '415', reason: 'it begins with no ftyp box: not HEIF by its bytes' },
  'raf-poc-857.raf': { answer: '415', reason: 'FUJIFILM is not followed by CCD-RAW: not RAF by its bytes' },
  'svgz-truncated.svgz': { answer: '415', reason: 'what is packed is JSON, not SVG' },
  'svg-as-jpg-gm.jpg': { answer: 'facts', reason: 'SVG by content; the file that it names is never read' },
};

/** Refusals that only decoding can give: the headers are whole. */
const LEFT_TO_THE_DECODER = [
  'avif-poc-b506387278.avif',
  'crw-poc-841.crw',
  'gen-cut50-jpeg-icc-srgb.jpg',
  'gen-cut50-jpeg-progressive.jpg',
  'gif-truncated.gif',
  'heic-cf-5752.heic',
  'jpg-cve-2013-6629.jpg',
  'jpg-lossless.jpg',
  'jpg-ossfuzz-36829.jpeg',
  'jpg-truncated.jpg',
  'png-badcrc.png',
  'png-broken-stream.png',
  'tif-segfault.tif',
];

function expectedFacts(file: GoodFacts): Partial<Facts> {
  const isStill = file.format.startsWith('RAW') || file.format.startsWith('SVG');
  return {
    width: file.width,
    height: file.height,
    ...(!isStill && { pages: file.frames, alpha: file.alpha }),
    ...GOOD_EXCEPTIONS[file.name]?.facts,
  };
}

async function answerTo(path: string): Promise<string> {
  try {
    const facts = await probe(path, DEFAULT_LIMITS);
    // What the renderer asks next, and what costs no decoder.
    if (facts.format === 'svg') await safeSvg(path, DEFAULT_LIMITS);
    if (facts.format === 'bmp') await decodeBmp(path, facts);
    return 'facts';
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    assert.ok(error.detail, 'a refusal says why');
    assert.ok(!error.detail.includes(corpusDir!) && !error.detail.includes('\n'), 'a refusal names no path');
    return String(error.status);
  }
}

function isExpected(answer: string, name: string, expect: string): boolean {
  const exception = HOSTILE_EXCEPTIONS[name];
  if (exception) return answer === exception.answer;
  const wanted = expect.split('/');
  if (answer !== 'facts') return wanted.some((one) => one.startsWith(answer)) || wanted.includes('sanitise');
  return wanted.some((one) => /^(accept|sanitise)/.test(one)) || LEFT_TO_THE_DECODER.includes(name);
}

describe('probe over the corpus', { skip: corpusMissing }, () => {
  test('agrees with other tools on size, pages and transparency of every good picture', async () => {
    const wrong: object[] = [];
    for (const file of goodFacts) {
      if (/^(MP4|MOV|WebM)/.test(file.format)) continue;
      const expected = expectedFacts(file);
      const facts: Facts = await probe(good(file.name), DEFAULT_LIMITS);
      const differing = Object.entries(expected).filter(
        ([key, value]) => facts[key as keyof Facts] !== value,
      );
      for (const [fact, wanted] of differing) {
        wrong.push({ name: file.name, fact, wanted, found: facts[fact as keyof Facts] });
      }
    }
    if (wrong.length > 0) console.table(wrong);
    assert.equal(wrong.length, 0);
  });

  test('names the ICC profiles that exiftool names', async () => {
    for (const file of goodFacts) {
      // A GIF's and a RAW preview's profile is of no use to their decoders; that of heic-multi-3 is another picture's.
      if (!file.icc || /^(GIF|RAW|heic-multi-3)/i.test(file.format) || file.name === 'heic-multi-3.heic')
        continue;
      assert.equal((await probe(good(file.name), DEFAULT_LIMITS)).iccProfile, file.icc, file.name);
    }
  });

  test('answers every hostile file with facts or a refusal of the right class', async () => {
    const wrong: object[] = [];
    for (const { name, expect } of hostileFacts) {
      if (!existsSync(join(corpusDir!, 'hostile', name))) continue;
      const answer = await answerTo(hostile(name));
      if (!isExpected(answer, name, expect)) wrong.push({ name, expect, answer });
    }
    if (wrong.length > 0) console.table(wrong);
    assert.equal(wrong.length, 0);
  });
});
