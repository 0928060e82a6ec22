import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import { imageInfoSchema } from '../../../../src/contract/info.ts';
import { DEFAULT_LIMITS as limits } from '../../../../src/engine/limits.ts';
import { endExiftool } from '../../../../src/engine/metadata/exiftool.ts';
import { keepMetadata } from '../../../../src/engine/metadata/keep.ts';
import { readInfo } from '../../../../src/engine/metadata/read.ts';
import { probe } from '../../../../src/engine/probe.ts';
import { tempDir } from '../../../support/temp.ts';
import { GREYS, H264, videoTools } from '../../../support/videos.ts';

describe('metadata of videos', () => {
  const dir = tempDir({ after });
  after(endExiftool);

  const recorded = ['-metadata', 'creation_time=2020-01-02T03:04:05Z'];
  const keys = Object.entries({
    make: 'Apple',
    model: 'iPhone 6',
    software: '12.3',
    creationdate: '2020-01-02T05:04:05+0200',
    'location.ISO6709': '-33.8568+151.2153+010.000/',
  }).flatMap(([key, value]) => ['-metadata', `com.apple.quicktime.${key}=${value}`]);

  const infoOf = async (path: string) =>
    imageInfoSchema.parse(await readInfo(path, await probe(path, limits)));

  async function keptFrom(path: string, format: 'jpeg' | 'gif') {
    const target = { path: join(dir, `kept.${format}`), format, width: 8, height: 8 };
    const blank = sharp({ create: { width: 8, height: 8, channels: 3, background: '#345' } });
    await blank.toFormat(format).toFile(target.path);
    assert.deepEqual(await keepMetadata(path, target, await probe(path, limits)), { warnings: [] });
    return infoOf(target.path);
  }

  test('tell camera, place and the camera’s own time, and are handed to pictures', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    const sound = ['-f', 'lavfi', '-i', 'sine=d=2'];
    const options = [...recorded, ...keys, '-movflags', 'use_metadata_tags'];
    const path = video.make('phone.mov', '-f', 'lavfi', '-i', GREYS, ...sound, ...H264, ...options);
    const info = await infoOf(path);
    const told = {
      camera_make: 'Apple',
      camera_model: 'iPhone 6',
      software: '12.3',
      date_taken: '2020-01-02T05:04:05+02:00',
      gps: { latitude: -33.8568, longitude: 151.2153, altitude: 10 },
    };
    assert.deepEqual({ ...info, ...told }, info);
    assert.deepEqual(info.video, {
      duration_seconds: info.video?.duration_seconds,
      frame_rate: 10,
      video_codec: 'h264',
      audio_codec: 'aac',
    });
    assert.ok(Math.abs(info.video!.duration_seconds - 2) < 0.05);
    for (const format of ['jpeg', 'gif'] as const) {
      const kept = await keptFrom(path, format);
      assert.deepEqual({ ...kept, ...told }, kept, format);
      assert.equal(kept.orientation, 1, format);
      assert.equal(kept.video, undefined, format);
    }
  });

  test('give the time of the header as UTC where the camera noted no other', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    for (const name of ['plain.mp4', 'plain.mkv']) {
      const path = video.make(name, '-f', 'lavfi', '-i', GREYS, ...H264, ...recorded);
      assert.equal((await infoOf(path)).date_taken, '2020-01-02T03:04:05Z', name);
      const { date_taken } = await keptFrom(path, 'jpeg');
      assert.equal(Date.parse(date_taken ?? ''), Date.parse('2020-01-02T03:04:05Z'), name);
    }
  });

  test('say nothing where there is nothing', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    const path = video.make('bare.mp4', '-f', 'lavfi', '-i', GREYS, ...H264, '-map_metadata', '-1');
    const info = await infoOf(path);
    assert.deepEqual([info.date_taken, info.gps, info.camera_make], [null, null, null]);
    for (const format of ['jpeg', 'gif'] as const) {
      const kept = await keptFrom(path, format);
      assert.deepEqual([kept.date_taken, kept.gps, kept.camera_make], [null, null, null]);
    }
  });

  test('name the colours that the container states', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    const tags = ['-color_primaries', 'bt2020', '-color_trc', 'arib-std-b67', '-colorspace', 'bt2020nc'];
    const path = video.make('hlg.mp4', '-f', 'lavfi', '-i', GREYS, '-c:v', 'libx264', ...tags);
    assert.equal((await infoOf(path)).color_space, 'BT.2020 HLG');
  });
});
