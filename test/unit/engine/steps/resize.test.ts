import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NormalOperation } from '../../../../src/contract/plan.ts';
import { faceCrop, sizeAfterFaceCrop } from '../../../../src/engine/steps/face-crop.ts';
import { delayOrient, sizeOf, stagesOf } from '../../../../src/engine/steps/pipeline.ts';
import { resize } from '../../../../src/engine/steps/resize.ts';
import { runOn } from '../../../../src/engine/steps/run.ts';
import type { Pixels } from '../../../../src/engine/types.ts';
import { all, at, context, painted } from './painted.ts';

type Resize = Extract<NormalOperation, { op: 'resize' }>;
const op = (more: Partial<Resize>): Resize => ({ op: 'resize', fit: 'cover', enlarge: false, ...more });
const resized = (pixels: Pixels, more: Partial<Resize>) => runOn(pixels, resize(op(more), pixels));

test('cover puts the focal point into the middle, to the pixel', async () => {
  // Each column of its own level.
  const ramp = painted(200, 50, (x) => [x, 255 - x, 0]);
  for (const x of [0.25, 0.5, 0.6]) {
    const out = await resized(ramp, { width: 50, height: 50, focus: { x, y: 0.5 } });
    assert.deepEqual(at(out, 0, 0)[0], Math.round(200 * x - 25));
    assert.deepEqual(at(out, 49, 49)[0], Math.round(200 * x - 25) + 49);
  }
  assert.equal(at(await resized(ramp, { width: 50, height: 50, focus: { x: 0, y: 0 } }), 0, 0)[0], 0);
  assert.equal(at(await resized(ramp, { width: 50, height: 50, focus: { x: 1, y: 1 } }), 49, 0)[0], 199);
});

test('pad and stretch do to pixels what they say', async () => {
  const halves = painted(40, 20, (x) => (x < 20 ? [255, 0, 0] : [0, 0, 255]));
  const padded = await resized(halves, { fit: 'pad', width: 40, height: 40, background: '#00ff00' });
  assert.deepEqual(
    [at(padded, 5, 9), at(padded, 5, 10), at(padded, 35, 29), at(padded, 35, 30)],
    [
      [0, 255, 0],
      [255, 0, 0],
      [0, 0, 255],
      [0, 255, 0],
    ],
  );
  const stretched = await resized(halves, { fit: 'stretch', width: 10, height: 20 });
  // Lanczos rings by a level or two beside an edge.
  const [left, right] = [at(stretched, 2, 5), at(stretched, 7, 15)];
  assert.ok(left[0]! >= 253 && left[2]! <= 2 && right[0]! <= 2 && right[2]! >= 253, `${left} ${right}`);
});

test('a grey picture is padded with a colour', async () => {
  for (const gray of [[90], [90, 255]]) {
    const out = await resized(
      painted(20, 10, () => gray),
      { fit: 'pad', width: 20, height: 20, background: '#ff0000' },
    );
    assert.deepEqual(at(out, 3, 1).slice(0, 3), [255, 0, 0]);
    assert.deepEqual(at(out, 3, 10).slice(0, 3), [90, 90, 90]);
  }
});

test('making smaller takes no colour from transparent pixels', async () => {
  const stripes = painted(64, 64, (x) => (x % 4 < 2 ? [200, 0, 0, 255] : [0, 255, 0, 0]));
  const out = await resized(stripes, { fit: 'contain', width: 16 });
  for (let x = 4; x < 12; x++) {
    const [red, green, , alpha] = at(out, x, 8) as [number, number, number, number];
    assert.ok(
      Math.abs(red - 200) <= 3 && green <= 2 && Math.abs(alpha - 128) <= 4,
      `${red},${green} at ${alpha}`,
    );
  }
});

const CHECKS = (x: number, y: number) => (((x >> 2) + (y >> 2)) % 2 ? [230, 160, 120] : [255, 40, 40]);

