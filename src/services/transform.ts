/**
 * Images by URL: which bytes a URL means, and where they come from. They are looked for in memory, then in the store,
 * where a job may have put the same rendition, and rendered where they are in neither. Who may ask is checked before.
 *
 * The catalog is asked each time, since it alone knows what other processes have deleted.
 */
import { buffer as collected } from 'node:stream/consumers';
import { EXTENSIONS, type NormalPlan, type OutputFormat } from '../contract/plan.ts';
import { planFor } from '../contract/plan-for-source.ts';
import type { TransformPlan } from '../contract/transform-url.ts';
import type { Principal } from '../domain/access.ts';
import { parseKey, renditionKey } from '../domain/keys.ts';
import { assetsNamed, type PlanAssets, renditionHash } from '../domain/rendition-hash.ts';
import { probe } from '../engine/probe.ts';
import { ENGINE_VERSION } from '../engine/version.ts';
import type { ImageSource } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';
import { deleteQueued } from './erase.ts';
import { openBlob } from './job-source.ts';
import { resolveAssets } from './plan-assets.ts';
import { Recent } from './recent.ts';
import { findOwnImage } from './retrieve.ts';
import { type ChosenPlan, type Client, type Traits, TransformPlans } from './transform-plan.ts';
import { bytesInMemory, type OpenBytes, type RenderServices, TransformRenders } from './transform-renders.ts';

export type { Client } from './transform-plan.ts';

export type TransformServices = RenderServices & Pick<Services, 'policies'>;

export interface TransformOptions {
  /** Of all that is kept in the store. */
  cacheBytes: number;
  /** Of what of it is held in memory. */
  memoryBytes: number;
}

export interface TransformRequest {
  plan: TransformPlan;
  /** What the URL says, by its plan or its extension. */
  format: OutputFormat | undefined;
  imageId: string;
  /** Otherwise only what is public is given, without what its metadata say. */
  isSigned: boolean;
}

/** What a URL means for a client, at the moment. */
export interface Found extends ChosenPlan {
  source: ImageSource & Required<Pick<ImageSource, 'bytes'>>;
  assets: PlanAssets;
  /** Tells it from every other picture; known before there is any. */
  identity: string;
  hash: string;
  /** The same URL means the same bytes for ever. */
  isFinal: boolean;
}

/** Headers of these formats say neither transparency nor motion. */
const ALWAYS_OPAQUE: ReadonlySet<string> = new Set([
  ...['jpeg', 'dng', 'cr2', 'cr3', 'crw', 'nef', 'arw', 'raf', 'rw2', 'orf', 'raw'],
]);
const OPAQUE: Traits = { alpha: false, moves: false };
/** Of sources whose headers or digests were read: a hundred bytes or so each. */
const MAX_KNOWN_SOURCES = 10_000;
/** Part of the memory that one result may take. */
const LARGEST_SHARE = 1 / 8;
/** The store may lose what was found in it, when an image is deleted or room is made. */
const LOOKS = 3;
/** How exactly it is known when something was used last, and how often that is written down. */
const USE_STEP_MS = 5 * 60_000;
const FLUSH_EVERY_MS = 60_000;

export class Transforms {
  readonly #services: TransformServices;
  readonly #plans: TransformPlans;
  readonly #renders: TransformRenders;
  readonly #memory: Recent<Buffer>;
  readonly #maxInMemory: number;
  readonly #hashes = new WeakMap<NormalPlan, string>();
  readonly #digests = new Recent<string>(MAX_KNOWN_SOURCES);
  readonly #traits = new Recent<Traits>(MAX_KNOWN_SOURCES);
  readonly #lastUses = new Recent<number>(MAX_KNOWN_SOURCES);
  readonly #used = new Set<string>();
  readonly #flushing: NodeJS.Timeout;

