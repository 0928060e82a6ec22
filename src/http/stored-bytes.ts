/** Answers with stored bytes that never change: whole, in part, or not at all where the client has them (RFC 9110). */
import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { ByteRange } from '../ports/blobs.ts';
import { Problem } from '../problem.ts';

export interface StoredBytes {
  key: string;
  bytes: number;
  type: string;
  /** Of all answers, 304 as well: Cache-Control, Vary. */
  headers: Record<string, string>;
  /** Of those that carry the bytes. */
  contentHeaders: Record<string, string>;
}

/** A store, or what else gives the bytes of a key. */
export interface BytesSource {
  get(key: string, range: ByteRange): Readable | Buffer | Promise<Readable | Buffer>;
}

interface NotModified {
  status: 304;
  headers: Record<string, string | number>;
}
type Answer =
  | { status: 200 | 206; headers: Record<string, string | number>; type: string; body: Readable | Buffer }
  | NotModified;

/** Where the client has them: to be asked before the bytes are there. */
export function notModified(
  { headers: asked }: FastifyRequest,
  { key, headers }: Pick<StoredBytes, 'key' | 'headers'>,
): NotModified | undefined {
  const etag = etagOf(key);
  return hasIt(asked['if-none-match'], etag)
    ? { status: 304, headers: { ...headers, etag, 'accept-ranges': 'bytes' } }
    : undefined;
}

/** @throws Problem range_not_satisfiable; what the store throws */
export async function answerWithBytes(
  request: FastifyRequest,
  { key, bytes, type, ...stored }: StoredBytes,
  source: BytesSource,
): Promise<Answer> {
  const unchanged = notModified(request, { key, headers: stored.headers });
  if (unchanged) return unchanged;
  const { headers: asked, method } = request;
  const etag = etagOf(key);
  const headers = { ...stored.headers, etag, 'accept-ranges': 'bytes' };
  const range = isFresh(asked['if-range'], etag) ? parseRange(asked.range, bytes) : undefined;
  const { start, end } = range ?? { start: 0, end: bytes - 1 };
  return {
    status: range ? 206 : 200,
    headers: {
      ...headers,
      ...stored.contentHeaders,
      'content-length': end - start + 1,
      ...(range && { 'content-range': `bytes ${start}-${end}/${bytes}` }),
    },
    type,
    // Never more than was announced, whatever the file has become: the rest would be taken for the next answer.
    body: method === 'HEAD' ? Readable.from([]) : await source.get(key, { start, end }),
  };
}

/** Strong: the bytes of a key never change. It tells nothing of the source, whose digest is part of the key. */
const etagOf = (key: string): string => `"${hash('sha256', key, 'base64url').slice(0, 27)}"`;

/** If-None-Match compares weakly (section 13.1.2). */
function hasIt(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** Without the header a range is fresh. No date is ever given, so one never fits; weak tags never do (section 13.1.5). */
const isFresh = (ifRange: string | string[] | undefined, etag: string): boolean =>
  ifRange === undefined || ifRange === etag;

/**
 * One range of bytes. Undefined where the whole is to be sent: without a range, with several, or with one that is not
 * well formed, which is to be ignored (section 14.2).
 * @throws Problem range_not_satisfiable
 */
function parseRange(header: string | undefined, bytes: number): ByteRange | undefined {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? '');
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, bytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (first !== '' && last !== '' && Number(last) < start) return undefined;
  if (start >= bytes) {
    throw new Problem('range_not_satisfiable', {
      detail: `The file has ${bytes} bytes.`,
      extra: { size_bytes: bytes },
    });
  }
  return { start, end };
}
