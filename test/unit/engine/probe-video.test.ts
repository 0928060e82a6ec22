import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_LIMITS, type Limits } from '../../../src/engine/limits.ts';
import { Reader } from '../../../src/engine/probe/reader.ts';
import { probeVideo } from '../../../src/engine/probe/video.ts';
import { describeUnsupported, sniff, unsupported } from '../../../src/engine/probe.ts';
import { Problem, type ProblemCode } from '../../../src/problem.ts';
import { tool } from '../../support/tools.ts';
import { be32, box, bytes, fullBox } from './support/image-bytes.ts';
import { element, matroska, movie, track } from './support/movie-bytes.ts';

const probed = (file: Uint8Array, limits: Partial<Limits> = {}) =>
  probeVideo(Reader.over(file), { ...DEFAULT_LIMITS, ...limits });

async function refused(file: Uint8Array, code: ProblemCode, detail: RegExp, limits: Partial<Limits> = {}) {
  await assert.rejects(probed(file, limits), (error: unknown) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.detail ?? '', detail);
    return true;
  });
}

/** What is given back at the end. */
function without<T>(path: string, use: () => T): T {
  const before = process.env.PATH;
  process.env.PATH = path;
  try {
    return use();
  } finally {
    process.env.PATH = before;
  }
}

describe('sniff of videos', () => {
  const skip = tool('ffmpeg') && tool('ffprobe') ? false : 'needs ffmpeg';

  test('tells MP4, QuickTime, 3GP, WebM and Matroska by their first bytes', { skip }, () => {
    const formats: [Uint8Array, string | undefined][] = [
      [movie(), 'mp4'],
      [movie({ brand: 'M4V ', compatible: ['isom'] }), 'mp4'],
      [movie({ brand: 'qt  ' }), 'mov'],
      [movie({ brand: '3gp5', compatible: ['isom'] }), '3gp'],
      [movie({ brand: 'odd!', compatible: ['mp42'] }), 'mp4'],
      [movie({ brand: 'odd!' }), undefined],
      [movie().subarray(16), 'mov'],
      [matroska(), 'webm'],
      [matroska({ docType: 'matroska' }), 'mkv'],
      [matroska({ docType: 'something' }), undefined],
    ];
    for (const [file, format] of formats) assert.equal(sniff(file)?.format, format);
  });

  test('takes pictures of the same box format, and sound, for no video', () => {
    for (const brand of ['heic', 'mif1', 'avif', 'avis', 'crx ']) {
      assert.notEqual(sniff(movie({ brand, compatible: ['isom', 'mp42'] }))?.family, 'video', brand);
    }
    assert.equal(sniff(movie({ brand: 'M4A ', compatible: ['isom', 'mp42'] })), undefined);
    assert.equal(describeUnsupported(movie({ brand: 'M4A ' })), 'an audio file');
    assert.equal(sniff(bytes('the free world is wide')), undefined);
  });

  test('says that ffmpeg is missing where it is', () => {
    for (const [file, what] of [
      [movie(), 'an MP4 video'],
      [movie({ brand: 'qt  ' }), 'a QuickTime video'],
      [matroska(), 'a WebM or Matroska video'],
    ] as const) {
      without('', () => {
        assert.equal(sniff(file), undefined);
        const { code, detail } = unsupported(file);
        assert.equal(code, 'unsupported_media_type');
        assert.equal(detail, `The file is ${what}. Videos need ffmpeg, which is not installed here.`);
      });
    }
  });
});

