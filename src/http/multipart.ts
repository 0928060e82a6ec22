/**
 * Receives one file, streaming: each chunk is written before more is taken, so memory stays at a few chunks however
 * large the file is, and the disk's pace holds the client back.
 */
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import { shown } from '../contract/field-errors.ts';
import { Problem } from '../problem.ts';
import { allowBody } from './early-answer.ts';
import { atMost, FileSink, type HeadInspection, readableBytes } from './file-sink.ts';

/** What a multipart body may hold around its file: boundaries, headers, small fields. */
const MAX_OVERHEAD_BYTES = 256 * 1024;
const MULTIPART_LIMITS = {
  files: 1,
  fields: 32,
  parts: 33,
  fieldNameSize: 128,
  fieldSize: 64 * 1024,
  headerPairs: 16,
  headerSize: 8 * 1024,
};
/** A body that brings less than this in a window is not a slow network but an attack, or a client that hangs. */
const MIN_BYTES_A_WINDOW = 4096;
const STALL_WINDOW_MS = 30_000;

export interface ReceiveOptions {
  /** Existing folder; the file lies in it under a name of ours. */
  dir: string;
  /** Bytes of the file, not of the body around it. */
  maxBytes: number;
  signal: AbortSignal;
  /** Name of the multipart part that is the file; `file` when absent. */
  field?: string;
  /** Names of the other parts that may come; any further one is refused. */
  fields?: ReadonlySet<string>;
  /** Media types whose body may be the file itself; `image/*` stands for all images. */
  bare?: readonly string[];
  inspect?: HeadInspection;
  /** Time in which at least 4096 bytes must arrive; 30 s when absent. */
  stallWindowMs?: number;
}

export interface ReceivedFile {
  path: string;
  /** As the client wrote it: to be shown after cleaning, never a path. Undefined where it gave none. */
  filename: string | undefined;
  bytes: number;
  fields: ReadonlyMap<string, string>;
}

/**
 * Reads the request's body and stores its file.
 * @throws Problem `upload_too_large` before the body is read where Content-Length says so, and otherwise as soon as the
 *   limit is passed; `malformed_request` for a body that is no multipart, ends early, or has not exactly one file;
 *   `invalid_field` for a part that nobody asked for; `request_timeout` when the client stalls; `storage_full`;
 *   the signal's reason when it aborts; whatever `inspect` throws.
 */
export async function receiveFile(request: FastifyRequest, options: ReceiveOptions): Promise<ReceivedFile> {
  const { raw } = request;
  const { maxBytes, field = 'file', bare = [] } = options;
  const type = mediaType(raw.headers['content-type']);
  const multipart = type === 'multipart/form-data';
  if (!multipart && !bare.some((pattern) => matches(type, pattern))) throw wrongType(field, type);
  const announcedBytes = Number(raw.headers['content-length'] ?? 0);
  if (announcedBytes > maxBytes + (multipart ? MAX_OVERHEAD_BYTES : 0)) {
    const announced = `the request announces ${readableBytes(announcedBytes)}`;
    throw new Problem('upload_too_large', { detail: `${atMost(maxBytes)}; ${announced}.` });
  }
  const parser = multipart ? createParser(raw, field) : undefined;

  options.signal.throwIfAborted();
  const path = join(options.dir, 'source');
  await using sink = await FileSink.create(path, options);
  allowBody(raw);
  const refusal = new AbortController();
  const signal = AbortSignal.any([options.signal, refusal.signal]);
  const stallWindow = setInterval(stallCheck(raw, refusal), options.stallWindowMs ?? STALL_WINDOW_MS);
  try {
    const received = parser
      ? await receiveForm(raw, parser, sink, field, options.fields ?? new Set(), refusal, signal)
      : await receiveBare(raw, sink, signal);
    sink.finish();
    return { path, bytes: sink.bytes, ...received };
  } finally {
    clearInterval(stallWindow);
  }
}

type Received = Pick<ReceivedFile, 'filename' | 'fields'>;

async function receiveBare(raw: IncomingMessage, sink: FileSink, signal: AbortSignal): Promise<Received> {
  const into = new Writable({
    write(chunk: Buffer, _encoding, done) {
      sink.write(chunk).then(() => done(), done);
    },
  });
  await pump(raw, into, signal);
  return { filename: undefined, fields: new Map() };
}