  constructor(services: TransformServices, { cacheBytes, memoryBytes }: TransformOptions) {
    this.#services = services;
    this.#plans = new TransformPlans(services);
    this.#memory = new Recent(memoryBytes, ({ length }) => length);
    this.#maxInMemory = memoryBytes * LARGEST_SHARE;
    this.#renders = new TransformRenders(services, {
      cacheBytes,
      onRendered: (key, bytes) => this.#remember(key, bytes),
    });
    this.#flushing = setInterval(() => void this.#flush(), FLUSH_EVERY_MS).unref();
  }

  /**
   * Reads no pixel, and of a source's bytes only the headers, where they decide the format.
   * @throws Problem not_found, not_finished, forbidden, invalid_plan
   */
  async find({ plan: url, format, imageId, isSigned }: TransformRequest, client: Client): Promise<Found> {
    const source = await this.#services.catalog.imageSource(imageId, url.version);
    if (!source) throw new Problem('not_found', { detail: 'There is no such image.' });
    if (!isSigned && source.visibility !== 'public') {
      throw new Problem('forbidden', { detail: 'A private image needs a signed URL.' });
    }
    if (!hasBytes(source)) {
      throw source.status === 'expected'
        ? new Problem('not_finished', { detail: 'The bytes of this image have not arrived.' })
        : new Problem('not_found', { detail: 'The image has no such version.' });
    }
    const { bucket, owner, bytes } = source;
    const chosen = await this.#plans.choose(
      url,
      format,
      { bucket, traits: () => this.#traitsOf(bytes) },
      client,
    );
    const plan = url.preset ? chosen.plan : planFor(bytes.format, chosen.plan);
    if (!isSigned && plan.output.metadata === 'keep') {
      throw new Problem('forbidden', { detail: 'Metadata are kept by signed URLs only.' });
    }
    const namesOthers = assetsNamed(plan).length > 0;
    // Whoever has no signature sees only what is public, on another picture as well.
    const mayUse = ({ visibility }: { visibility: string }) => isSigned || visibility === 'public';
    const assets = namesOthers ? await resolveAssets(plan, owner, this.#services, mayUse) : {};
    const hash = namesOthers ? renditionHash(plan, assets, ENGINE_VERSION) : this.#hashOf(plan);
    return {
      ...chosen,
      plan,
      source,
      assets,
      hash,
      identity: `${bytes.blobKey}/${hash}.${EXTENSIONS[plan.output.format]}`,
      isFinal: url.version !== undefined && url.preset === undefined && !namesOthers,
    };
  }

  /**
   * @param signal of the request: what is being rendered for others as well goes on without it
   * @throws Problem not_found where the image was deleted meanwhile; overloaded; what rendering throws
   */
  async open({ source, plan, assets, hash }: Found, signal: AbortSignal): Promise<OpenBytes> {
    const { imageId } = source;
    const { version, blobKey: sourceKey } = source.bytes;
    const sourceSha256 = await this.#digestOf(sourceKey);
    const key = renditionKey(sourceSha256, hash, EXTENSIONS[plan.output.format]);
    const work = { imageId, version, sourceKey, sourceSha256, plan, assets, key };
    for (let look = 1; look <= LOOKS; look++) {
      const kept = this.#renders.has(key) ? undefined : await this.#kept(key);
      if (kept) return kept;
      const rendered = await this.#renders.open(work, signal);
      if (rendered) return rendered;
    }
    throw new Problem('overloaded', { detail: 'The picture could not be kept long enough to be sent.' });
  }

  /**
   * Drops what URLs have rendered of an image. How much it was.
   * @throws Problem not_found, forbidden
   */
  async purge(imageId: string, principal: Principal): Promise<number> {
    const { catalog, clock } = this.#services;
    const image = await findOwnImage(imageId, principal, this.#services);
    const fresh = await this.#renders.drop(image.imageId);
    const kept = await catalog.dropDerived(image.imageId, clock.now());
    if (kept > 0) await deleteQueued(image.imageId, this.#services);
    return fresh + kept;
  }

  /** Resolves when nothing is being rendered or stored, and what was used is written down. */
  async close(): Promise<void> {
    clearInterval(this.#flushing);
    await this.#renders.settle();
    await this.#flush();
  }

  /** What is in memory counts only while the catalog knows it. */
  async #kept(key: string): Promise<OpenBytes | undefined> {
    const { catalog, blobs } = this.#services;
    const stored = await catalog.blob(key);
    if (!stored) {
      this.#memory.delete(key);
      return undefined;
    }
    this.#use(key);
    const held = this.#memory.get(key);
    if (held?.length === stored.bytes) return bytesInMemory(held);
    if ((await blobs.head(key))?.bytes !== stored.bytes) return undefined;
    const { bytes } = stored;
    if (bytes > this.#maxInMemory) {
      return { bytes, read: (range) => blobs.get(key, range), [Symbol.asyncDispose]: async () => {} };
    }
    const buffer = await collected(await blobs.get(key)).catch(() => undefined);
    if (buffer?.length !== bytes) return undefined;
    this.#remember(key, buffer);
    return bytesInMemory(buffer);
  }

  #remember(key: string, bytes: Buffer): void {
    if (bytes.length <= this.#maxInMemory) this.#memory.set(key, bytes);
  }

  #hashOf(plan: NormalPlan): string {
    const hash = this.#hashes.get(plan) ?? renditionHash(plan, {}, ENGINE_VERSION);
    this.#hashes.set(plan, hash);
    return hash;
  }

  /** Of the bytes of a version that was itself made by a plan the key does not tell it. */
  async #digestOf(key: string): Promise<string> {
    const parsed = parseKey(key);
    if (parsed?.kind === 'original') return parsed.sha256;
    let digest = this.#digests.get(key);
    if (digest === undefined) {
      await using source = await openBlob(key, this.#services);
      digest = source.sha256;
      this.#digests.set(key, digest);
    }
    return digest;
  }

  #traitsOf({ format, blobKey }: Found['source']['bytes']): Traits | Promise<Traits> {
    if (ALWAYS_OPAQUE.has(format)) return OPAQUE;
    return this.#traits.get(blobKey) ?? this.#readTraits(blobKey);
  }

  async #readTraits(key: string): Promise<Traits> {
    const { blobs, limits } = this.#services;
    await using local = await blobs.localPath(key);
    const facts = await probe(local.path, { ...limits, maxBytes: Number.MAX_SAFE_INTEGER });
    const traits = { alpha: facts.alpha, moves: facts.animated && facts.pages > 1 };
    this.#traits.set(key, traits);
    return traits;
  }

  #use(key: string): void {
    const now = this.#services.clock.now().getTime();
    if (now - (this.#lastUses.get(key) ?? 0) < USE_STEP_MS) return;
    this.#lastUses.set(key, now);
    this.#used.add(key);
  }

  async #flush(): Promise<void> {
    if (this.#used.size === 0) return;
    const { catalog, clock, log } = this.#services;
    const keys = [...this.#used];
    this.#used.clear();
    await catalog
      .touchDerived(keys, clock.now())
      .catch((error) => log.warn({ err: error }, 'when URLs were last used was not written down'));
  }
}

const hasBytes = (source: ImageSource): source is Found['source'] => source.bytes !== undefined;
