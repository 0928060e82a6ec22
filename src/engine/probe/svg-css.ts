/** CSS inside of SVG: nothing may be fetched, and what refers to what must be known. */

/**
 * A property's value without any `url()` but one to an element of the document, which is written as
 * `url(#id)`. Escapes and comments go first: they can hide the rest.
 */
export function cleanValue(css: string): string {
  return /url\s*\(|\\/i.test(css) ? cleanUrls(plain(css)) : css;
}

/**
 * A style sheet without at-rules (librsvg knows but `@import`) and with clean values. What is removed leaves a
 * blank, so that the parts around it never join.
 */
export const cleanSheet = (css: string): string => cleanUrls(withoutAtRules(plain(css)));

const plain = (css: string) => withoutComments(css).replaceAll('\\', '');

const cleanUrls = (css: string) =>
  css.replace(/url\s*\(([^)]*)\)?/gi, (_, target: string) => {
    const id = fragment(target.trim().replace(/^["']|["']$/g, ''));
    return id === undefined ? 'none' : `url(#${id})`;
  });

/** The id in `#id`; undefined for any other reference, and for ids that readers may take for different ones. */
export function fragment(reference: string): string | undefined {
  return /^\s*#([^\s#"'()<>%\\]{1,1000})\s*$/.exec(reference)?.[1];
}

function withoutComments(css: string): string {
  const kept: string[] = [];
  let at = 0;
  for (;;) {
    const open = css.indexOf('/*', at);
    if (open < 0) break;
    kept.push(css.slice(at, open), ' ');
    const close = css.indexOf('*/', open + 2);
    if (close < 0) return kept.join('');
    at = close + 2;
  }
  kept.push(css.slice(at));
  return kept.join('');
}

/** Ids in `url(#id)` of clean CSS. */
export function referencedIds(css: string): string[] {
  return [...css.matchAll(/url\(#([^)]+)\)/g)].map((match) => match[1]!);
}

/** Each ends with its semicolon or with the block that it opens. */
function withoutAtRules(css: string): string {
  const kept: string[] = [];
  let at = 0;
  for (;;) {
    const start = css.indexOf('@', at);
    if (start < 0) break;
    kept.push(css.slice(at, start), ' ');
    const mark = /[;{]/g;
    mark.lastIndex = start;
    const end = mark.exec(css);
    if (!end) return kept.join('');
    at = end[0] === ';' ? end.index + 1 : blockEnd(css, end.index);
  }
  kept.push(css.slice(at));
  return kept.join('');
}

function blockEnd(css: string, open: number): number {
  const brace = /[{}]/g;
  brace.lastIndex = open;
  let depth = 0;
  for (let found = brace.exec(css); found; found = brace.exec(css)) {
    depth += found[0] === '{' ? 1 : -1;
    if (depth === 0) return found.index + 1;
  }
  return css.length;
}

export interface Rule {
  /** `#id`, `.class`, `element` or `*`: what the rule's last simple selector asks for at least. */
  key: string;
  css: string;
}

/**
 * The rules of a clean style sheet that refer to elements or filter. A rule is taken to match wherever its
 * last part does, and one inside of another everywhere.
 */
export function* costlyRules(sheet: string): Generator<Rule> {
  let at = 0;
  for (;;) {
    const open = sheet.indexOf('{', at);
    if (open < 0) return;
    const close = sheet.indexOf('}', open);
    const css = sheet.slice(open + 1, close < 0 ? undefined : close);
    if (css.includes('url(#') || css.includes('filter')) {
      const selectors = sheet.slice(at, open);
      for (const selector of css.includes('{') ? ['*'] : selectors.split(','))
        yield { key: keyOf(selector), css };
    }
    if (close < 0) return;
    at = close + 1;
  }
}

function keyOf(selector: string): string {
  const last =
    selector
      .trim()
      .split(/[\s>+~]+/)
      .at(-1) ?? '*';
  const simple = last.split(/[:[]/)[0]!;
  return /[#.][^#.]+/.exec(simple)?.[0] ?? (simple || '*');
}
