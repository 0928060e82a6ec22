import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import type { Plan } from '../../../src/contract/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS, endExiftool, type Limits, render } from '../../../src/engine/index.ts';
import { runExiftool } from '../../../src/engine/metadata/exiftool.ts';
import { adobeRgbProfile, withJpegIcc } from '../../../src/engine/metadata/icc.ts';
import { Problem } from '../../../src/problem.ts';
import { decodePixels, meanDeltaE } from '../../support/compare.ts';
import { fixture } from '../../support/fixtures.ts';
import { tempDir } from '../../support/temp.ts';

const dir = tempDir({ after });
after(() => endExiftool());

/** A smooth picture in which position and colour are tied, so that a wrong crop, turn or colour shows. */
function gradient(width: number, height: number, alpha = false): Sharp {
  const channels = alpha ? 4 : 3;
  const data = Buffer.alloc(width * height * channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += channels) {
      data[i] = (x * 255) / width;
      data[i + 1] = (y * 255) / height;
      data[i + 2] = 128;
      if (alpha) data[i + 3] = x < width / 2 ? 0 : 255;
    }
  }
  return sharp(data, { raw: { width, height, channels } });
}

let count = 0;
async function make(
  bytes: Buffer,
  plans: Plan[],
  more: { placeholders?: boolean; limits?: Partial<Limits> } = {},
) {
  const outDir = join(dir, String(count++));
  await mkdir(outDir);
  const sourcePath = join(outDir, 'source');
  await writeFile(sourcePath, bytes);
  const published: number[] = [];
  const result = await render({
    sourcePath,
    outDir,
    plans: plans.map((plan) => parsePlan({ ...plan, output: { metadata: 'strip', ...plan.output } })),
    limits: { ...DEFAULT_LIMITS, ...more.limits },
    ...(more.placeholders && { placeholders: true }),
    onRendition: ({ width }) => published.push(width),
  });
  return { ...result, published };
}

const fit = (side: number): Plan => ({
  operations: [{ op: 'resize', width: side, height: side }],
  output: { format: 'png' },
});

const rejectsWith = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;

