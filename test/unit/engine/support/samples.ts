/** One small file of every kind that the probe reads. */
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import {
  alphaType,
  be16,
  be32,
  bmp,
  box,
  bytes,
  clap,
  exif,
  fullBox,
  gif,
  gridData,
  heif,
  irot,
  ispe,
  jpeg,
  le16,
  le32,
  picture,
  pixi,
  png,
  pngChunk,
  riff,
  segment,
  sof,
  sos,
  tiff,
  vp8l,
  vp8x,
} from './image-bytes.ts';

export const SVG = `<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="40" height="30">
<style>.a{fill:url(#g)} @import "x"; /* c */</style><defs><linearGradient id="g"><stop offset="0"/></linearGradient>
<pattern id="p" width="4" height="4"><use xlink:href="#r"/></pattern><filter id="f"><feGaussianBlur stdDeviation="2"/></filter>
<marker id="m"><rect id="r" width="1" height="1"/></marker></defs><g class="a" filter="url(#f)"><path d="M0 0L9 9" marker-mid="url(#m)"/>
<rect fill="url(#p)" width="9" height="9" onclick="x()"/><script>x</script><text x="1">a &amp; b</text></g></svg>`;

const sensor = (more = {}) => picture(60, 40, { 262: { short: [32803] }, 258: { short: [14] }, ...more });

