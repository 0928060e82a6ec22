/** CSS inside of SVG: nothing may be fetched, and what refers to what must be known. */

/** Values and style sheets that must be looked at. */
export const needsCleaning = (css: string): boolean => /url\s*\(|\\|@|\/\*/i.test(css);

/**
 * Without imports, fonts to load, and any `url()` but one to an element of the document, which is written as
 * `url(#id)`. Escapes and comments go first: they can hide the rest. What is removed leaves a blank, so that
 * the parts around it never join.
 */
export function cleanCss(css: string): string {
  return withoutComments(css)
    .replaceAll('\\', '')
    .replace(/@import[^;]*;?/gi, ' ')
    .replace(/@font-face[^{};]*(\{[^}]*\}?)?/gi, ' ')
    .replace(/@charset[^;]*;?/gi, ' ')
    .replace(/url\s*\(([^)]*)\)?/gi, (_, target: string) => {
      const id = fragment(target.trim().replace(/^["']|["']$/g, ''));
      return id === undefined ? 'none' : `url(#${id})`;
    });
}

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

export interface Rule {
  /** `#id`, `.class`, `element` or `*`: what the rule's last simple selector asks for at least. */
  key: string;
  css: string;
}

/**
 * The rules of a clean style sheet that refer to elements or filter. A rule is taken to match wherever its
 * last part does, and one inside of another (`@media`) everywhere.
 */
export function costlyRules(sheet: string): Rule[] {
  const rules: Rule[] = [];
  let at = 0;
  for (;;) {
    const open = sheet.indexOf('{', at);
    if (open < 0) return rules;
    const close = sheet.indexOf('}', open);
    const css = sheet.slice(open + 1, close < 0 ? undefined : close);
    if (css.includes('url(#') || css.includes('filter')) {
      const selectors = sheet.slice(at, open);
      const nested = css.includes('{') || selectors.includes('@');
      for (const selector of nested ? ['*'] : selectors.split(',')) rules.push({ key: keyOf(selector), css });
    }
    if (close < 0) return rules;
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
