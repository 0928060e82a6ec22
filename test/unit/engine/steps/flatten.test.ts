import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatten } from '../../../../src/engine/steps/flatten.ts';
import { all, context, row } from './painted.ts';

const op = (background: `#${string}`) => ({ op: 'flatten', background }) as const;

test('mixes each level with the background by the transparency', async () => {
  const out = await flatten(
    row([
      [255, 0, 100, 128],
      [1, 2, 3, 0],
      [4, 5, 6, 255],
    ]),
    op('#ff8000'),
    context(),
  );
  assert.deepEqual(all(out), [
    [255, 64, 50],
    [255, 128, 0],
    [4, 5, 6],
  ]);
});

test('white is all of white at 16 bits', async () => {
  const out = await flatten(
    row(
      [
        [0, 0, 0, 0],
        [10, 20, 30, 255],
      ],
      16,
    ),
    op('#ffffff'),
    context(),
  );
  assert.deepEqual(all(out), [
    [65_535, 65_535, 65_535],
    [2570, 5140, 7710],
  ]);
});

test('a grey picture on a colour becomes RGB, on a grey it stays grey', async () => {
  const gray = [
    [100, 0],
    [100, 255],
  ];
  assert.deepEqual(all(await flatten(row(gray), op('#ff0000'), context())), [
    [255, 0, 0],
    [100, 100, 100],
  ]);
  assert.deepEqual(all(await flatten(row(gray), op('#404040'), context())), [[64], [100]]);
});

test('an opaque picture is left alone', async () => {
  assert.deepEqual(all(await flatten(row([[1, 2, 3]]), op('#ffffff'), context())), [[1, 2, 3]]);
});
