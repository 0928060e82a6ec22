/** Every sample, mutated and cut by a seeded generator: the probe ends in Facts or in a Problem, whatever comes. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { decodeBmp } from '../../../src/engine/decode/bmp.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/engine/limits.ts';
import { Reader } from '../../../src/engine/probe/reader.ts';
import { cleanSvg } from '../../../src/engine/probe/svg-safe.ts';
import { readSvgText } from '../../../src/engine/probe/svg-text.ts';
import { probeReader, sniff } from '../../../src/engine/probe.ts';
import type { Facts } from '../../../src/engine/types.ts';
import { Problem } from '../../../src/problem.ts';
import { samples } from './support/samples.ts';

const CASES = 300;
const limits: Limits = { ...DEFAULT_LIMITS, maxPixels: 10_000_000, maxFrames: 20 };
/** Far above what any case takes; a loop without end would go past it. */
const MAX_CASE_MS = 10_000;

function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

function mutate(file: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(file);
  // Headers are where the decisions are made.
  const place = () => (random(2) === 0 ? random(Math.min(bytes.length, 200)) : random(bytes.length));
  for (let edits = 1 + random(6); edits > 0; edits--) {
    const at = place();
    switch (random(6)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = EXTREMES[random(EXTREMES.length)]!;
        break;
      case 2:
        bytes.fill(EXTREMES[random(EXTREMES.length)]!, at, Math.min(at + 4, bytes.length));
        break;
      case 3:
        bytes[at]! ^= 1 << random(8);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(place()), bytes.subarray(at)]);
        break;
      default:
        if (random(3) === 0) bytes = bytes.subarray(0, Math.max(1, at));
    }
  }
  return bytes;
}

function assertSound(facts: Facts, bytes: number): void {
  const { width, height, orientation, pages, bitDepth } = facts;
  for (const side of [width, height]) assert.ok(Number.isInteger(side) && side > 0, `a side of ${side}`);
  assert.ok(width * height <= limits.maxPixels);
  assert.ok(orientation >= 1 && orientation <= 8);
  assert.ok(Number.isInteger(pages) && pages >= 1 && pages <= limits.maxFrames + 1, `${pages} pages`);
  assert.ok(Number.isInteger(bitDepth) && bitDepth >= 1 && bitDepth <= 255, `${bitDepth} bits`);
  assert.equal(facts.bytes, bytes);
}

async function problemOf(work: () => Promise<unknown>): Promise<Problem | undefined> {
  const started = performance.now();
  try {
    await work();
    return undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    assert.ok(error.status >= 400 && error.status < 500, error.code);
    assert.ok(error.detail, `${error.code} says why`);
    return error;
  } finally {
    assert.ok(performance.now() - started < MAX_CASE_MS, 'takes no longer than it should');
  }
}

describe('probe of mutated files', async () => {
  for (const [name, file] of await samples()) {
    test(`ends in facts or a problem for ${CASES} mutations of ${name}`, async () => {
      const random = generator(file.length * 7919 + name.length);
      for (let i = 0; i < CASES; i++) {
        const bytes = mutate(file, random);
        await problemOf(async () => assertSound(await probeReader(Reader.over(bytes), limits), bytes.length));
        if (sniff(bytes)?.format === 'svg') {
          await problemOf(async () => cleanSvg(await readSvgText(Reader.over(bytes)), limits));
        }
      }
    });

    test(`ends in facts or a problem for ${name} cut anywhere`, async () => {
      const step = Math.ceil(file.length / CASES);
      for (let end = 0; end < file.length; end += step) {
        const bytes = file.subarray(0, end);
        await problemOf(async () => assertSound(await probeReader(Reader.over(bytes), limits), bytes.length));
      }
    });
  }

  test('decodes a mutated BMP, or ends in a problem', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tintype-fuzz-'));
    try {
      const path = join(folder, 'a');
      for (const [name, file] of await samples()) {
        if (!name.startsWith('bmp')) continue;
        const random = generator(file.length);
        for (let i = 0; i < CASES; i++) {
          const bytes = mutate(file, random);
          await problemOf(async () => {
            const facts = await probeReader(Reader.over(bytes), limits);
            if (facts.format !== 'bmp') return;
            await writeFile(path, bytes);
            const { data, width, height, channels } = await decodeBmp(path, facts);
            assert.equal(data.length, width * height * channels);
          });
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
