/**
 * Which file each source becomes. Everything is settled before anything runs, so that two sources never fight
 * for one name.
 */
import { basename, dirname, join, parse, resolve } from 'node:path';
import { UsageError } from './args.ts';
import type { SourceFile } from './inputs.ts';
import { printable } from './text.ts';

export type Destination =
  /** Next to each source. */
  | { kind: 'beside' }
  /** The tree of the sources is mirrored under `path`; `flat` drops their folders. */
  | { kind: 'folder'; path: string; flat: boolean }
  /** One source, one file. */
  | { kind: 'file'; path: string };

export interface Target {
  source: SourceFile;
  path: string;
}

export interface Targets {
  targets: Target[];
  /** Sources that kept their extension inside the new name, because another would have taken the same one. */
  renamed: Target[];
}

/** Names compare as the usual file systems of the platform compare them. */
const nameKey = (path: string): string =>
  process.platform === 'darwin' || process.platform === 'win32'
    ? resolve(path).normalize('NFC').toLowerCase()
    : resolve(path);

/**
 * `IMG_1.HEIC` becomes `IMG_1.jpg`. Where several sources would become the same file (`IMG_1.HEIC` and
 * `IMG_1.DNG`), each of them keeps its extension: `IMG_1.HEIC.jpg`, `IMG_1.DNG.jpg`.
 * @param extension of the output, without the dot
 * @throws UsageError where that does not tell them apart
 */
export function assignTargets(sources: SourceFile[], destination: Destination, extension: string): Targets {
  const place = (source: SourceFile, name: string): string => {
    if (destination.kind === 'file') return destination.path;
    if (destination.kind === 'beside') return join(dirname(source.path), name);
    return join(destination.path, destination.flat ? '' : dirname(source.relative), name);
  };
  const plain = sources.map((source) => ({
    source,
    path: place(source, `${parse(source.path).name}.${extension}`),
  }));

  // A source that is its own target is refused later, one by one, and takes no name from the others.
  const ontoItself = (target: Target): boolean => nameKey(target.path) === nameKey(target.source.path);
  const takers = Map.groupBy(
    plain.filter((target) => !ontoItself(target)),
    (target) => nameKey(target.path),
  );
  const renamed: Target[] = [];
  const targets = plain.map((target) => {
    if (ontoItself(target) || takers.get(nameKey(target.path))!.length === 1) return target;
    const longer = {
      source: target.source,
      path: place(target.source, `${basename(target.source.path)}.${extension}`),
    };
    renamed.push(longer);
    return longer;
  });
  const first = new Map<string, number>();
  for (const [i, target] of targets.entries()) {
    if (ontoItself(target)) continue;
    const other = first.get(nameKey(target.path));
    if (other !== undefined) {
      const wanted = plain[other]!.path === plain[i]!.path ? plain[i]!.path : target.path;
      throw ambiguous(targets[other]!.source, target.source, wanted);
    }
    first.set(nameKey(target.path), i);
  }
  return { targets, renamed };
}

function ambiguous(one: SourceFile, other: SourceFile, path: string): UsageError {
  const [first, second, result] = [one.path, other.path, path].map(printable);
  return new UsageError(
    `${first} and ${second} would both become ${result}: nothing was converted; ` +
      'convert them into different folders, or give the folder they lie in (with --recursive, without --flat)',
  );
}
