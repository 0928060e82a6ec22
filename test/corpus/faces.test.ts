import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import type { NormalOperation } from '../../src/contract/plan.ts';
import { detectFaces } from '../../src/engine/faces/detect.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { faceCrop } from '../../src/engine/steps/face-crop.ts';
import { resize } from '../../src/engine/steps/resize.ts';
import { rawOf, runOn } from '../../src/engine/steps/run.ts';
import type { Pixels } from '../../src/engine/types.ts';
import { corpusMissing, good } from '../support/corpus.ts';

const skip = corpusMissing;
const context = { limits: DEFAULT_LIMITS, outDir: '', assets: new Map<string, string>() };
const open = (name: string) => rawOf(sharp(good(name)).autoOrient(), 8);

async function cropped(pixels: Pixels, width: number, height: number): Promise<Pixels> {
  const op: Extract<NormalOperation, { op: 'resize' }> = {
    op: 'resize',
    fit: 'cover',
    gravity: 'face',
    enlarge: false,
    width,
    height,
  };
  return faceCrop(await runOn(pixels, resize(op, pixels)), op, context);
}

/** Where the face is, looked up by eye: the point between nose and mouth, as parts of the sides. */
const PORTRAITS: Record<string, [x: number, y: number]> = {
  'tiff-bigtiff.tif': [0.49, 0.43],
  'jpeg-grey.jpg': [0.49, 0.43],
  'webp-orient6.webp': [0.49, 0.43],
  'jpeg-icc-adobergb.jpg': [0.52, 0.29],
  'jpeg-iptc.jpg': [0.27, 0.67],
};

test('finds the faces of portraits: colour, grey, upright from a turned file, and a statue', {
  skip,
}, async () => {
  for (const [name, [x, y]] of Object.entries(PORTRAITS)) {
    const faces = await detectFaces(await open(name));
    assert.equal(faces.length, 1, `${name}: ${faces.length}`);
    const [face] = faces;
    assert.ok(x > face!.x && x < face!.x + face!.width && y > face!.y && y < face!.y + face!.height, name);
  }
});

test('finds none in landscapes', { skip }, async () => {
  for (const name of ['jpeg-noexif.jpg', 'jpeg-orient-1.jpg', 'webp-lossy.webp']) {
    assert.deepEqual(await detectFaces(await open(name)), [], name);
  }
});

test('a wide crop of a tall portrait shows the whole head', { skip }, async () => {
  const out = await cropped(await open('jpeg-icc-adobergb.jpg'), 300, 200);
  assert.deepEqual([out.width, out.height], [300, 200]);
  const [face] = await detectFaces(out);
  assert.ok(face && face.y > 0.2 && face.y + face.height < 0.9, JSON.stringify(face));
});

test('small faces of a group at one side are all kept', { skip }, async () => {
  const person = await sharp(good('tiff-bigtiff.tif')).resize(220).png().toBuffer();
  const crowd = await sharp(good('jpeg-noexif.jpg'))
    .resize(2000, 1333, { fit: 'fill' })
    .composite([1150, 1450, 1750].map((left, i) => ({ input: person, left, top: 700 + 30 * i })))
    .png()
    .toBuffer();
  const picture = await rawOf(sharp(crowd), 8);
  const all = await detectFaces(await runOn(picture, [{ do: 'scale', width: 640, height: 427 }]));
  assert.equal(all.length, 3);
  const out = await cropped(picture, 400, 400);
  assert.equal((await detectFaces(out)).length, 3);
});
