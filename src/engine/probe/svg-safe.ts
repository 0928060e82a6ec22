/**
 * SVG from strangers, made fit for librsvg: written anew from the parsed elements, so that what is drawn is
 * what was checked. Only elements of SVG's namespace stay; scripts, handlers, foreign content and every
 * reference out of the document are left out.
 */
import type { SaxesTagNS } from 'saxes';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import { probeGif } from './gif.ts';
import { broken, type Header } from './header.ts';
import { probeJpeg } from './jpeg.ts';
import { probePng } from './png.ts';
import { Reader } from './reader.ts';
import { sniff } from './sniff.ts';
import { checkRoot, plainAttributes, SVG_NAMESPACE, strictParser } from './svg.ts';
import { SvgCost } from './svg-cost.ts';
import { cleanSheet, cleanValue, fragment } from './svg-css.ts';
import { svgPixels, svgSize } from './svg-size.ts';
import { readSvgText } from './svg-text.ts';
import { probeWebp } from './webp.ts';

const XLINK_NAMESPACE = 'http://www.w3.org/1999/xlink';
const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace';

/** librsvg's own limit on nesting. */
const MAX_DEPTH = 256;
const MAX_ELEMENTS = 100_000;
const MAX_EMBEDDED = 1_000;

const UNSAFE_ELEMENTS = ['script', 'foreignobject', 'iframe', 'object', 'embed', 'handler', 'listener'];
const IMAGE_ELEMENTS = ['image', 'feImage'];

/**
 * The document to hand to librsvg.
 * @throws Problem undecodable_image where it is malformed or would cost too much, image_too_large,
 *   upload_too_large
 */
export async function safeSvg(path: string, limits: Limits): Promise<Buffer> {
  await using reader = await Reader.open(path);
  return await cleanSvg(await readSvgText(reader), limits);
}

/** `safeSvg` of text in memory. */
export async function cleanSvg(text: string, limits: Limits): Promise<Buffer> {
  const writer = new SafeWriter(limits);
  const parser = strictParser();
  parser.on('opentag', (tag) => writer.open(tag));
  parser.on('closetag', () => writer.close());
  parser.on('text', (value) => writer.text(value));
  parser.on('cdata', (value) => writer.text(value));
  parser.write(text).close();
  return writer.finish();
}

interface Embedded {
  /** Where the attribute stands in the output. */
  index: number;
  href: string;
}

