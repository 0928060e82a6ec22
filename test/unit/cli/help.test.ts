import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  PICTURE_OPTIONS,
  RUN_OPTIONS,
  readConvertOptions,
  SUGAR_OPTIONS,
} from '../../../src/cli/convert-options.ts';
import { helpFor } from '../../../src/cli/help.ts';
import { INFO_OPTIONS } from '../../../src/cli/info.ts';
import { columnsOf } from '../../../src/cli/text.ts';
import { readTokenRequest, TOKEN_OPTIONS } from '../../../src/cli/token.ts';

describe('the help', () => {
  it('tells about every option', () => {
    for (const { name, help } of [...RUN_OPTIONS, ...SUGAR_OPTIONS, ...PICTURE_OPTIONS]) {
      assert.match(helpFor('convert', 80), new RegExp(`--${name}\\b`));
      assert.ok(help.length > 3, name);
    }
    for (const { name } of TOKEN_OPTIONS) assert.match(helpFor('token', 80), new RegExp(`--${name}\\b`));
    for (const { name } of INFO_OPTIONS) assert.match(helpFor('info', 80), new RegExp(`--${name}\\b`));
  });

  it('keeps to 80 columns, and to fewer where the terminal has fewer', () => {
    for (const topic of ['convert', 'info', 'serve', 'token'] as const) {
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
    const tokens = helpFor('token', 80).match(/(?<=tintype token )[^)<\n]*(?=\)|$)/gm) ?? [];
    assert.ok(tokens.length >= 3);
    for (const line of tokens) assert.doesNotThrow(() => readTokenRequest(line.split(' ')), line);
  });
});
