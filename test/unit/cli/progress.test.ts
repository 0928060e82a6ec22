import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ProgressBar } from '../../../src/cli/progress.ts';
import { columnsOf } from '../../../src/cli/text.ts';

function terminal(columns = 80) {
  const writes: string[] = [];
  return {
    writes,
    columns,
    write(text: string) {
      writes.push(text);
      return true;
    },
  };
}

const NAMES = ['IMG_0001.HEIC', 'a\nb.jpg'];

describe('the progress bar', () => {
  it('shows counts, rate, time left and the names in work', () => {
    const stream = terminal();
    let now = 0;
    const bar = new ProgressBar(stream, { color: false, now: () => now });
    now = 10_000;
    bar.update({ done: 20, total: 80, fraction: 0.25, running: NAMES });
    bar.end();
    assert.match(
      stream.writes[0]!,
      /█{6}░{18} {2}20\/80 {2}2\.0\/s {2}ETA 0:30 {2}IMG_0001\.HEIC, a\\nb\.jpg$/,
    );
    assert.equal(stream.writes.at(-1), '\r\x1b[2K', 'it leaves an empty line');
  });

  it('redraws at most ten times a second', () => {
    const stream = terminal();
    let now = 0;
    const bar = new ProgressBar(stream, { color: false, now: () => now });
    for (let i = 0; i < 1000; i++) {
      now = i;
      bar.update({ done: i, total: 1000, fraction: i / 1000, running: [] });
    }
    bar.end();
    assert.ok(stream.writes.length <= 11, `${stream.writes.length} writes`);
  });

  it('never takes more than a line, however narrow the terminal and long the names', () => {
    for (const columns of [10, 20, 40, 59, 60, 61, 80, 200]) {
      const stream = terminal(columns);
      const bar = new ProgressBar(stream, { color: true, now: () => 5_000 });
      bar.update({ done: 5, total: 100, fraction: 0.05, running: ['日本語'.repeat(60), ...NAMES] });
      bar.end();
      const line = stream.writes[0]!.replace('\r\x1b[2K', '');
      assert.ok(columnsOf(line) < columns, `${columns}: ${line}`);
      assert.ok(!line.includes('\n'));
    }
  });

  it('colours only when asked', () => {
    const draw = (color: boolean) => {
      const stream = terminal();
      const bar = new ProgressBar(stream, { color });
      bar.update({ done: 1, total: 2, fraction: 0.5, running: [] });
      bar.end();
      return stream.writes[0]!;
    };
    assert.match(draw(true), /\x1b\[32m/);
    assert.doesNotMatch(draw(false), /\x1b\[\d+m/);
  });

  it('steps aside for a line of text', () => {
    const stream = terminal();
    const bar = new ProgressBar(stream, { color: false });
    bar.update({ done: 0, total: 1, fraction: 0, running: [] });
    bar.above(() => stream.write('failed x\n'));
    bar.end();
    const at = stream.writes.indexOf('failed x\n');
    assert.equal(stream.writes[at - 1], '\r\x1b[2K');
  });
});