class SafeWriter {
  readonly #limits: Limits;
  readonly #out: string[] = [];
  readonly #cost = new SvgCost();
  readonly #embedded: Embedded[] = [];
  readonly #names: string[] = [];
  #namespace = SVG_NAMESPACE;
  #canvasPixels = 0;
  #elements = 0;
  #depth = 0;
  /** Elements that are open inside of one that is left out, itself included. */
  #omitted = 0;
  #style: string[] | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  open(tag: SaxesTagNS): void {
    if (++this.#depth > MAX_DEPTH) throw broken(`The SVG nests more than ${MAX_DEPTH} elements.`);
    if (++this.#elements > MAX_ELEMENTS) throw broken(`The SVG has more than ${MAX_ELEMENTS} elements.`);
    if (this.#depth === 1) this.#root(tag);
    const foreign = tag.uri !== this.#namespace || (tag.uri === '' && tag.prefix !== '');
    if (this.#omitted > 0 || this.#style || foreign || UNSAFE_ELEMENTS.includes(tag.local.toLowerCase())) {
      this.#omitted += 1;
      return;
    }
    const attributes = this.#attributes(tag);
    if (this.#depth === 1) this.#fixSize(tag, attributes);
    if (!this.#cost.openElement(tag.local, attributes)) attributes.delete('id');
    this.#names.push(tag.local);
    this.#out.push(`<${tag.local}`);
    if (this.#depth === 1) this.#out.push(` xmlns="${SVG_NAMESPACE}" xmlns:xlink="${XLINK_NAMESPACE}"`);
    for (const [name, value] of attributes) {
      if (value.startsWith('data:') && name.endsWith('href')) {
        if (this.#embedded.length >= MAX_EMBEDDED) throw broken('The SVG holds too many pictures.');
        this.#embedded.push({ index: this.#out.length, href: value });
      }
      this.#out.push(` ${name}="${escapeAttribute(value)}"`);
    }
    this.#out.push('>');
    if (tag.local === 'style') this.#style = [];
  }

  close(): void {
    this.#depth -= 1;
    if (this.#omitted > 0) {
      this.#omitted -= 1;
      return;
    }
    if (this.#style) {
      const sheet = cleanSheet(this.#style.join(''));
      this.#cost.styleSheet(sheet);
      this.#out.push(escapeText(sheet));
      this.#style = undefined;
    }
    this.#cost.closeElement();
    this.#out.push(`</${this.#names.pop()}>`);
  }

  text(value: string): void {
    if (this.#depth === 0 || this.#omitted > 0) return;
    if (this.#style) this.#style.push(value);
    else this.#out.push(escapeText(value));
  }

  async finish(): Promise<Buffer> {
    if (this.#elements === 0) throw broken('The SVG has no root element.');
    this.#cost.check(this.#canvasPixels);
    let pixels = 0;
    for (const { index, href } of this.#embedded) {
      const picture = await embeddedPicture(href, this.#limits);
      if (!picture) this.#out[index] = '';
      else pixels += picture.width * picture.height;
      if (pixels > this.#limits.maxPixels) {
        throw new Problem('image_too_large', {
          detail: 'The pictures inside of the SVG have too many pixels.',
        });
      }
    }
    return Buffer.from(this.#out.join(''));
  }

  #root(tag: SaxesTagNS): void {
    checkRoot(tag);
    this.#namespace = tag.uri;
    const { width, height } = svgPixels(plainAttributes(tag), this.#limits);
    this.#canvasPixels = width * height;
  }

  /** States the size that was checked, above any style sheet. */
  #fixSize(tag: SaxesTagNS, attributes: Map<string, string>): void {
    const { width, height } = svgSize(plainAttributes(tag));
    const style = attributes.get('style');
    const size = `width:${width}px !important;height:${height}px !important`;
    attributes.set('style', style ? `${style.replace(/;\s*$/, '')};${size}` : size);
    attributes.set('width', `${width}px`);
    attributes.set('height', `${height}px`);
  }

  #attributes(tag: SaxesTagNS): Map<string, string> {
    const kept = new Map<string, string>();
    for (const { prefix, local, uri, value } of Object.values(tag.attributes)) {
      // SVG that was cut out of HTML uses xlink without declaring it.
      const isXlink = uri === XLINK_NAMESPACE || (uri === '' && prefix === 'xlink');
      if (local === 'href' && (prefix === '' || isXlink)) {
        const href = safeHref(value, IMAGE_ELEMENTS.includes(tag.local));
        if (href !== undefined) kept.set(prefix === '' ? 'href' : 'xlink:href', href);
      } else if (uri === XML_NAMESPACE && (local === 'space' || local === 'lang')) {
        kept.set(`xml:${local}`, value);
      } else if (prefix === '' && local !== 'xmlns' && !local.toLowerCase().startsWith('on')) {
        kept.set(local, local === 'id' ? value : cleanValue(value));
      }
    }
    return kept;
  }
}

const RASTER_DATA = /^\s*data:image\/(png|jpe?g|gif|webp);base64,/i;

/** A reference inside of the document, or the bytes of a picture themselves. */
function safeHref(href: string, isImage: boolean): string | undefined {
  const id = fragment(href);
  if (id !== undefined) return `#${id}`;
  return isImage && RASTER_DATA.test(href.slice(0, 100)) ? href.trim() : undefined;
}

const PROBERS: Readonly<Record<string, (reader: Reader, limits: Limits) => Promise<Header>>> = {
  jpeg: probeJpeg,
  png: probePng,
  gif: probeGif,
  webp: probeWebp,
};

/** The header of a data URI's picture; undefined where it is none that can be shown. */
async function embeddedPicture(href: string, limits: Limits): Promise<Header | undefined> {
  const bytes = Buffer.from(href.slice(href.indexOf(',') + 1), 'base64');
  const prober = PROBERS[sniff(bytes)?.format ?? ''];
  try {
    return await prober?.(Reader.over(bytes), limits);
  } catch (error) {
    if (error instanceof Problem && error.code === 'undecodable_image') return undefined;
    throw error;
  }
}

const escapeText = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const escapeAttribute = (text: string) =>
  escapeText(text)
    .replaceAll('"', '&quot;')
    .replace(/[\t\n\r]/g, (blank) => `&#${blank.charCodeAt(0)};`);
