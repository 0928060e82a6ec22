import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONVERT_OPTIONS, readConvertOptions } from '../../../src/cli/convert-options.ts';
import { helpFor } from '../../../src/cli/help.ts';
import { INFO_OPTIONS } from '../../../src/cli/info.ts';
import { EXPLAIN_OPTIONS, readExplainRequest } from '../../../src/cli/plan.ts';
import { PICTURE_OPTIONS } from '../../../src/cli/plan-options.ts';
import { columnsOf } from '../../../src/cli/text.ts';
import { readTokenRequest, TOKEN_OPTIONS } from '../../../src/cli/token.ts';

describe('the help', () => {
  it('tells about every option', () => {
    for (const { name, help } of CONVERT_OPTIONS) {
      assert.match(helpFor('convert', 80), new RegExp(`--${name}\\b`));
      assert.ok(help.length > 3, name);
    }
    for (const { name } of [...EXPLAIN_OPTIONS, ...PICTURE_OPTIONS]) {
      assert.match(helpFor('plan', 80), new RegExp(`--${name}\\b`));
    }
    for (const { name } of TOKEN_OPTIONS) assert.match(helpFor('token', 80), new RegExp(`--${name}\\b`));
    for (const { name } of INFO_OPTIONS) assert.match(helpFor('info', 80), new RegExp(`--${name}\\b`));
  });

  it('puts the options of a picture together by what they are about, each once', () => {
    const help = helpFor('convert', 80);
    for (const { name } of CONVERT_OPTIONS) {
      const rows = help.match(new RegExp(`^  (?:    |-\\w, )--${name}(?= |$)`, 'gm')) ?? [];
      assert.equal(rows.length, 1, name);
    }
    assert.match(help, /^Size and shape\n(?: .*\n)*? {6}--crop .*\n(?: .*\n)*\nColour and sharpness\n/m);
    assert.match(help, /--trim \[0-255\]/);
  });

  it('keeps to 80 columns, and to fewer where the terminal has fewer', () => {
    for (const topic of ['convert', 'plan', 'info', 'serve', 'token'] as const) {
      for (const [columns, limit] of [
        [undefined, 80],
        [300, 80],
        [60, 60],
      ] as const) {
        const long = helpFor(topic, columns)
          .split('\n')
          // Examples are to be copied: they are not broken.
          .filter((line) => columnsOf(line) > limit && !line.startsWith('    '));
        assert.deepEqual(long, [], `${topic} at ${columns}`);
      }
      const examples = helpFor(topic, 80)
        .split('\n')
        .filter((line) => columnsOf(line) > 80);
      assert.deepEqual(examples, []);
    }
  });

  it('shows examples that the parser takes', () => {
    const lines = helpFor('convert', 80).match(/(?<=^ {4}tintype convert ).*/gm) ?? [];
    assert.ok(lines.length >= 5);
    for (const line of lines) {
      const args = line.replace(/ \|.*/, '').replaceAll("'", '').split(' ');
      assert.doesNotThrow(() => readConvertOptions(args), line);
    }
    const plans = helpFor('plan', 80).match(/(?<=^ {4}tintype plan ).*/gm) ?? [];
    assert.ok(plans.length >= 3);
    for (const line of plans) {
      assert.doesNotThrow(() => readExplainRequest(line.replace(/ \|.*/, '').split(' ')), line);
    }
    const tokens = helpFor('token', 80).match(/(?<=tintype token )[^)<\n]*(?=\)|$)/gm) ?? [];
    assert.ok(tokens.length >= 3);
    for (const line of tokens) assert.doesNotThrow(() => readTokenRequest(line.split(' ')), line);
  });
});
