import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeApng, decodeApngFrame } from '../../../src/engine/decode/apng.ts';
import { framesOf, pipelineOfFrames } from '../../../src/engine/decode/motion.ts';
import { writeApng } from '../../../src/engine/encode/apng.ts';
import { DEFAULT_LIMITS } from '../../../src/engine/index.ts';
import { probe } from '../../../src/engine/probe.ts';
import type { FrameSequence } from '../../../src/engine/types.ts';
import { Problem } from '../../../src/problem.ts';
import { type ApngOptions, apng, chunk, chunksOf, filled, timingOf } from '../../support/animations.ts';
import { tempDir } from '../../support/temp.ts';
import { requireTool } from '../../support/tools.ts';

const dir = tempDir({ after });
let count = 0;
function saved(bytes: Uint8Array): string {
  const path = join(dir, `${count++}.png`);
  writeFileSync(path, bytes);
  return path;
}

const limits = DEFAULT_LIMITS;
async function decode(bytes: Uint8Array, within = limits): Promise<FrameSequence> {
  const path = saved(bytes);
  return decodeApng(path, await probe(path, limits), { limits: within });
}

const pixelAt = (frames: FrameSequence, frame: number, x: number, y: number) => {
  const { data, width } = framesOf(frames)[frame]!;
  return [...data.subarray((y * width + x) * 4, (y * width + x) * 4 + 4)];
};

const refusal = (code: string, detail: RegExp) => (error: unknown) =>
  error instanceof Problem && error.code === code && detail.test(error.detail ?? '');

const RED = [255, 0, 0, 255];
const BLUE = [0, 0, 255, 255];
const GREEN = [0, 200, 0, 255];
const HALF_BLUE = [0, 0, 255, 128];
const CLEAR = [0, 0, 0, 0];

/** Every way to dispose of a frame and to blend the next one. */
const composed: ApngOptions = {
  width: 4,
  height: 4,
  plays: 3,
  frames: [
    { width: 4, height: 4, samples: filled(4, 4, RED), delay: [1, 10] },
    {
      ...{ left: 1, top: 1, width: 2, height: 2, samples: filled(2, 2, HALF_BLUE) },
      ...{ blend: 'over', dispose: 'previous', delay: [1, 3] },
    },
    {
      ...{ left: 0, top: 0, width: 2, height: 2, samples: filled(2, 2, HALF_BLUE) },
      ...{ blend: 'source', dispose: 'background', delay: [7, 0] },
    },
    { left: 3, top: 3, width: 1, height: 1, samples: filled(1, 1, GREEN), delay: [0, 100] },
  ],
};