test('one call for many sizes gives the pictures that single calls give, small ones first', async () => {
  const source = await gradient(1600, 1200).jpeg({ quality: 95 }).toBuffer();
  const sides = [1200, 150, 600];
  const together = await make(source, sides.map(fit), { placeholders: true });
  assert.deepEqual(together.published, [150, 600, 1200]);
  assert.deepEqual(
    together.renditions.map((r) => r.width),
    sides,
  );
  for (const [i, side] of sides.entries()) {
    const [alone] = (await make(source, [fit(side)])).renditions;
    const a = await decodePixels(together.renditions[i]!.path);
    assert.ok(meanDeltaE(a, await decodePixels(alone!.path)) < 0.5, `${side} px differs`);
  }
  assert.match(together.placeholders!.dominantColor, /^#[0-9a-f]{6}$/);
  assert.equal(together.placeholders!.blurhash.length, 28);
});

test('the first frame stands in for a picture of which every rendition moves', async () => {
  const source = await readFile(fixture('gif-animated.gif'));
  const moving: Plan = { output: { format: 'webp' } };
  const { renditions, placeholders } = await make(source, [moving], { placeholders: true });
  assert.equal((await sharp(renditions[0]!.path).metadata()).pages, 4);
  const still: Plan = { output: { format: 'png' } };
  assert.deepEqual(placeholders, (await make(source, [still], { placeholders: true })).placeholders);
});

test('crops, turns and plain sizes of one PNG come from one decode and agree with sharp alone', async () => {
  const source = await gradient(400, 300).png().toBuffer();
  const { renditions } = await make(source, [
    {
      operations: [
        { op: 'crop', left: 40, top: 30, width: 200, height: 100 },
        { op: 'rotate', angle: 90 },
      ],
      output: { format: 'png' },
    },
    {
      operations: [{ op: 'resize', width: 100, height: 100, fit: 'cover', gravity: 'west' }],
      output: { format: 'png' },
    },
    fit(100),
  ]);
  const expected = [
    await sharp(await sharp(source).extract({ left: 40, top: 30, width: 200, height: 100 }).png().toBuffer())
      .rotate(90)
      .png()
      .toBuffer(),
    await sharp(source).resize(100, 100, { fit: 'cover', position: 'left' }).png().toBuffer(),
    await sharp(source).resize(100, 75).png().toBuffer(),
  ];
  for (const [i, rendition] of renditions.entries()) {
    assert.ok(
      meanDeltaE(await decodePixels(rendition.path), await decodePixels(expected[i]!)) < 0.6,
      `plan ${i}`,
    );
  }
});

test('transparent pixels become the background in JPEG and BMP, never black, and stay in PNG and WebP', async () => {
  const source = await gradient(64, 64, true).png().toBuffer();
  const { renditions } = await make(source, [
    { output: { format: 'jpeg' } },
    { output: { format: 'bmp', background: '#0000ff' } },
    { output: { format: 'webp', lossless: true } },
  ]);
  const corner = async (path: string) => [...(await sharp(path).raw().toBuffer()).subarray(0, 4)];
  assert.ok((await corner(renditions[0]!.path)).slice(0, 3).every((v) => v > 250));
  const bmp = await render({
    sourcePath: renditions[1]!.path,
    outDir: dir,
    plans: [parsePlan({ output: { format: 'png', metadata: 'strip' } })],
    limits: DEFAULT_LIMITS,
  });
  assert.deepEqual((await corner(bmp.renditions[0]!.path)).slice(0, 3), [0, 0, 255]);
  assert.equal((await corner(renditions[2]!.path))[3], 0);
});

test('16 bits a channel stay 16 in PNG and TIFF, with or without a profile, and colours hold', async () => {
  const wide = await gradient(80, 60).toColourspace('rgb16').withIccProfile('p3').png().toBuffer();
  const plain = await gradient(80, 60).toColourspace('rgb16').png().toBuffer();
  for (const source of [wide, plain]) {
    const { renditions, facts } = await make(source, [
      { output: { format: 'png' } },
      { output: { format: 'tiff' } },
      { output: { format: 'jpeg', quality: 100 } },
    ]);
    assert.equal(facts.bitDepth, 16);
    const reference = await decodePixels(await gradient(80, 60).png().toBuffer());
    for (const [i, { path }] of renditions.entries()) {
      assert.equal((await sharp(path).metadata()).depth, i < 2 ? 'ushort' : 'uchar');
      assert.ok(meanDeltaE(await decodePixels(path), reference) < 1.2, `${facts.iccProfile}: plan ${i}`);
    }
  }
});

async function animation(format: 'gif' | 'webp', frames = 4): Promise<Buffer> {
  const pictures = await Promise.all(
    Array.from({ length: frames }, (_, i) =>
      sharp({
        create: {
          width: 40,
          height: 30,
          channels: 4,
          background: { r: i * 60, g: 255 - i * 60, b: 90, alpha: 1 },
        },
      })
        .png()
        .toBuffer(),
    ),
  );
  const joined = sharp(pictures, { join: { animated: true } });
  const delay = Array.from({ length: frames }, (_, i) => 100 + i * 20);
  return format === 'gif'
    ? joined.gif({ delay, loop: 3 }).toBuffer()
    : joined.webp({ delay, loop: 3 }).toBuffer();
}

test('an animation stays one in WebP and GIF, with its delays, and is its first frame in JPEG', async () => {
  for (const format of ['gif', 'webp'] as const) {
    const source = await animation(format);
    const { renditions } = await make(source, [
      { operations: [{ op: 'resize', width: 20 }], output: { format: 'webp' } },
      {
        operations: [
          { op: 'rotate', angle: 90 },
          { op: 'resize', width: 15 },
        ],
        output: { format: 'gif' },
      },
      { output: { format: 'jpeg' } },
      { operations: [{ op: 'frame', page: 2 }], output: { format: 'png' } },
    ]);
    assert.deepEqual(
      renditions.map((r) => [r.width, r.height, r.pages]),
      [
        [20, 15, 4],
        [15, 20, 4],
        [40, 30, 1],
        [40, 30, 1],
      ],
    );
    for (const { path } of renditions.slice(0, 2)) {
      const { delay, loop, pages } = await sharp(path, { pages: -1 }).metadata();
      assert.deepEqual({ delay, loop, pages }, { delay: [100, 120, 140, 160], loop: 3, pages: 4 });
    }
    const [red] = await sharp(renditions[3]!.path).raw().toBuffer();
    assert.ok(Math.abs(red! - 120) < 6, `frame 2 has red 120, got ${red}`);
  }
});

test('an animation over the frame or pixel limit is refused as one, and its first frame is not', async () => {
  const source = await animation('gif', 5);
  const plans: Plan[] = [{ output: { format: 'webp' } }];
  await assert.rejects(make(source, plans, { limits: { maxFrames: 4 } }), rejectsWith('too_many_frames'));
  await assert.rejects(make(source, plans, { limits: { maxPixels: 5_000 } }), rejectsWith('image_too_large'));
  await make(source, [{ output: { format: 'jpeg' } }], { limits: { maxFrames: 4, maxPixels: 5_000 } });
});

test('a page that does not exist is an invalid plan', async () => {
  await assert.rejects(
    make(await animation('gif'), [{ operations: [{ op: 'frame', page: 4 }], output: { format: 'png' } }]),
    rejectsWith('invalid_plan'),
  );
});

test('an SVG is drawn sharp at the size that is asked for', async () => {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><path d="M0 0h10v20H0z"/></svg>';
  const { renditions } = await make(Buffer.from(svg), [
    { operations: [{ op: 'resize', width: 400, enlarge: true }], output: { format: 'png' } },
  ]);
  const { data, info } = await sharp(renditions[0]!.path)
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [400, 400]);
  const alphaAt = (x: number) => data[(200 * 400 + x) * 4 + 3];
  assert.deepEqual([alphaAt(197), alphaAt(203)], [255, 0]); // a 20 px picture enlarged would be soft for 20 px here
});

