import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { UsageError } from '../../../src/cli/args.ts';
import type { SourceFile } from '../../../src/cli/inputs.ts';
import { assignTargets, type Destination } from '../../../src/cli/targets.ts';

const source = (path: string, relative = path): SourceFile => ({
  path,
  relative,
  named: true,
  bytes: 1,
  modified: new Date(0),
  fileId: path,
});

const beside: Destination = { kind: 'beside' };
const into = (path: string, flat = false): Destination => ({ kind: 'folder', path, flat });

const paths = (sources: SourceFile[], destination: Destination, extension = 'jpg') =>
  assignTargets(sources, destination, extension).targets.map(({ path }) => path);

describe('naming of results', () => {
  it('replaces the extension, beside the source', () => {
    assert.deepEqual(
      paths([source(join('a', 'IMG_1.HEIC')), source('no-extension'), source('.jpg')], beside),
      [join('a', 'IMG_1.jpg'), 'no-extension.jpg', '.jpg.jpg'],
    );
  });

  it('mirrors the tree in an output folder, or flattens it', () => {
    const sources = [source(join('in', '2024', 'a.dng'), join('2024', 'a.dng'))];
    assert.deepEqual(paths(sources, into('out')), [join('out', '2024', 'a.jpg')]);
    assert.deepEqual(paths(sources, into('out', true)), [join('out', 'a.jpg')]);
  });

  it('lets all sources that would become one file keep their extension, and no others', () => {
    const { targets, renamed } = assignTargets(
      [source('a.heic'), source('b.heic'), source('a.DNG')],
      beside,
      'jpg',
    );
    assert.deepEqual(
      targets.map(({ path }) => path),
      ['a.heic.jpg', 'b.jpg', 'a.DNG.jpg'],
    );
    assert.equal(renamed.length, 2);
  });

  it('gives the names of dotted sources back in full when cutting them makes them equal', () => {
    assert.deepEqual(paths([source('shot.2024.11'), source('shot.2024.12')], beside), [
      'shot.2024.11.jpg',
      'shot.2024.12.jpg',
    ]);
  });

  it('lets a source that is its own target take no name from another', () => {
    assert.deepEqual(paths([source('a.heic'), source('a.jpg')], beside), ['a.jpg', 'a.jpg']);
  });

  it('refuses, naming both sources, what no extension tells apart', () => {
    const two = [source(join('x', 'a.heic'), 'a.heic'), source(join('y', 'a.heic'), 'a.heic')];
    assert.throws(
      () => paths(two, into('out')),
      (error) =>
        error instanceof UsageError &&
        error.message.includes(`${join('x', 'a.heic')} and ${join('y', 'a.heic')} would both become`),
    );
  });

  it('refuses where a name that was kept meets another result', () => {
    assert.throws(() => paths([source('a.heic'), source('a.dng'), source('a.heic.png')], beside), UsageError);
  });
});
