/** Hostile pictures that are made here, so that a checkout without the corpus is tested too. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { deflateSync, gzipSync } from 'node:zlib';
import sharp from 'sharp';
import type { ProblemCode } from '../../src/problem.ts';
import { fixture } from '../support/fixtures.ts';
import { assertProblem } from '../support/published.ts';
import { convert, endWithSuite, eventually, startService, type TestService } from '../support/service.ts';
import { tempDir } from '../support/temp.ts';
import { trailingBytes } from '../support/trailing.ts';
import {
  be16,
  be32,
  bytes,
  exif,
  le16,
  pngChunk,
  png as pngOf,
  segment,
} from '../unit/engine/support/image-bytes.ts';

const MAX_CHILD_MEMORY_MB = 1500;
const INFLATED_BYTES = 60e6;

const svg = (body: string, size = 100, doctype = '') =>
  Buffer.from(
    `<?xml version="1.0"?>${doctype}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${size}" height="${size}">${body}</svg>`,
  );

/** `count` frames of the whole canvas, of which each holds one pixel's worth of codes. */
function gifBomb(side: number, count: number): Buffer {
  const frame = bytes([0x21, 0xf9, 4, 4, 1, 0, 0, 0, 0x2c], le16(0, 0, side, side), [0, 2, 2, 0x44, 1, 0]);
  const head = bytes('GIF89a', le16(side, side), [0x80, 0, 0, 255, 255, 255, 0, 0, 0]);
  return bytes(head, ...Array.from({ length: count }, () => frame), 0x3b);
}

/** A PNG whose compressed data has nothing to do with what its header declares. */
function pngAround(width: number, height: number, depth: number, colorType: number, data: Buffer): Buffer {
  const ihdr = pngChunk('IHDR', bytes(be32(width, height), depth, colorType, 0, 0, 0));
  return bytes('\x89PNG\r\n\x1a\n', ihdr, pngChunk('IDAT', data), pngChunk('IEND'));
}