describe('probe of MP4 and QuickTime', () => {
  test('reads size, duration, rate and codecs, wherever the index lies', async () => {
    const sound = track({ id: 2, handler: 'soun', codec: 'mp4a' });
    for (const moov of ['first', 'last'] as const) {
      const facts = await probed(movie({ tracks: [sound, track({ id: 7 })], moov }));
      assert.deepEqual(facts, {
        format: 'mp4',
        width: 64,
        height: 48,
        orientation: 1,
        pages: 1,
        animated: false,
        alpha: false,
        bitDepth: 8,
        colorSpace: 'rgb',
        video: { durationSeconds: 2, frameRate: 10, videoCodec: 'h264', audioCodec: 'aac' },
      });
    }
  });

  test('gives the size upright, by the matrices of track and movie', async () => {
    const clockwise = [0, 1, -1, 0];
    const counter = [0, -1, 1, 0];
    const sizeOf = async (turn: number[], whole?: number[]) => {
      const { width, height } = await probed(
        movie({ tracks: [track({ turn })], ...(whole && { turn: whole }) }),
      );
      return `${width}x${height}`;
    };
    assert.equal(await sizeOf([1, 0, 0, 1]), '64x48');
    assert.equal(await sizeOf([-1, 0, 0, -1]), '64x48');
    assert.equal(await sizeOf(clockwise), '48x64');
    assert.equal(await sizeOf(counter), '48x64');
    assert.equal(await sizeOf(clockwise, clockwise), '64x48');
    assert.equal(await sizeOf([0, 0, 0, 0]), '64x48');
  });

  test('stretches pixels that are not square, and believes no absurd ones', async () => {
    const pasp = (h: number, v: number) => box('pasp', be32(h, v));
    const size = async (options: Parameters<typeof track>[0]) => {
      const { width, height } = await probed(movie({ tracks: [track(options)] }));
      return [width, height];
    };
    assert.deepEqual(await size({ entryBoxes: pasp(4, 3) }), [85, 48]);
    assert.deepEqual(await size({ entryBoxes: pasp(3, 4) }), [64, 64]);
    assert.deepEqual(await size({ presented: [85, 48] }), [85, 48]);
    assert.deepEqual(await size({ presented: [0, 0] }), [64, 48]);
    assert.deepEqual(await size({ entryBoxes: pasp(1, 4_000_000_000) }), [64, 48]);
    assert.deepEqual(await size({ entryBoxes: pasp(0, 0) }), [64, 48]);
  });

  test('adds up the fragments of a movie that was written as it was recorded', async () => {
    const mvex = box('mvex', fullBox('trex', 0, 0, be32(1, 1, 100, 0, 0)));
    const fragment = (samples: number) =>
      box('moof', box('traf', fullBox('tfhd', 0, 0, be32(1)), fullBox('trun', 0, 0, be32(samples))));
    const timed = box(
      'moof',
      box('traf', fullBox('tfhd', 0, 0x8, be32(1, 7)), fullBox('trun', 0, 0x100, be32(3, 200, 200, 100))),
    );
    const other = box('moof', box('traf', fullBox('tfhd', 0, 0, be32(2)), fullBox('trun', 0, 0, be32(99))));
    const file = movie({
      tracks: [track({ duration: 0, samples: 0 })],
      boxes: mvex,
      tail: bytes(fragment(10), timed, other),
    });
    const { video } = await probed(file);
    assert.equal(video?.durationSeconds, 1.5);
    assert.equal(video?.frameRate, 8.667);
    // Cut off in the last fragment: the others are whole.
    const cut = movie({
      tracks: [track({ duration: 0, samples: 0 })],
      boxes: mvex,
      tail: bytes(fragment(10), fragment(10).subarray(0, -3)),
    });
    assert.equal((await probed(cut)).video?.durationSeconds, 1);
  });

  test('takes the first picture track that has frames', async () => {
    const tracks = [track({ id: 1, samples: 0, width: 8 }), track({ id: 2, width: 32 }), track({ id: 3 })];
    assert.equal((await probed(movie({ tracks }))).width, 32);
  });

  test('refuses sound alone, encrypted tracks and codecs that it does not know', async () => {
    const sound = track({ handler: 'soun', codec: 'mp4a' });
    await refused(movie({ tracks: [sound] }), 'unsupported_media_type', /no video track/);
    await refused(movie({ tracks: [] }), 'unsupported_media_type', /no video track/);
    await refused(movie({ tracks: [track({ codec: 'encv' })] }), 'unsupported_media_type', /encrypted/);
    await refused(movie({ tracks: [track({ codec: 'SVQ3' })] }), 'unsupported_media_type', /coded as "SVQ3"/);
    await refused(movie({ tracks: [track({ codec: '__pr' })] }), 'unsupported_media_type', /coded as/);
  });

  test('refuses what is cut off, empty or too large', async () => {
    await refused(movie({ moov: 'missing' }), 'undecodable_image', /no index \(moov\)/);
    const whole = movie({ moov: 'last' });
    await refused(whole.subarray(0, -30), 'undecodable_image', /./);
    await refused(movie({ tracks: [track({ samples: 0 })] }), 'undecodable_image', /no frames/);
    await refused(movie({ tracks: [track({ width: 0 })] }), 'undecodable_image', /0 × 48/);
    await refused(
      movie({ tracks: [track({ width: 60_000, height: 60_000 })] }),
      'image_too_large',
      /60000 × 60000/,
    );
    await refused(movie({ boxes: box('cmov', 'zlib') }), 'undecodable_image', /compressed/);
    const many = Array.from({ length: 300 }, (_, i) => track({ id: i + 1 }));
    await refused(movie({ tracks: many }), 'undecodable_image', /256 tracks/);
  });

  test('knows no duration where none is stated', async () => {
    const { video } = await probed(movie({ tracks: [track({ duration: undefined })] }));
    assert.equal(video?.durationSeconds, 2, 'the movie’s own');
    assert.equal(video?.frameRate, undefined);
  });
});

