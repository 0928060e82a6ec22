/** Every edit from the command line, as people run it: measured in the pixels of the files that come out. */
import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import sharp from 'sharp';
import { Desk } from '../support/desk.ts';

/** One child process, without exiftool. */
const QUICK = ['--strip', '-j1'];

const pixelsOf = async (bytes: Buffer) => {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => [
    ...data.subarray((y * info.width + x) * info.channels, (y * info.width + x + 1) * info.channels),
  ];
  return { data, width: info.width, height: info.height, channels: info.channels, at };
};

describe('tintype convert', () => {
  /** Left half red, right half blue, with a white border of 10 px: 100×60. */
  let halves: Buffer;
  let mark: Buffer;

  before(async () => {
    const half = (background: string) =>
      sharp({ create: { width: 40, height: 40, channels: 3, background } })
        .png()
        .toBuffer();
    halves = await sharp({ create: { width: 100, height: 60, channels: 3, background: 'white' } })
      .composite([
        { input: await half('#ff0000'), left: 10, top: 10 },
        { input: await half('#0000ff'), left: 50, top: 10 },
      ])
      .png()
      .toBuffer();
    mark = await sharp({ create: { width: 10, height: 10, channels: 4, background: '#00ff00' } })
      .png()
      .toBuffer();
  });

  /** Converts `halves` and gives the pixels of what comes out. */
  const convert = async (t: TestContext, ...args: string[]) => {
    const desk = new Desk(t);
    desk.put('in.png', halves);
    desk.put('mark.png', mark);
    const { status, stderr } = await desk.run('convert', ...QUICK, 'in.png', '-o', 'out.png', ...args);
    assert.equal(status, 0, stderr);
    return pixelsOf(desk.read('out.png'));
  };

  it('crops, turns and mirrors in the order given', async (t) => {
    const { width, height, at } = await convert(t, '--crop', '10,10,80,40', '--rotate', '90', '--flip');
    assert.deepEqual([width, height], [40, 80]);
    // Red was left; the turn brought it to the top, the mirror to the bottom.
    assert.deepEqual(
      [at(20, 70).slice(0, 3), at(20, 10).slice(0, 3)],
      [
        [255, 0, 0],
        [0, 0, 255],
      ],
    );
  });

  it('fills the rest of a pad', async (t) => {
    const { at } = await convert(t, '--size', '120x120', '--fit', 'pad', '--fill', '00ff00');
    assert.deepEqual(at(60, 2).slice(0, 3), [0, 255, 0]);
  });

  it('makes a picture as large in print as it is asked to', async (t) => {
    const desk = new Desk(t);
    desk.put('in.png', halves);
    const run = await desk.run(
      'convert',
      ...QUICK,
      'in.png',
      '-w',
      '20',
      '--unit',
      'mm',
      '--dpi',
      '254',
      '-o',
      'out.jpg',
    );
    assert.equal(run.status, 0, run.stderr);
    const { width, density } = await sharp(desk.read('out.jpg')).metadata();
    assert.deepEqual([width, density], [200, 254]);
  });

  it('trims a plain border off', async (t) => {
    const { width, height, at } = await convert(t, '--trim');
    assert.deepEqual([width, height], [80, 40]);
    assert.deepEqual(at(0, 0).slice(0, 3), [255, 0, 0]);
  });

  it('adjusts colours', async (t) => {
    const { at } = await convert(t, '--saturation', '0');
    const [red, green, blue] = at(20, 30);
    assert.ok(Math.max(red!, green ?? red!, blue ?? red!) - Math.min(red!, green ?? red!, blue ?? red!) <= 2);
  });

  it('makes black and white in points', async (t) => {
    const { data } = await convert(t, '--grayscale', '--dither', 'bayer');
    const levels = new Set(data);
    assert.ok(
      [...levels].every((level) => level === 0 || level === 255),
      [...levels].join(' '),
    );
    assert.equal(levels.size, 2);
  });

  it('lays a file over the picture', async (t) => {
    const args = [
      '--watermark',
      'mark.png',
      '--watermark-opacity',
      '1',
      '--watermark-margin',
      '0',
      '--watermark-scale',
      '0.1',
    ];
    const { at } = await convert(t, ...args);
    assert.deepEqual(at(95, 55).slice(0, 3), [0, 255, 0]);
    assert.deepEqual(at(5, 5).slice(0, 3), [255, 255, 255]);
  });

  it('writes a text over the picture', async (t) => {
    const plain = await convert(t);
    const marked = await convert(
      t,
      '--watermark-text',
      'Zoë',
      '--watermark-color',
      '000000',
      '--watermark-opacity',
      '1',
      '--watermark-scale',
      '0.5',
    );
    assert.notDeepEqual(marked.data, plain.data);
  });

  it('removes the background', async (t) => {
    const { channels, at } = await convert(t, '--background', 'grabcut');
    assert.equal(channels, 4);
    assert.ok(at(2, 2)[3]! < 10, `the border has alpha ${at(2, 2)[3]}`);
    assert.ok(at(50, 30)[3]! > 245, `the middle has alpha ${at(50, 30)[3]}`);
  });

  it('draws shapes, under a name that says so', async (t) => {
    const desk = new Desk(t);
    desk.put('in.png', halves);
    const { status, stdout, stderr } = await desk.run('convert', ...QUICK, 'in.png', '--vectorize');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /in\.png → in\.svg/);
    const svg = desk.read('in.svg').toString();
    assert.match(svg, /<svg[^>]*>[\s\S]*<path/);
    const { at } = await pixelsOf(await sharp(Buffer.from(svg)).resize(100, 60).png().toBuffer());
    assert.ok(at(30, 30)[0]! > 200 && at(30, 30)[2]! < 60, at(30, 30).join(' '));
  });

  it('keeps an animation moving as APNG', async (t) => {
    const desk = new Desk(t);
    const frame = (background: string) => ({
      create: { width: 20, height: 20, channels: 3 as const, background },
    });
    const frames = [await sharp(frame('red')).png().toBuffer(), await sharp(frame('blue')).png().toBuffer()];
    desk.put(
      'in.gif',
      await sharp(frames, { join: { animated: true } })
        .gif({ delay: [100, 200] })
        .toBuffer(),
    );
    const { status, stdout, stderr } = await desk.run('convert', ...QUICK, 'in.gif', '-f', 'apng');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /in\.gif → in\.png/);
    assert.ok(desk.read('in.png').includes('acTL'));
  });

  it('refuses before anything is done what can be known before', async (t) => {
    const desk = new Desk(t);
    desk.put('in.png', halves);
    for (const [args, message] of [
      [['-o', 'out.svg'], /out\.svg is named as SVG, which --vectorize makes of a picture/],
      [['--background', 'model'], /--background model needs a model: --matte-model/],
      [['--vectorize', '--flip'], /--vectorize: vectorize must be the last operation/],
    ] as const) {
      const { status, stderr, stdout } = await desk.run('convert', 'in.png', ...args);
      assert.equal(status, 2, args.join(' '));
      assert.match(stderr, message);
      assert.equal(stdout, '');
    }
    assert.deepEqual(desk.files(), ['in.png']);
  });
});