describe('APNG decoding', () => {
  test('composes frames by their way to blend and to be disposed of', async () => {
    const frames = await decode(apng(composed));
    assert.equal(frames.frameHeight, 4);
    assert.equal(frames.loop, 3);
    assert.deepEqual(
      frames.delayMs.map((ms) => Math.round(ms * 100) / 100),
      [100, 333.33, 70, 0],
    );
    assert.deepEqual(pixelAt(frames, 0, 2, 2), RED);
    assert.deepEqual(pixelAt(frames, 1, 2, 2), [127, 0, 128, 255]);
    assert.deepEqual(pixelAt(frames, 1, 3, 3), RED);
    // Disposed of to what was before it; the next one replaces what it covers, alpha and all.
    assert.deepEqual(pixelAt(frames, 2, 2, 2), RED);
    assert.deepEqual(pixelAt(frames, 2, 1, 1), HALF_BLUE);
    // Disposed of to nothing.
    assert.deepEqual(pixelAt(frames, 3, 0, 0), CLEAR);
    assert.deepEqual(pixelAt(frames, 3, 3, 3), GREEN);
    assert.deepEqual(pixelAt(frames, 3, 2, 0), RED);
  });

  test('agrees with ffmpeg to the last bit', async (t) => {
    const ffmpeg = requireTool(t, 'ffmpeg');
    if (!ffmpeg) return;
    const path = saved(apng(composed));
    const frames = await decodeApng(path, await probe(path, limits), { limits });
    const args = ['-v', 'error', '-nostdin', '-f', 'apng', '-i', path, '-vsync', '0'];
    const expected = execFileSync(ffmpeg, [...args, '-pix_fmt', 'rgba', '-f', 'rawvideo', '-']);
    assert.equal(expected.length, frames.pixels.data.length);
    for (let at = 0; at < expected.length; at += 4) {
      if (expected[at + 3] === 0) assert.equal(frames.pixels.data[at + 3], 0);
      else for (let c = at; c < at + 4; c++) assert.ok(Math.abs(expected[c]! - frames.pixels.data[c]!) <= 1);
    }
  });

  test('what is under the first frame is clear, also where it is disposed of to what was before', async () => {
    const frames = await decode(
      apng({
        ...{ width: 2, height: 1 },
        frames: [
          { width: 2, height: 1, samples: filled(2, 1, RED), dispose: 'previous' },
          { width: 1, height: 1, samples: filled(1, 1, HALF_BLUE), blend: 'over' },
        ],
      }),
    );
    assert.deepEqual(pixelAt(frames, 1, 0, 0), HALF_BLUE);
    assert.deepEqual(pixelAt(frames, 1, 1, 0), CLEAR);
  });

  test('a still picture for viewers without animation is no frame', async () => {
    const path = saved(
      apng({
        ...{ width: 2, height: 2, still: filled(2, 2, GREEN) },
        frames: [
          { left: 1, top: 0, width: 1, height: 2, samples: filled(1, 2, RED) },
          { width: 2, height: 2, samples: filled(2, 2, BLUE) },
        ],
      }),
    );
    const facts = await probe(path, limits);
    const frames = await decodeApng(path, facts, { limits });
    assert.equal(frames.delayMs.length, 2);
    assert.deepEqual(pixelAt(frames, 0, 0, 0), CLEAR);
    assert.deepEqual(pixelAt(frames, 0, 1, 0), RED);
    const first = await decodeApngFrame(path, facts, 0, { limits });
    assert.deepEqual([...first.data.subarray(0, 8)], [...CLEAR, ...RED]);
  });

  test('reads palettes with transparency, grey, 16 bits and one bit', async () => {
    const two = (samples: Uint8Array[]) => samples.map((part) => ({ width: 2, height: 1, samples: part }));
    const palette = await decode(
      apng({
        ...{ width: 2, height: 1, colorType: 3 },
        before: [
          chunk('PLTE', Uint8Array.from([255, 0, 0, 0, 0, 255])),
          chunk('tRNS', Uint8Array.from([255, 128])),
        ],
        frames: two([Uint8Array.from([0, 1]), Uint8Array.from([1, 0])]),
      }),
    );
    assert.deepEqual([...palette.pixels.data], [...RED, ...HALF_BLUE, ...HALF_BLUE, ...RED]);
    const deep = await decode(
      apng({
        ...{ width: 2, height: 1, colorType: 2, depth: 16 },
        frames: two([Uint8Array.from([255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 128, 7]), new Uint8Array(12)]),
      }),
    );
    assert.deepEqual([...deep.pixels.data.subarray(0, 8)], [255, 0, 0, 255, 0, 0, 128, 255]);
    const bits = await decode(
      apng({
        ...{ width: 2, height: 1, colorType: 0, depth: 1 },
        frames: two([Uint8Array.from([0b10_000000]), Uint8Array.from([0b01_000000])]),
      }),
    );
    assert.deepEqual([...bits.pixels.data.subarray(0, 8)], [255, 255, 255, 255, 0, 0, 0, 255]);
  });

  test('reads interlaced frames, and shows the colours that a profile means', async () => {
    const size = { width: 20, height: 12 };
    const still = (color: string) =>
      sharp({ create: { ...size, channels: 3, background: color } })
        .withIccProfile('p3')
        .png({ progressive: true })
        .toBuffer();
    const [a, b] = await Promise.all(['#ff0000', '#00c000'].map(still));
    const [first, second] = [chunksOf(a!), chunksOf(b!)];
    const pick = (chunks: typeof first, type: string) =>
      Buffer.concat(chunks.filter((c) => c.type === type).map((c) => c.body));
    const control = (sequence: number) => {
      const body = Buffer.alloc(26);
      for (const [i, n] of [sequence, size.width, size.height].entries()) body.writeUInt32BE(n, i * 4);
      return chunk('fcTL', body);
    };
    const frames = await decode(
      Buffer.concat([
        a!.subarray(0, 8),
        chunk('IHDR', pick(first, 'IHDR')),
        chunk('acTL', Buffer.from([0, 0, 0, 2, 0, 0, 0, 0])),
        chunk('iCCP', pick(first, 'iCCP')),
        control(0),
        chunk('IDAT', pick(first, 'IDAT')),
        control(1),
        chunk('fdAT', Buffer.concat([Buffer.from([0, 0, 0, 2]), pick(second, 'IDAT')])),
        chunk('IEND', Buffer.alloc(0)),
      ]),
    );
    assert.equal(pick(first, 'IHDR')[12], 1, 'interlaced');
    for (const [i, expected] of [RED, [0, 192, 0, 255]].entries()) {
      const found = pixelAt(frames, i, 19, 11);
      for (const [c, value] of expected.entries()) assert.ok(Math.abs(found[c]! - value) <= 3, `${found}`);
    }
  });

  test('refuses what is damaged or does not fit', async () => {
    const good = apng(composed);
    const damaged = (find: string, offset: number) => {
      const bytes = Buffer.from(good);
      const at = bytes.lastIndexOf(find) + offset;
      bytes[at] = bytes[at]! ^ 0xff;
      return bytes;
    };
    const frame = { width: 4, height: 4, samples: filled(4, 4, RED) };
    const beside = { left: 1, top: 0, width: 4, height: 1, samples: filled(4, 1, RED) };
    const two = { width: 4, height: 4, frames: [frame, frame] };
    const cases: [string, Buffer, RegExp][] = [
      ['data with a wrong checksum', damaged('fdAT', 12), /checksum of a fdAT/],
      ['a frame header with a wrong checksum', damaged('fcTL', 10), /checksum of a fcTL/],
      [
        'a frame beside the canvas',
        apng({ ...two, frames: [frame, beside] }),
        /4×1 px at 1,0; its canvas is 4×4/,
      ],
      ['a first frame smaller than the canvas', apng({ ...two, frames: [beside, frame] }), /canvas/],
      ['fewer frames than declared', apng({ ...two, declared: 3 }), /declares 3 frames; 2 are there/],
      ['a file that was cut off', good.subarray(0, good.length - 40), /declares 4 frames; 3 are there/],
      ['a picture that is not compressed right', withFrameData(good, Buffer.from('no zlib stream')), /./],
    ];
    for (const [what, bytes, detail] of cases) {
      await assert.rejects(
        decode(bytes),
        (error: Error) => {
          const isRefusal = refusal('undecodable_image', detail)(error);
          return isRefusal || (what.startsWith('a picture') && /png|libspng|read error/i.test(error.message));
        },
        what,
      );
    }
    const swapped = Buffer.from(good);
    const [one, other] = [good.indexOf('fcTL', 0), good.lastIndexOf('fcTL')];
    good.copy(swapped, one - 4, other - 4, other + 34);
    await assert.rejects(decode(swapped), refusal('undecodable_image', /out of order|canvas/));
  });

  test('an animation header with a wrong checksum is skipped: the picture stands still', async () => {
    const bytes = apng(composed);
    const at = bytes.indexOf('acTL');
    bytes[at + 12] = bytes[at + 12]! ^ 1;
    const facts = await probe(saved(bytes), limits);
    assert.deepEqual([facts.pages, facts.animated], [1, false]);
  });

  test('whatever stands in its chunks, the answer is frames or a refusal', async () => {
    const good = apng(composed);
    const chunks = chunksOf(good);
    let refused = 0;
    for (const [index, { type, body }] of chunks.entries()) {
      for (let at = 0; at < Math.min(body.length, 26); at++) {
        for (const value of [0, 1, 127, 255]) {
          if (body[at] === value) continue;
          const changed = Buffer.from(body);
          changed[at] = value;
          const parts = chunks.map((c, i) => chunk(c.type, i === index ? changed : c.body));
          const bytes = Buffer.concat([good.subarray(0, 8), ...parts]);
          const answer = await decode(bytes, { ...limits, maxPixels: 10_000 }).catch((e: Error) => e);
          if (!(answer instanceof Error)) continue;
          refused += 1;
          assert.ok(
            answer instanceof Problem || answer.constructor === Error,
            `${type}, byte ${at}: ${answer.stack}`,
          );
        }
      }
    }
    assert.ok(refused > 100);
    const twice = [
      chunks[0]!,
      { type: 'IHDR', body: Buffer.from(chunks[0]!.body).fill(1, 0, 8) },
      ...chunks.slice(1),
    ];
    const bytes = Buffer.concat([good.subarray(0, 8), ...twice.map((c) => chunk(c.type, c.body))]);
    await assert.rejects(decode(bytes), refusal('undecodable_image', /two headers/));
  });

  test('refuses too many frames and pixels before it decodes one', async () => {
    const bytes = withFrameData(apng(composed), Buffer.from('no zlib stream'));
    await assert.rejects(decode(bytes, { ...limits, maxFrames: 3 }), refusal('too_many_frames', /3 frames/));
    await assert.rejects(decode(bytes, { ...limits, maxPixels: 60 }), refusal('image_too_large', /4 frames/));
  });

  test('one frame needs nothing of what comes after it', async () => {
    const bytes = apng(composed);
    const path = saved(bytes.subarray(0, bytes.lastIndexOf('fcTL') + 20));
    const facts = await probe(saved(bytes), limits);
    const frame = await decodeApngFrame(path, facts, 1, { limits });
    assert.equal(frame.height, 4);
    assert.deepEqual([...frame.data.subarray((2 * 4 + 2) * 4, (2 * 4 + 2) * 4 + 4)], [127, 0, 128, 255]);
    await assert.rejects(decodeApngFrame(path, facts, 3, { limits }), refusal('undecodable_image', /3 are/));
  });
});

