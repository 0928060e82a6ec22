import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { findInputs } from '../../../src/cli/inputs.ts';
import { tempDir } from '../../support/temp.ts';

/** The first bytes of a GIF: enough to be taken for one. */
const GIF = Buffer.from('GIF89a\x01\x00\x01\x00\x00\x00\x00;', 'latin1');

function tree(t: TestContext, files: string[]): string {
  const root = tempDir(t);
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), /\.(gif|heic|HEIC)$/.test(file) ? GIF : 'text');
  }
  return root;
}

async function find(root: string, inputs: string[], options: { recursive?: boolean; except?: string } = {}) {
  const found = await findInputs(
    inputs.map((input) => join(root, input)),
    {
      recursive: options.recursive ?? false,
      ...(options.except && { except: join(root, options.except) }),
      signal: new AbortController().signal,
    },
  );
  return {
    ...found,
    paths: found.sources.map(({ path }) => relative(root, path)),
    places: found.sources.map((source) => source.relative),
    refused: found.unusable.map(({ path, reason }) => `${relative(root, path)}: ${reason}`),
  };
}

describe('inputs of the command line', () => {
  it('takes the files directly in a folder, sorted, and says that folders were left out', async (t) => {
    const root = tree(t, ['in/b.gif', 'in/a.gif', 'in/sub/c.gif']);
    const { paths, foldersLeft } = await find(root, ['in']);
    assert.deepEqual(paths, ['in/a.gif', 'in/b.gif']);
    assert.equal(foldersLeft, 1);
  });

  it('descends with recursive, and knows each place under the folder', async (t) => {
    const root = tree(t, ['in/a.gif', 'in/sub/deep/c.gif']);
    assert.deepEqual((await find(root, ['in'], { recursive: true })).places, ['a.gif', 'sub/deep/c.gif']);
  });

  it('keeps the names of several folders', async (t) => {
    const root = tree(t, ['2023/a.gif', '2024/a.gif']);
    assert.deepEqual((await find(root, ['2023', '2024'])).places, ['2023/a.gif', '2024/a.gif']);
  });

  it('passes over hidden files, the output folder and links that lead in circles', async (t) => {
    const root = tree(t, ['in/a.gif', 'in/._a.gif', 'in/.cache/b.gif', 'in/out/a.gif']);
    symlinkSync('..', join(root, 'in', 'loop'));
    symlinkSync('a.gif', join(root, 'in', 'link.gif'));
    const { paths } = await find(root, ['in'], { recursive: true, except: 'in/out' });
    assert.deepEqual(paths, ['in/a.gif', 'in/link.gif']);
  });

  it('counts what is no image in a folder, and refuses it where it is named', async (t) => {
    const root = tree(t, ['in/a.gif', 'in/notes.txt']);
    const walked = await find(root, ['in']);
    assert.deepEqual(walked.notImages, [join(root, 'in/notes.txt')]);
    assert.deepEqual(walked.refused, []);
    const named = await find(root, ['in/notes.txt', 'in/missing.jpg']);
    // Refused in the order in which it is noticed: what is missing before what has been read.
    assert.deepEqual(named.refused, [
      'in/missing.jpg: no such file or folder',
      'in/notes.txt: not a supported image but plain text',
    ]);
  });

  it('expands patterns in upper and lower case alike, and mirrors below their fixed part', async (t) => {
    const root = tree(t, ['in/x/a.HEIC', 'in/b.heic', 'in/c.gif']);
    const { paths, places } = await find(root, ['in/**/*.heic']);
    assert.deepEqual(paths, ['in/b.heic', 'in/x/a.HEIC']);
    assert.deepEqual(places, ['b.heic', 'x/a.HEIC']);
    assert.deepEqual((await find(root, ['in/*.bmp'])).refused, ['in/*.bmp: no file matches']);
  });

  it('takes a file whose name looks like a pattern for that file', async (t) => {
    const root = tree(t, ['[ab].gif', 'a.gif', 'x*.gif', 'xy.gif']);
    assert.deepEqual((await find(root, ['[ab].gif', 'x*.gif'])).paths, ['[ab].gif', 'x*.gif']);
  });

  it('takes a file that is reached twice once', async (t) => {
    const root = tree(t, ['in/a.gif']);
    assert.deepEqual((await find(root, ['in/a.gif', 'in', 'in/*.gif'])).paths, ['in/a.gif']);
  });

  it('refuses what is neither a file nor a folder', async () => {
    const { unusable } = await findInputs(['/dev/null'], {
      recursive: false,
      signal: new AbortController().signal,
    });
    assert.equal(unusable[0]?.reason, 'neither a file nor a folder');
  });
});
