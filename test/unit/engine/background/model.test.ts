/** An operator's own network, as small as one can be: each pixel by itself, green is background. */
import assert from 'node:assert/strict';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type BackgroundOperation, removeBackground } from '../../../../src/engine/background/index.ts';
import { onnxInputSize } from '../../../../src/engine/background/onnx.ts';
import { DEFAULT_LIMITS } from '../../../../src/engine/limits.ts';
import { Problem } from '../../../../src/problem.ts';
import { type MatteModelOptions, matteModel } from '../../../support/onnx.ts';
import { draw, type Picture } from '../../../support/pictures.ts';
import { tempDir } from '../../../support/temp.ts';

const OPERATION: BackgroundOperation = { op: 'background', method: 'model', color: '#00000000', mask: true };
/** Red on green, twice as wide as high. */
const PICTURE: Picture = draw(200, 100, (x, y) =>
  Math.hypot((x - 0.5) * 2, y - 0.5) < 0.3 ? [200, 30, 40] : [40, 200, 60],
);
const LESS_GREEN: MatteModelOptions = { side: 64, weights: [0, -4, 0], bias: 0 };

describe('a matte model', () => {
  const dir = tempDir({ after });

  const write = async (name: string, bytes: Uint8Array): Promise<string> => {
    const path = join(dir, name);
    await writeFile(path, bytes);
    return path;
  };

  const matteBy = async (matteModelPath: string) => {
    const { data, width } = await removeBackground({ ...PICTURE, depth: 8 }, OPERATION, {
      limits: DEFAULT_LIMITS,
      matteModelPath,
    });
    return (x: number, y: number) => data[y * width + x];
  };

  for (const side of [64, 'side'] as const) {
    test(`is given the picture at ${side === 64 ? 'its own size' : 'a size of ours where it leaves that open'}`, async () => {
      const matte = await matteBy(await write(`${side}.onnx`, matteModel({ ...LESS_GREEN, side })));
      assert.deepEqual([matte(100, 50), matte(72, 50), matte(60, 50), matte(3, 3)], [255, 255, 0, 0]);
    });
  }

  test('is read again where its file was replaced', async () => {
    const path = await write('replaced.onnx', matteModel(LESS_GREEN));
    assert.equal((await matteBy(path))(100, 50), 255);
    await write('replaced.onnx', matteModel({ ...LESS_GREEN, weights: [-4, 0, 0] }));
    await utimes(path, new Date(), new Date(Date.now() + 5_000));
    assert.equal((await matteBy(path))(100, 50), 0);
  });

  test('that sees nothing takes nothing away', async () => {
    const matte = await matteBy(await write('blind.onnx', matteModel({ ...LESS_GREEN, weights: [0, 0, 0] })));
    assert.deepEqual([matte(100, 50), matte(3, 3)], [255, 255]);
  });

  test('that cannot be used is a fault of the configuration, told without its path', async () => {
    const whole = matteModel(LESS_GREEN);
    const paths = [
      join(dir, 'missing.onnx'),
      await write('empty.onnx', new Uint8Array(0)),
      await write('text.onnx', Buffer.from('<!doctype html><title>Not found</title>')),
      await write('cut.onnx', whole.subarray(0, whole.length - 40)),
      await write('wrong.onnx', matteModel({ ...LESS_GREEN, operator: 'Nonsense' })),
    ];
    for (const path of paths) {
      await assert.rejects(matteBy(path), (error: unknown) => {
        assert.ok(error instanceof Problem);
        assert.equal(error.code, 'invalid_configuration', path);
        assert.match(error.detail ?? '', /matte model/);
        assert.ok(!error.detail?.includes('.onnx') && !error.detail?.includes(dir));
        return true;
      });
    }
    assert.equal((await matteBy(await write('good.onnx', whole)))(100, 50), 255);
  });

  test('tells its size, or that it is none, whatever its bytes', () => {
    const whole = matteModel(LESS_GREEN);
    assert.deepEqual(onnxInputSize(whole), { width: 64, height: 64 });
    for (let i = 0; i < whole.length * 4; i++) {
      const broken = whole.slice(0, i < whole.length ? i : whole.length);
      if (broken.length === whole.length) broken[i % whole.length]! ^= 1 << (i % 8);
      try {
        const { width, height } = onnxInputSize(broken);
        assert.ok(width >= 0 && height >= 0);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }
  });
});
