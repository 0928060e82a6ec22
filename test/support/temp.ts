import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A new empty folder, removed when the test ends. Takes a test's context or, for a whole `describe`,
 * `{ after }` from node:test.
 */
export function tempDir(t: { after(fn: () => void): unknown }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tintype-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
