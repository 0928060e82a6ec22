/** WebAssembly's memory never shrinks: what is not freed, or should not be there, stays for the life of a process. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BackgroundOperation, removeBackground } from '../../../../src/engine/background/index.ts';
import { DEFAULT_LIMITS } from '../../../../src/engine/limits.ts';
import { type Mat, openCv } from '../../../../src/engine/opencv/load.ts';
import { withOpenCv } from '../../../../src/engine/opencv/scope.ts';
import { Problem } from '../../../../src/problem.ts';
import { compose } from '../../../support/compositions.ts';

const METHODS = ['auto', 'grabcut', 'watershed', 'person'] as const;

const operation = (method: BackgroundOperation['method']): BackgroundOperation => ({
  op: 'background',
  method,
  color: '#00000000',
  mask: true,
});

/** The size of the memory, and where a matrix of 8 MiB finds room: further up where others were left behind. */
async function heap(): Promise<{ bytes: number; at: number }> {
  const cv = await openCv();
  const probe = new cv.Mat(2048, 4096, cv.CV_8UC1);
  try {
    return { bytes: probe.data.buffer.byteLength, at: probe.data.byteOffset };
  } finally {
    probe.delete();
  }
}

describe('WebAssembly memory', () => {
  for (const method of METHODS) {
    test(`${method} leaves it as it was`, async () => {
      const { rgb, width, height } = await compose(5, 'gradient', { shape: 'figure', longSidePx: 320 });
      const run = () =>
        removeBackground({ data: rgb.slice(), width, height, channels: 3, depth: 8 }, operation(method), {
          limits: DEFAULT_LIMITS,
        });
      for (let i = 0; i < 2; i++) await run();
      const before = await heap();
      for (let i = 0; i < 6; i++) await run();
      assert.deepEqual(await heap(), before);
    });
  }

  test('holds a small copy of a large picture', async () => {
    const [width, height] = [9_000, 4_000];
    const data = new Uint8Array(width * height).fill(240);
    for (let y = 1_000; y < 3_000; y++) data.fill(30, y * width + 3_000, y * width + 6_000);
    const before = await heap();
    const matte = await removeBackground(
      { data, width, height, channels: 1, depth: 8 },
      operation('grabcut'),
      {
        limits: DEFAULT_LIMITS,
      },
    );
    const after = await heap();
    assert.ok(after.bytes - before.bytes < 16 * 1024 * 1024, `${after.bytes - before.bytes} bytes more`);
    assert.deepEqual([matte.data[2_000 * width + 4_500], matte.data[0]], [255, 0]);
    // An edge of the picture's own sharpness, where the small copy has one of 17 px.
    const row = matte.data.subarray(2_000 * width, 2_001 * width);
    assert.deepEqual([row[2_990], row[3_010]], [0, 255]);
  });

  test('is freed where the work fails, and a fault of OpenCV’s is ours', async () => {
    const left: Mat[] = [];
    const failing = withOpenCv((cv, own) => {
      const image = own(new cv.Mat(64, 64, cv.CV_8UC1));
      left.push(image);
      cv.watershed(image, image);
    });
    await assert.rejects(failing, (error: unknown) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'internal');
      assert.match(String(error.cause), /OpenCV: .*watershed/s);
      return true;
    });
    assert.throws(() => left[0]?.rows, /deleted/);
  });
});
