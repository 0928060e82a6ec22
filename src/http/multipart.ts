/**
 * Receives the files and fields of a form, streaming: each chunk is written before more is taken, so memory stays at a
 * few chunks however large a file is, and the disk's pace holds the client back.
 */
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import { shown } from '../contract/field-errors.ts';
import { Problem } from '../problem.ts';
import { atMost, type ByteTarget, type HeadInspection, Intake, readableBytes } from '../services/intake.ts';
import { type BodyOptions, mediaType, pipeBody, receiveBody } from './body.ts';
import { FileTarget } from './file-target.ts';

/** What a multipart body may hold around its files: boundaries, headers, small fields. */
const MAX_OVERHEAD_BYTES = 256 * 1024;
const MAX_FIELDS = 32;
const MULTIPART_LIMITS = {
  fields: MAX_FIELDS,
  fieldNameSize: 128,
  fieldSize: 64 * 1024,
  headerPairs: 16,
  headerSize: 8 * 1024,
};

/** Takes one file. */
export interface FileSink extends ByteTarget {
  /** The file has come whole. */
  finish(): void;
}

export interface FormOptions extends BodyOptions {
  /** Parts that are files, by name: how many may come of each. All of them come under one of these names. */
  files: Readonly<Record<string, number>>;
  /** Bytes of one file, not of the body around it. What Content-Length gives away is refused here; the sinks count. */
  maxBytes: number;
  /** Names of the other parts that may come; any further one is refused. */
  fields?: ReadonlySet<string>;
  /** Told of each field as it comes; throws to refuse the request. */
  onField?: (name: string, value: string) => void;
  /**
   * A place for a file whose head was read. Files come one after the other. What it or a sink throws refuses the
   * request; what it makes is the caller's to clear away.
   * @param filename as the client wrote it: to be shown after cleaning, never a path. Undefined where it gave none
   * @param field the part's name
   */
  open: (filename: string | undefined, field: string) => Promise<FileSink>;
}

/**
 * Reads a multipart body to its end.
 * @returns its fields, by name
 * @throws Problem `upload_too_large` where Content-Length says so; `malformed_request` for a body that is no multipart,
 *   ends early, has no file or too many; `invalid_field` for a part that nobody asked for; `request_timeout` when the
 *   client stalls; the signal's reason when it aborts; whatever `open`, its sinks and `onField` throw
 */
export async function receiveForm(
  request: FastifyRequest,
  options: FormOptions,
): Promise<ReadonlyMap<string, string>> {
  const { raw } = request;
  const type = mediaType(raw.headers['content-type']);
  if (type !== 'multipart/form-data') throw wrongType(options, type);
  expectRoom(raw, options, Math.max(...Object.values(options.files)));
  options.signal.throwIfAborted();
  return new Form(raw, options).receive();
}

export interface ReceiveOptions extends BodyOptions {
  /** Existing folder; the file lies in it under a name of ours. */
  dir: string;
  /** Bytes of the file, not of the body around it. */
  maxBytes: number;
  /** Names of parts beside `file` that may come; any further one is refused. */
  fields?: ReadonlySet<string>;
  /** Media types whose body may be the file itself; `image/*` stands for all images. */
  bare?: readonly string[];
  inspect?: HeadInspection;
}

export interface ReceivedFile {
  path: string;
  /** As the client wrote it: to be shown after cleaning, never a path. Undefined where it gave none. */
  filename: string | undefined;
  bytes: number;
  fields: ReadonlyMap<string, string>;
}

/**
 * Stores the one file of a request: its part `file`, or where `bare` allows it the body itself.
 * @throws Problem as `receiveForm`; `upload_too_large` as soon as the limit is passed; `storage_full`; whatever `inspect`
 *   throws
 */
export async function receiveFile(request: FastifyRequest, options: ReceiveOptions): Promise<ReceivedFile> {
  const path = join(options.dir, 'source');
  await using opened = new AsyncDisposableStack();
  const { filename, intake, fields } = await receiveInto(request, options, async () => {
    const target = opened.use(await FileTarget.create(path));
    return new Intake(target, options);
  });
  return { path, filename, bytes: intake.bytes, fields };
}

/** The one file of a request, as `receiveFile`, into an intake of the caller's. */
export async function receiveInto(
  request: FastifyRequest,
  options: Omit<ReceiveOptions, 'dir' | 'inspect'>,
  open: () => Promise<Intake>,
): Promise<{ filename: string | undefined; intake: Intake; fields: ReadonlyMap<string, string> }> {
  const { raw } = request;
  const { bare = [] } = options;
  const type = mediaType(raw.headers['content-type']);
  if (type !== 'multipart/form-data' && bare.some((pattern) => matches(type, pattern))) {
    expectAnnounced(raw, options.maxBytes, options.maxBytes);
    options.signal.throwIfAborted();
    const intake = await open();
    await receiveBody(raw, intake, options);
    intake.finish();
    return { filename: undefined, intake, fields: new Map() };
  }
  let received: { filename: string | undefined; intake: Intake } | undefined;
  const fields = await receiveForm(request, {
    ...options,
    files: { file: 1 },
    open: async (filename) => {
      const intake = await open();
      received = { filename, intake };
      return intake;
    },
  });
  return { ...received!, fields };
}

class Form {
  readonly #raw: IncomingMessage;
  readonly #options: FormOptions;
  readonly #refusal = new AbortController();
  readonly #signal: AbortSignal;
  readonly #fields = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  #file: BusboyFileStream | undefined;
  /** Resolves, always, when no sink is being written to. */
  #stored: Promise<void> = Promise.resolve();

  constructor(raw: IncomingMessage, options: FormOptions) {
    this.#raw = raw;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#refusal.signal]);
  }

