/** An upload's bytes on their way from staging into the store, where nothing is left of them unless the catalog knows. */
import { originalKey } from '../domain/keys.ts';
import type { Blobs, StagedFile } from '../ports/blobs.ts';
import type { Services } from './context.ts';
import { type HeadInspection, Intake } from './intake.ts';

export interface StageOptions {
  maxBytes: number;
  inspect: HeadInspection;
}

type StoreServices = Pick<Services, 'blobs' | 'catalog' | 'log'>;

export class StagedOriginal implements AsyncDisposable {
  /** Counts, hashes and looks at the bytes while they come. */
  readonly intake: Intake;
  readonly #staged: StagedFile;
  readonly #services: StoreServices;
  /** What the bytes were put under, unless a row refers to it. */
  #unknownKey: string | undefined;

  private constructor(staged: StagedFile, services: StoreServices, options: StageOptions) {
    this.#staged = staged;
    this.#services = services;
    this.intake = new Intake(staged, { ...options, hash: true });
  }

  /** @throws Problem `storage_full`, `dependency_down` */
  static async open(services: StoreServices, options: StageOptions): Promise<StagedOriginal> {
    return new StagedOriginal(await services.blobs.stage(), services, options);
  }

  /** Where the bytes can be read. */
  get path(): string {
    return this.#staged.path;
  }

  get key(): string {
    return originalKey(this.intake.sha256);
  }

  /** Durably in the store when it resolves. @throws Problem as `Blobs.put` */
  async put(): Promise<void> {
    await this.#staged.finish();
    this.#unknownKey = this.key;
    await this.#services.blobs.put(this.key, this.#staged.path);
  }

  /** For the catalog's transaction: the bytes may have been deleted since `put`, with their last other reference. */
  ensureBlob = async (): Promise<void> => {
    const { blobs } = this.#services;
    if (!(await isThere(blobs, this.key, this.intake.bytes))) await blobs.put(this.key, this.#staged.path);
  };

  /** A row refers to the bytes. */
  accepted(): void {
    this.#unknownKey = undefined;
  }

  /** The staged file goes, and what was put as well where no row knows it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { catalog, blobs, log } = this.#services;
    const key = this.#unknownKey;
    try {
      if (key !== undefined) await catalog.removeIfUnknown(key, () => blobs.delete(key));
    } catch (error) {
      // The staged file tells the sweeper of the next process which key to ask about.
      log.warn({ err: error }, 'an upload that failed could not be cleared away: the next start does it');
      return;
    }
    await this.#staged.discard();
  }
}

async function isThere(blobs: Blobs, key: string, bytes: number): Promise<boolean> {
  return (await blobs.head(key))?.bytes === bytes;
}
