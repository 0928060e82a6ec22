import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blur } from '../../../../src/engine/steps/blur.ts';
import { runOn } from '../../../../src/engine/steps/run.ts';
import { samplesOf } from '../../../../src/engine/steps/samples.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { at, painted } from './painted.ts';

const blurred = (pixels: Pixels, radius: number) => runOn(pixels, blur({ op: 'blur', radius }, pixels));

/** The deviation and the place of a step's response: of the differences between neighbours, as a distribution. */
function edgeSpread(pixels: Pixels): { sigma: number; middle: number } {
  const samples = samplesOf(pixels);
  const start = Math.floor(pixels.height / 2) * pixels.width * pixels.channels;
  let sum = 0;
  let first = 0;
  let second = 0;
  for (let x = 1; x < pixels.width; x++) {
    const rise = samples[start + x * pixels.channels]! - samples[start + (x - 1) * pixels.channels]!;
    sum += rise;
    first += rise * x;
    second += rise * x * x;
  }
  const middle = first / sum;
  return { sigma: Math.sqrt(second / sum - middle * middle), middle };
}

test('an edge spreads by the deviation that was asked for, narrow and wide, and stays in its place', async () => {
  for (const sigma of [1, 2, 5, 12, 13, 20, 60]) {
    const width = Math.ceil(sigma) * 12 + 40;
    // At 2000 px of height the wide ones are done on a smaller picture.
    const height = sigma >= 20 ? 2000 : 30;
    const edge = painted(width, height, (x) => (x < width / 2 ? [0, 0, 0] : [200, 200, 200]), 16);
    const spread = edgeSpread(await blurred(edge, sigma));
    assert.ok(Math.abs(spread.sigma / sigma - 1) < 0.04, `asked ${sigma}, got ${spread.sigma}`);
    assert.ok(Math.abs(spread.middle - width / 2) <= 0.5 + sigma / 30, `moved to ${spread.middle}`);
  }
});

test('keeps the mean and the size', async () => {
  const checks = painted(60, 50, (x, y) => [(x + y) % 2 ? 255 : 0, 40, 40]);
  for (const sigma of [3, 30, 250]) {
    const out = await blurred(checks, sigma);
    assert.deepEqual([out.width, out.height], [60, 50]);
    for (let x = 20; x < 40; x++) {
      const [red, green] = at(out, x, 25) as [number, number];
      assert.ok(Math.abs(red - 128) <= 2 && green === 40, `${sigma}: ${red} ${green}`);
    }
  }
});

test('transparent pixels give no colour', async () => {
  const hidden = painted(60, 60, (x) => (x < 30 ? [0, 255, 0, 0] : [200, 0, 0, 255]));
  for (const sigma of [4, 20]) {
    const out = await blurred(hidden, sigma);
    for (let x = 0; x < 60; x++) {
      const [red, green, , alpha] = at(out, x, 30) as [number, number, number, number];
      if (alpha < 8) continue; // too little left to tell a colour
      const rounding = 2 + (2 * 255) / alpha; // colours are kept premultiplied
      assert.ok(
        green <= rounding && Math.abs(red - 200) <= rounding,
        `sigma ${sigma}, x ${x}: ${red},${green}`,
      );
    }
    assert.ok(Math.abs(at(out, 29, 30)[3]! - 120) < 14);
  }
});

test('a wide blur is a few steps on a small picture', () => {
  const steps = blur({ op: 'blur', radius: 250 }, { width: 4000, height: 3000 });
  assert.deepEqual(
    steps.map((step) => step.do),
    ['scale', 'blur', 'scale'],
  );
  assert.deepEqual(steps.at(-1), { do: 'scale', width: 4000, height: 3000 });
  assert.deepEqual(blur({ op: 'blur', radius: 250 }, { width: 60_000, height: 4 }).length, 1);
});
