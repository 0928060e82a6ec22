import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import sharp from 'sharp';
import { UsageError } from '../../../src/cli/args.ts';
import { plan } from '../../../src/cli/plan.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { tempDir } from '../../support/temp.ts';

function gathering() {
  const gathered = { text: '' };
  const stream = new Writable({
    write(chunk, _encoding, done) {
      gathered.text += chunk;
      done();
    },
  }) as unknown as NodeJS.WriteStream;
  return { gathered, stream };
}

async function run(...args: string[]) {
  const [out, err] = [gathering(), gathering()];
  const { signal } = new AbortController();
  const status = await plan(['explain', ...args], {
    signal,
    env: {},
    stdout: out.stream,
    stderr: err.stream,
  });
  return { status, stdout: out.gathered.text, stderr: err.gathered.text };
}

const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);

async function file(t: TestContext, name: string): Promise<string> {
  const path = join(tempDir(t), name);
  const image = sharp({ create: { width: 60, height: 40, channels: 4, background: '#0008' } });
  writeFileSync(path, await image.png().toBuffer());
  return path;
}

describe('tintype plan explain', () => {
  it('says step by step what is done, with sizes, and how else the plan is written', async () => {
    const { status, stdout } = await run(
      '--plan',
      'crop_0_0_800_600,w_400,rotate_90,f_webp,q_80',
      '--source-size',
      '4000x3000',
    );
    assert.equal(status, 0);
    assert.match(stdout, /^What is done\n {2}1\. Keep 800×600 px/);
    assert.match(
      stdout,
      /→ 400×300 px\n {2}3\. Turn by 90° clockwise\. → 300×400 px\n {2}4\. Write WebP, quality 80;/,
    );
    assert.match(stdout, /^ {2}in a URL +crop_0_0_800_600,w_400,rotate_90,f_webp,q_80$/m);
    assert.match(
      stdout,
      /^ {2}as options +--crop 0,0,800,600 --width 400 --rotate 90 --format webp --quality 80$/m,
    );
    assert.match(stdout, /^ {2}as JSON +\{"operations":/m);
    for (const line of stdout.split('The same plan')[0]!.split('\n')) assert.ok(line.length <= 80, line);
  });

  it('tells the same as JSON', async () => {
    const told = await json(
      '--width',
      '30',
      '-f',
      'png',
      '-q',
      '3',
      '--dpi',
      '254',
      '--source-size',
      '60x40',
    );
    assert.deepEqual(
      told.plan,
      parsePlan({ operations: [{ op: 'resize', width: 30 }], output: { format: 'png', dpi: 254 } }),
    );
    assert.equal(told.segment, 'w_30,f_png,dpi_254');
    assert.deepEqual(told.operations[0].size, { width: 30, height: 20 });
    assert.deepEqual([told.output.width_mm, told.output.height_mm], [3, 2]);
    assert.deepEqual(told.without_effect, ['quality has no effect on PNG']);
    assert.deepEqual(told.warnings, []);
  });

  it('looks at a file for its size and for what it would lose', async (t) => {
    const told = await json('--size', '30', await file(t, 'a.png'));
    assert.deepEqual(told.output.size, { width: 30, height: 20 });
    assert.match(told.warnings[0], /JPEG here has no transparency/);
  });

  it('knows no size where only the pixels tell it', async () => {
    const told = await json('--trim', '--width', '30', '--source-size', '60x40');
    assert.deepEqual(
      told.operations.map(({ size }: { size: unknown }) => size),
      [null, null],
    );
    assert.equal('size' in (await json('--width', '30')).output, false);
  });

  it('writes a command that a shell takes as it is', async () => {
    const { stdout } = await run('--watermark-text', "it's $HOME", '--watermark-text=-x');
    assert.match(stdout, /--watermark-text 'it'\\''s \$HOME' --watermark-text=-x --format jpeg/);
  });

  it('fails where the plan cannot be applied, or the file is no picture', async (t) => {
    const before = await run('--crop', '70,0,60,40', '--source-size', '60x40');
    assert.equal(before.status, 1);
    assert.match(before.stderr, /^failed: The plan is invalid/);
    const outside = await run('--crop', '70,0,60,40', await file(t, 'a.png'));
    assert.equal(outside.status, 1);
    assert.match(outside.stderr, /^failed .*a\.png: The plan is invalid/);
    const text = join(tempDir(t), 'text.jpg');
    writeFileSync(text, 'no picture');
    const { status, stderr } = await run(text);
    assert.equal(status, 1);
    assert.match(stderr, /^failed .*text\.jpg: Not a supported image/);
  });

  it('refuses what it does not understand', async () => {
    const usage = (message: RegExp) => (error: Error) =>
      error instanceof UsageError && message.test(error.message);
    await assert.rejects(run('--width', 'wide'), usage(/--width: expected a number/));
    await assert.rejects(run('a.png', 'b.png'), usage(/one file at most/));
    await assert.rejects(run('--source-size', '40'), usage(/expected a size such as 4000x3000/));
    await assert.rejects(run('--source-size', '4x3', 'a.png'), usage(/a size of its own/));
    const { signal } = new AbortController();
    const { stream } = gathering();
    const context = { signal, env: {}, stdout: stream, stderr: stream };
    await assert.rejects(plan([], context), usage(/tintype plan explain/));
    await assert.rejects(plan(['explian'], context), usage(/did you mean explain/));
  });
});
