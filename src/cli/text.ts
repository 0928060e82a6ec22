/** How names and figures look on a terminal. */
import { stripVTControlCharacters } from 'node:util';

/**
 * A file name as it may be shown: control characters (a name may hold line ends and terminal commands), bidi
 * overrides and unpaired surrogates are written as escapes, everything else as it is.
 */
export function printable(name: string): string {
  return name
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
      if (c === '\n') return '\\n';
      if (c === '\r') return '\\r';
      if (c === '\t') return '\\t';
      const code = c.charCodeAt(0);
      return code < 0x100
        ? `\\x${code.toString(16).padStart(2, '0')}`
        : `\\u${code.toString(16).padStart(4, '0')}`;
    });
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** East Asian wide and full-width blocks (Unicode TR 11); emoji are asked for by property. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

const graphemeColumns = (grapheme: string): number =>
  /^[\p{Mark}\u200b-\u200d]+$/u.test(grapheme)
    ? 0
    : WIDE.test(grapheme) || grapheme.includes('\ufe0f')
      ? 2
      : 1;

/** Columns that `text` takes on a terminal. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text)))
    columns += graphemeColumns(segment);
  return columns;
}

/** `text` cut to at most `maxColumns`; the end of a long name tells more than its middle, so both ends stay. */
export function fitColumns(text: string, maxColumns: number): string {
  if (columnsOf(text) <= maxColumns) return text;
  if (maxColumns <= 0) return '';
  const parts = [...graphemes.segment(text)].map((g) => g.segment);
  const tailColumns = Math.floor((maxColumns - 1) / 2);
  const take = (from: string[], room: number): string[] => {
    const taken: string[] = [];
    for (const part of from) {
      room -= graphemeColumns(part);
      if (room < 0) break;
      taken.push(part);
    }
    return taken;
  };
  const tail = take(parts.toReversed(), tailColumns).reverse();
  const head = take(parts, maxColumns - 1 - tailColumns);
  return `${head.join('')}…${tail.join('')}`;
}

/** `text` filled with spaces on the right to `columns`. */
export const padColumns = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - columnsOf(text)));

/** Decimal units, as file managers and cameras count: `812 B`, `2.1 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  // 999.95 would print as 1000.0
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** `0.9 s`, `1:20`, `2:03:04`. */
export function formatDuration(ms: number): string {
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return formatClock(ms);
}

/** `0:09`, `1:20`, `2:03:04`: for figures that change while one looks. */
export function formatClock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const two = (n: number): string => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `1 file`, `3 files`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Breaks `text` at spaces into lines of at most `columns`; a longer word gets a line of its own. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && columnsOf(line) + 1 + columnsOf(word) > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}
