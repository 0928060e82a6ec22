import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { decodeClip, decodeVideoFrame } from '../../../src/engine/decode/video.ts';
import { DEFAULT_LIMITS as limits } from '../../../src/engine/limits.ts';
import { probe } from '../../../src/engine/probe.ts';
import type { Pixels } from '../../../src/engine/types.ts';
import { Problem } from '../../../src/problem.ts';
import { deltaE2000, labFromSrgb } from '../../support/compare.ts';
import { problem } from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';
import {
  GREYS,
  greyOf,
  H264,
  noVideoTools,
  turnTrack,
  type VideoTools,
  videoTools,
} from '../../support/videos.ts';

const CODING_ERROR = 4;

type Rgb = [number, number, number];

function colorAt({ data, width, channels }: Pixels, x: number, y: number): Rgb {
  const at = (y * width + x) * channels;
  return [data[at]!, data[at + 1]!, data[at + 2]!];
}

function isNear(found: Rgb, wanted: Rgb, what: string, most = CODING_ERROR): void {
  const far = Math.max(...found.map((value, i) => Math.abs(value - wanted[i]!)));
  assert.ok(far <= most, `${what}: expected about ${wanted}, found ${found}`);
}

/** Which of `GREYS`' frames it is, by its lower right corner. */
const frameOf = (pixels: Pixels) =>
  Math.round((colorAt(pixels, pixels.width - 4, pixels.height - 4)[0] - 20) / 10);

