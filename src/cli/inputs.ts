/** Finds the source files that a person means by files, folders and patterns. */
import type { Stats } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve, sep } from 'node:path';
import { describeUnsupported, HEAD_BYTES, sniff } from '../engine/probe/sniff.ts';
import { fileSystemReason } from './failure.ts';

export interface SourceFile {
  /** Relative where the input was: for showing, and for opening from the current folder. */
  path: string;
  /** Its place under the input: `2024/IMG_1.HEIC` of the folder `photos`. */
  relative: string;
  /** Asked for by its name or a pattern, not met in a folder. */
  named: boolean;
  bytes: number;
  modified: Date;
  /** The file itself, whatever its names: device and inode. */
  fileId: string;
}

export const fileIdOf = ({ dev, ino }: Stats): string => `${dev}:${ino}`;

export interface Unusable {
  path: string;
  reason: string;
}

export interface Inputs {
  sources: SourceFile[];
  /** Asked for and not usable: missing, unreadable, no picture. */
  unusable: Unusable[];
  /** Met in a folder, and no picture by their first bytes. */
  notImages: string[];
  /** Folders that were not entered, for want of `--recursive`. */
  foldersLeft: number;
}

export interface InputOptions {
  recursive: boolean;
  /** A folder that is not looked into: that of the results. */
  except?: string;
  signal: AbortSignal;
}

/** Files sniffed at the same time. */
const SNIFF_CONCURRENCY = 16;

/**
 * In the order of the inputs, names in a folder sorted; a file that is reached twice counts once. Names in a
 * folder that begin with a dot are passed over: they are thumbnails, `._` companions and our own unfinished parts.
 */
export async function findInputs(inputs: string[], options: InputOptions): Promise<Inputs> {
  const finder = new Finder(options);
  for (const input of inputs) await finder.add(input);
  return finder.finish();
}

class Finder {
  readonly #options: InputOptions;
  readonly #seen = new Set<string>();
  readonly #found: Inputs = { sources: [], unusable: [], notImages: [], foldersLeft: 0 };
  /** Folders among the inputs, with the sources that each brought. */
  readonly #folders: { name: string; sources: SourceFile[] }[] = [];
  #except: string | undefined;

  constructor(options: InputOptions) {
    this.#options = options;
  }

  async add(input: string): Promise<void> {
    this.#options.signal.throwIfAborted();
    this.#except ??= this.#options.except && (await realpath(this.#options.except).catch(() => undefined));
    let stats: Stats;
    try {
      stats = await stat(input);
    } catch (error) {
      // A file that is called `[1].jpg` is that file; only what is no file can be a pattern.
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (missing && (await this.#addPattern(input))) return;
      this.#refuse(input, fileSystemReason(error));
      return;
    }
    if (!stats.isDirectory()) return this.#addFile(input, basename(input), stats, true);
    const first = this.#found.sources.length;
    await this.#walk(input, '');
    const name = basename(resolve(input));
    this.#folders.push({ name, sources: this.#found.sources.slice(first) });
  }

  async finish(): Promise<Inputs> {
    // One folder gives its content, as `cp -r photos/. out` does; of several, each keeps its name.
    if (this.#folders.length > 1) {
      for (const { name, sources } of this.#folders) {
        for (const source of sources) source.relative = join(name, source.relative);
      }
    }
    await this.#sniffAll();
    return this.#found;
  }

  /** @returns false where the input is no pattern */
  async #addPattern(input: string): Promise<boolean> {
    const { glob, isDynamicPattern } = await import('tinyglobby');
    const pattern = sep === '\\' ? input.replaceAll('\\', '/') : input;
    if (!isDynamicPattern(pattern)) return false;
    const segments = pattern.split('/');
    const fixed = segments.findIndex((segment) => isDynamicPattern(segment));
    const base = segments.slice(0, fixed).join('/') || (pattern.startsWith('/') ? '/' : '.');
    const matches = await glob(segments.slice(fixed).join('/'), {
      cwd: base,
      // Cameras write IMG_1.HEIC, people type *.heic.
      caseSensitiveMatch: false,
      expandDirectories: false,
      followSymbolicLinks: false,
      signal: this.#options.signal,
    });
    if (matches.length === 0) this.#refuse(input, 'no file matches');
    for (const match of matches.sort(byName)) {
      const path = join(base, match);
      const stats = await stat(path).catch((error) => this.#refuse(path, fileSystemReason(error)));
      if (stats) this.#addFile(path, match, stats, true);
    }
    return true;
  }

  async #walk(folder: string, below: string): Promise<void> {
    this.#options.signal.throwIfAborted();
    let entries: Awaited<ReturnType<typeof list>>;
    try {
      entries = await list(folder);
    } catch (error) {
      this.#refuse(folder, fileSystemReason(error));
      return;
    }
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      const [path, under] = [join(folder, entry.name), join(below, entry.name)];
      if (entry.isDirectory()) {
        if (await this.#isExcepted(path)) continue;
        if (this.#options.recursive) await this.#walk(path, under);
        else this.#found.foldersLeft += 1;
        continue;
      }
      // Links to files are followed, links to folders are not: they may lead in circles.
      const stats = await stat(path).catch(() => undefined);
      if (stats?.isFile()) this.#addFile(path, under, stats, false);
    }
  }

  async #isExcepted(folder: string): Promise<boolean> {
    return this.#except !== undefined && (await realpath(folder).catch(() => undefined)) === this.#except;
  }

  #addFile(path: string, below: string, stats: Stats, named: boolean): void {
    const key = resolve(path);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (!stats.isFile()) {
      this.#refuse(path, 'neither a file nor a folder');
      return;
    }
    const { size: bytes, mtime: modified } = stats;
    this.#found.sources.push({ path, relative: below, named, bytes, modified, fileId: fileIdOf(stats) });
  }

  #refuse(path: string, reason: string): void {
    this.#found.unusable.push({ path, reason });
  }

  /** Parts the pictures from the rest by their first bytes, as the engine will. */
  async #sniffAll(): Promise<void> {
    const { sources } = this.#found;
    const verdicts = new Array<Verdict>(sources.length);
    let next = 0;
    const sniffing = async () => {
      for (let i = next++; i < sources.length; i = next++) {
        this.#options.signal.throwIfAborted();
        verdicts[i] = await sniffFile(sources[i]!.path);
      }
    };
    await Promise.all(Array.from({ length: SNIFF_CONCURRENCY }, sniffing));
    this.#found.sources = sources.filter((source, i) => {
      const { kind, reason } = verdicts[i]!;
      if (kind === 'picture') return true;
      if (kind === 'unreadable' || source.named) this.#refuse(source.path, reason);
      else this.#found.notImages.push(source.path);
      return false;
    });
  }
}

interface Verdict {
  kind: 'picture' | 'other' | 'unreadable';
  /** Why it is no picture. */
  reason: string;
}

async function sniffFile(path: string): Promise<Verdict> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(new Uint8Array(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const head = buffer.subarray(0, bytesRead);
    if (sniff(head)) return { kind: 'picture', reason: '' };
    const found = describeUnsupported(head);
    const reason = found ? `not a supported image but ${found}` : 'not a supported image, by its first bytes';
    return { kind: 'other', reason };
  } catch (error) {
    return { kind: 'unreadable', reason: fileSystemReason(error) };
  }
}

const list = async (folder: string) =>
  (await readdir(folder, { withFileTypes: true })).sort((a, b) => byName(a.name, b.name));

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
