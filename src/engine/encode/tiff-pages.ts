/**
 * TIFF files of one page each, joined into one of many (TIFF 6.0 section 2). libvips writes many pages only where all
 * are of one size and kind; these may differ in everything.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { Problem } from '../../problem.ts';

/** Offsets count in 32 bits. */
const MAX_BYTES = 2 ** 32 - 1;
const STRIP_OFFSETS = 273;
const TILE_OFFSETS = 324;
const SHORT = 3;
const LONG = 4;
/** Bytes of a value by field type, from BYTE (1) to DOUBLE (12). */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
const ENTRY_BYTES = 12;

/**
 * Joins the files, in order, and gives the result the name `to`. They are as our encoder writes them: little-endian,
 * each with one directory and none inside of it. They are used up.
 * @throws Problem `invalid_plan` above 4 GB
 */
export async function joinTiffs(pages: readonly string[], to: string): Promise<void> {
  const [first, ...others] = pages;
  if (first === undefined) throw new TypeError('no pages to join');
  let link = (await readDirectory(first)).link;
  for (const page of others) {
    // Directories, and so files, begin at even offsets.
    const base = (await stat(first)).size + ((await stat(first)).size % 2);
    const directory = await move(page, base);
    if (base + (await stat(page)).size > MAX_BYTES) {
      throw new Problem('invalid_plan', {
        detail:
          'The pages together are larger than the 4 GB that a TIFF holds. Resize them, or ask for one with frame.',
        errors: [{ path: 'output.format', message: 'cannot hold all pages' }],
      });
    }
    await pipeline(createReadStream(page), createWriteStream(first, { flags: 'r+', start: base }));
    await writeAt(first, link, base + directory.at);
    link = base + directory.link;
  }
  await rename(first, to);
}

interface Directory {
  at: number;
  /** Where the offset of the next directory stands. */
  link: number;
  entries: Buffer;
}

/** The directory of a file as our encoder writes it: little-endian, with one. */
export async function readDirectory(path: string): Promise<Directory> {
  const file = await open(path);
  try {
    return await directoryOf(file);
  } finally {
    await file.close();
  }
}

async function directoryOf(file: FileHandle): Promise<Directory> {
  const head = await read(file, 0, 8);
  if (head.toString('latin1', 0, 4) !== 'II*\0') throw new TypeError('not a little-endian TIFF');
  const at = head.readUInt32LE(4);
  const bytes = (await read(file, at, 2)).readUInt16LE(0) * ENTRY_BYTES;
  return { at, link: at + 2 + bytes, entries: await read(file, at + 2, bytes) };
}

/** Makes the offsets of a file right for when it begins at `base`. */
async function move(path: string, base: number): Promise<Directory> {
  const file = await open(path, 'r+');
  try {
    const directory = await directoryOf(file);
    const { entries } = directory;
    let end = (await file.stat()).size;
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      const tag = entries.readUInt16LE(at);
      const type = entries.readUInt16LE(at + 2);
      const bytes = entries.readUInt32LE(at + 4) * (TYPE_BYTES[type] ?? 0);
      const isFar = bytes > 4;
      const value = entries.readUInt32LE(at + 8);
      if (tag === STRIP_OFFSETS || tag === TILE_OFFSETS) {
        const stored = isFar ? await read(file, value, bytes) : entries.subarray(at + 8, at + 8 + bytes);
        const moved = movedOffsets(stored, type, base);
        entries.writeUInt16LE(LONG, at + 2);
        if (moved.length === 4) moved.copy(entries, at + 8);
        else {
          // Short offsets have become long ones: there is no room for them where they were.
          await file.write(moved, 0, moved.length, end);
          entries.writeUInt32LE(base + end, at + 8);
          end += moved.length;
        }
      } else if (isFar) entries.writeUInt32LE(base + value, at + 8);
    }
    await file.write(entries, 0, entries.length, directory.at + 2);
    return directory;
  } finally {
    await file.close();
  }
}

function movedOffsets(stored: Buffer, type: number, base: number): Buffer {
  if (type !== SHORT && type !== LONG) throw new TypeError(`offsets of field type ${type}`);
  const size = type === SHORT ? 2 : 4;
  const moved = Buffer.alloc((stored.length / size) * 4);
  for (let i = 0; i * size < stored.length; i++)
    moved.writeUInt32LE(stored.readUIntLE(i * size, size) + base, i * 4);
  return moved;
}

async function read(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position: at });
  if (bytesRead < length) throw new TypeError('a TIFF of ours ends too early');
  return buffer;
}

async function writeAt(path: string, at: number, value: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    await file.write(bytes, 0, 4, at);
  } finally {
    await file.close();
  }
}
