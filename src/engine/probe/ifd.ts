/** TIFF's directories (TIFF 6.0 section 2, and BigTIFF), which EXIF and most camera RAW formats are made of. */
import type { Fields } from './fields.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';

/** Entries of one directory that are read; real ones have fewer than 200. */
const MAX_ENTRIES = 4_096;
const MAX_TEXT_BYTES = 1_024;

/** Bytes of a value by field type, from BYTE (1) to IFD8 (18). */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];

export interface Entry {
  tag: number;
  type: number;
  count: number;
  /** Where the values lie in the file. */
  offset: number;
  bytes: number;
}

export interface Ifd {
  entries: ReadonlyMap<number, Entry>;
  /** Offset of the next directory from the base; 0 for none. */
  next: number;
}

/** One TIFF structure inside a file: the file itself, or an EXIF block with offsets of its own. */
export class Tiff {
  readonly reader: Reader;
  /** Where the structure begins in the file: its offsets count from here. */
  readonly base: number;
  readonly little: boolean;
  readonly big: boolean;
  /** Offset of the first directory from the base. */
  readonly first: number;

  private constructor(reader: Reader, base: number, little: boolean, big: boolean, first: number) {
    this.reader = reader;
    this.base = base;
    this.little = little;
    this.big = big;
    this.first = first;
  }

  /** @throws Problem where there is no byte order mark, or no first directory. */
  static async open(reader: Reader, base = 0): Promise<Tiff> {
    const mark = await reader.bytes(base, 8);
    const little = mark[0] === 0x49;
    if (mark[0] !== mark[1] || (!little && mark[0] !== 0x4d))
      throw broken('The TIFF structure has no byte order.');
    const head = await reader.fields(base, 8, little);
    const big = head.u16(2) === 43;
    const first = big ? (await reader.fields(base, 16, little)).u64(8) : head.u32(4);
    if (first === 0) throw broken('The TIFF structure has no directory.');
    return new Tiff(reader, base, little, big, first);
  }

  async ifd(offset: number): Promise<Ifd> {
    const at = this.base + offset;
    const countBytes = this.big ? 8 : 2;
    const entryBytes = this.big ? 20 : 12;
    const head = await this.reader.fields(at, countBytes, this.little);
    const count = this.big ? head.u64(0) : head.u16(0);
    if (count === 0 || count > MAX_ENTRIES)
      throw broken(`A directory of the image declares ${count} entries.`);
    const table = await this.reader.fields(at + countBytes, count * entryBytes, this.little);
    const entries = new Map<number, Entry>();
    for (let i = 0; i < count; i++) {
      const entry = this.#entry(table, i * entryBytes, at + countBytes);
      // As libtiff does, the first of two entries with one tag counts.
      if (!entries.has(entry.tag)) entries.set(entry.tag, entry);
    }
    const nextAt = at + countBytes + count * entryBytes;
    const tail = await this.reader.upTo(nextAt, this.big ? 8 : 4);
    const complete = tail.length === (this.big ? 8 : 4);
    const last = complete ? await this.reader.fields(nextAt, tail.length, this.little) : undefined;
    return { entries, next: last ? (this.big ? last.u64(0) : last.u32(0)) : 0 };
  }

  #entry(table: Fields, at: number, tableOffset: number): Entry {
    const type = table.u16(at + 2);
    const count = this.big ? table.u64(at + 4) : table.u32(at + 4);
    const valueAt = at + (this.big ? 12 : 8);
    const bytes = (TYPE_BYTES[type] ?? 0) * count;
    const inline = bytes <= (this.big ? 8 : 4);
    const far = this.big ? table.u64(valueAt) : table.u32(valueAt);
    return {
      tag: table.u16(at),
      type,
      count,
      bytes,
      offset: inline ? tableOffset + valueAt : this.base + far,
    };
  }

  /** Up to `max` unsigned integers of a field; none where the tag is missing or no number. */
  async numbers(ifd: Ifd, tag: number, max = 16): Promise<number[]> {
    const entry = ifd.entries.get(tag);
    return entry ? this.values(entry, 0, max) : [];
  }

  /** Up to `max` of an entry's unsigned integers, from the value numbered `from`. */
  async values(entry: Entry, from: number, max: number): Promise<number[]> {
    const size = TYPE_BYTES[entry.type] ?? 0;
    if (![1, 3, 4, 5, 7, 13, 16, 18].includes(entry.type)) return [];
    const count = Math.min(entry.count - from, max);
    if (count <= 0) return [];
    const block = await this.reader.fields(entry.offset + from * size, count * size, this.little);
    return Array.from({ length: count }, (_, i) => {
      if (entry.type !== 5) return block.uint(i * size, size);
      const divisor = block.u32(i * size + 4);
      return divisor === 0 ? 0 : block.u32(i * size) / divisor;
    });
  }

  async number(ifd: Ifd, tag: number): Promise<number | undefined> {
    return (await this.numbers(ifd, tag, 1))[0];
  }

  async text(ifd: Ifd, tag: number): Promise<string> {
    const entry = ifd.entries.get(tag);
    if (entry?.type !== 2) return '';
    const bytes = await this.reader.bytes(entry.offset, Math.min(entry.count, MAX_TEXT_BYTES));
    const end = bytes.indexOf(0);
    return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
  }
}
