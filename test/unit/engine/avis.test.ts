import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { decodeAvis } from '../../../src/engine/decode/avis.ts';
import { DEFAULT_LIMITS as limits } from '../../../src/engine/limits.ts';
import { readImageSequence } from '../../../src/engine/probe/avis.ts';
import { Reader } from '../../../src/engine/probe/reader.ts';
import { probe } from '../../../src/engine/probe.ts';
import { problem } from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';
import { noVideoTools, videoTools } from '../../support/videos.ts';
import { be32, box, bytes, fullBox } from './support/image-bytes.ts';
import { movie, type TrackOptions, track } from './support/movie-bytes.ts';

/** 20 frames of 100 ms. */
const STTS = fullBox('stts', 0, 0, be32(1, 20, 100));
const AUXI = fullBox('auxi', 0, 0, 'urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0');

const pictures = (options: TrackOptions = {}) =>
  track({ handler: 'pict', codec: 'av01', tables: STTS, ...options });
const sequenceOf = (...tracks: Buffer[]) =>
  readImageSequence(Reader.over(movie({ brand: 'avis', tracks })), limits);
const edits = (flags: number, ...list: number[]) => box('edts', fullBox('elst', 0, flags, be32(1, ...list)));

describe('the reader of AVIF image sequences', () => {
  test('times each frame, and the whole as long as it is', async () => {
    const tables = fullBox('stts', 0, 0, be32(3, 2, 333, 1, 1000, 17, 10));
    const { delayMs } = await sequenceOf(pictures({ tables }));
    assert.deepEqual(delayMs.slice(0, 4), [333, 333, 1000, 10]);
    assert.equal(delayMs.length, 20);
  });

  test('counts the loops as the edit list repeats', async () => {
    const loops: [Buffer | '', number | undefined, number][] = [
      ['', 2000, 0],
      [edits(1, 2000, 0, 0x10000), undefined, 0],
      [edits(1, 2000, 0, 0x10000), 2000, 1],
      [edits(1, 2000, 0, 0x10000), 6000, 3],
      [edits(1, 2000, 0, 0x10000), 6100, 4],
      [edits(1, 0, 0, 0x10000), 6000, 0],
      [edits(0, 2000, 0, 0x10000), 2000, 1],
    ];
    for (const [boxes, duration, loop] of loops) {
      assert.equal((await sequenceOf(pictures({ boxes, duration }))).loop, loop, `${duration}`);
    }
  });

  test('finds the track of the alpha planes, and whether colours were multiplied by it', async () => {
    const refers = (type: string, id: number) => box('tref', box(type, be32(id)));
    const alpha = (boxes: Buffer, entryBoxes: Buffer | '' = AUXI) =>
      pictures({ id: 2, handler: 'auxv', boxes, entryBoxes });
    const found = await sequenceOf(pictures({ boxes: refers('prem', 2) }), alpha(refers('auxl', 1)));
    assert.deepEqual([found.id, found.alphaId, found.premultiplied], [1, 2, true]);
    const straight = await sequenceOf(pictures(), alpha(refers('auxl', 1), ''));
    assert.deepEqual([straight.alphaId, straight.premultiplied], [2, false]);
    const depth = fullBox('auxi', 0, 0, 'urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0');
    for (const other of [alpha(refers('auxl', 9)), alpha(refers('auxl', 1), depth)]) {
      assert.equal((await sequenceOf(pictures(), other)).alphaId, undefined);
    }
  });

  test('refuses what has no frames, no times, or too many of them', async () => {
    await assert.rejects(sequenceOf(), problem('undecodable_image'));
    await assert.rejects(sequenceOf(pictures({ samples: 0 })), problem('undecodable_image'));
    await assert.rejects(sequenceOf(pictures({ samples: 21 })), problem('undecodable_image'));
    await assert.rejects(sequenceOf(pictures({ tables: '' })), problem('undecodable_image'));
    await assert.rejects(sequenceOf(pictures({ samples: 1001 })), problem('too_many_frames'));
    const endless = fullBox('stts', 0, 0, be32(0xffff_ffff, 0, 0));
    await assert.rejects(sequenceOf(pictures({ tables: endless })), problem('undecodable_image'));
  });
});

describe('decoding of AVIF image sequences', { skip: noVideoTools }, () => {
  const dir = tempDir({ after });
  const GREYS = "color=c=black:s=64x48:r=10:d=0.5,format=gray,geq=lum='40+N*40'";

  test('gives all frames in their colours and times, and straight alpha', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    const half = "color=c=black:s=64x48:r=10:d=0.5,format=gray,geq=lum='if(lt(X,32),255,0)'";
    const filters = `${GREYS},scale=out_range=tv,format=yuv420p,setpts='if(lt(N,2),N*0.1,N*0.1+0.4)/TB'[c];${half},setpts='if(lt(N,2),N*0.1,N*0.1+0.4)/TB'[a]`;
    const path = video.make(
      'moves.avif',
      ...['-filter_complex', filters, '-map', '[c]', '-map', '[a]', '-vsync', 'vfr'],
      ...['-c:v', 'libaom-av1', '-cpu-used', '8', '-crf', '10', '-f', 'avif'],
    );
    const facts = await probe(path, limits);
    assert.deepEqual([facts.format, facts.pages, facts.animated], ['avif', 5, true]);
    const { pixels, frameHeight, delayMs, loop } = await decodeAvis(path, facts, limits);
    assert.deepEqual([pixels.width, frameHeight, pixels.height, loop], [64, 48, 240, 0]);
    assert.deepEqual(delayMs.slice(0, 4), [100, 500, 100, 100]);
    assert.equal(pixels.channels, 4);
    const at = (frame: number, x: number) => (frame * 48 * 64 + 10 * 64 + x) * 4;
    for (let frame = 0; frame < 5; frame++) {
      const [grey, opaque, clear] = [at(frame, 10), at(frame, 10) + 3, at(frame, 54) + 3].map(
        (i) => pixels.data[i]!,
      );
      assert.ok(Math.abs(grey! - (40 + frame * 40)) <= 5, `frame ${frame}: ${grey}`);
      assert.ok(opaque! > 250 && clear! < 5, `frame ${frame}: ${opaque} and ${clear}`);
    }

    await assert.rejects(decodeAvis(path, facts, { ...limits, maxFrames: 4 }), problem('too_many_frames'));
    const maxPixels = 64 * 48 * 5 - 1;
    await assert.rejects(decodeAvis(path, facts, { ...limits, maxPixels }), problem('image_too_large'));
    // A frame is missing: no silent shorter animation.
    const cut = `${dir}/cut.avif`;
    const whole = readFileSync(path);
    writeFileSync(cut, bytes(whole.subarray(0, -40)));
    await assert.rejects(decodeAvis(cut, facts, limits), problem('undecodable_image'));
  });
});
