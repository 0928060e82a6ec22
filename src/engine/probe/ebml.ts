/** EBML (RFC 8794): the elements that Matroska and WebM files are made of. */
import type { Fields } from './fields.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';

const MAX_ELEMENTS = 20_000;
/** An id of 4 bytes at most and a size of 8. */
const MAX_HEAD_BYTES = 12;

export interface Element {
  id: number;
  /** Offset of the body in the file, and of its end. */
  body: number;
  end: number;
  /** It does not say where it ends, as what is recorded live: `end` is that of the element around it. */
  endless: boolean;
}

/**
 * Elements from `from` to `to`. One that reaches beyond `to` ends there: what is cut off is told by what is missing.
 */
export async function* elementsOf(reader: Reader, from = 0, to = reader.size): AsyncGenerator<Element> {
  let at = from;
  for (let count = 0; at + 2 <= to; count++) {
    if (count > MAX_ELEMENTS) throw broken(`The file has more than ${MAX_ELEMENTS} elements.`);
    const head = headOf(await reader.upTo(at, Math.min(MAX_HEAD_BYTES, to - at)));
    if (!head) return;
    const body = at + head.bytes;
    const end = head.size === undefined ? to : Math.min(body + head.size, to);
    yield { id: head.id, body, end, endless: head.size === undefined };
    at = end;
  }
}

export interface ElementPart {
  id: number;
  fields: Fields;
}

/** Elements in a block that has been read. One that is cut off is left out. */
export function* elementPartsOf(block: Fields): Generator<ElementPart> {
  let at = 0;
  for (let count = 0; at + 2 <= block.length; count++) {
    if (count > MAX_ELEMENTS) throw broken(`The file has more than ${MAX_ELEMENTS} elements.`);
    const head = headOf(block.bytes.subarray(at, at + MAX_HEAD_BYTES));
    if (!head) return;
    at += head.bytes;
    const size = head.size ?? block.length - at;
    if (at + size > block.length) return;
    yield { id: head.id, fields: block.sub(at, size) };
    at += size;
  }
}

/** Undefined for what is no head of an element. */
export function headOf(
  bytes: Uint8Array,
): { id: number; size: number | undefined; bytes: number } | undefined {
  const idBytes = Math.clz32(bytes[0] ?? 0) - 23;
  if (idBytes > 4 || idBytes + 1 > bytes.length) return undefined;
  const sizeBytes = Math.clz32(bytes[idBytes]!) - 23;
  if (sizeBytes > 8 || idBytes + sizeBytes > bytes.length) return undefined;
  let id = 0;
  for (let i = 0; i < idBytes; i++) id = id * 256 + bytes[i]!;
  let size = bytes[idBytes]! & (0xff >> sizeBytes);
  let allOnes = size === 0xff >> sizeBytes;
  for (let i = 1; i < sizeBytes; i++) {
    const byte = bytes[idBytes + i]!;
    size = size * 256 + byte;
    allOnes &&= byte === 0xff;
  }
  return { id, size: allOnes ? undefined : size, bytes: idBytes + sizeBytes };
}

/** The number of an unsigned integer element. */
export const unsigned = (fields: Fields): number => fields.uint(0, Math.min(fields.length, 8));

/** The number of a float element, of 4 or 8 bytes. */
export function float(fields: Fields): number {
  const view = new DataView(fields.bytes.buffer, fields.bytes.byteOffset, fields.length);
  if (fields.length === 4) return view.getFloat32(0);
  return fields.length === 8 ? view.getFloat64(0) : 0;
}

/** The text of a string element, which may be padded with zeros. */
export const text = (fields: Fields): string =>
  fields.ascii(0, Math.min(fields.length, 128)).replace(/\0.*$/s, '');