async function receiveForm(
  raw: IncomingMessage,
  parser: BusboyInstance,
  sink: FileSink,
  field: string,
  wanted: ReadonlySet<string>,
  refusal: AbortController,
  signal: AbortSignal,
): Promise<Received> {
  const fields = new Map<string, string>();
  let filename: string | undefined;
  let file: BusboyFileStream | undefined;
  let stored: Promise<void> | undefined;
  const refuse = (problem: Problem): void => refusal.abort(problem);
  const malformed = (detail: string): void => refuse(new Problem('malformed_request', { detail }));

  parser.on('file', (name, stream, givenName) => {
    stream.on('error', noop);
    if (name !== field) {
      stream.resume();
      return malformed(`Expected the file in the part "${field}", found one in ${shown(name)}.`);
    }
    file = stream;
    filename = givenName;
    stored = store(stream, sink).catch(refuse);
  });
  parser.on('field', (name, value, nameTruncated, valueTruncated) => {
    if (nameTruncated || valueTruncated) return malformed('A field of the form is too long.');
    if (wanted.has(name) && !fields.has(name)) return void fields.set(name, value);
    const message = wanted.has(name)
      ? 'given more than once'
      : 'unknown part; options of this call stand in the query';
    const errors = [{ path: String(name), message }];
    refuse(new Problem('invalid_field', { detail: `The form's part ${shown(name)}: ${message}.`, errors }));
  });
  parser.on('filesLimit', () => malformed('Expected one file, found more.'));
  parser.on('fieldsLimit', () => malformed('The form has too many fields.'));
  parser.on('partsLimit', () => malformed('The form has too many parts.'));

  try {
    await pump(raw, parser, signal);
    await stored;
    signal.throwIfAborted();
  } finally {
    file?.destroy();
    await stored;
  }
  if (!file) {
    throw new Problem('malformed_request', { detail: `Expected a file in the part "${field}", found none.` });
  }
  return { filename, fields };
}

async function store(stream: BusboyFileStream, sink: FileSink): Promise<void> {
  try {
    for await (const chunk of stream) await sink.write(chunk);
  } catch (error) {
    throw error instanceof Problem ? error : endedEarly(error);
  }
}

/**
 * Pipes a request into a stream until both have ended. When it fails the request is only let go, not destroyed: its
 * connection still has to carry the answer.
 */
function pump(raw: IncomingMessage, into: Writable, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  const onClose = (): void => {
    if (!raw.complete) reject(new Problem('cancelled', { detail: 'The client closed the connection.' }));
  };
  let ended = raw.readableEnded;
  let finished = false;
  const onEnd = (): void => {
    ended = true;
    if (finished) resolve();
  };
  into.on('finish', () => {
    finished = true;
    if (ended) resolve();
  });
  into.on('error', (error) => reject(error instanceof Problem ? error : endedEarly(error)));
  raw.on('error', noop).on('end', onEnd).on('close', onClose);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  else raw.pipe(into);
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort);
    raw.unpipe(into).off('end', onEnd).off('close', onClose);
  });
}

function createParser(raw: IncomingMessage, field: string): BusboyInstance {
  const headers = { ...raw.headers, 'content-type': raw.headers['content-type'] ?? '' };
  try {
    return new Busboy({
      headers,
      limits: MULTIPART_LIMITS,
      preservePath: true,
      // `file` is a file also where a program forgot to give it a file name.
      isPartAFile: (name, _type, filename) => name === field || filename !== undefined,
    });
  } catch (cause) {
    const detail = 'The Content-Type multipart/form-data has no boundary.';
    throw new Problem('malformed_request', { detail, cause });
  }
}

function stallCheck(raw: IncomingMessage, refusal: AbortController): () => void {
  let before = raw.socket.bytesRead;
  return () => {
    const now = raw.socket.bytesRead;
    if (now - before < MIN_BYTES_A_WINDOW) {
      refusal.abort(new Problem('request_timeout', { detail: 'The body arrives too slowly.' }));
    }
    before = now;
  };
}

/** The media type without its parameters, in lower case; empty where there is none. */
function mediaType(header: string | undefined): string {
  const [type = ''] = (header ?? '').split(';', 1);
  return type.trim().toLowerCase();
}

function matches(type: string, pattern: string): boolean {
  return pattern.endsWith('/*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

function wrongType(field: string, type: string): Problem {
  const found = type === '' ? 'a request without Content-Type' : shown(type);
  const detail = `Expected multipart/form-data with the file in the part "${field}", found ${found}.`;
  return new Problem('malformed_request', { detail });
}

function endedEarly(cause: unknown): Problem {
  const detail = 'The multipart body ends early, or its boundary is not the one that Content-Type names.';
  return new Problem('malformed_request', { detail, cause });
}

function noop(): void {}