  async receive(): Promise<ReadonlyMap<string, string>> {
    const parser = this.#createParser();
    try {
      await pipeBody(this.#raw, parser, { ...this.#options, signal: this.#signal }, endedEarly);
      await this.#stored;
      this.#signal.throwIfAborted();
    } finally {
      this.#file?.destroy();
      await this.#stored;
    }
    if (!this.#file) {
      throw malformed(`Expected a file in the part ${partNames(this.#options)}, found none.`);
    }
    return this.#fields;
  }

  #createParser(): BusboyInstance {
    const { files } = this.#options;
    const allFiles = Object.values(files).reduce((sum, n) => sum + n, 0);
    const headers = { ...this.#raw.headers, 'content-type': this.#raw.headers['content-type'] ?? '' };
    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers,
        // One more than may come, so that its name is seen and the refusal can say what was found.
        limits: { ...MULTIPART_LIMITS, files: allFiles + 1, parts: allFiles + 1 + MAX_FIELDS },
        preservePath: true,
        // `file` is a file also where a program forgot to give it a file name.
        isPartAFile: (name, _type, filename) =>
          (name !== undefined && Object.hasOwn(files, name)) || filename !== undefined,
      });
    } catch (cause) {
      throw malformed('The Content-Type multipart/form-data has no boundary.', cause);
    }
    const refuse = (detail: string) => () => this.#refuse(malformed(detail));
    parser.on('file', (name, stream, filename) => this.#onFile(name, stream, filename));
    parser.on('field', (name, value, nameTruncated, valueTruncated) => {
      if (nameTruncated) return this.#refuse(malformed('A field of the form has too long a name.'));
      this.#attempt(() => this.#onField(name, value, valueTruncated));
    });
    parser.on('filesLimit', refuse('The form has too many files.'));
    parser.on('fieldsLimit', refuse('The form has too many fields.'));
    parser.on('partsLimit', refuse('The form has too many parts.'));
    return parser;
  }

  #onFile(name: string | undefined, stream: BusboyFileStream, filename: string | undefined): void {
    stream.on('error', noop);
    try {
      this.#expectWanted(name);
    } catch (error) {
      stream.resume();
      this.#refuse(error);
      return;
    }
    this.#file = stream;
    this.#stored = this.#stored
      .then(() => this.#store(stream, filename, name!))
      .catch((e) => this.#refuse(e));
  }

  #expectWanted(name: string | undefined): asserts name is string {
    const { files } = this.#options;
    if (name === undefined || !Object.hasOwn(files, name)) {
      const found = shown(name);
      throw malformed(`Expected the file in the part ${partNames(this.#options)}, found one in ${found}.`);
    }
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    if (this.#counts.size > 1) throw malformed(`Expected files in one part of ${partNames(this.#options)}.`);
    const most = files[name]!;
    if (count > most) {
      throw malformed(most === 1 ? 'Expected one file, found more.' : `Expected at most ${most} files.`);
    }
    expectRoom(this.#raw, this.#options, most);
  }

  #onField(name: string, value: string, truncated: boolean): void {
    const { fields, onField } = this.#options;
    const message = !fields?.has(name)
      ? 'unknown part; options of this call stand in the query'
      : this.#fields.has(name)
        ? 'given more than once'
        : truncated
          ? `expected at most ${readableBytes(MULTIPART_LIMITS.fieldSize)}, got more`
          : undefined;
    if (message !== undefined) {
      const errors = [{ path: String(name), message }];
      throw new Problem('invalid_field', { detail: `The form's part ${shown(name)}: ${message}.`, errors });
    }
    this.#fields.set(name, value);
    onField?.(name, value);
  }

  async #store(stream: BusboyFileStream, filename: string | undefined, field: string): Promise<void> {
    this.#signal.throwIfAborted();
    const sink = await this.#options.open(filename, field);
    try {
      for await (const chunk of stream) await sink.write(chunk);
    } catch (error) {
      throw error instanceof Problem ? error : endedEarly(error);
    }
    sink.finish();
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** The first reason stays. */
  #refuse(reason: unknown): void {
    this.#refusal.abort(reason);
  }
}

/** @throws Problem `upload_too_large` where Content-Length says that the body holds more than `files` full files. */
function expectRoom(raw: IncomingMessage, { maxBytes }: Pick<FormOptions, 'maxBytes'>, files: number): void {
  expectAnnounced(raw, maxBytes * files + MAX_OVERHEAD_BYTES, maxBytes);
}

function expectAnnounced(raw: IncomingMessage, maxBodyBytes: number, maxFileBytes: number): void {
  const announcedBytes = Number(raw.headers['content-length'] ?? 0);
  if (announcedBytes <= maxBodyBytes) return;
  const announced = `the request announces ${readableBytes(announcedBytes)}`;
  throw new Problem('upload_too_large', { detail: `${atMost(maxFileBytes)}; ${announced}.` });
}

function matches(type: string, pattern: string): boolean {
  return pattern.endsWith('/*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

function wrongType(options: Pick<FormOptions, 'files'>, type: string): Problem {
  const found = type === '' ? 'a request without Content-Type' : shown(type);
  return malformed(
    `Expected multipart/form-data with the file in the part ${partNames(options)}, found ${found}.`,
  );
}

const partNames = ({ files }: Pick<FormOptions, 'files'>): string =>
  Object.keys(files)
    .map((name) => `"${name}"`)
    .join(' or ');

function endedEarly(cause: unknown): Problem {
  return malformed(
    'The multipart body ends early, or its boundary is not the one that Content-Type names.',
    cause,
  );
}

const malformed = (detail: string, cause?: unknown): Problem =>
  new Problem('malformed_request', { detail, ...(cause !== undefined && { cause }) });

function noop(): void {}
