import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { Reader } from '../../../src/engine/probe/reader.ts';
import { cleanSvg } from '../../../src/engine/probe/svg-safe.ts';
import { probeReader, safeSvg } from '../../../src/engine/probe.ts';
import { png } from './support/image-bytes.ts';
import { SVG } from './support/samples.ts';

const XMLNS = 'xmlns="http://www.w3.org/2000/svg"';
const svg = (attributes: string, body = '<rect width="20" height="30" fill="red"/>') =>
  `<svg ${XMLNS} ${attributes}>${body}</svg>`;
const drawing = (body: string) =>
  svg('xmlns:xlink="http://www.w3.org/1999/xlink" width="20" height="20"', body);

const clean = async (text: string, limits = {}) =>
  (await cleanSvg(text, { ...DEFAULT_LIMITS, ...limits })).toString();
const factsOf = (text: string | Buffer, limits = {}) =>
  probeReader(Reader.over(Buffer.from(text)), { ...DEFAULT_LIMITS, ...limits });

const refuses = (work: Promise<unknown>, detail: RegExp, code = 'undecodable_image') =>
  assert.rejects(work, (error: { code?: string; detail?: string }) => {
    assert.equal(error.code, code);
    assert.match(error.detail ?? '', detail);
    return true;
  });

describe('probe of SVG', () => {
  test('sizes the drawing as librsvg does', async () => {
    for (const attributes of [
      'width="10.4" height="10.6"',
      'width="1in" height="2cm"',
      'width="10pt" height="1pc"',
      'width="50mm" height="5MM"',
      'width="2em" height="2ex"',
      'font-size="20" width="2em" height="2em"',
      'width="1e2" height="+5"',
      'width="50%" height="50%" viewBox="0 0 200 100"',
      'width="100" viewBox="0 0 200 100"',
      'height="50" viewBox="0,0,200,100"',
      'width="50%" height="20" viewBox="0 0 200 100"',
      'width="-5" height="10" viewBox="0 0 20 10"',
      'width="10 px" viewBox="0 0 20 10"',
      'viewBox="0 0 12.3 45.6"',
      'style="width:50px; height:60px" width="1" height="1"',
    ]) {
      const text = svg(attributes);
      const [facts, drawn, cleaned] = [
        await factsOf(text),
        await sharp(Buffer.from(text)).metadata(),
        await sharp(Buffer.from(await clean(text))).metadata(),
      ];
      assert.deepEqual([facts.width, facts.height], [drawn.width, drawn.height], attributes);
      assert.deepEqual(
        [cleaned.width, cleaned.height],
        [drawn.width, drawn.height],
        `${attributes}, cleaned`,
      );
    }
  });

  test('takes 300 × 150 where nothing is stated, and has librsvg do the same', async () => {
    for (const [attributes, size] of [
      ['', [300, 150]],
      ['width="70%" height="40"', [300, 40]],
      ['width="1vw"', [300, 150]],
    ] as const) {
      const facts = await factsOf(svg(attributes));
      const drawn = await sharp(await cleanSvg(svg(attributes), DEFAULT_LIMITS)).metadata();
      assert.deepEqual([facts.width, facts.height], size);
      assert.deepEqual([drawn.width, drawn.height], size);
    }
  });

  test('states the size above any style sheet', async () => {
    const text = svg(
      'width="10" height="10"',
      '<style>svg { width: 5000px !important; height: 5000px }</style>',
    );
    const drawn = await sharp(await cleanSvg(text, DEFAULT_LIMITS)).metadata();
    assert.deepEqual([drawn.width, drawn.height], [10, 10]);
  });

  test('refuses what is too large or too small', async () => {
    await refuses(factsOf(svg('width="1e5" height="1e5"')), /100000 × 100000/, 'image_too_large');
    await refuses(factsOf(svg('width="0.4" height="10"')), /smaller than one pixel/);
    await refuses(clean(svg('width="1e5" height="1e5"')), /100000/, 'image_too_large');
  });

  test('reads UTF-16 and declared encodings, and refuses bytes that are not what they claim', async () => {
    const latin = Buffer.from(
      `<?xml version="1.0" encoding="ISO-8859-1"?>${svg('width="9" height="9"', '<text>\xe9</text>')}`,
      'latin1',
    );
    assert.equal((await factsOf(latin)).width, 9);
    assert.equal((await factsOf(Buffer.from(`\ufeff${SVG}`, 'utf16le'))).width, 40);
    await refuses(factsOf(Buffer.from(svg('width="9" height="9" id="\xe9"'), 'latin1')), /UTF-8/);
  });

  test('unpacks at most 10 MB', async () => {
    const bomb = gzipSync(svg('width="9" height="9"', ' '.repeat(11 * 1024 * 1024)));
    await refuses(factsOf(bomb), /at most 10 MB/, 'upload_too_large');
    await refuses(factsOf(gzipSync(SVG).subarray(0, -9)), /cut short/);
  });
});

