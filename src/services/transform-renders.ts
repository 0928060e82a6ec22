/**
 * Renders what a URL asks for and nobody has rendered: once, however many ask for it at the same time. What was rendered
 * is answered with at once; a moment later it is stored, together with what else was rendered since: a few syncs and one
 * transaction for all of it.
 *
 *   asked → rendering, shared by all who ask ──→ fresh: answered from here ──→ stored
 *                │ the last one is gone             │ the image is gone, or nothing is to be kept
 *                ▼                                  ▼
 *             called off                         dropped
 */
import { readFileSync, truncateSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { NormalPlan } from '../contract/plan.ts';
import type { PlanAssets } from '../domain/rendition-hash.ts';
import type { Limits } from '../engine/limits.ts';
import type { Scratch } from '../engine/pool/pool.ts';
import type { Rendition } from '../engine/types.ts';
import type { ByteRange } from '../ports/blobs.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';
import { unlessDamaged } from './job-source.ts';
import { openAssets } from './plan-assets.ts';
import { type Keepsake, keepRendered } from './transform-keep.ts';
import { orAbort } from './turns.ts';

export interface RenderWork {
  imageId: string;
  version: number;
  sourceKey: string;
  /** Of the source's bytes. */
  sourceSha256: string;
  plan: NormalPlan;
  assets: PlanAssets;
  /** Of the result. */
  key: string;
}

/** Bytes that are there, as many as it says. Dispose of it when they have been read. */
export interface OpenBytes extends AsyncDisposable {
  bytes: number;
  read(range: ByteRange): Readable | Buffer | Promise<Readable>;
}

export type RenderServices = Pick<Services, 'catalog' | 'blobs' | 'pool' | 'limits' | 'clock' | 'log'>;

export interface RenderOptions {
  /** Of all that is kept; what is larger is not. */
  cacheBytes: number;
  /** Told of what is about to be kept. */
  onRendered: (key: string, bytes: Buffer) => void;
}

interface Flight {
  readonly abort: AbortController;
  readonly rendered: Promise<Fresh>;
  /** Requests that have not got their bytes. */
  waiting: number;
}

/** Rendered, and not stored. */
interface Fresh extends Keepsake {
  /** Absent where it is large: then it is read from its file. */
  buffer?: Buffer;
  /** Its file may be gone. */
  keeping?: Promise<void>;
  /** Gives the folder of its file free. */
  drop: () => Promise<void>;
}

/** Larger results are not read into memory. */
const MAX_BUFFER_BYTES = 8 * 1024 * 1024;
const READ_CHUNK_BYTES = 256 * 1024;
const MAX_BYTES_AT_ONCE = 256 * 1024;
/** What is fresh is stored after so long, or as soon as it is as much. */
const KEEP_AFTER_MS = 1_000;
const MAX_FRESH = 32;
const MAX_FRESH_BYTES = 32 * 1024 * 1024;
/** A folder is made for the first render and used for others: making and removing one costs what reading a file does. */
const MAX_FOLDER_USES = 100;

export class TransformRenders {
  readonly #services: RenderServices;
  readonly #options: RenderOptions;
  readonly #limits: Limits;
  readonly #flights = new Map<string, Flight>();
  readonly #fresh = new Map<string, Fresh>();
  #freshBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #keeping: Promise<void> = Promise.resolve();
  readonly #folders: { scratch: Scratch; uses: number }[] = [];

  constructor(services: RenderServices, options: RenderOptions) {
    this.#services = services;
    this.#options = options;
    // Its bytes were counted when they were accepted, against what was allowed then.
    this.#limits = { ...services.limits, maxBytes: Number.MAX_SAFE_INTEGER };
  }

  /** Whether it is being rendered, or was rendered a moment ago. */
  has(key: string): boolean {
    return this.#fresh.has(key) || this.#flights.has(key);
  }

  /**
   * @param signal of one request; the work ends with the last one that waits for it
   * @returns undefined where it was moved to the store meanwhile
   * @throws Problem not_found where the image or its version was deleted meanwhile; what the pool throws
   */
  async open(work: RenderWork, signal: AbortSignal): Promise<OpenBytes | undefined> {
    signal.throwIfAborted();
    const fresh = this.#fresh.get(work.key);
    if (fresh) return bytesOf(fresh);
    const flight = this.#flights.get(work.key) ?? this.#begin(work);
    flight.waiting += 1;
    try {
      return await bytesOf(await orAbort(flight.rendered, signal));
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0 && this.#forget(work.key, flight)) {
        flight.abort.abort(new Problem('cancelled', { detail: 'Nobody waits for it any more.' }));
      }
    }
  }

  /** Drops what is fresh of an image; what is being stored is stored when it resolves. How much was dropped. */
  async drop(imageId: string): Promise<number> {
    const fresh = [...this.#fresh].filter(([, { work }]) => work.imageId === imageId);
    const dropped = fresh.filter(([, { keeping }]) => !keeping);
    for (const [key, one] of dropped) void this.#drop(key, one);
    await Promise.all(fresh.map(([, { keeping }]) => keeping));
    return dropped.length;
  }

  /** Resolves when nothing is being rendered any more and all is stored. */
  async settle(): Promise<void> {
    while (this.#flights.size + this.#fresh.size > 0) {
      await Promise.allSettled([...this.#flights.values()].map(({ rendered }) => rendered));
      await this.#keepFresh();
    }
    await Promise.all(this.#folders.splice(0).map(({ scratch }) => scratch[Symbol.asyncDispose]()));
  }

  #begin(work: RenderWork): Flight {
    const abort = new AbortController();
    const rendered = this.#render(work, abort.signal);
    const flight: Flight = { abort, rendered, waiting: 0 };
    this.#flights.set(work.key, flight);
    rendered.then(
      (fresh) => {
        this.#forget(work.key, flight);
        this.#add(fresh);
      },
      () => this.#forget(work.key, flight),
    );
    return flight;
  }

  /** @returns whether it was known */
  #forget(key: string, flight: Flight): boolean {
    return this.#flights.get(key) === flight && this.#flights.delete(key);
  }

  async #render(work: RenderWork, signal: AbortSignal): Promise<Fresh> {
    const { pool, blobs } = this.#services;
    const folder = this.#folders.pop() ?? { scratch: await pool.scratch(), uses: 0 };
    try {
      await using source = await blobs.localPath(work.sourceKey);
      await using assets = await openAssets(work.assets, this.#services);
      const request = {
        sourcePath: source.path,
        plans: [work.plan],
        limits: this.#limits,
        outDir: folder.scratch.dir,
        assets: assets.paths,
      };
      const { renditions } = await pool.render(request, { signal }).catch(async (error) => {
        const problem = Problem.from(error);
        if (problem.retryable || signal.aborted) throw problem;
        throw await unlessDamaged(problem, { path: source.path, sha256: work.sourceSha256 });
      });
      const rendition = renditions[0]!;
      const buffer = await readSmall(rendition);
      await this.#expectSource(work);
      folder.uses += 1;
      const drop = () => this.#leave(folder, rendition);
      if (!buffer) return { work, rendition, drop };
      await drop();
      return { work, rendition, buffer, drop: async () => {} };
    } catch (error) {
      await folder.scratch[Symbol.asyncDispose]();
      // What fails because the image went has one cause.
      if (!signal.aborted) await this.#expectSource(work);
      throw error;
    }
  }

  /** @throws Problem not_found */
  async #expectSource({ imageId, version, sourceKey }: RenderWork): Promise<void> {
    const source = await this.#services.catalog.imageSource(imageId, version);
    if (source?.bytes?.blobKey !== sourceKey) {
      throw new Problem('not_found', { detail: 'The image was deleted meanwhile.' });
    }
  }

  #add(fresh: Fresh): void {
    const { work, rendition, buffer } = fresh;
    this.#fresh.set(work.key, fresh);
    this.#freshBytes += rendition.bytes;
    if (buffer && rendition.bytes <= this.#options.cacheBytes) this.#options.onRendered(work.key, buffer);
    const isMuch = this.#fresh.size >= MAX_FRESH || this.#freshBytes >= MAX_FRESH_BYTES;
    if (isMuch) void this.#keepFresh();
    else this.#timer ??= setTimeout(() => void this.#keepFresh(), KEEP_AFTER_MS);
  }

  /** One batch after the other. Never rejects. */
  #keepFresh(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = [...this.#fresh.values()].filter(({ keeping }) => !keeping);
    if (batch.length === 0) return this.#keeping;
    const kept = batch.filter(({ rendition }) => rendition.bytes <= this.#options.cacheBytes);
    this.#keeping = this.#keeping
      .then(() => keepRendered(kept, this.#services, this.#options.cacheBytes))
      // The next request renders it again.
      .catch((error) => this.#services.log.warn({ err: error }, 'what URLs rendered could not be stored'))
      .then(async () => {
        for (const fresh of batch) await this.#drop(fresh.work.key, fresh);
      });
    for (const fresh of batch) fresh.keeping = this.#keeping;
    return this.#keeping;
  }

  async #drop(key: string, fresh: Fresh): Promise<void> {
    if (this.#fresh.get(key) === fresh) {
      this.#fresh.delete(key);
      this.#freshBytes -= fresh.rendition.bytes;
    }
    await fresh
      .drop()
      .catch((error) => this.#services.log.warn({ err: error }, 'a temporary file was left behind'));
  }

  /** The bytes go, and the folder is there for others. */
  async #leave(folder: { scratch: Scratch; uses: number }, { path }: Rendition): Promise<void> {
    try {
      // The empty file stays for the next one: a file system that has just given an inode back looks long for a new one.
      // Done here it costs less than handed to another thread.
      truncateSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (folder.uses < MAX_FOLDER_USES) this.#folders.push(folder);
    else await folder.scratch[Symbol.asyncDispose]();
  }
}

/** Undefined where it is large. What is quickly read from where it was just written is read at once. */
async function readSmall({ path, bytes }: Rendition): Promise<Buffer | undefined> {
  if (bytes > MAX_BUFFER_BYTES) return undefined;
  return bytes <= MAX_BYTES_AT_ONCE ? readFileSync(path) : readFile(path);
}

export function bytesInMemory(buffer: Buffer): OpenBytes {
  return {
    bytes: buffer.length,
    read: ({ start, end }) => (end - start + 1 === buffer.length ? buffer : buffer.subarray(start, end + 1)),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Undefined where it is being moved to the store: it has been by then. */
async function bytesOf({ buffer, keeping, rendition }: Fresh): Promise<OpenBytes | undefined> {
  if (buffer) return bytesInMemory(buffer);
  await keeping;
  if (keeping) return undefined;
  const { path, bytes } = rendition;
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return undefined;
  });
  if (!handle) return undefined;
  return {
    bytes,
    read: (range) => handle.createReadStream({ ...range, highWaterMark: READ_CHUNK_BYTES }),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
