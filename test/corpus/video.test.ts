/** Real videos, whole and broken. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import { imageInfoSchema } from '../../src/contract/info.ts';
import { decodeAvis } from '../../src/engine/decode/avis.ts';
import { decodeClip, decodeVideoFrame } from '../../src/engine/decode/video.ts';
import { DEFAULT_LIMITS as limits } from '../../src/engine/limits.ts';
import { endExiftool } from '../../src/engine/metadata/exiftool.ts';
import { keepMetadata } from '../../src/engine/metadata/keep.ts';
import { readInfo } from '../../src/engine/metadata/read.ts';
import { probe } from '../../src/engine/probe.ts';
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
import { tempDir } from '../support/temp.ts';
import { noVideoTools } from '../support/videos.ts';

const videos = goodFacts.filter(({ format }) => /^(MP4|MOV|WebM)$/.test(format));
/** By ISO/IEC 14496-12 the header's time is UTC; a camera's own time has its offset. */
const TAKEN: Record<string, string | null> = {
  'video-gopher.mp4': '2020-05-11T14:18:35Z',
  'video-gps.mov': '2019-07-24T11:25:40+03:00',
  'video-gps.mp4': '2017-02-22T08:20:28Z',
  'video-hevc.mov': '2023-09-22T18:34:05+02:00',
  'video-imovie.mp4': '2015-09-17T16:26:22Z',
  'video.webm': null,
};

describe('videos of the corpus', { skip: corpusMissing || noVideoTools }, () => {
  const dir = tempDir({ after });
  after(endExiftool);

  test('are measured as ffprobe measures them', async () => {
    assert.equal(videos.length, 6);
    for (const file of videos) {
      const { width, height, video, format } = await probe(good(file.name), limits);
      const facts = file as GoodFacts & { codec: string; durationSeconds: string };
      assert.deepEqual([width, height], [file.width, file.height], file.name);
      assert.equal(format, file.format.toLowerCase(), file.name);
      assert.equal(video?.videoCodec, facts.codec, file.name);
      // That of the longest track counts there, of the pictures here.
      assert.ok(Math.abs(video!.durationSeconds - Number(facts.durationSeconds)) < 0.1, file.name);
    }
  });

  test('give a poster, a frame and a preview, upright', async () => {
    for (const file of videos) {
      const path = good(file.name);
      const facts = await probe(path, limits);
      const second = facts.video!.durationSeconds / 2;
      for (const at of [{}, { second }]) {
        const pixels = await decodeVideoFrame(path, facts, at, limits);
        assert.deepEqual([pixels.width, pixels.height], [file.width, file.height], file.name);
        const { channels } = await sharp(pixels.data, {
          raw: { width: pixels.width, height: pixels.height, channels: pixels.channels },
        }).stats();
        assert.ok(
          channels.some(({ stdev }) => stdev > 10),
          `${file.name} shows nothing`,
        );
      }
      const box = { width: 100, height: 100 };
      const clip = await decodeClip(path, facts, { start: 0, duration: 1, fps: 5, box }, limits);
      assert.equal(Math.max(clip.pixels.width, clip.frameHeight), 100, file.name);
      assert.equal(clip.pixels.height, clip.frameHeight * clip.delayMs.length, file.name);
    }
  });

  test('tell when, where and by what they were recorded, and hand it to a picture', async () => {
    for (const file of videos) {
      const path = good(file.name);
      const facts = await probe(path, limits);
      const info = imageInfoSchema.parse(await readInfo(path, facts));
      assert.equal(info.date_taken, TAKEN[file.name], file.name);
      assert.equal(info.camera_make, file.make ?? null, file.name);
      assert.equal(info.camera_model, file.model ?? null, file.name);
      assert.equal(info.gps?.latitude, file.gpsLatitude, file.name);
      assert.equal(info.gps?.longitude, file.gpsLongitude, file.name);
      assert.deepEqual(info.video?.video_codec, facts.video?.videoCodec, file.name);

      for (const format of ['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif'] as const) {
        const target = { path: join(dir, `kept.${format}`), format, width: 8, height: 8 };
        const blank = sharp({ create: { width: 8, height: 8, channels: 3, background: '#345' } });
        await blank.toFormat(format).toFile(target.path);
        assert.deepEqual(
          await keepMetadata(path, target, facts),
          { warnings: [] },
          `${file.name} to ${format}`,
        );
        const kept = await readInfo(target.path, await probe(target.path, limits));
        for (const field of ['camera_make', 'camera_model', 'gps', 'software', 'title'] as const) {
          assert.deepEqual(kept[field], info[field], `${file.name} to ${format}: ${field}`);
        }
        const taken = info.date_taken && Date.parse(info.date_taken);
        assert.equal(kept.date_taken && Date.parse(kept.date_taken), taken, `${file.name} to ${format}`);
        assert.equal(kept.orientation, 1);
      }
    }
  });

  test('that are broken give a picture or a refusal', async () => {
    for (const { name, expect } of hostileFacts.filter(({ name }) => /\.(mp4|mov|webm)$/.test(name))) {
      if (!existsSync(join(corpusDir!, 'hostile', name))) continue;
      const path = hostile(name);
      for (const at of [{}, { second: 0 }]) {
        const answer = await probe(path, limits)
          .then((facts) => decodeVideoFrame(path, facts, at, { ...limits, timeoutMs: 20_000 }))
          .then(() => 'accept')
          .catch((error: unknown) => {
            if (!(error instanceof Problem)) throw error;
            return String(error.status);
          });
        assert.ok(expect.includes(answer), `${name}: expected ${expect}, got ${answer}`);
      }
    }
  });

  test('and the AVIF sequence give all their frames', async () => {
    const path = good('avif-animated.avif');
    const { pixels, frameHeight, delayMs, loop } = await decodeAvis(path, await probe(path, limits), limits);
    assert.deepEqual([pixels.width, frameHeight, pixels.height, pixels.channels], [150, 150, 750, 4]);
    assert.deepEqual([delayMs.length, delayMs.reduce((sum, ms) => sum + ms), loop], [5, 833, 0]);
  });
});
