import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { tempDir } from '../../support/temp.ts';
import { requireTool, tool } from '../../support/tools.ts';

describe('tools that tests compare with', () => {
  const { PATH, CI } = process.env;
  afterEach(() => {
    process.env.PATH = PATH;
    if (CI === undefined) delete process.env.CI;
    else process.env.CI = CI;
  });

  test('a program of the right name that says something else of itself is not taken', (t) => {
    const folder = tempDir(t);
    writeFileSync(join(folder, 'dcraw_emu'), '#!/bin/sh\necho "a stand-in for dcraw"\n');
    chmodSync(join(folder, 'dcraw_emu'), 0o755);
    process.env.PATH = [folder, '/bin'].join(delimiter);
    assert.notEqual(tool('dcraw_emu')?.path, join(folder, 'dcraw_emu'));
  });

  test('where a program is missing the test is skipped with its name, and fails in CI', (t) => {
    process.env.PATH = tempDir(t);
    const reasons: string[] = [];
    delete process.env.CI;
    assert.equal(requireTool({ skip: (reason) => reasons.push(reason) }, 'heif-enc'), undefined);
    assert.deepEqual(reasons, ['needs heif-enc (Debian package libheif-examples)']);
    process.env.CI = 'true';
    assert.throws(() => requireTool(t, 'heif-enc'), /needs heif-enc/);
  });
});
