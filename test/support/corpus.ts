/**
 * The corpus of real and hostile images that lies beside the project, never in it. Tests over it sit in
 * `test/corpus/` and pass `{ skip: corpusMissing }`, so that a checkout without the corpus still passes.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What independent tools measured on a file that must be read. `width` and `height` are as displayed. */
export interface GoodFacts {
  name: string;
  source: string;
  licence: string;
  sha256: string;
  bytes: number;
  traits: string[];
  format: string;
  frames: number;
  alpha: boolean;
  width: number;
  height: number;
  bitDepth?: number;
  exifOrientation?: number;
  colorspace?: string;
  icc?: string;
  make?: string;
  model?: string;
  lens?: string;
  /** EXIF text, `2024:05:01 10:20:30`. */
  dateTimeOriginal?: string;
  offsetTimeOriginal?: string;
  /** Decimal degrees, south and west negative. */
  gpsLatitude?: number;
  gpsLongitude?: number;
  gpsAltitude?: number;
  /** Seconds of a video. */
  durationSeconds?: number;
  /** False where a correct answer is a clear refusal; `expect` and `note` say which. */
  decodable?: boolean;
  expect?: string;
  note?: string;
  [fact: string]: unknown;
}

export interface HostileFacts {
  name: string;
  /** `415`, `422`, `413`, `accept…`, `sanitise`; `a/b` means that either is right. */
  expect: string;
  why: string;
  sha256: string;
  bytes: number;
  [fact: string]: unknown;
}

const projectRoot = resolve(import.meta.dirname, '../..');

function locate(): string | undefined {
  const named = process.env.TINTYPE_CORPUS;
  if (named === 'none') return undefined;
  const folder = named ? resolve(named) : resolve(projectRoot, '../shared/corpus');
  if (existsSync(join(folder, 'good.json'))) return folder;
  // A folder that was named and does not hold the corpus is a mistake, not a reason to test less.
  if (named) throw new Error('TINTYPE_CORPUS must name a folder that holds good.json, or be "none"');
  return undefined;
}

function readIndex<T>(file: string, key: string): readonly T[] {
  if (!corpusDir) return [];
  const index = JSON.parse(readFileSync(join(corpusDir, file), 'utf8')) as Record<string, T[]>;
  return index[key] ?? [];
}

function pathIn(folder: 'good' | 'hostile', name: string): string {
  if (!corpusDir) throw new Error('the corpus is missing: pass { skip: corpusMissing } to this test');
  const path = join(corpusDir, folder, name);
  if (!existsSync(path)) throw new Error(`the corpus has no ${folder}/${name}`);
  return path;
}

/** Absolute path of the corpus, from `TINTYPE_CORPUS` or `../shared/corpus` beside the project. */
export const corpusDir: string | undefined = locate();

/** For a test's `skip` option: the reason where the corpus is missing, `false` where it is there. */
export const corpusMissing: string | false = corpusDir ? false : 'needs the image corpus (TINTYPE_CORPUS)';

/** Absolute path of a file that must be read. */
export const good = (name: string): string => pathIn('good', name);
/** Absolute path of a hostile file. The EICAR carriers are never on disk. */
export const hostile = (name: string): string => pathIn('hostile', name);

/** Empty where the corpus is missing. */
export const goodFacts = readIndex<GoodFacts>('good.json', 'files');
export const hostileFacts = readIndex<HostileFacts>('hostile.json', 'files');
/** Upload names that must neither be used as paths nor echoed unescaped. */
export const hostileNames = readIndex<string>('names.json', 'names');
