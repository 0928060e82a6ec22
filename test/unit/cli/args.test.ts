import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HelpRequested, type OptionSpec, parseCommandLine, UsageError } from '../../../src/cli/args.ts';

const SPECS: OptionSpec[] = [
  { name: 'width', alias: 'w', value: 'px', help: '' },
  { name: 'quality', alias: 'q', value: 'n', help: '' },
  { name: 'rotate', value: 'degrees', help: '' },
  { name: 'recursive', alias: 'r', help: '' },
];

const refused = (args: string[], message: RegExp) =>
  assert.throws(
    () => parseCommandLine(args, SPECS),
    (error) => error instanceof UsageError && message.test(error.message),
  );

describe('the argument parser', () => {
  it('keeps the order of options, repeats included', () => {
    const { options } = parseCommandLine(['-w', '1', '--rotate=90', '-r', '--width', '2'], SPECS);
    assert.deepEqual(options, [
      { name: 'width', value: '1' },
      { name: 'rotate', value: '90' },
      { name: 'recursive', value: true },
      { name: 'width', value: '2' },
    ]);
  });

  it('reads the ways in which a value can be given', () => {
    for (const args of [
      ['-q', '80'],
      ['-q80'],
      ['-q=80'],
      ['--quality', '80'],
      ['--quality=80'],
      ['-rq', '80'],
    ]) {
      assert.equal(parseCommandLine(args, SPECS).value('quality'), '80', args.join(' '));
    }
  });

  it('takes a negative number for a value, and another option for a missing one', () => {
    assert.equal(parseCommandLine(['--rotate', '-90'], SPECS).value('rotate'), '-90');
    refused(['--width', '--recursive'], /--width needs a value: --width <px>/);
    refused(['--width'], /needs a value/);
    refused(['--width='], /needs a value/);
  });

  it('takes what follows for a value that may be left out where it looks like one', () => {
    const specs: OptionSpec[] = [
      ...SPECS,
      { name: 'trim', value: 'n', optional: (text) => /^\d+$/.test(text), help: '' },
    ];
    const read = (...args: string[]) => {
      const { options, positionals } = parseCommandLine(args, specs);
      return [...options.map(({ name, value }) => `${name}=${value}`), ...positionals];
    };
    assert.deepEqual(read('--trim', '5', 'a.jpg'), ['trim=5', 'a.jpg']);
    assert.deepEqual(read('--trim', 'a.jpg'), ['trim=true', 'a.jpg']);
    assert.deepEqual(read('--trim', './5'), ['trim=true', './5']);
    assert.deepEqual(read('--trim', '--', '5'), ['trim=true', '5']);
    assert.deepEqual(read('--trim', '-r', '5'), ['trim=true', 'recursive=true', '5']);
    assert.deepEqual(read('--trim=5', '7'), ['trim=5', '7']);
    assert.deepEqual(read('--trim=', 'a.jpg'), ['trim=true', 'a.jpg']);
    assert.deepEqual(read('--trim=x'), ['trim=x']);
    assert.deepEqual(read('a.jpg', '--trim'), ['trim=true', 'a.jpg']);
  });

  it('takes everything after -- for inputs', () => {
    assert.deepEqual(parseCommandLine(['a', '--', '-w', '--x'], SPECS).positionals, ['a', '-w', '--x']);
  });

  it('names an unknown option and what was probably meant', () => {
    refused(['--widht', '1'], /unknown option --widht; did you mean --width\?/);
    refused(['--zzzzzz'], /unknown option --zzzzzz$/);
    refused(['-x'], /unknown option -x/);
    refused(['--__proto__'], /unknown option/);
  });

  it('stops reading where help is asked for', () => {
    const specs = [...SPECS, { name: 'help', alias: 'h', help: '' }];
    assert.throws(() => parseCommandLine(['-rh', '--nonsense'], specs), HelpRequested);
    assert.deepEqual(parseCommandLine(['--', '-h'], specs).positionals, ['-h']);
  });

  it('refuses a value for a switch', () => {
    refused(['--recursive=yes'], /--recursive takes no value/);
  });
});