describe('decoding of videos', { skip: noVideoTools }, () => {
  const dir = tempDir({ after });
  let video: VideoTools;
  let greys: string;
  before((t) => {
    video = videoTools(t as never, dir)!;
    greys = video.make('greys.mp4', '-f', 'lavfi', '-i', GREYS, ...H264);
  });

  const frame = async (path: string, second?: number) =>
    decodeVideoFrame(path, await probe(path, limits), second === undefined ? {} : { second }, limits);

  test('gives the frame that is shown at a second', async () => {
    for (const [second, wanted] of [
      [0, 0],
      [0.09, 0],
      [0.1, 1],
      [0.55, 5],
      [1, 10],
      [1.99, 19],
      [2, 19],
    ] as const) {
      assert.equal(frameOf(await frame(greys, second)), wanted, `second ${second}`);
    }
  });

  test('gives the frame that is shown where the rate varies', async () => {
    const varies = video.make(
      'varies.mkv',
      ...[
        '-f',
        'lavfi',
        '-i',
        GREYS,
        '-vf',
        "select='lt(n,3)',setpts='if(lt(N,2),N*0.1,3)/TB'",
        '-vsync',
        'vfr',
      ],
      ...['-c:v', 'libx264', '-qp', '4', '-pix_fmt', 'yuv444p'],
    );
    assert.equal(frameOf(await frame(varies, 2.5)), 1);
    assert.equal(frameOf(await frame(varies, 0.05)), 0);
    assert.equal(frameOf(await frame(varies, 3)), 2);
  });

  test('refuses a second beyond the end, by the field and the duration', async () => {
    const facts = await probe(greys, limits);
    const refusals: [Promise<unknown>, string][] = [
      [decodeVideoFrame(greys, facts, { second: 2.1 }, limits), 'operations.0.second'],
      [decodeClip(greys, facts, { start: 7, duration: 1, fps: 10 }, limits), 'operations.0.start'],
    ];
    for (const [refusal, path] of refusals) {
      await assert.rejects(refusal, (error: unknown) => {
        assert.ok(error instanceof Problem && error.code === 'invalid_plan', String(error));
        assert.match(error.detail ?? '', /ends after 2 s/);
        assert.deepEqual(error.errors, [{ path, message: 'must be at most 2' }]);
        return true;
      });
    }
  });

  test('turns and mirrors upright, once', async () => {
    const red: Rgb = [255, 0, 0];
    const turns: [[number, number, number, number], string, string][] = [
      [[1, 0, 0, 1], '64x48', 'top left'],
      [[0, 1, -1, 0], '48x64', 'top right'],
      [[-1, 0, 0, -1], '64x48', 'bottom right'],
      [[0, -1, 1, 0], '48x64', 'bottom left'],
      [[-1, 0, 0, 1], '64x48', 'top right'],
      [[1, 0, 0, -1], '64x48', 'bottom left'],
      [[0, 1, 1, 0], '48x64', 'top left'],
      [[0, -1, -1, 0], '48x64', 'bottom right'],
    ];
    for (const [turn, size, corner] of turns) {
      const path = video.make('turned.mp4', '-i', greys, '-c', 'copy');
      turnTrack(path, turn);
      const facts = await probe(path, limits);
      const pixels = await frame(path, 1);
      assert.equal(`${pixels.width}x${pixels.height}`, size, `${turn}`);
      assert.equal(`${facts.width}x${facts.height}`, size, `${turn}`);
      const x = corner.endsWith('left') ? 4 : pixels.width - 5;
      const y = corner.startsWith('top') ? 4 : pixels.height - 5;
      isNear(colorAt(pixels, x, y), red, `${turn}: ${corner}`, 8);
      if (turn[1] !== 1) continue;
      const clip = await decodeClip(path, facts, { start: 0, duration: 0.2, fps: 10 }, limits);
      assert.equal(`${clip.pixels.width}x${clip.frameHeight}`, size, `${turn}`);
      isNear(colorAt(clip.pixels, x, y), red, `${turn}: ${corner} of the clip`, 8);
    }
  });

  test('stretches pixels that are not square', async () => {
    const wide = video.make('wide.mp4', '-i', greys, '-vf', 'setsar=4/3', ...H264);
    const pixels = await frame(wide, 0);
    assert.deepEqual([pixels.width, pixels.height], [85, 48]);
    isNear(colorAt(pixels, 38, 10), [255, 0, 0], 'the left half', 8);
  });

  test('reads MOV, Matroska, WebM of VP8 and VP9, 3GP, and the index in front', async () => {
    const lossy = ['-b:v', '1M', '-pix_fmt', 'yuv420p'];
    const sound = ['-f', 'lavfi', '-i', 'sine=d=2', '-shortest'];
    const files = [
      video.make('a.mov', '-i', greys, ...sound, '-c:v', 'copy'),
      video.make('a.mkv', '-i', greys, '-c', 'copy'),
      video.make('front.mp4', '-i', greys, '-c', 'copy', '-movflags', 'faststart'),
      video.make('pieces.mp4', '-i', greys, '-c', 'copy', '-movflags', 'frag_keyframe+empty_moov'),
      video.make('vp8.webm', '-i', greys, '-c:v', 'libvpx', ...lossy),
      video.make('vp9.webm', '-i', greys, '-c:v', 'libvpx-vp9', '-cpu-used', '8', ...lossy),
      video.make('a.3gp', '-i', greys, '-c:v', 'mpeg4', '-q:v', '2'),
    ];
    for (const path of files) {
      const { video } = await probe(path, limits);
      assert.ok(Math.abs((video?.durationSeconds ?? 0) - 2) < 0.15, `${path}: ${video?.durationSeconds}`);
      const found = frameOf(await frame(path, 1));
      assert.ok(Math.abs(found - 10) <= 1, `${path}: frame ${found}`);
    }
    const { video: withSound } = await probe(files[0]!, limits);
    assert.equal(withSound?.audioCodec, 'aac');
  });

  test('keeps the alpha of VP9', async () => {
    const alpha =
      "color=c=red:s=64x48:r=10:d=0.5,format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,32),255,0)'";
    const path = video.make(
      'alpha.webm',
      '-f',
      'lavfi',
      '-i',
      alpha,
      '-c:v',
      'libvpx-vp9',
      '-pix_fmt',
      'yuva420p',
    );
    assert.equal((await probe(path, limits)).alpha, true);
    const { data, channels, width } = await frame(path);
    assert.equal(channels, 4);
    assert.deepEqual([data[(20 * width + 8) * 4 + 3], data[(20 * width + 56) * 4 + 3]], [255, 0]);
  });

  test('takes a picture for the poster that is neither black nor of one colour', async () => {
    const dark = 'color=c=black:s=64x48:r=10:d=2[a];testsrc=s=64x48:r=10:d=4[b];[a][b]concat';
    const path = video.make('dark.mp4', '-f', 'lavfi', '-i', dark, ...H264);
    const { data } = await frame(path);
    assert.ok(data.reduce((sum, value) => sum + value, 0) / data.length > 40);
    // Where there is nothing but one colour, that.
    const black = video.make('black.mp4', '-f', 'lavfi', '-i', 'color=c=black:s=64x48:r=10:d=1', ...H264);
    isNear(colorAt(await frame(black), 10, 10), [0, 0, 0], 'black');
    // The first tenth of a short one, not its beginning.
    const bars = video.make('bars.mp4', '-f', 'lavfi', '-i', 'testsrc=s=64x48:r=10:d=4', ...H264);
    assert.deepEqual(await frame(bars), await frame(bars, 0.4));
  });

  test('samples a clip at an even pace, inside of a box', async () => {
    const facts = await probe(greys, limits);
    const clip = await decodeClip(
      greys,
      facts,
      { start: 0.5, duration: 1, fps: 5, box: { width: 32, height: 32 } },
      limits,
    );
    assert.deepEqual([clip.pixels.width, clip.frameHeight, clip.loop], [32, 24, 0]);
    assert.deepEqual(clip.delayMs, [200, 200, 200, 200, 200]);
    assert.equal(clip.pixels.height, 24 * 5);
    const shown = clip.delayMs.map((_, i) => colorAt(clip.pixels, 28, i * 24 + 20)[0]);
    for (const [i, grey] of shown.entries())
      isNear([grey, 0, 0], [greyOf(5 + i * 2), 0, 0], `frame ${i}`, 12);

    const third = await decodeClip(greys, facts, { start: 1.5, duration: 30, fps: 30 }, limits);
    assert.equal(third.delayMs.length, 15, 'it ends with the video');
    assert.equal(
      third.delayMs.reduce((sum, ms) => sum + ms),
      500,
    );
    assert.deepEqual([third.pixels.width, third.frameHeight], [64, 48], 'never enlarged');
  });

  test('refuses clips of too many frames or pixels before anything is decoded', async () => {
    const facts = await probe(greys, limits);
    const clip = { start: 0, duration: 2, fps: 10 };
    await assert.rejects(
      decodeClip(greys, facts, clip, { ...limits, maxFrames: 19 }),
      problem('too_many_frames'),
    );
    const maxPixels = 64 * 48 * 20 - 1;
    await assert.rejects(
      decodeClip(greys, facts, clip, { ...limits, maxPixels }),
      problem('image_too_large'),
    );
    const box = { width: 60, height: 60 };
    await decodeClip(greys, facts, { ...clip, box }, { ...limits, maxPixels });
    await assert.rejects(
      decodeVideoFrame(greys, facts, {}, { ...limits, maxPixels: 3071 }),
      problem('image_too_large'),
    );
  });

  test('gives what is left of a file that was cut off, and says where nothing is', async () => {
    const front = video.make('cut.mp4', '-i', greys, '-c', 'copy', '-movflags', 'faststart');
    const whole = readFileSync(front);
    writeFileSync(
      front,
      whole.subarray(0, whole.indexOf('mdat') + Math.floor((whole.length - whole.indexOf('mdat')) * 0.7)),
    );
    assert.equal((await frame(front, 0)).width, 64);
    const nothing = video.make('secret-name.mp4', '-i', greys, '-c', 'copy', '-movflags', 'faststart');
    writeFileSync(nothing, whole.subarray(0, whole.indexOf('mdat') + 10));
    for (const second of [undefined, 1]) {
      await assert.rejects(frame(nothing, second), (error: unknown) => {
        assert.ok(error instanceof Problem && error.code === 'undecodable_image', String(error));
        assert.doesNotMatch(error.detail ?? '', /secret|tintype-test|\//);
        return true;
      });
    }
    const sound = video.make('sound.mp4', '-f', 'lavfi', '-i', 'sine=d=1', '-c:a', 'aac');
    await assert.rejects(probe(sound, limits), problem('unsupported_media_type'));
  });

  test('takes no name for an option or an address', async () => {
    for (const name of ['-i.mp4', 'http:--example.org.mp4', 'a %d\n|b.mp4', 'concat:a.mp4']) {
      const path = `${dir}/${name}`;
      writeFileSync(path, readFileSync(greys));
      assert.equal(frameOf(await frame(path, 1)), 10, name);
    }
  });
});

describe('colours of videos', { skip: noVideoTools }, () => {
  const dir = tempDir({ after });
  const COLORS: Rgb[] = [
    [255, 255, 255],
    [0, 0, 0],
    [128, 128, 128],
    [200, 40, 40],
    [40, 180, 60],
    [50, 60, 210],
    [230, 200, 50],
    [190, 120, 90],
  ];

  async function differences(
    t: { skip(reason: string): void },
    name: string,
    colors: Rgb[],
    matrix: string,
    ...tags: string[]
  ) {
    const video = videoTools(t, dir);
    if (!video) return [];
    const inputs = colors.flatMap((color) => [
      '-f',
      'lavfi',
      '-i',
      `color=c=0x${hex(color)}:s=16x16:r=10:d=0.3,format=gbrp`,
    ]);
    const joined = `${colors.map((_, i) => `[${i}]`).join('')}hstack=inputs=${colors.length},scale=out_color_matrix=${matrix},format=yuv444p`;
    const path = video.make(
      name,
      ...inputs,
      '-filter_complex',
      joined,
      '-c:v',
      'libx264',
      '-qp',
      '0',
      ...tags,
    );
    return decodeVideoFrame(path, await probe(path, limits), { second: 0 }, limits).then((pixels) =>
      COLORS.map((wanted, i) =>
        deltaE2000(labFromSrgb(...colorAt(pixels, i * 16 + 8, 8)), labFromSrgb(...wanted)),
      ),
    );
  }
  const hex = (color: Rgb) => color.map((value) => value.toString(16).padStart(2, '0')).join('');
  const tagged = (matrix: string, primaries: string, transfer = 'bt709', range = 'tv') => [
    ...['-colorspace', matrix, '-color_primaries', primaries, '-color_trc', transfer, '-color_range', range],
  ];

  const MOST = 1;
  for (const [name, matrix, tags] of [
    ['bt709.mp4', 'bt709', tagged('bt709', 'bt709')],
    ['bt601.mp4', 'bt601', tagged('smpte170m', 'smpte170m', 'smpte170m')],
    ['bt601.mkv', 'bt601', tagged('bt470bg', 'bt470bg')],
    ['unsaid.mp4', 'bt601', []],
  ] as const) {
    test(`are right in ${name}`, async (t) => {
      const found = await differences(t, name, COLORS, matrix, ...tags);
      assert.ok(Math.max(0, ...found) < MOST, found.map((d) => d.toFixed(2)).join(' '));
    });
  }

  test('are right in high definition that does not say how they are coded', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    const input =
      'color=c=0x28b43c:s=1280x720:r=10:d=0.1,format=gbrp,scale=out_color_matrix=bt709,format=yuv420p';
    const path = video.make('hd.mp4', '-f', 'lavfi', '-i', input, '-c:v', 'libx264', '-qp', '4');
    const pixels = await decodeVideoFrame(path, await probe(path, limits), {}, limits);
    isNear(colorAt(pixels, 600, 300), [40, 180, 60], 'green');
  });

  test('are right at full range', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    const input =
      'color=c=0x28b43c:s=64x48:r=10:d=0.1,format=gbrp,scale=out_color_matrix=bt709:out_range=pc,format=yuv444p';
    const path = video.make(
      'full.mp4',
      '-f',
      'lavfi',
      '-i',
      input,
      '-c:v',
      'libx264',
      '-qp',
      '0',
      ...tagged('bt709', 'bt709', 'bt709', 'pc'),
    );
    isNear(
      colorAt(await decodeVideoFrame(path, await probe(path, limits), {}, limits), 9, 9),
      [40, 180, 60],
      'green',
    );
  });

  test('of BT.2020 are brought to sRGB', async (t) => {
    const wide = COLORS.map(toBt2020);
    const found = await differences(
      t,
      'bt2020.mp4',
      wide,
      'bt2020',
      ...tagged('bt2020nc', 'bt2020', 'bt2020-10'),
    );
    // Eight bits of so wide a gamut are coarser.
    assert.ok(Math.max(0, ...found) < 2.5, found.map((d) => d.toFixed(2)).join(' '));
  });

  test('of PQ and HLG come down to what a screen shows', async (t) => {
    const video = videoTools(t, dir);
    if (!video) return;
    // Signals of diffuse white (203 nits) and of a highlight.
    for (const [transfer, white, bright] of [
      ['smpte2084', 148, 190],
      ['arib-std-b67', 191, 235],
    ] as const) {
      const input = `color=c=0x${hex([white, white, white])}:s=32x32:r=10:d=0.2,format=gbrp[a];color=c=0x${hex([bright, bright, bright])}:s=32x32:r=10:d=0.2,format=gbrp[b];[a][b]hstack,scale=out_color_matrix=bt2020,format=yuv444p`;
      const path = video.make(
        'hdr.mp4',
        '-f',
        'lavfi',
        '-i',
        input,
        '-c:v',
        'libx264',
        '-qp',
        '0',
        ...tagged('bt2020nc', 'bt2020', transfer),
      );
      const pixels = await decodeVideoFrame(path, await probe(path, limits), {}, limits);
      const [left] = colorAt(pixels, 8, 8);
      const [right] = colorAt(pixels, 56, 8);
      assert.ok(left > 232 && left < 250, `${transfer}: diffuse white came out as ${left}`);
      assert.ok(right > left && right <= 255, `${transfer}: a highlight came out as ${right}`);
    }
  });
});

/** The same colour by BT.2020's primaries (BT.2087), with sRGB's curve. */
function toBt2020(color: Rgb): Rgb {
  const [r, g, b] = color.map((value) => {
    const v = value / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return [
    0.6274 * r + 0.3293 * g + 0.0433 * b,
    0.0691 * r + 0.9195 * g + 0.0114 * b,
    0.0164 * r + 0.088 * g + 0.8956 * b,
  ].map((light) =>
    Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055)),
  ) as Rgb;
}