const nested = (depth: number) => `${'<g>'.repeat(depth)}${'</g>'.repeat(depth)}`;
const references = Array.from(
  { length: 9 },
  (_, i) => `<g id="g${i + 1}">${`<use href="#g${i}"/>`.repeat(10)}</g>`,
);
const entities = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`);

const BOMBS: [title: string, query: string, code: ProblemCode, make: () => Buffer][] = [
  [
    'a PNG of 900 megapixels in some 100 kB',
    '',
    'image_too_large',
    () => pngAround(30_000, 30_000, 1, 0, deflateSync(Buffer.alloc(30_000 * 3_751))),
  ],
  [
    'a PNG that declares the largest sides there are',
    '',
    'image_too_large',
    () => pngAround(2 ** 31 - 1, 2 ** 31 - 1, 16, 6, deflateSync(Buffer.alloc(10))),
  ],
  [
    'a GIF of 200 frames of 64 megapixels, as an animation',
    'format=webp',
    'image_too_large',
    () => gifBomb(8000, 200),
  ],
  ['a GIF of 5000 frames, as an animation', 'format=gif', 'too_many_frames', () => gifBomb(1, 5000)],
  ['an SVG of 10 gigapixels', '', 'image_too_large', () => svg('<rect width="9" height="9"/>', 100_000)],
  [
    'a billion laughs',
    '',
    'undecodable_image',
    () => svg('<text y="20">&l9;</text>', 100, `<!DOCTYPE svg [<!ENTITY l0 "lol">${entities.join('')}]>`),
  ],
  [
    'an SVG that draws a billion rectangles by reference',
    '',
    'undecodable_image',
    () => svg(`<g id="g0"><rect width="1" height="1"/></g>${references.join('')}<use href="#g9"/>`),
  ],
  ['an SVG that is nested 50,000 deep', '', 'undecodable_image', () => svg(nested(50_000))],
  ['an SVG of 100 MB of blanks, compressed', '', 'upload_too_large', () => gzipSync(svg(' '.repeat(100e6)))],
];

/** A whole picture each; of what is made from them nothing is as long as these. */
async function wholePictures(): Promise<Map<string, Buffer>> {
  const image = sharp({
    create: {
      width: 160,
      height: 120,
      channels: 3,
      background: '#808080',
      noise: { type: 'gaussian', mean: 128, sigma: 30 },
    },
  });
  const made = new Map<string, Buffer>();
  made.set('JPEG', await image.clone().jpeg().toBuffer());
  made.set('progressive JPEG', await image.clone().jpeg({ progressive: true }).toBuffer());
  made.set('PNG', await image.clone().png().toBuffer());
  made.set('WebP', await image.clone().webp().toBuffer());
  made.set('TIFF', await image.clone().tiff({ compression: 'lzw' }).toBuffer());
  made.set('AVIF', await readFile(fixture('avif-8bit.avif')));
  made.set('HEIC', await readFile(fixture('heic/quadrants.heic')));
  made.set('BMP', await readFile(fixture('bmp-24bit.bmp')));
  made.set('SVG', svg('<circle cx="50" cy="50" r="40"/>'.repeat(50)));
  made.set(
    'compressed SVG',
    gzipSync(svg(Array.from({ length: 500 }, (_, i) => `<circle r="${i * 7919}"/>`).join(''))),
  );
  return made;
}

describe('POST /convert, against hostile pictures', () => {
  const ending = endWithSuite();
  let service: TestService;

  before(async () => {
    service = await startService(ending, {
      PROCESSING_TIMEOUT: '20',
      MAX_CHILD_MEMORY_MB: String(MAX_CHILD_MEMORY_MB),
    });
  });

  const made = async (file: Buffer, query: string): Promise<Buffer> => {
    const response = await convert(service, file, { query });
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, `${query}: ${body.subarray(0, 500)}`);
    return body;
  };

  describe('refuses', () => {
    for (const [title, query, code, make] of BOMBS) {
      it(title, async () => {
        await assertProblem('convert', await convert(service, make(), { query }), code);
      });
    }

    it('what was cut off, instead of returning a part of it', async () => {
      for (const [format, whole] of await wholePictures()) {
        await made(whole, 'format=png');
        for (const percent of [30, 60, 90]) {
          const cut = whole.subarray(0, Math.floor((whole.length * percent) / 100));
          const response = await convert(service, cut, { query: 'format=png' });
          assert.equal(response.status, 422, `${format}, ${percent} % of it`);
          await assertProblem('convert', response, 'undecodable_image');
        }
      }
    });
  });

  describe('takes no harm from', () => {
    it('a GIF of 200 large frames, of which one is asked for', async () => {
      const { width } = await sharp(await made(gifBomb(8000, 200), 'format=jpeg&width=80')).metadata();
      assert.equal(width, 80);
    });

    it('a small PNG whose data, text, XMP or profile inflates to 60 MB', async () => {
      const zeros = deflateSync(Buffer.alloc(INFLATED_BYTES));
      const files = [
        pngAround(16, 16, 1, 0, zeros),
        pngOf({ before: [pngChunk('zTXt', bytes('Comment\0\0', zeros))] }),
        pngOf({ before: [pngChunk('iTXt', bytes('XML:com.adobe.xmp\0\x01\0\0\0', zeros))] }),
        pngOf({ before: [pngChunk('iCCP', bytes('icc\0\0', zeros))] }),
      ];
      for (const file of files) {
        const response = await convert(service, file);
        const body = Buffer.from(await response.arrayBuffer());
        assert.ok([200, 422].includes(response.status), `${response.status}`);
        assert.ok(body.length < 100_000);
      }
    });

    it('EXIF whose directories lead in a circle', async () => {
      const jpeg = await sharp(fixture('jpeg-progressive.jpg')).jpeg().toBuffer();
      const tiff = exif(1);
      const entryCount = tiff.readUInt16LE(8);
      tiff.writeUInt32LE(8, 10 + entryCount * 12); // the next directory is the first
      const app1 = segment(0xe1, 'Exif\0\0', tiff);
      await made(bytes(jpeg.subarray(0, 2), app1, jpeg.subarray(2)), 'format=jpeg');
    });

    it('a second half that hides in a comment, in a chunk or behind the end', async () => {
      const payload = '--><html><script>alert(1)</script><?php echo 1; ?>%PDF-1.4 PK\x03\x04';
      const jpeg = await sharp(fixture('jpeg-progressive.jpg')).jpeg().toBuffer();
      const png = await sharp(fixture('png-alpha.png')).png().toBuffer();
      const gif = await readFile(fixture('gif-still.gif'));
      const webp = await readFile(fixture('webp-alpha.webp'));
      const comment = bytes(0xff, 0xfe, be16(payload.length + 2), payload);
      const files = {
        'JPEG, behind': bytes(jpeg, payload),
        'JPEG, comment': bytes(jpeg.subarray(0, 2), comment, jpeg.subarray(2)),
        'PNG, behind': bytes(png, payload),
        'PNG, unknown chunk': bytes(png.subarray(0, 33), pngChunk('hiDe', payload), png.subarray(33)),
        'GIF, behind': bytes(gif, payload),
        'WebP, behind': bytes(webp, payload),
      };
      for (const [title, file] of Object.entries(files)) {
        assert.ok(file.includes(payload, 0, 'latin1'));
        for (const query of ['format=jpeg', 'format=png&metadata=strip', 'format=webp']) {
          const body = await made(file, query);
          assert.equal(trailingBytes(body), 0, `${title}, ${query}`);
          assert.doesNotMatch(
            body.toString('latin1'),
            /<html|<script|<\?php|%PDF|PK\x03\x04/,
            `${title}, ${query}`,
          );
        }
      }
    });
  });

  it('draws an SVG without fetching anything from the network', async (t) => {
    const asked: string[] = [];
    const listener = createServer((request, response) => {
      asked.push(String(request.url));
      response.end();
    });
    t.after(() => listener.close());
    await new Promise<void>((listening) => listener.listen(0, '127.0.0.1', listening));
    const url = `http://127.0.0.1:${(listener.address() as { port: number }).port}`;
    const inner = svg(`<image href="${url}/inner" width="9" height="9"/>`).toString('base64');
    const drawings = [
      svg(`<image href="${url}/1" width="9" height="9"/><image xlink:href="${url}/2" width="9" height="9"/>
        <style>@import "${url}/3"; @font-face { font-family: x; src: url(${url}/4) } text { font-family: x }</style>
        <text y="9">x</text><rect width="9" height="9" fill="url(${url}/5#a)" style="filter:url('${url}/6#b')"/>
        <use href="${url}/7#c"/><foreignObject width="9" height="9"><iframe xmlns="http://www.w3.org/1999/xhtml" src="${url}/8"/></foreignObject>
        <filter id="f"><feImage href="${url}/9"/></filter><rect filter="url(#f)" width="9" height="9"/>
        <script href="${url}/10"/><image href="data:image/svg+xml;base64,${inner}" width="9" height="9"/>
        <xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="${url}/11"/>`),
      Buffer.concat([
        Buffer.from(`<?xml-stylesheet href="${url}/12"?>`),
        svg('').subarray('<?xml version="1.0"?>'.length),
      ]),
      svg('', 100, `<!DOCTYPE svg SYSTEM "${url}/13">`),
      svg('<text>&x;</text>', 100, `<!DOCTYPE svg [<!ENTITY x SYSTEM "${url}/14">]>`),
      svg('', 100, `<!DOCTYPE svg [<!ENTITY % x SYSTEM "${url}/15"> %x;]>`),
    ];
    const statuses: number[] = [];
    for (const drawing of drawings) {
      const response = await convert(service, drawing, { query: 'format=png' });
      await response.arrayBuffer();
      statuses.push(response.status);
    }
    assert.deepEqual(statuses, [200, 200, 200, 422, 422]);
    assert.deepEqual(asked, []);
  });

  it('draws an SVG without the files of the machine that it names', async (t) => {
    const red = await sharp({ create: { width: 9, height: 9, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const path = join(tempDir(t), 'red.png');
    await writeFile(path, red);
    const reddest = async (href: string): Promise<number> => {
      const body = `<image href="${href}" width="50" height="50"/><image xlink:href="${href}" y="50" width="50" height="50"/>`;
      const { channels } = await sharp(await made(svg(body), 'format=jpeg&matte=000')).stats();
      return channels[0]!.max;
    };
    assert.ok(
      (await reddest(`data:image/png;base64,${red.toString('base64')}`)) > 200,
      'what it holds is drawn',
    );
    for (const href of [pathToFileURL(path).href, path, `file://localhost${path}`, `../..${path}`]) {
      assert.equal(await reddest(href), 0, href);
    }
  });

  it('goes on working, within its memory, with nothing left over', async (t) => {
    const tasks = service.log.filter(({ msg }) => msg === 'task_finished');
    const peaks = tasks.map(({ peakRssBytes }) => Math.round(Number(peakRssBytes) / 2 ** 20));
    assert.ok(tasks.length > 30);
    assert.ok(Math.max(...peaks) < MAX_CHILD_MEMORY_MB);
    t.diagnostic(`${tasks.length} tasks; the largest held ${Math.max(...peaks)} MB`);
    assert.deepEqual(
      service.log.filter(({ msg, level }) => msg === 'child_exited' || Number(level) >= 50),
      [],
    );
    await eventually('the scratch folders are gone', () => service.scratch().length === 0);
    await made(await sharp(fixture('jpeg-progressive.jpg')).jpeg().toBuffer(), 'format=webp');
  });
});