describe('safeSvg', () => {
  test('leaves a harmless drawing as it is drawn', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tintype-svg-'));
    try {
      const path = join(folder, 'a.svg');
      await writeFile(path, SVG);
      const cleaned = await sharp(await safeSvg(path, DEFAULT_LIMITS))
        .raw()
        .toBuffer();
      assert.deepEqual(cleaned, await sharp(Buffer.from(SVG)).raw().toBuffer());
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('keeps text, white space and characters that need escaping', async () => {
    const out = await clean(
      drawing(
        '<text xml:space="preserve" font-family="a &quot;b&quot;">1 &lt; 2 &amp;  <![CDATA[<b>]]></text>',
      ),
    );
    assert.match(
      out,
      /<text xml:space="preserve" font-family="a &quot;b&quot;">1 &lt; 2 &amp; {2}&lt;b&gt;<\/text>/,
    );
  });

  test('leaves out scripts, handlers, foreign elements, instructions and comments', async () => {
    const out = await clean(
      `<?xml-stylesheet href="http://x.test/a.css"?>${drawing(`
      <script>alert(1)</script><Script href="http://x.test"/><rect onload="x()" ONclick="x()" width="1"/><!-- c -->
      <foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="http://x.test"/></foreignObject>
      <xi:include href="http://x.test"/><x:script xmlns:x="http://www.w3.org/2000/svg">y</x:script>
      <h:img xmlns:h="http://www.w3.org/1999/xhtml" src="http://x.test"/><?php x ?>`)}`,
    );
    assert.doesNotMatch(out, /script|onload|onclick|foreign|iframe|include|x\.test|<\?|<!--|alert|>y</i);
    assert.match(out, /<rect width="1">/);
  });

  test('leaves out every reference out of the document', async () => {
    const out = await clean(
      drawing(`
      <image href="http://x.test/a.png"/><image xlink:href="file:///etc/passwd"/><image href="//x.test/a"/>
      <image href="data:image/svg+xml;base64,PHN2Zz4="/><use href="b.svg#c"/><use href="data:image/png;base64,AAAA"/>
      <rect fill="url(http://x.test#a)"/><rect style="fill:URL( 'http://x.test' )"/>
      <rect fill="ur\\l(http://x.test)"/><g xml:base="http://x.test/"/><a href="http://x.test"><rect id="r"/></a>
      <feImage href="http://x.test"/><textPath href="http://x.test#p">t</textPath>`),
    );
    assert.doesNotMatch(out, /x\.test|passwd|b\.svg|svg\+xml|AAAA|\\/);
    assert.match(out, /<rect id="r">/);
    assert.match(await clean(drawing('<rect fill="\\75rl(#a)"/>')), /fill="75rl\(#a\)"/);
  });

  test('leaves out imports, fonts and escapes of style sheets', async () => {
    const out = await clean(
      drawing(`<style>
      @import "http://x.test/1"; @im@import;port "http://x.test/2"; @\\69mport "http://x.test/3";
      /* @import */ @font-face { src: url(http://x.test/4) } .a { fill: url(#g); stroke: url("http://x.test/5") }
      <![CDATA[ @import url(http://x.test/6); ]]> .b { fill: u/**/rl(http://x.test/7) }
      </style><linearGradient id="g"/><rect class="a"/>`),
    );
    assert.doesNotMatch(out, /@|x\.test\/[13456]/);
    assert.match(out, /fill: u rl\(/);
    assert.match(out, /fill: url\(#g\)/);
  });

  test('leaves alone what is no style sheet', async () => {
    const out = await clean(drawing('<rect class="icon@2x" data-name="a@b /* c */" font-family="@Batang"/>'));
    assert.match(out, /class="icon@2x" data-name="a@b \/\* c \*\/" font-family="@Batang"/);
  });

  test('keeps references inside of the document', async () => {
    const out = await clean(
      drawing(
        '<linearGradient id="g"/><rect id="r" fill="url( #g )"/><use xlink:href=" #r"/><use href="#r"/>',
      ),
    );
    assert.match(out, /fill="url\(#g\)"/);
    assert.match(out, /<use xlink:href="#r">/);
    assert.match(out, /<use href="#r">/);
  });

  test('keeps pictures inside of the document that are pictures, within the pixel limit', async () => {
    const href = (file: Buffer, type = 'png') =>
      `<image href="data:image/${type};base64,${file.toString('base64')}"/>`;
    assert.match(await clean(drawing(href(png()))), /data:image\/png/);
    assert.doesNotMatch(await clean(drawing(href(Buffer.from('<svg onload="x"/>')))), /data:/);
    assert.doesNotMatch(await clean(drawing(href(Buffer.from('<svg/>'), 'svg+xml'))), /data:/);
    await refuses(clean(drawing(href(png({ width: 60_000, height: 60_000 })))), /60000/, 'image_too_large');
    const many = href(png({ width: 100, height: 100 })).repeat(11);
    await refuses(clean(drawing(many), { maxPixels: 100_000 }), /inside of the SVG/, 'image_too_large');
  });

  test('reads SVG that was cut out of HTML: without namespaces', async () => {
    const out = await clean(
      '<svg width="9" height="9"><rect id="r" width="9" height="9" fill="red"/><use xlink:href="#r"/></svg>',
    );
    const { data } = await sharp(Buffer.from(out)).raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([...data.subarray(0, 4)], [255, 0, 0, 255]);
  });

  test('refuses entity declarations, and text that is not well-formed', async () => {
    const entity = '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>';
    await refuses(clean(entity + drawing('<text>&a;</text>')), /entity declarations/);
    await refuses(factsOf(entity + drawing('')), /entity declarations/);
    await refuses(clean(drawing('<text>&a;</text>')), /not well-formed/);
    await refuses(clean(drawing('<g>')), /not well-formed/);
    await refuses(clean('<svg:svg xmlns:svg="http://x.test/" width="9" height="9"/>'), /root element/);
    await refuses(clean(''), /./);
  });

  test('refuses deep nesting and many elements', async () => {
    await refuses(clean(drawing('<g>'.repeat(300) + '</g>'.repeat(300))), /nests more than 256/);
    await refuses(clean(drawing('<g/>'.repeat(100_001))), /more than 100000 elements/);
    await refuses(
      clean(drawing(`<x:a xmlns:x="x">${'<g>'.repeat(300)}${'</g>'.repeat(300)}</x:a>`)),
      /nests/,
    );
  });

  test('refuses elements that draw one another without end or without measure', async () => {
    const levels = (link: (id: number) => string) =>
      Array.from({ length: 10 }, (_, i) => `<g id="g${i + 1}">${link(i).repeat(10)}</g>`).join('');
    const bomb = `<rect id="g0"/>${levels((i) => `<use href="#g${i}"/>`)}`;
    await refuses(clean(drawing(bomb)), /by reference/);
    const masks = Array.from(
      { length: 8 },
      (_, i) => `<mask id="m${i}">${`<rect mask="url(#m${i - 1})"/>`.repeat(10)}</mask>`,
    ).join('');
    await refuses(clean(drawing(masks)), /by reference/);
    const styled = `<style>rect.a { fill : url(#p1) }</style>${Array.from({ length: 8 }, (_, i) => `<pattern id="p${i}">${`<rect class="b" style="stroke:url(#p${i - 1})"/>`.repeat(10)}</pattern>`).join('')}`;
    await refuses(clean(drawing(styled)), /by reference/);
    const path = `M0 0${'L1 1'.repeat(30_000)}`;
    await refuses(
      clean(drawing(`<marker id="m">${'<g/>'.repeat(10)}</marker><path d="${path}" marker-mid="url(#m)"/>`)),
      /by reference/,
    );
    const inherited = Array.from(
      { length: 8 },
      (_, i) => `<pattern id="p${i}"><g fill="url(#p${i - 1})">${'<rect/>'.repeat(10)}</g></pattern>`,
    ).join('');
    await refuses(clean(drawing(inherited)), /by reference/);
    const marked = `<marker id="m">${'<g/>'.repeat(10)}</marker><g marker-mid="url(#m)"><path d="${path}"/></g>`;
    await refuses(clean(drawing(marked)), /by reference/);
    await refuses(clean(drawing('<g id="a"><use href="#a"/></g>')), /refers to itself/);
    await refuses(
      clean(
        drawing(
          '<pattern id="a"><rect fill="url(#b)"/></pattern><pattern id="b"><rect fill="url(#a)"/></pattern>',
        ),
      ),
      /itself/,
    );
  });

  test('finds the reference through a style sheet', async () => {
    const rules = [
      '.c { mask: url(#b) }',
      '#i { mask: url(#b) }',
      'rect{mask:url(#b)}',
      'g > *{mask:url(#b)}',
      'x, g rect.c:not(.d) { mask: url(#b) }',
    ];
    for (const rule of rules) {
      const text = drawing(`<style>${rule}</style><mask id="b"><g><rect id="i" class="c"/></g></mask>`);
      await refuses(clean(text), /itself/);
    }
    await clean(drawing('<style>.other { mask: url(#b) }</style><mask id="b"><rect class="c"/></mask>'));
  });

  test('does not mind a gradient that paints thousands of shapes', async () => {
    const stops = '<stop offset="0"/>'.repeat(20);
    await clean(
      drawing(`<linearGradient id="g">${stops}</linearGradient>${'<rect fill="url(#g)"/>'.repeat(20_000)}`),
    );
  });

  test('gives an id to its first element only, as the cost was reckoned', async () => {
    const out = await clean(drawing('<rect id="a" width="1"/><rect id="a" width="2"/>'));
    assert.match(out, /<rect id="a" width="1"><\/rect><rect width="2">/);
  });

  test('refuses filters that would take minutes, and lets drop shadows pass', async () => {
    const filter = (primitives: string, size: number, uses = 1) =>
      svg(
        `width="${size}" height="${size}"`,
        `<filter id="f">${primitives}</filter>${'<rect filter="url(#f)"/>'.repeat(uses)}`,
      );
    const burner = '<feTurbulence numOctaves="50"/><feGaussianBlur stdDeviation="400"/>'.repeat(20);
    await refuses(clean(filter(burner, 4000)), /too long/);
    await refuses(clean(filter('<feMorphology radius="5000"/>', 1000)), /too long/);
    await refuses(clean(filter('<feConvolveMatrix order="200"/>', 1000)), /too long/);
    await refuses(clean(filter('<feGaussianBlur/>', 1000, 1000)), /too long/);
    await refuses(
      clean(svg('width="4000" height="4000"', '<g style="filter:blur(9px)">'.repeat(60) + '</g>'.repeat(60))),
      /too long/,
    );
    await clean(filter('<feGaussianBlur stdDeviation="3"/><feOffset/><feMerge/>', 1000, 100));
  });
});