test('a truncated JPEG is refused; bytes that belong to nothing between its markers are not', async () => {
  const jpeg = await gradient(200, 200).jpeg().toBuffer();
  await assert.rejects(make(jpeg.subarray(0, jpeg.length * 0.6), [fit(100)]), {
    code: 'undecodable_image',
    detail: 'JPEG: the file ends before its picture does.',
  });
  const scan = jpeg.indexOf(Buffer.from([0xff, 0xda]));
  const stray = Buffer.concat([jpeg.subarray(0, scan), Buffer.alloc(8), jpeg.subarray(scan)]);
  const plain = await make(jpeg, [fit(100)]);
  const odd = await make(stray, [fit(100)]);
  assert.deepEqual(await readFile(odd.renditions[0]!.path), await readFile(plain.renditions[0]!.path));
});

test('a turned picture is upright in every format, and no format says that it still has to be turned', async () => {
  for (const orientation of [3, 6, 7]) {
    const source = await gradient(60, 40).withMetadata({ orientation }).tiff().toBuffer();
    const [width, height] = orientation < 5 ? [60, 40] : [40, 60];
    for (const operations of [[], [{ op: 'crop', left: 2, top: 3, width: 20, height: 10 }]] as const) {
      const formats = ['jpeg', 'png', 'webp', 'tiff'] as const;
      const plans = formats.flatMap((format) =>
        (['keep', 'strip'] as const).map((metadata) => ({
          operations: [...operations],
          output: { format, metadata },
        })),
      );
      plans.push({
        operations: [...operations],
        output: { format: 'tiff', metadata: 'strip', depth: 1 },
      } as never);
      for (const { path, plan } of (await make(source, plans)).renditions) {
        const made = await sharp(path).metadata();
        const what = `${orientation} as ${JSON.stringify(plan.output)}`;
        assert.equal(made.orientation ?? 1, 1, what);
        assert.deepEqual([made.width, made.height], operations.length ? [20, 10] : [width, height], what);
      }
    }
  }
});

test('a picture of the same size whose pixels have moved keeps no position of the source’s', async () => {
  const sourcePath = join(dir, 'positions.jpg');
  await gradient(60, 40).jpeg().toFile(sourcePath);
  await runExiftool(['-overwrite_original', '-n', '-ExifIFD:SubjectArea=10 20 5 5', sourcePath]);
  const plans: Plan[] = [{ operations: [{ op: 'flop' }] }, { operations: [{ op: 'adjust', gamma: 2 }] }];
  const { renditions } = await make(
    await readFile(sourcePath),
    plans.map((plan) => ({ ...plan, output: { format: 'jpeg', metadata: 'keep' } })),
  );
  const { stdout } = await runExiftool(['-j', '-n', '-SubjectArea', ...renditions.map(({ path }) => path)]);
  assert.deepEqual(
    JSON.parse(stdout).map((tags: Record<string, unknown>) => tags.SubjectArea),
    [undefined, '10 20 5 5'],
  );
});

test('a signal that is aborted ends the work as cancelled', async () => {
  const sourcePath = join(dir, 'cancelled.png');
  await gradient(64, 64).png().toFile(sourcePath);
  await assert.rejects(
    render({
      sourcePath,
      outDir: dir,
      plans: [parsePlan({})],
      limits: DEFAULT_LIMITS,
      signal: AbortSignal.abort(),
    }),
    rejectsWith('cancelled'),
  );
});

test('a size that the output format cannot hold is an invalid plan that says what can', async () => {
  const source = await sharp({ create: { width: 20_000, height: 2, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  await assert.rejects(make(source, [{ output: { format: 'webp' } }]), rejectsWith('invalid_plan'));
});

test('a JPEG that says Adobe RGB in EXIF alone has the colours of one with the profile', async () => {
  const plain = await gradient(120, 90).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
  const camera = join(dir, 'camera.jpg');
  await writeFile(camera, plain);
  await runExiftool(['-overwrite_original', '-ColorSpace#=65535', '-InteropIndex=R03', camera]);
  const [said, tagged, untagged] = await Promise.all(
    [await readFile(camera), withJpegIcc(plain, adobeRgbProfile()), plain].map(async (bytes) => {
      const { renditions } = await make(bytes, [{ output: { format: 'png' } }]);
      return decodePixels(renditions[0]!.path);
    }),
  );
  assert.ok(meanDeltaE(said!, tagged!) < 0.05);
  assert.ok(meanDeltaE(said!, untagged!) > 1);
});
