import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  alphaType,
  be32,
  box,
  bytes,
  clap,
  gridData,
  type HeifOptions,
  heif,
  irot,
  ispe,
  le32,
  picture,
  tiff,
} from './support/image-bytes.ts';
import { factsOf, refuses } from './support/probing.ts';
import { samples } from './support/samples.ts';

const all = await samples();

describe('probe of HEIF', () => {
  const still = (more: Partial<HeifOptions> = {}): HeifOptions => ({
    items: [{ id: 1, type: 'hvc1', properties: [1], data: 'coded picture' }],
    properties: [ispe(64, 48)],
    ...more,
  });

  test('refuses a file that lacks the last byte of its picture, of a tile, or of the alpha plane', async () => {
    await refuses(heif(still()).subarray(0, -1), 'undecodable_image', /ends before/);
    const grid = all.get('heic grid with alpha')!;
    for (const end of [9, 14, 19])
      await refuses(grid.subarray(0, grid.length - end), 'undecodable_image', /ends before/);
  });

  test('does not mind what phones append', async () => {
    const trailers = [box('mpvd', 'video'), bytes('SEFH', 1, 2, 3), bytes(be32(3), 'abcd', be32(1, 2))];
    for (const trailer of trailers) assert.equal((await factsOf(heif(still({ trailer })))).width, 64);
  });

  test('applies crop and rotation in the order of the properties', async () => {
    const turnedThenCropped = still({
      items: [{ id: 1, type: 'hvc1', properties: [1, 2, 3], data: 'x' }],
      properties: [ispe(64, 48), irot(3), clap([20, 1], [50, 1])],
    });
    const facts = await factsOf(heif(turnedThenCropped));
    assert.deepEqual([facts.width, facts.height], [20, 50]);
    const croppedThenTurned = {
      ...turnedThenCropped,
      items: [{ ...turnedThenCropped.items[0]!, properties: [1, 3, 2] }],
    };
    const other = await factsOf(heif(croppedThenTurned));
    assert.deepEqual([other.width, other.height], [48, 20]);
  });

  test('refuses a crop by zero, a missing size, and no picture at all', async () => {
    const item = (properties: number[]) => [{ id: 1, type: 'hvc1', properties, data: 'x' }];
    await refuses(
      heif(still({ items: item([1, 2]), properties: [ispe(64, 48), clap([20, 0], [5, 1])] })),
      'undecodable_image',
      /clap/,
    );
    await refuses(heif(still({ items: item([]) })), 'undecodable_image', /size of its picture/);
    await refuses(heif(still({ primary: 9 })), 'undecodable_image', /which of its items/);
    await refuses(box('ftyp', 'heic', be32(0)), 'undecodable_image', /no image/);
  });

  test('refuses grids that lie', async () => {
    const grid = (data: Buffer, to: number[], side = 64): HeifOptions => ({
      primary: 2,
      items: [
        { id: 1, type: 'hvc1', properties: [1], data: 'tile' },
        { id: 2, type: 'grid', properties: [2], data },
      ],
      properties: [ispe(side, side), ispe(64, 64)],
      references: [{ type: 'dimg', from: 2, to }],
    });
    await factsOf(heif(grid(gridData(1, 1, 64, 64), [1])));
    await refuses(heif(grid(gridData(2, 2, 64, 64), [1])), 'undecodable_image', /4 tiles/);
    await refuses(heif(grid(gridData(1, 1, 60000, 60000), [1])), 'image_too_large');
    await refuses(heif(grid(gridData(1, 1, 64, 64), [7])), 'undecodable_image', /missing/);
    await refuses(heif(grid(gridData(1, 1, 64, 64), [2])), 'undecodable_image', /again/);
    const many = Array.from({ length: 65_025 }, () => 1);
    await refuses(heif(grid(gridData(255, 255, 64, 64), many, 9000)), 'image_too_large');
  });

  test('refuses an alpha plane of more pixels than allowed', async () => {
    const alpha = { ...still().items[0]!, id: 2, properties: [2, 3] };
    const options = still({
      items: [...still().items, alpha],
      properties: [ispe(64, 48), ispe(60_000, 60_000), alphaType],
      references: [{ type: 'auxl', from: 2, to: [1] }],
    });
    await refuses(heif(options), 'image_too_large', /60000/);
  });

  test('counts pictures, not their tiles, thumbnails and alpha planes', async () => {
    const two = still({
      items: [
        { id: 1, type: 'hvc1', properties: [1], data: 'one' },
        { id: 2, type: 'hvc1', properties: [1], data: 'two' },
      ],
    });
    assert.equal((await factsOf(heif(two))).pages, 2);
  });

  test('goes by the codec of the picture, not by the brand', async () => {
    const av1 = still({ items: [{ id: 1, type: 'av01', properties: [1], data: 'x' }] });
    assert.equal((await factsOf(heif(av1))).format, 'avif');
  });
});

describe('probe of TIFF', () => {
  test('refuses a strip or tile that lies outside of the file', async () => {
    await refuses(tiff([picture(4, 3, { 273: [90_000] })]), 'undecodable_image', /ends before/);
    const tiled = { ...picture(32, 32, { 322: [16], 323: [16], 324: [0, 4, 8, 90_000], 325: [4, 4, 4, 4] }) };
    await refuses(tiff([tiled]), 'undecodable_image', /ends before/);
    await refuses(tiff([{ 256: [4], 257: [3] }]), 'undecodable_image', /no picture data/);
    await refuses(tiff([picture(100_000, 100_000)]), 'image_too_large');
  });

  test('ends where directories lead back or nowhere', async () => {
    assert.equal((await factsOf(tiff([picture(4, 3)], { loopTo: 0 }))).pages, 1);
    assert.equal((await factsOf(tiff([picture(4, 3), picture(4, 3)], { loopTo: 0 }))).pages, 2);
    const broken = tiff([picture(4, 3), picture(4, 3)]);
    const loop = tiff([{ ...picture(4, 3), 330: { ifds: [0, 0, 0] } }]);
    assert.equal((await factsOf(loop)).format, 'tiff');
    assert.equal((await factsOf(broken.subarray(0, broken.length - 20))).pages, 1);
  });

  test('turns the size by the orientation', async () => {
    const facts = await factsOf(tiff([picture(4, 3, { 274: { short: [7] } })]));
    assert.deepEqual([facts.width, facts.height, facts.orientation], [3, 4, 7]);
  });

  test('takes a preview in the first directory for no picture of the RAW file', async () => {
    const preview = { ...picture(600, 400), 254: [1], 271: { text: 'NIKON' }, 330: { ifds: [1, 2] } };
    const reduced = picture(900, 900, { 254: [1], 262: { short: [34892] } });
    const sensor = picture(60, 40, { 254: [0], 262: { short: [32803] } });
    const facts = await factsOf(tiff([preview, reduced, sensor], { chained: 1 }));
    assert.deepEqual([facts.format, facts.width, facts.height], ['nef', 60, 40]);
  });
});

describe('probe of RAW containers', () => {
  test('refuses those that do not state a size', async () => {
    await refuses(bytes('\0MRM', be32(8), '\0PRE', be32(0)), 'undecodable_image');
    await refuses(bytes('FUJIFILMCCD-RAW ', new Uint8Array(100)), 'undecodable_image', /RAF/);
    await refuses(bytes('II', le32(26), 'HEAPCCDR', new Uint8Array(40)), 'undecodable_image', /CRW/);
    await refuses(box('ftyp', 'crx ', be32(0)), 'undecodable_image', /CR3/);
  });
});
