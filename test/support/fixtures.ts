import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const folder = resolve(import.meta.dirname, '../fixtures');

/** Absolute path of a committed image; test/fixtures/README.md says what each is for. */
export function fixture(name: string): string {
  const path = join(folder, name);
  if (!existsSync(path)) throw new Error(`test/fixtures has no ${name}`);
  return path;
}
