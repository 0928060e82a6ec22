/** SVG: the size that the root element states. Whether the rest is safe is told by `safeSvg`, off the server. */
import { SaxesParser, type SaxesTagNS } from 'saxes';
import type { Limits } from '../limits.ts';
import { broken, type Header } from './header.ts';
import type { Reader } from './reader.ts';
import { svgPixels } from './svg-size.ts';
import { readSvgText } from './svg-text.ts';

export const SVG_NAMESPACE = 'http://www.w3.org/2000/svg';
const PARSE_CHARS = 4_096;
/** The root's start tag ends before this: the server's own process parses no more. */
const MAX_ROOT_CHARS = 256 * 1024;

export async function probeSvg(reader: Reader, limits: Limits): Promise<Header> {
  const { width, height } = svgPixels(plainAttributes(findRoot(await readSvgText(reader))), limits);
  return {
    format: 'svg',
    width,
    height,
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: true,
    bitDepth: 8,
    colorSpace: 'rgb',
  };
}

/** A parser that ends in a Problem at the first error, except for prefixes that nobody declared. */
export function strictParser() {
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    if (!error.message.includes('unbound namespace prefix')) {
      throw broken(`The SVG is not well-formed: ${error.message.replace(/^\d+:\d+: /, '').slice(0, 120)}`);
    }
  });
  parser.on('doctype', (doctype) => {
    // Entities are how a short text becomes a long one, and how it names files.
    if (/<!ENTITY/i.test(doctype)) throw broken('SVG with entity declarations is not supported.');
  });
  return parser;
}

/** @throws Problem where the root element is not SVG's. */
export function checkRoot(tag: SaxesTagNS): void {
  const isSvg = tag.local === 'svg' && (tag.uri === SVG_NAMESPACE || (tag.uri === '' && tag.prefix === ''));
  if (!isSvg) throw broken('The root element is not svg in the namespace of SVG.');
}

export function plainAttributes(tag: SaxesTagNS): Map<string, string> {
  const plain = new Map<string, string>();
  for (const { prefix, local, value } of Object.values(tag.attributes))
    if (prefix === '') plain.set(local, value);
  return plain;
}

function findRoot(text: string): SaxesTagNS {
  const parser = strictParser();
  let root: SaxesTagNS | undefined;
  parser.on('opentag', (tag) => {
    root ??= tag;
  });
  for (let at = 0; at < Math.min(text.length, MAX_ROOT_CHARS) && !root; at += PARSE_CHARS)
    parser.write(text.slice(at, at + PARSE_CHARS));
  if (!root) throw broken('The SVG has no root element, or one whose start tag does not end.');
  checkRoot(root);
  return root;
}
