import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { UsageError } from '../../../src/cli/args.ts';
import { CONVERT_OPTIONS, readConvertOptions } from '../../../src/cli/convert-options.ts';
import { planToFlags } from '../../../src/contract/plan-codec.ts';
import { normalizePlan, parsePlan } from '../../../src/contract/plan-normal.ts';
import { tempDir } from '../../support/temp.ts';
import { plans } from '../contract/plan-arbitrary.ts';

const read = (...args: string[]) => readConvertOptions(['a.heic', ...args]);

const refused = (message: RegExp, ...args: string[]) =>
  assert.throws(
    () => read(...args),
    (error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, message);
      return true;
    },
  );

describe('the options of convert', () => {
  it('have names and letters of their own', () => {
    const names = CONVERT_OPTIONS.flatMap(({ name, alias }) => (alias ? [name, alias] : [name]));
    assert.equal(new Set(names).size, names.length);
  });

  it('make the default plan where none is given', () => {
    assert.deepEqual(read().plan, parsePlan({}));
  });

  it('become operations in the order given', () => {
    const { plan } = read('--rotate', '-90', '--width', '600', '--flip', '-f', 'webp', '-q80');
    assert.deepEqual(
      plan,
      parsePlan({
        operations: [{ op: 'rotate', angle: 270 }, { op: 'resize', width: 600 }, { op: 'flip' }],
        output: { format: 'webp', quality: 80 },
      }),
    );
  });

  it('read shorthands for sizes and for stripping', () => {
    const resized = (size: object) => parsePlan({ operations: [{ op: 'resize', ...size }] });
    assert.deepEqual(read('--size', '1200').plan, resized({ width: 1200, height: 1200 }));
    assert.deepEqual(read('--size', '1200x800').plan, resized({ width: 1200, height: 800 }));
    assert.deepEqual(read('--size', 'x800').plan, resized({ height: 800 }));
    assert.deepEqual(
      read('--size', '200x200', '--fit', 'cover').plan,
      resized({ width: 200, height: 200, fit: 'cover' }),
    );
    assert.equal(read('--strip').plan.output.metadata, 'strip');
    refused(/--size: expected 1200/, '--size', 'large');
    refused(/--size/, '--size', 'x');
  });

  it('read a whole plan from JSON, short form or a file', (t) => {
    const plan = { operations: [{ op: 'resize', width: 100 }], output: { format: 'png' } };
    const file = join(tempDir(t), 'plan.json');
    writeFileSync(file, JSON.stringify(plan));
    for (const spelling of [JSON.stringify(plan), 'w_100,f_png', file]) {
      assert.deepEqual(read('--plan', spelling).plan, parsePlan(plan), spelling);
    }
    refused(/no such file/, '--plan', 'missing.json');
    refused(/--plan/, '--plan', 'w_100', '--flip');
  });

  it('spell every operation of a plan, as the plan prints them', () => {
    fc.assert(
      fc.property(plans, (given) => {
        const plan = normalizePlan(given);
        // Watermarks are files here: see below.
        fc.pre(!plan.operations.some((op) => op.op === 'watermark' && op.image !== undefined));
        // The printed operations may ask for a model, which is looked for later.
        assert.deepEqual(readConvertOptions([...planToFlags(plan), '--', 'a.heic']).plan, plan);
      }),
    );
  });

  it('leave values out where they may be, and take no file for one', () => {
    const { plan, inputs } = read(
      '--trim',
      '--sharpen',
      'b.png',
      '--dither',
      'atkinson',
      'c.png',
      '--flatten',
      'fff',
    );
    assert.deepEqual(inputs, ['a.heic', 'b.png', 'c.png']);
    assert.deepEqual(
      plan.operations,
      parsePlan({
        operations: [
          { op: 'trim' },
          { op: 'sharpen' },
          { op: 'dither', method: 'atkinson' },
          { op: 'flatten', background: '#fff' },
        ],
      }).operations,
    );
    assert.equal(read('--vectorize', 'bw').plan.operations[0]?.op, 'vectorize');
    refused(/--dither: expected one of floyd-steinberg/, '--dither=ordered');
  });

  it('tell the removal of a background from the colour of a pad', () => {
    const [removal] = read('--background', 'grabcut', '--background-color', 'white').plan.operations;
    assert.deepEqual(removal, { op: 'background', method: 'grabcut', color: '#ffffff', mask: false });
    const [pad] = read('--size', '9', '--fit', 'pad', '--background', 'abc').plan.operations;
    assert.equal(pad?.op === 'resize' && pad.background, '#aabbcc');
    refused(/--mask: goes with --background, after it/, '--mask');
  });

  it('lay a file over the pictures, under an id that its content gives', (t) => {
    const root = tempDir(t);
    const [one, same, other] = ['one.png', 'same.png', 'other.png'].map((name) => join(root, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(one, 'content');
    writeFileSync(same, 'content');
    writeFileSync(other, 'another');
    const { plan, assets } = read('--watermark', one, '--watermark-opacity', '1');
    const [mark] = plan.operations;
    assert.ok(mark?.op === 'watermark' && mark.image !== undefined);
    // A UUID of version 8, whatever the bytes are.
    assert.match(mark.image, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.deepEqual(assets, { [mark.image]: one });
    assert.deepEqual(read('--watermark', same, '--watermark-opacity', '1').plan, plan);
    const both = read('--watermark', one, '--watermark', other);
    assert.equal(new Set(both.plan.operations.map((op) => op.op === 'watermark' && op.image)).size, 2);
    assert.deepEqual(Object.values(both.assets), [one, other]);
    assert.deepEqual(read().assets, {});
    refused(/--watermark: missing\.png: no such file/, '--watermark', 'missing.png');
    refused(/is a folder/, '--watermark', root);
    refused(/here that is --watermark <file>/, '--plan', `wm_${mark.image}`);
  });

  it('name the file of a model, which must be there', (t) => {
    const file = join(tempDir(t), 'matte.onnx');
    writeFileSync(file, '');
    assert.equal(read('--background', 'model', '--matte-model', file).matteModelPath, file);
    refused(/--matte-model: missing\.onnx is no file/, '--matte-model', 'missing.onnx');
  });

  it('name each wrong option as it was written', () => {
    refused(/^--width: expected .*\n--quality: expected/, '--width', 'wide', '--quality', 'good');
    refused(/--format.*did you mean jpeg/, '--format', 'jpeeg');
  });

  it('tell a file from a folder by what follows -o', (t) => {
    const root = tempDir(t);
    mkdirSync(join(root, 'album.jpg'));
    writeFileSync(join(root, 'taken'), '');
    assert.deepEqual(read('-o', 'out').destination, { kind: 'folder', path: 'out', flat: false });
    assert.deepEqual(read('-o', 'out.jpg/').destination, { kind: 'folder', path: 'out.jpg/', flat: false });
    assert.equal(read('-o', join(root, 'album.jpg')).destination.kind, 'folder');
    assert.deepEqual(read('-o', 'x.JPEG').destination, { kind: 'file', path: 'x.JPEG' });
    refused(/jxl is not a format that can be written/, '-o', 'photo.jxl');
    refused(/is a file/, '-o', join(root, 'taken'));
  });

  it('take the format from the name of the output file, and refuse a contradiction', () => {
    assert.equal(read('-o', 'x.webp').plan.output.format, 'webp');
    assert.equal(read('-o', 'x.tif').plan.output.format, 'tiff');
    assert.equal(read('-o', 'x.jpg', '-f', 'jpg').plan.output.format, 'jpeg');
    refused(/named as PNG but the format asked for is WEBP/, '-o', 'x.png', '-f', 'webp');
    assert.equal(read('-o', 'x.png').plan.output.format, 'png');
    assert.equal(read('-o', 'x.png', '-f', 'apng').plan.output.format, 'apng');
    assert.equal(read('-o', 'x.apng').plan.output.format, 'apng');
  });

  it('draw an SVG where they are asked to, and say so where only the name is one', () => {
    assert.equal(read('-o', 'x.svg', '--vectorize').plan.output.format, 'svg');
    refused(/x\.svg is named as SVG, which --vectorize makes/, '-o', 'x.svg');
    refused(/x\.svg is named as SVG/, '-o', 'x.svg', '-f', 'png');
    refused(/--format: svg is made by vectorize/, '-f', 'svg');
    refused(/named as PNG but the format asked for is SVG/, '-o', 'x.png', '--vectorize');
  });

  it('refuse what makes no sense together, and what is out of range', () => {
    refused(/--jobs: expected a whole number from 1 to 256/, '-j', '0');
    refused(/--jobs/, '-j', 'many');
    refused(/contradict/, '--force', '--skip-existing');
    refused(/--flat needs an output folder/, '--flat');
    assert.throws(() => readConvertOptions([]), UsageError);
  });
});