/** The last frame's data in place of what it is. */
function withFrameData(file: Buffer, data: Buffer): Buffer {
  const at = file.lastIndexOf('fcTL') + 34;
  const sequence = file.readUInt32BE(at + 8);
  const number = Buffer.alloc(4);
  number.writeUInt32BE(sequence);
  const parts = [file.subarray(0, at), chunk('fdAT', Buffer.concat([number, data]))];
  return Buffer.concat([...parts, chunk('IEND', Buffer.alloc(0))]);
}

describe('APNG encoding', () => {
  async function encode(frames: FrameSequence, timing = { delay: frames.delayMs, loop: frames.loop }) {
    const path = join(dir, `${count++}.png`);
    await writeApng(pipelineOfFrames(frames), frames.frameHeight, {}, path, timing);
    return readFileSync(path);
  }

  test('what is written reads back the same: pixels, delays and plays', async () => {
    const frames = await decode(apng(composed));
    const again = await decode(await encode(frames));
    assert.deepEqual(again.pixels.data, frames.pixels.data);
    assert.equal(again.loop, 3);
    for (const [i, ms] of frames.delayMs.entries()) assert.ok(Math.abs(again.delayMs[i]! - ms) < 1e-6);
  });

  test('stores of a frame only what differs from the one before', async () => {
    const width = 40;
    const frame = (x: number) => {
      const data = filled(width, 30, RED);
      if (x >= 0) data.set(BLUE, (12 * width + x) * 4);
      return data;
    };
    const data = Buffer.concat([frame(-1), frame(5), frame(9), frame(9)]);
    const written = await encode({
      pixels: { data, width, height: 120, channels: 4, depth: 8 },
      ...{ frameHeight: 30, delayMs: [40, 40, 40, 40], loop: 0 },
    });
    const chunks = chunksOf(written);
    const areas = chunks
      .filter((c) => c.type === 'fcTL')
      .map(({ body }) => [4, 8, 12, 16].map((at) => body.readUInt32BE(at)));
    assert.deepEqual(areas, [
      [40, 30, 0, 0],
      [1, 1, 5, 12],
      [5, 1, 5, 12],
      [1, 1, 0, 0],
    ]);
    // Nothing is clear: three channels are enough.
    assert.equal(chunks[0]!.body[9], 2);
    assert.deepEqual(Buffer.from((await decode(written)).pixels.data), data);
  });

  test('its first frame is what a viewer without animation shows', async () => {
    const written = await encode(await decode(apng(composed)));
    const still = await sharp(written).raw().toBuffer();
    assert.deepEqual(still, Buffer.from(filled(4, 4, RED)));
  });

  test('any delay is kept: thirds of a second, none at all, minutes', async () => {
    const frames = await decode(apng(composed));
    const delay = [1000 / 30, 1000 / 3, 0, 120_000];
    const written = await encode(frames, { delay, loop: 65_536 });
    const { delayMs, plays } = timingOf(written);
    for (const [i, ms] of delay.entries()) assert.ok(Math.abs(delayMs[i]! - ms) < 1e-6, `${delayMs[i]}`);
    assert.equal(plays, 65_536);
    const odd = timingOf(await encode(frames, { delay: [100_001, 10, 10, 10], loop: 1 }));
    assert.ok(Math.abs(odd.delayMs[0]! - 100_001) < 1);
  });
});