/** By name; the name begins with the format that the probe gives. */
export async function samples(): Promise<Map<string, Buffer>> {
  const pixels = sharp({ create: { width: 20, height: 12, channels: 3, background: '#369' } });
  const p3 = pixels.clone().withIccProfile('p3');
  const progressive = await p3.clone().jpeg({ progressive: true }).toBuffer();
  const turned = bytes(0xff, 0xd8, segment(0xe1, 'Exif\0\0', exif(6)), progressive.subarray(2));
  return new Map<string, Buffer>([
    ['jpeg baseline', await pixels.clone().jpeg().toBuffer()],
    ['jpeg progressive, P3, turned', turned],
    ['jpeg cmyk', await pixels.clone().toColourspace('cmyk').jpeg().toBuffer()],
    ['jpeg by hand', jpeg(segment(0xe1, 'Exif\0\0', exif(8, true)), sof(0xc2, 30, 20), sos(), sos())],
    ['png rgba', await pixels.clone().ensureAlpha(0.5).png().toBuffer()],
    ['png P3', await p3.clone().png().toBuffer()],
    ['png animated', png({ before: [pngChunk('acTL', be32(7, 0))], after: [pngChunk('eXIf', exif(5))] })],
    [
      'gif animated',
      gif(20, 12, [
        { width: 20, height: 12 },
        { left: 3, top: 2, width: 5, height: 5, transparent: true },
      ]),
    ],
    ['webp lossy', await p3.clone().webp().toBuffer()],
    ['webp lossless', await pixels.clone().ensureAlpha(0.5).webp({ lossless: true }).toBuffer()],
    [
      'webp animated',
      riff(['VP8X', vp8x(0x12, 20, 12)], ['ANIM', be16(0, 0, 0)], ['ANMF', be32(0, 0)], ['ANMF', be32(0)]),
    ],
    ['webp turned', riff(['VP8X', vp8x(0x08, 20, 12)], ['VP8L', vp8l(20, 12)], ['EXIF', exif(6)])],
    ['avif', await p3.clone().avif({ effort: 0 }).toBuffer()],
    ['avif sequence', avifSequence()],
    ['heic grid with alpha', heicGrid()],
    [
      'heic still',
      heif({
        items: [{ id: 1, type: 'hvc1', properties: [1, 2], data: 'data' }],
        properties: [ispe(64, 48), irot(1)],
      }),
    ],
    ['tiff', await p3.clone().tiff({ compression: 'lzw' }).toBuffer()],
    ['tiff tiled', await pixels.clone().tiff({ tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer()],
    ['tiff bigtiff', await pixels.clone().tiff({ bigtiff: true }).toBuffer()],
    ['tiff pages', tiff([picture(4, 3), picture(4, 3), picture(4, 3)], { bigEndian: true })],
    [
      'dng',
      tiff([{ ...picture(4, 3), 50706: [1], 330: { ifds: [1] } }, sensor({ 50829: [2, 4, 38, 58] })], {
        chained: 1,
      }),
    ],
    ['cr2', tiff([picture(60, 40)], { prefix: 'CR\x02\0\0\0\0\0' })],
    [
      'nef',
      tiff([{ ...picture(4, 3), 271: { text: 'NIKON CORPORATION' }, 330: { ifds: [1] } }, sensor()], {
        chained: 1,
      }),
    ],
    [
      'arw',
      tiff([{ ...picture(4, 3), 271: { text: 'SONY' }, 330: { ifds: [1] } }, sensor()], { chained: 1 }),
    ],
    ['raw pef', tiff([{ ...sensor(), 271: { text: 'PENTAX' }, 274: { short: [6] } }], { bigEndian: true })],
    [
      'rw2',
      tiff([{ 2: [70], 3: [50], 4: [5], 5: [5], 6: [45], 7: [65], 10: { short: [12] } }], { magic: 'IIU\0' }),
    ],
    ['orf', tiff([picture(60, 40)], { magic: 'IIRO' })],
    ['raf', raf()],
    ['crw', crw()],
    [
      'raw mrw',
      bytes(
        '\0MRM',
        be32(40),
        '\0PRD',
        be32(24),
        be32(0, 0),
        be16(44, 64, 40, 60),
        be32(0, 0),
        '\0TTW',
        exif(1),
      ),
    ],
    ['raw x3f', bytes('FOVb', le32(0x20003), new Uint8Array(20), le32(60, 40, 0), new Uint8Array(24))],
    ['cr3', cr3()],
    ['svg', Buffer.from(SVG)],
    ['svg zipped', gzipSync(SVG)],
    [
      'bmp palette',
      bmp({
        width: 3,
        height: 2,
        bits: 4,
        palette: [
          [0, 0, 0],
          [255, 0, 0],
        ],
        pixels: new Uint8Array(8),
      }),
    ],
    [
      'bmp runs',
      bmp({
        width: 3,
        height: 2,
        bits: 8,
        compression: 1,
        palette: [
          [0, 0, 0],
          [9, 9, 9],
        ],
        pixels: [3, 1, 0, 0, 0, 3, 1, 0, 1, 0, 0, 1],
      }),
    ],
    [
      'bmp bit fields',
      bmp({
        width: 3,
        height: -2,
        bits: 32,
        compression: 3,
        headerBytes: 108,
        masks: [0xff, 0xff00, 0xff0000, 0xff000000],
        pixels: new Uint8Array(24).fill(7),
      }),
    ],
    [
      'bmp os2',
      bmp({
        width: 3,
        height: 2,
        bits: 1,
        headerBytes: 12,
        palette: [
          [0, 0, 0],
          [255, 255, 255],
        ],
        pixels: new Uint8Array(8),
      }),
    ],
  ]);
}

function heicGrid(): Buffer {
  const tile = (id: number) => ({ id, type: 'hvc1', properties: [1], data: [id, id, id], hidden: true });
  return heif({
    primary: 5,
    items: [
      ...[1, 2, 3, 4].map(tile),
      { id: 5, type: 'grid', properties: [2, 3, 6, 4], data: gridData(2, 2, 100, 80) },
      { id: 6, type: 'hvc1', properties: [2, 5], data: 'alpha' },
      { id: 7, type: 'hvc1', properties: [1], data: 'thumbnail' },
      { id: 8, type: 'Exif', data: 'exif' },
    ],
    properties: [ispe(64, 64), ispe(100, 80), pixi(10, 10, 10), irot(1), alphaType, clap([60, 1], [40, 1])],
    references: [
      { type: 'dimg', from: 5, to: [1, 2, 3, 4] },
      { type: 'auxl', from: 6, to: [5] },
      { type: 'thmb', from: 7, to: [5] },
      { type: 'cdsc', from: 8, to: [5] },
    ],
  });
}

function avifSequence(): Buffer {
  const entry = box('av01', new Uint8Array(24), be16(64, 48), new Uint8Array(50));
  const table = box(
    'stbl',
    fullBox('stsd', 0, 0, be32(1), entry),
    fullBox('stsz', 0, 0, be32(0, 3, 10, 10, 10)),
  );
  const media = box('mdia', fullBox('hdlr', 0, 0, be32(0), 'pict', be32(0, 0, 0), 0), box('minf', table));
  return bytes(
    box('ftyp', 'avis', be32(0), 'msf1', 'avis'),
    box('moov', box('trak', media)),
    box('mdat', 'frames'),
  );
}

function cr3(): Buffer {
  const canon = Buffer.from('85c0b687820f11e08111f4ce462b6a48', 'hex');
  const directory = tiff([{ 256: { short: [60] }, 257: { short: [40] }, 274: { short: [8] } }]);
  return bytes(
    box('ftyp', 'crx ', be32(1), 'crx ', 'isom'),
    box('moov', box('uuid', canon, box('CMT1', directory))),
  );
}

function raf(): Buffer {
  const head = bytes('FUJIFILMCCD-RAW 0201FF129502FinePix', new Uint8Array(200)).subarray(0, 84);
  const thumbnail = jpeg(segment(0xe1, 'Exif\0\0', exif(6)));
  const records = bytes(be32(2), be16(0x100, 4, 44, 64), be16(0x111, 4, 40, 60));
  return bytes(
    head,
    be32(108, thumbnail.length, 108 + thumbnail.length, records.length),
    new Uint8Array(8),
    thumbnail,
    records,
  );
}

/** A heap with one record in a heap of its own. */
function crw(): Buffer {
  const info = bytes(le32(60, 40, 0, 90), new Uint8Array(12));
  const inner = bytes(info, le16(1, 0x1810), le32(info.length, 0), le32(info.length));
  const outer = bytes(inner, le16(1, 0x300a), le32(inner.length, 0), le32(inner.length));
  return bytes('II', le32(26), 'HEAPCCDR', new Uint8Array(12), outer);
}
