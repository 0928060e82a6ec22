import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SOURCE_MEDIA_TYPES, takenParam } from '../../../src/contract/images.ts';
import { FORMATS } from '../../../src/engine/probe/header.ts';

describe('a date or time of a query', () => {
  const good: [written: string, compared: string][] = [
    ['2024', '2024'],
    ['2024-05', '2024-05'],
    ['2024-02-29', '2024-02-29'],
    ['0099-01-01', '0099-01-01'],
    ['2024-05-01T10:20', '2024-05-01T10:20'],
    ['2024-05-01T10:20:30', '2024-05-01T10:20:30'],
    ['2024-05-01T10:20:30.123Z', '2024-05-01T10:20:30'],
    ['2024-05-01t10:20:30+02:00', '2024-05-01T10:20:30'],
    // A plus sign that a query turned into a space.
    ['2024-05-01T10:20:30 02:00', '2024-05-01T10:20:30'],
    ['2016-12-31T23:59:60Z', '2016-12-31T23:59:60'],
  ];
  for (const [written, compared] of good) {
    it(`is ${written}`, () => assert.equal(takenParam.parse(written), compared));
  }
  for (const wrong of [
    '',
    '24',
    '2024-13',
    '2024-00',
    '2024-02-30',
    '2023-02-29',
    '2024-5-1',
    '2024-05-01T24:00',
    '2024-05-01T10:60',
    '2024-05T10:00',
    '2024-05-01 10:00',
    'now',
    '2024-05-01Z',
    '2024-05-01T10',
    '-2024',
  ]) {
    it(`is not ${JSON.stringify(wrong)}`, () => assert.ok(!takenParam.safeParse(wrong).success));
  }
});

describe('the media types of uploads', () => {
  it('are those that the engine tells apart', () => {
    const sniffed = Object.values(FORMATS).map(({ mime }) => mime);
    assert.deepEqual([...SOURCE_MEDIA_TYPES].sort(), [...new Set(sniffed)].sort());
  });
});
