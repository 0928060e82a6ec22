import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { contoursOf } from '../../../../src/engine/vectorize/contours.ts';
import { fitClosed } from '../../../../src/engine/vectorize/fit.ts';
import { otsu } from '../../../../src/engine/vectorize/ink.ts';
import { enlarged, type Raster } from '../../../../src/engine/vectorize/raster.ts';
import { regionsOf, withoutSpecks } from '../../../../src/engine/vectorize/regions.ts';
import { PathWriter } from '../../../../src/engine/vectorize/svg-path.ts';
import { seededRandom } from '../../../support/pictures.ts';

const labelsOf = (rows: string[]) => Uint8Array.from(rows.join(''), Number);

function randomLabels(seed: number) {
  const random = seededRandom(seed);
  const [width, height] = [1 + Math.floor(random() * 9), 1 + Math.floor(random() * 9)];
  return { labels: Uint8Array.from({ length: width * height }, () => random() * 3), width, height };
}

/** Filled one pixel after the other. */
function floodFilled(labels: Uint8Array, width: number): Int32Array {
  const ids = new Int32Array(labels.length).fill(-1);
  let count = 0;
  for (let start = 0; start < labels.length; start++) {
    if (ids[start] !== -1) continue;
    const todo = [start];
    while (todo.length > 0) {
      const i = todo.pop()!;
      if (ids[i] !== -1 || labels[i] !== labels[start]) continue;
      ids[i] = count;
      if (i % width > 0) todo.push(i - 1);
      if (i % width < width - 1) todo.push(i + 1);
      if (i >= width) todo.push(i - width);
      if (i + width < labels.length) todo.push(i + width);
    }
    count += 1;
  }
  return ids;
}

describe('regionsOf', () => {
  test('finds the regions that filling finds', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const { labels, width, height } = randomLabels(seed);
      assert.deepEqual(regionsOf(labels, width, height).ids, floodFilled(labels, width), `seed ${seed}`);
    }
  });
});

describe('withoutSpecks', () => {
  test('gives a speck to the neighbour with the longest border', () => {
    const labels = labelsOf(['11122', '10122', '11122']);
    withoutSpecks(labels, 5, 3, 2);
    assert.deepEqual(labels, labelsOf(['11122', '11122', '11122']));
  });

  test('leaves no region smaller than asked for beside a larger one', () => {
    const random = seededRandom(9);
    const labels = Uint8Array.from({ length: 900 }, (_, i) => (i % 30 < 15 ? (random() < 0.1 ? 2 : 0) : 1));
    const { areas } = withoutSpecks(labels, 30, 30, 5);
    assert.ok(Math.min(...areas) >= 5, areas.join());
  });
});

describe('contoursOf', () => {
  test('encloses, less its holes, as many pixels as each region has', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const { labels, width, height } = randomLabels(seed);
      const regions = regionsOf(labels, width, height);
      const enclosed = new Float64Array(regions.areas.length);
      for (const { region, outer, area } of contoursOf(regions).contours)
        enclosed[region]! += outer ? area : -area;
      assert.deepEqual([...enclosed], [...regions.areas], `seed ${seed}`);
    }
  });

  test('knows which hole a region lies in, beside others too', () => {
    const regions = regionsOf(labelsOf(['11111', '10021', '10221', '11111']), 5, 4);
    const { contours, outerOf } = contoursOf(regions);
    const parents = [...outerOf].map((index) => contours[contours[index]!.parent]?.region);
    assert.deepEqual(parents, [undefined, 0, 0]);
    assert.equal(contours.filter(({ outer }) => !outer).length, 1);
  });
});

