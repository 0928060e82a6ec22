import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  columnsOf,
  fitColumns,
  formatBytes,
  formatDuration,
  padColumns,
  printable,
  wrap,
} from '../../../src/cli/text.ts';

describe('a name on the terminal', () => {
  it('shows control characters, bidi overrides and broken surrogates as escapes', () => {
    assert.equal(
      printable('a\nb\r\tc\x1b[31m\x9b\u202egpj\ud800'),
      'a\\nb\\r\\tc\\x1b[31m\\x9b\\u202egpj\ufffd',
    );
  });

  it('leaves every other script as it is', () => {
    for (const name of ['日本語.heic', '😀.png', 'cafe\u0301.jpg', 'it\'s "so".jpg', '$(touch x)']) {
      assert.equal(printable(name), name);
    }
  });

  it('counts the columns of wide, combined and coloured text', () => {
    assert.equal(columnsOf('abc'), 3);
    assert.equal(columnsOf('日本'), 4);
    assert.equal(columnsOf('e\u0301'), 1);
    assert.equal(columnsOf('👩‍👩‍👧'), 2);
    assert.equal(columnsOf('\x1b[32mab\x1b[0m'), 2);
    assert.equal(padColumns('日', 4), '日  ');
  });

  it('cuts the middle out of a long name and never exceeds the room', () => {
    assert.equal(fitColumns('abcdefghij', 5), 'ab…ij');
    for (const text of ['abcdefghij', '日本語日本語日本語', '😀😀😀😀😀😀']) {
      for (let room = 0; room < 22; room++)
        assert.ok(columnsOf(fitColumns(text, room)) <= room, `${text} ${room}`);
    }
  });
});

describe('figures', () => {
  it('shows bytes in decimal units without ever printing 1000.0', () => {
    assert.deepEqual([0, 999, 1000, 2_140_000, 999_960, 5e15].map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '2.1 MB',
      '1.0 MB',
      '5000.0 TB',
    ]);
  });

  it('shows durations from tenths of seconds to hours', () => {
    assert.deepEqual([940, 59_949, 59_950, 80_000, 3_723_000].map(formatDuration), [
      '0.9 s',
      '59.9 s',
      '1:00',
      '1:20',
      '1:02:03',
    ]);
  });

  it('wraps at spaces, and leaves a word that is too long whole', () => {
    assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
    assert.deepEqual(wrap('incomprehensible word', 5), ['incomprehensible', 'word']);
  });
});
