import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { UsageError } from '../../../src/cli/args.ts';
import {
  PICTURE_OPTIONS,
  RUN_OPTIONS,
  readConvertOptions,
  SUGAR_OPTIONS,
} from '../../../src/cli/convert-options.ts';
import { parsePlan } from '../../../src/contract/plan-normal.ts';
import { tempDir } from '../../support/temp.ts';

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
    const all = [...RUN_OPTIONS, ...SUGAR_OPTIONS, ...PICTURE_OPTIONS];
    const names = all.flatMap(({ name, alias }) => (alias ? [name, alias] : [name]));
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
  });

  it('refuse what makes no sense together, and what is out of range', () => {
    refused(/--jobs: expected a whole number from 1 to 256/, '-j', '0');
    refused(/--jobs/, '-j', 'many');
    refused(/contradict/, '--force', '--skip-existing');
    refused(/--flat needs an output folder/, '--flat');
    assert.throws(() => readConvertOptions([]), UsageError);
  });
});
