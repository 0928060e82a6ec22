/** The imports of a tree of source files, as text: enough to hold the house's rules, and quick. */
import { posix } from 'node:path';

export interface Import {
  /** File that imports, relative to the project, with `/`. */
  from: string;
  /** Project-relative file, or the package's name (`sharp`, `@fastify/swagger`, `node:fs`). */
  to: string;
  kind: 'file' | 'package';
  /** False where nothing is loaded by it: a type import, or the address of a module for a process or worker. */
  loads: boolean;
}

const STATEMENT = /^\s*(?:import|export)\s+(type\s+)?(?:[\w*{][^'";]*?\sfrom\s*)?['"]([^'"]+)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;
const ADDRESS = /\b(?:new URL|import\.meta\.resolve)\(\s*['"](\.[^'"]+\.m?[jt]s)['"]/g;

/** `files`: project-relative path → text. */
export function importsOf(files: ReadonlyMap<string, string>): Import[] {
  return [...files].flatMap(([from, text]) => {
    const code = withoutComments(text);
    const all = [
      ...[...code.matchAll(STATEMENT)].map((m) => ({ specifier: m[2]!, loads: m[1] === undefined })),
      ...[...code.matchAll(DYNAMIC)].map((m) => ({ specifier: m[1]!, loads: true })),
      ...[...code.matchAll(ADDRESS)].map((m) => ({ specifier: m[1]!, loads: false })),
    ];
    return all.map(({ specifier, loads }): Import => {
      if (specifier.startsWith('.')) {
        return { from, to: posix.join(posix.dirname(from), specifier), kind: 'file', loads };
      }
      const depth = specifier.startsWith('@') ? 2 : 1;
      const name = specifier.startsWith('node:') ? specifier : specifier.split('/').slice(0, depth).join('/');
      return { from, to: name, kind: 'package', loads };
    });
  });
}

/** Block comments, and lines that are nothing but a comment; code after `//` in a string stays. */
function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/^\s*\/\/.*$/gm, '');
}

/** Each cycle of loading once, as the files along it; empty where there is none. */
export function cyclesOf(imports: readonly Import[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to, kind, loads } of imports) {
    if (kind === 'file' && loads) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const path: string[] = [];
  const cycles: string[][] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) cycles.push([...path.slice(start), file]);
    if (start >= 0 || done.has(file)) return;
    path.push(file);
    for (const target of next.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of next.keys()) visit(file);
  return cycles;
}
