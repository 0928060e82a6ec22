/** From bytes to the text of an SVG document, and the little that must be known of it without parsing it. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Problem } from '../../problem.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';

/** Of the document, unpacked: drawings beyond this are data, not pictures. */
const MAX_SVG_BYTES = 10 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

const unzip = promisify(gunzip);

/** The document's text, unpacked from gzip and decoded. @throws Problem upload_too_large, undecodable_image */
export async function readSvgText(reader: Reader): Promise<string> {
  if (reader.size > MAX_SVG_BYTES) throw tooLong();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < reader.size; at += READ_BYTES) {
    parts.push(await reader.bytes(at, Math.min(READ_BYTES, reader.size - at)));
  }
  const bytes = Buffer.concat(parts);
  return decode(bytes[0] === 0x1f && bytes[1] === 0x8b ? await unpack(bytes) : bytes);
}

async function unpack(bytes: Buffer): Promise<Buffer> {
  try {
    return await unzip(bytes, { maxOutputLength: MAX_SVG_BYTES });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong();
    throw new Problem('undecodable_image', { detail: 'The compressed SVG is cut short or damaged.', cause });
  }
}

const tooLong = () =>
  new Problem('upload_too_large', {
    detail: `An SVG may have at most ${MAX_SVG_BYTES / 1024 / 1024} MB, unpacked.`,
  });

/** By byte order mark, then by the XML declaration, else UTF-8. */
function decode(bytes: Uint8Array): string {
  const declared = /^<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([\w.:-]{1,40})["']/.exec(
    Buffer.from(bytes.subarray(0, 256)).toString('latin1'),
  )?.[1];
  try {
    return new TextDecoder(utf16(bytes) ?? declared ?? 'utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw broken(`The SVG is not the ${declared ?? 'UTF-8'} text that it claims to be.`);
  }
}

function utf16(bytes: Uint8Array): string | undefined {
  const mark = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  if (mark === 0xfffe || mark === 0x3c00) return 'utf-16le';
  return mark === 0xfeff || mark === 0x003c ? 'utf-16be' : undefined;
}

/**
 * The local name of the root element of what may be the beginning of an XML document; undefined where the
 * text is none. Skips the declaration, comments, instructions and the document type, and reads each character
 * about once.
 */
export function xmlRootName(head: Uint8Array): string | undefined {
  const encoding = utf16(head);
  const text = encoding ? new TextDecoder(encoding).decode(head) : Buffer.from(head).toString('utf8');
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  for (;;) {
    while (isBlank(text.charCodeAt(at))) at++;
    if (text[at] !== '<') return undefined;
    if (text.startsWith('<?', at)) at = after(text, '?>', at);
    else if (text.startsWith('<!--', at)) at = after(text, '-->', at + 4);
    else if (/^<!doctype\s/i.test(text.slice(at, at + 10))) at = afterDoctype(text, at);
    else break;
    if (at === 0) return undefined;
  }
  return /^<(?:[\w.-]{1,64}:)?([\w.-]{1,64})[\s/>]/.exec(text.slice(at, at + 140))?.[1];
}

const isBlank = (code: number) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

/** The offset after `mark`; 0 where it does not come. */
function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? 0 : found + mark.length;
}

function afterDoctype(text: string, from: number): number {
  const end = text.indexOf('>', from);
  const subset = text.indexOf('[', from);
  if (subset < 0 || (end >= 0 && end < subset)) return end + 1;
  const subsetEnd = /\]\s*>/g;
  subsetEnd.lastIndex = subset;
  return subsetEnd.test(text) ? subsetEnd.lastIndex : 0;
}