/** Plain, but for a patch of skin-coloured checks. */
const withPatch = (left: number) =>
  painted(400, 100, (x, y) =>
    x >= left && x < left + 60 && y > 20 && y < 80 ? CHECKS(x, y) : [120, 125, 130],
  );

test('attention and entropy keep what stands out, left or right', async () => {
  for (const gravity of ['attention', 'entropy'] as const) {
    for (const left of [20, 320]) {
      const out = await resized(withPatch(left), { width: 100, height: 100, gravity });
      const kept = all(out).filter(([red]) => red! > 200).length;
      assert.ok(kept > 0.9 * 60 * 59, `${gravity} ${left}: ${kept}`);
    }
  }
});

test('attention is not drawn by colours under transparent pixels', async () => {
  const pixels = painted(400, 100, (x, y) => {
    if (x < 200) return [...CHECKS(x, y), 0];
    return x >= 320 && x < 360 && y > 20 && y < 80 ? [90, 120, 150, 255] : [0, 0, 0, 0];
  });
  const out = await resized(pixels, { width: 100, height: 100, gravity: 'attention' });
  assert.ok(all(out).filter(([, , , alpha]) => alpha === 255).length > 0.9 * 40 * 59);
});

test('attention on a turned photo reads the file at its small size and crops upright', async () => {
  // Stored lying; upright it is 100 × 400 and the patch is near the bottom.
  const stored = withPatch(320);
  const primitives = [
    { do: 'orient', orientation: 6 } as const,
    ...resize(op({ width: 50, height: 50, gravity: 'attention' }), { width: 100, height: 400 }),
  ];
  const laid = delayOrient(primitives, stored);
  assert.deepEqual(stagesOf(laid)[0]?.[0], { do: 'scale', width: 200, height: 50 });
  const out = await runOn(stored, laid);
  assert.deepEqual([out.width, out.height], [50, 50]);
  assert.ok(all(out).filter(([red]) => red! > 200).length > 700);
});

test('face keeps what draws attention where there is none, at the size that was told before', async () => {
  const pixels = withPatch(320);
  const face = op({ width: 100, height: 100, gravity: 'face' });
  const before = await runOn(pixels, resize(face, pixels));
  assert.deepEqual([before.width, before.height], [400, 100], 'small enough to look at as it is');
  const out = await faceCrop(before, face, context());
  assert.deepEqual(sizeAfterFaceCrop(face, pixels), { width: 100, height: 100 });
  assert.deepEqual([out.width, out.height], [100, 100]);
  assert.ok(all(out).filter(([red]) => red! > 200).length > 3000);
});

test('the size of a crop by face is that of any other, before and after it is made smaller to look at', () => {
  const side = fc.integer({ min: 1, max: 3000 });
  fc.assert(
    fc.property(side, side, side, side, fc.boolean(), (width, height, fromWidth, fromHeight, enlarge) => {
      const from = { width: fromWidth, height: fromHeight };
      const box = sizeOf(resize(op({ width, height, enlarge, gravity: 'center' }), from), from);
      const face = op({ width, height, enlarge, gravity: 'face' });
      assert.deepEqual(sizeAfterFaceCrop(face, from), box);
      assert.deepEqual(sizeAfterFaceCrop(face, sizeOf(resize(face, from), from)), box);
    }),
    { numRuns: 2000 },
  );
});

test('for faces a picture is made no smaller than they can be found in, and no smaller than the crop', () => {
  const size = (more: Partial<Resize>) =>
    resize(op({ gravity: 'face', ...more }), { width: 4000, height: 3000 });
  assert.deepEqual(size({ width: 100, height: 100 }), [{ do: 'scale', width: 640, height: 480 }]);
  assert.deepEqual(size({ width: 900, height: 900 }), [{ do: 'scale', width: 1200, height: 900 }]);
  assert.deepEqual(sizeAfterFaceCrop(op({ width: 9000, height: 3000 }), { width: 4000, height: 3000 }), {
    width: 4000,
    height: 1333,
  });
});
