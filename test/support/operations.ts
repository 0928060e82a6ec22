/** Ties the end-to-end tests to the operation table. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Method } from '../../src/contract/operation.ts';
import { OPERATIONS, type OperationId } from '../../src/contract/operations.ts';

/** Where an operation is, for a test that is about to call it. */
export function exercise(id: OperationId): { method: Method; path: string } {
  const { method, path } = OPERATIONS[id];
  return { method, path };
}

/**
 * The operations that `exercise` is called with in the tests of a folder. Read from their text: each file runs in a
 * process of its own, so no process sees all the calls.
 */
export function exercisedIn(folder: string): Set<string> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((f) =>
    f.endsWith('.test.ts'),
  );
  const text = files.map((file) => readFileSync(join(folder, file), 'utf8')).join('\n');
  return new Set(Array.from(text.matchAll(/exercise\('(\w+)'\)/g), ([, id]) => id!));
}
