import assert from 'node:assert/strict';
import { test } from 'node:test';
import { colorspace } from '../../../../src/engine/steps/colorspace.ts';
import { all, context, row } from './painted.ts';

const rgb = { op: 'colorspace', space: 'rgb' } as const;
const rgba = { op: 'colorspace', space: 'rgba' } as const;

test('rgb lays what is transparent on white', async () => {
  assert.deepEqual(
    all(
      await colorspace(
        row([
          [0, 0, 0, 0],
          [9, 8, 7, 255],
          [0, 0, 0, 51],
        ]),
        rgb,
        context(),
      ),
    ),
    [
      [255, 255, 255],
      [9, 8, 7],
      [204, 204, 204],
    ],
  );
});

test('rgb and rgba make three and four channels of any number', async () => {
  assert.deepEqual(all(await colorspace(row([[9]]), rgb, context())), [[9, 9, 9]]);
  assert.deepEqual(all(await colorspace(row([[9, 0]]), rgb, context())), [[255, 255, 255]]);
  assert.deepEqual(all(await colorspace(row([[9]]), rgba, context())), [[9, 9, 9, 255]]);
  assert.deepEqual(all(await colorspace(row([[9, 40]]), rgba, context())), [[9, 9, 9, 40]]);
  assert.deepEqual(all(await colorspace(row([[9, 8, 7]]), rgba, context())), [[9, 8, 7, 255]]);
  assert.deepEqual(all(await colorspace(row([[9, 8, 7, 6]]), rgba, context())), [[9, 8, 7, 6]]);
});

test('opaque is 65535 at 16 bits', async () => {
  assert.deepEqual(all(await colorspace(row([[1, 2, 3]], 16), rgba, context())), [[257, 514, 771, 65_535]]);
});
