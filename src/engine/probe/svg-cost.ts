/**
 * What drawing an SVG would cost. A few elements that draw one another by `use`, patterns, masks and markers
 * stand for billions; a few filters on a large canvas for minutes.
 */
import { broken } from './header.ts';
import { costlyRules, type Rule, referencedIds } from './svg-css.ts';

/** Elements drawn in all, each as often as it is referred to. */
const MAX_DRAWN = 200_000;
const MAX_REFERENCES = 1_000_000;
/** Units of `primitiveWork` × pixels of the canvas: 100 s at most, less where filters cover parts of it. */
const MAX_FILTER_WORK = 2_000_000_000;
const MASK_WORK = 0.4;

/** Painted by a handful of stops, however often it is used. */
const PAINT_ONLY = ['linearGradient', 'radialGradient'];
/** They refer to an element without drawing it. */
const NOT_DRAWING = [
  'a',
  'animate',
  'animateMotion',
  'animateTransform',
  'animateColor',
  'set',
  'mpath',
  'script',
];

interface Node {
  tag: string;
  keys: string[];
  edges: Edge[];
  /** Of the filter primitive that this element is, or of those that it applies by CSS functions. */
  filterWork: number;
  /** Corners of a path or polygon, each of which may bear a marker. */
  corners: number;
}

interface Edge {
  /** A child's index, or an id. */
  to: number | string;
}

export class SvgCost {
  readonly #nodes: Node[] = [];
  readonly #byId = new Map<string, number>();
  readonly #rules: Rule[] = [];
  readonly #open: number[] = [];

  /** Takes an element with its clean attributes; `close` ends it. False where the id is taken already. */
  openElement(tag: string, attributes: ReadonlyMap<string, string>): boolean {
    const index = this.#nodes.length;
    const parent = this.#open.at(-1);
    if (parent !== undefined) this.#nodes[parent]!.edges.push({ to: index });
    this.#open.push(index);
    const id = attributes.get('id');
    const classes = (attributes.get('class') ?? '').split(/\s+/).filter(Boolean);
    const edges: Edge[] = [];
    for (const [name, value] of attributes) {
      if (name === 'href' || name === 'xlink:href') {
        if (value.startsWith('#') && !NOT_DRAWING.includes(tag)) edges.push({ to: value.slice(1) });
      } else if (value.includes('url(#')) {
        for (const to of referencedIds(value)) edges.push({ to });
      }
    }
    this.#nodes.push({
      tag,
      keys: ['*', tag, ...classes.map((name) => `.${name}`), ...(id === undefined ? [] : [`#${id}`])],
      edges,
      filterWork:
        primitiveWork(tag, attributes) + functionWork(attributes.get('filter') ?? attributes.get('style')),
      corners: cornersOf(attributes.get('d') ?? attributes.get('points')),
    });
    if (id === undefined) return true;
    if (this.#byId.has(id)) return false;
    this.#byId.set(id, index);
    return true;
  }

  closeElement(): void {
    this.#open.pop();
  }

  /** Takes a clean style sheet. */
  styleSheet(css: string): void {
    this.#rules.push(...costlyRules(css));
  }

  /** @throws Problem undecodable_image where drawing on a canvas of so many pixels would cost too much. */
  check(pixels: number): void {
    if (this.#nodes.length === 0) return;
    this.#applyRules();
    const { drawn, filterWork } = this.#total();
    if (drawn > MAX_DRAWN) throw broken(`The SVG draws more than ${MAX_DRAWN} elements by reference.`);
    if (filterWork * pixels > MAX_FILTER_WORK)
      throw broken('The filters and masks of the SVG would take too long.');
  }

  #applyRules(): void {
    const byKey = new Map<string, { ids: string[]; work: number }>();
    for (const { key, css } of this.#rules) {
      const known = byKey.get(key) ?? { ids: [], work: 0 };
      for (const id of referencedIds(css)) known.ids.push(id);
      known.work += functionWork(css);
      byKey.set(key, known);
    }
    let references = 0;
    for (const node of this.#nodes) {
      for (const key of byKey.size === 0 ? [] : node.keys) {
        const rule = byKey.get(key);
        if (!rule) continue;
        node.filterWork += rule.work;
        references += rule.ids.length;
        if (references > MAX_REFERENCES)
          throw broken('The style sheet of the SVG refers to too many elements.');
        for (const to of rule.ids) node.edges.push({ to });
      }
    }
  }

  /** Each node's cost once, from the leaves up, without recursion. */
  #total(): { drawn: number; filterWork: number } {
    const nodes = this.#nodes;
    const drawn = new Float64Array(nodes.length);
    const work = new Float64Array(nodes.length);
    const state = new Uint8Array(nodes.length);
    const nextEdge = new Uint32Array(nodes.length);
    const stack = [0];
    state[0] = 1;
    while (stack.length > 0) {
      const at = stack.at(-1)!;
      const node = nodes[at]!;
      const edge = node.edges[nextEdge[at]!];
      if (!edge) {
        drawn[at]! += 1;
        work[at]! += node.filterWork;
        state[at] = 2;
        stack.pop();
        continue;
      }
      const to = typeof edge.to === 'number' ? edge.to : this.#byId.get(edge.to);
      if (to !== undefined && state[to] === 0) {
        state[to] = 1;
        stack.push(to);
        continue;
      }
      if (to !== undefined && state[to] === 1) throw broken('An element of the SVG refers to itself.');
      nextEdge[at]! += 1;
      if (to === undefined) continue;
      const target = nodes[to]!;
      const times = target.tag === 'marker' && typeof edge.to === 'string' ? node.corners : 1;
      if (!PAINT_ONLY.includes(target.tag)) drawn[at]! += times * drawn[to]!;
      work[at]! += times * (work[to]! + (target.tag === 'mask' ? MASK_WORK : 0));
    }
    return { drawn: drawn[0]!, filterWork: work[0]! };
  }
}

const cornersOf = (path: string | undefined) => 1 + (path?.match(/[a-z]|[-+]?[\d.]+/gi)?.length ?? 0);

/** Cost of a filter primitive at a pixel, in units of about 50 ns: what feColorMatrix takes in librsvg 2.63. */
function primitiveWork(tag: string, attributes: ReadonlyMap<string, string>): number {
  if (!tag.startsWith('fe')) return 0;
  const [x, y] = numbers(attributes.get(tag === 'feConvolveMatrix' ? 'order' : 'radius'));
  switch (tag) {
    case 'feGaussianBlur':
    case 'feDropShadow':
    case 'feDiffuseLighting':
    case 'feSpecularLighting':
      return 5;
    case 'feTurbulence':
      return 5 + 2 * Math.min(Math.max(1, numbers(attributes.get('numOctaves'))[0] ?? 1), 9);
    case 'feConvolveMatrix':
      return 1 + ((x ?? 3) * (y ?? x ?? 3)) / 4;
    case 'feMorphology':
      return 20 + 3 * Math.max(Math.abs(x ?? 0), Math.abs(y ?? 0));
    default:
      return 1;
  }
}

/** `filter: blur(4px) drop-shadow(…)`. */
function functionWork(css: string | undefined): number {
  return css === undefined ? 0 : 5 * (css.match(/\b(blur|drop-shadow)\(/gi)?.length ?? 0);
}

const numbers = (text: string | undefined) =>
  (text ?? '')
    .slice(0, 100)
    .trim()
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number)
    .filter(Number.isFinite);