describe('probe of WebM and Matroska', () => {
  test('reads size, duration, rate and codec', async () => {
    const { video, ...facts } = await probed(matroska({ frameNs: 40_000_000 }));
    assert.deepEqual([facts.format, facts.width, facts.height, facts.alpha], ['webm', 64, 48, false]);
    assert.deepEqual(video, { durationSeconds: 2, frameRate: 25, videoCodec: 'vp9' });
    assert.equal((await probed(matroska({ docType: 'matroska', codecId: 'V_MPEG4/ISO/AVC' }))).format, 'mkv');
    assert.equal((await probed(matroska({ alpha: true }))).alpha, true);
  });

  test('gives the size upright and in square pixels', async () => {
    const size = async (options: Parameters<typeof matroska>[0]) => {
      const { width, height } = await probed(matroska(options));
      return [width, height];
    };
    assert.deepEqual(await size({ display: [128, 96] }), [64, 48], 'the proportions, not the size');
    assert.deepEqual(await size({ display: [16, 9] }), [85, 48]);
    for (const roll of [90, -90, 270]) assert.deepEqual(await size({ roll }), [48, 64], `${roll}`);
    for (const roll of [0, 180, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.deepEqual(await size({ roll }), [64, 48], `${roll}`);
    }
  });

  test('finds the end of a recording that does not say how long it is', async () => {
    for (const live of [true, false]) {
      const { video } = await probed(matroska({ duration: undefined, live, blocks: [0, 40, 80, -20] }));
      assert.equal(video?.durationSeconds, 1.08, `live ${live}`);
    }
  });

  test('refuses sound alone, unknown codecs, and what has no tracks or frames', async () => {
    await refused(matroska({ trackType: 2, codecId: 'A_OPUS' }), 'unsupported_media_type', /no video track/);
    await refused(matroska({ codecId: 'V_REAL/RV40' }), 'unsupported_media_type', /coded as "V_REAL\/RV40"/);
    for (const name of ['constructor', '__proto__', 'toString']) {
      await refused(matroska({ codecId: name }), 'unsupported_media_type', /coded as/);
      assert.equal(sniff(matroska({ docType: name })), undefined);
    }
    await refused(matroska().subarray(0, 40), 'undecodable_image', /before it begins|tracks/);
    await refused(element(0x1a45dfa3, element(0x4282, 'webm')), 'undecodable_image', /before it begins/);
    const whole = matroska();
    await refused(
      whole.subarray(0, whole.indexOf(Buffer.of(0x1f, 0x43, 0xb6, 0x75))),
      'undecodable_image',
      /no frames/,
    );
    await refused(matroska({ width: 0 }), 'undecodable_image', /0 × 48/);
    await refused(matroska({ width: 4_000_000_000 }), 'image_too_large', /megapixels/);
  });
});

describe('probe of mutated videos', () => {
  const mvex = box('mvex', fullBox('trex', 0, 0, be32(1, 1, 100, 0, 0)));
  const moof = box(
    'moof',
    box('traf', fullBox('tfhd', 0, 0, be32(1)), fullBox('trun', 0, 0x100, be32(2, 1, 1))),
  );
  const samples: Record<string, Buffer> = {
    movie: movie({ tracks: [track({ entryBoxes: box('pasp', be32(4, 3)) })] }),
    fragmented: movie({ tracks: [track({ samples: 0 })], boxes: mvex, tail: moof }),
    matroska: matroska({ duration: undefined, live: true, roll: 90, display: [16, 9] }),
  };
  for (const [name, file] of Object.entries(samples)) {
    test(`ends in facts or a problem for 500 mutations of ${name}`, async () => {
      let state = file.length;
      const random = (below: number) => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
        return (state >>> 8) % below;
      };
      for (let i = 0; i < 500; i++) {
        let mutated = Buffer.from(file);
        for (let edits = 1 + random(5); edits > 0; edits--) {
          const at = random(mutated.length);
          const kind = random(4);
          if (kind === 0) mutated[at] = random(256);
          if (kind === 1) mutated.fill(random(2) * 255, at, Math.min(at + 4, mutated.length));
          if (kind === 2) mutated[at]! ^= 1 << random(8);
          if (kind === 3 && random(3) === 0) mutated = mutated.subarray(0, Math.max(1, at));
        }
        try {
          const { width, height, video } = await probed(mutated);
          assert.ok(width > 0 && height > 0 && width * height <= DEFAULT_LIMITS.maxPixels);
          assert.ok((video?.durationSeconds ?? -1) >= 0 && Number.isFinite(video?.durationSeconds));
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
        }
      }
    });
  }
});
