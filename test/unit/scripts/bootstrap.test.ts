import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { tempDir } from '../../support/temp.ts';

const script = new URL('../../../scripts/bootstrap.mjs', import.meta.url);
const { packagesAreStale } = (await import(script.href)) as { packagesAreStale(folder: string): boolean };

type Packages = Record<string, { version: string; integrity?: string; optional?: boolean }>;

const LOCKED: Packages = {
  '': { version: '1.0.0' },
  'node_modules/a': { version: '1.2.3', integrity: 'sha512-a' },
  'node_modules/a-for-another-platform': { version: '1.2.3', optional: true },
};
const { '': _root, 'node_modules/a-for-another-platform': _other, ...INSTALLED } = LOCKED;

describe('whether packages have to be installed', () => {
  const cases: [title: string, installed: Packages | undefined, stale: boolean][] = [
    ['yes, where nothing is installed or an install was broken off', undefined, true],
    ['no, where all but other platforms’ packages are there', INSTALLED, false],
    ['yes, after the lockfile took another version', { 'node_modules/a': { version: '1.2.2' } }, true],
    ['yes, where the same version has other contents', { 'node_modules/a': { version: '1.2.3' } }, true],
    ['yes, where a package is missing', {}, true],
    ['no, where there is more than the lockfile asks for', { ...INSTALLED, x: { version: '1.0.0' } }, false],
  ];
  for (const [title, installed, stale] of cases) {
    test(title, (t) => {
      const folder = tempDir(t);
      mkdirSync(join(folder, 'node_modules'));
      writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: LOCKED }));
      if (installed) {
        const text = JSON.stringify({ packages: installed });
        writeFileSync(join(folder, 'node_modules', '.package-lock.json'), text);
      }
      assert.equal(packagesAreStale(folder), stale);
    });
  }
});