describe('fitClosed', () => {
  const outline = (points: [number, number][]) => ({
    x: Float64Array.from(points, ([x]) => x),
    y: Float64Array.from(points, ([, y]) => y),
    corner: new Uint8Array(points.length),
  });

  test('draws a circle in few curves, within the tolerance', () => {
    const count = 600;
    const circle = outline(
      Array.from({ length: count }, (_, i) => {
        const angle = (i / count) * 2 * Math.PI;
        return [200 + 100 * Math.cos(angle), 200 + 100 * Math.sin(angle)];
      }),
    );
    const { x, y, segments } = fitClosed(circle, 0.3, 2);
    assert.ok(segments.length <= 8, `${segments.length} segments`);
    let [fromX, fromY] = [x, y];
    for (const segment of segments) {
      const [x1, y1, x2, y2, x3, y3] = segment as [number, number, number, number, number, number];
      for (let t = 0; t <= 1; t += 0.05) {
        const s = 1 - t;
        const px = s ** 3 * fromX + 3 * s * s * t * x1 + 3 * s * t * t * x2 + t ** 3 * x3;
        const py = s ** 3 * fromY + 3 * s * s * t * y1 + 3 * s * t * t * y2 + t ** 3 * y3;
        assert.ok(Math.abs(Math.hypot(px - 200, py - 200) - 100) < 0.4);
      }
      [fromX, fromY] = [x3, y3];
    }
  });

  test('draws a square with rounded corner pixels as a square', () => {
    const side = (at: (t: number) => [number, number]) => Array.from({ length: 40 }, (_, i) => at(i + 0.5));
    const square = outline([
      ...side((t) => [t, 0]),
      ...side((t) => [40, t]),
      ...side((t) => [40 - t, 40]),
      ...side((t) => [0, 40 - t]),
    ]);
    const { segments } = fitClosed(square, 0.3, 2);
    assert.equal(segments.length, 4);
    const ends = segments.map((segment) => segment.map((value) => Math.round(value * 100) / 100 + 0));
    assert.deepEqual(ends.toSorted(), [
      [0, 0],
      [0, 40],
      [40, 0],
      [40, 40],
    ]);
  });
});

describe('otsu', () => {
  test('parts two heaps of levels in between, each with its mean', () => {
    const counts = new Float64Array(256);
    for (const [level, count] of [
      [40, 10],
      [42, 30],
      [44, 10],
      [198, 100],
      [202, 100],
    ] as const)
      counts[level] = count;
    const { level, dark, light } = otsu(counts);
    assert.ok(level >= 44 && level < 198);
    assert.deepEqual([dark, light], [42, 200]);
  });

  test('takes one level for dark or light as it is', () => {
    const one = (level: number) => otsu(Float64Array.from({ length: 256 }, (_, i) => (i === level ? 9 : 0)));
    assert.equal(one(20).level, 127);
    assert.equal(one(200).level, 127);
  });
});

describe('enlarged', () => {
  test('keeps edges where they are', () => {
    const row = [0, 0, 0, 0, 255, 255, 255, 255];
    const data = Uint8Array.from([...row, ...row].flatMap((value) => [value, value, value, 255]));
    const raster: Raster = { width: 8, height: 2, data, words: new Uint32Array(data.buffer) };
    const wide = enlarged(raster, 4);
    assert.deepEqual([wide.width, wide.height], [32, 8]);
    for (let x = 0; x < 32; x++) {
      for (const y of [0, 5]) {
        const sum = wide.data[(y * 32 + x) * 4]! + wide.data[(y * 32 + 31 - x) * 4]!;
        assert.ok(Math.abs(sum - 255) <= 1, `at ${x}: ${sum}`);
      }
    }
  });
});

describe('PathWriter', () => {
  const write = (steps: number, ...paths: Parameters<PathWriter['add']>[0][]) => {
    const writer = new PathWriter({ x: 1, y: 1, steps });
    for (const path of paths) writer.add(path);
    return writer.toString();
  };

  test('leaves out what the grammar does not need', () => {
    const path = {
      x: 10,
      y: 0.5,
      segments: [
        [20, 0.5],
        [20.5, 0, 21, -0.25, 22, 0.75],
        [23, 1.75, 24, 2, 25, 3],
        [10, 0.5],
      ] as [number, number][],
    };
    assert.equal(write(100, path), 'm10 .5h10c.5-.5 1-.75 2 .25s2 1.25 3 2.25z');
  });

  test('rounds without letting errors add up', () => {
    const segments = Array.from(
      { length: 10 },
      (_, i) => [(i + 1) * 0.34, i % 2 ? 0 : 5] as [number, number],
    );
    const text = write(10, { x: 0, y: 0, segments });
    const steps = [...text.matchAll(/l(.*)z/g)][0]![1]!.match(/-?(\d+\.?\d*|\.\d+)/g)!.map(Number);
    const sum = steps.filter((_, i) => i % 2 === 0).reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(sum - 3.4) < 0.01, text);
  });

  test('drops a path of which nothing is left', () => {
    const dot = { x: 5, y: 5, segments: [[5.01, 5.02] as [number, number], [5, 5] as [number, number]] };
    const square = {
      x: 1,
      y: 1,
      segments: [
        [2, 1],
        [2, 2],
        [1, 2],
        [1, 1],
      ] as [number, number][],
    };
    assert.equal(write(10, dot, square), 'm1 1h1v1h-1z');
    assert.equal(write(10, square, square), 'm1 1h1v1h-1zm0 0h1v1h-1z');
  });
});
