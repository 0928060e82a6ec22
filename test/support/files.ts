import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

/** All that is no folder, below a folder: sorted paths relative to it. */
export function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}