describe('tintype plan explain', () => {
  it('tells what a plan will do with a file, and how else it is written', async (t) => {
    const desk = new Desk(t);
    desk.put(
      'in.png',
      await sharp({ create: { width: 60, height: 40, channels: 4, background: '#0008' } })
        .png()
        .toBuffer(),
    );
    const { status, stdout, stderr } = await desk.run(
      'plan',
      'explain',
      '--size',
      '30',
      '--rotate',
      '90',
      'in.png',
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /1\. Resize to fit within 30×30 px\. Small pictures stay small\. → 30×20 px/);
    assert.match(stdout, /2\. Turn by 90° clockwise\. → 20×30 px/);
    assert.match(stdout, /Worth knowing\n {2}- JPEG here has no transparency/);
    assert.match(stdout, /in a URL +w_30,h_30,rotate_90,f_jpeg\n/);
    assert.deepEqual(desk.files(), ['in.png']);
  });

  it('ends with 2 where the plan is wrong, and with 1 where the file is', async (t) => {
    const desk = new Desk(t);
    desk.put('text.jpg', 'no picture');
    const wrong = await desk.run('plan', 'explain', '--widht', '30');
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /unknown option --widht; did you mean --width\?/);
    const failed = await desk.run('plan', 'explain', 'text.jpg');
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /^failed text\.jpg: /);
    assert.match((await desk.run('help', 'plan')).stdout, /^Usage: tintype plan explain/);
  });
});
