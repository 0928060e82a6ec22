import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { UsageError } from '../../../src/cli/args.ts';
import { readSignRequest } from '../../../src/cli/sign.ts';
import { readTransformPlan } from '../../../src/contract/transform-url.ts';

const ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';
const read = (...args: string[]) => readSignRequest([ID, ...args]);

describe('tintype sign', () => {
  test('reads the options of a picture in their order, and the format as the extension', () => {
    const cases: [args: string[], plan: string, ext: string][] = [
      [[], '-', ''],
      [['--width', '600', '--format', 'webp'], 'w_600', 'webp'],
      [
        ['-w', '600', '--height', '400', '--fit', 'cover', '-q', '80', '-f', 'jpeg'],
        'w_600,h_400,fit_cover,q_80',
        'jpg',
      ],
      [['--crop', '1,2,30,40', '--flip', '--flatten'], 'crop_1_2_30_40,flip,flatten', ''],
      [['-w', 'auto', '--dpr', 'auto', '--image-version', '3'], 'w_auto,dpr_auto,v_3', ''],
      [['--preset', 'web.medium'], 'preset_web.medium', ''],
      [['--plan', 'w_300,dpr_2'], 'w_300,dpr_2', ''],
      [['--plan', '{"operations":[{"op":"flip"}],"output":{"format":"png"}}'], 'flip,f_png', ''],
    ];
    for (const [args, plan, ext] of cases) {
      const request = read(...args);
      assert.deepEqual([request.plan, request.ext], [plan, ext], args.join(' '));
    }
  });

  test('writes a text so that it reads back', () => {
    const { plan } = read('--watermark-text', '©Zoë, a_b');
    const [operation] = readTransformPlan(plan).as('webp').operations;
    assert.equal(operation?.op === 'watermark' && operation.text, '©Zoë, a_b');
  });

  test('reads how long the URL holds and where it leads', () => {
    const { expiresInSeconds, base } = read('--expires', '90m', '--base', 'https://x.org/images');
    assert.deepEqual([expiresInSeconds, base], [5_400, 'https://x.org/images']);
    assert.deepEqual([read().expiresInSeconds, read().base], [undefined, undefined]);
  });

  for (const [args, message] of [
    [[], /needs the id of an image/],
    [['nope'], /expected the id of an image, got nope/],
    [[ID, ID], /takes one image/],
    [[ID, '--width', 'wide'], /^--width: expected a number, got "wide"/],
    [[ID, '--width', '600', '--width', '700'], /--width: given twice/],
    [[ID, '--expires', 'soon'], /--expires/],
    [[ID, '--base', 'x.org'], /--base/],
    [[ID, '--what'], /unknown option/],
  ] as [string[], RegExp][]) {
    test(`says what it did not understand: ${args.slice(-2).join(' ')}`, () => {
      assert.throws(
        () => readSignRequest(args),
        (error) => {
          assert.ok(error instanceof UsageError);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});
