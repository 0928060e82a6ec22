/**
 * What drawing an SVG would cost. A few elements that draw one another by `use`, patterns, masks and markers
 * stand for billions; a few filters on a large canvas for minutes.
 */
import { broken } from './header.ts';
import { costlyRules, type Rule, referencedIds } from './svg-css.ts';

/** Elements drawn in all, each as often as it is referred to. */
const MAX_DRAWN = 200_000;
const MAX_REFERENCES = 1_000_000;
const MAX_RULES = 10_000;
/** Units of `primitiveWork` × pixels of the canvas: 100 s at most, less where filters cover parts of it. */
const MAX_FILTER_WORK = 2_000_000_000;
const MASK_WORK = 0.4;

/** Painted by a handful of stops, however often it is used. */
const PAINT_ONLY = ['linearGradient', 'radialGradient'];
/** Drawn on or around another element that names them in a property. */
const APPLIED = ['pattern', 'marker', 'mask', 'clipPath', 'filter'];
/** They refer to an element without drawing it. */
const NOT_DRAWING = ['a', 'animate', 'animateMotion', 'animateTransform', 'animateColor', 'set', 'mpath'];

/** `fill`, `mask` and their like mean nothing on these. */
const isPaintless = (tag: string) =>
  PAINT_ONLY.includes(tag) || tag === 'stop' || tag === 'filter' || tag.startsWith('fe');

interface Node {
  tag: string;
  keys: string[];
  edges: Edge[];
  /** Of the filter primitive that this element is, or of those that it applies by CSS functions. */
  filterWork: number;
  /** Corners of a path or polygon, each of which may bear a marker. */
  corners: number;
}

/** A child's index, or an id. */
type Edge = number | string;

export class SvgCost {
  readonly #nodes: Node[] = [];
  readonly #byId = new Map<string, number>();
  readonly #rules: Rule[] = [];
  readonly #open: number[] = [];

  /** Takes an element with its clean attributes; `close` ends it. False where the id is taken already. */
  openElement(tag: string, attributes: ReadonlyMap<string, string>): boolean {
    const index = this.#nodes.length;
    const parent = this.#open.at(-1);
    if (parent !== undefined) this.#nodes[parent]!.edges.push(index);
    this.#open.push(index);
    const id = attributes.get('id');
    const classes = (attributes.get('class') ?? '').split(/\s+/).filter(Boolean);
    const edges: Edge[] = [];
    for (const [name, value] of attributes) {
      if (name === 'href' || name === 'xlink:href') {
        if (value.startsWith('#') && !NOT_DRAWING.includes(tag)) edges.push(value.slice(1));
      } else if (value.includes('url(#') && !isPaintless(tag)) {
        for (const to of referencedIds(value)) edges.push(to);
      }
    }
    this.#nodes.push({
      tag,
      keys: ['*', tag, ...classes.map((name) => `.${name}`), ...(id === undefined ? [] : [`#${id}`])],
      edges,
      filterWork:
        primitiveWork(tag, attributes) +
        functionWork(attributes.get('filter')) +
        functionWork(attributes.get('style')),
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
    for (const rule of costlyRules(css)) {
      if (this.#rules.length >= MAX_RULES) throw broken(`The SVG has more than ${MAX_RULES} style rules.`);
      this.#rules.push(rule);
    }
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
      for (const key of byKey.size === 0 || isPaintless(node.tag) ? [] : node.keys) {
        const rule = byKey.get(key);
        if (!rule) continue;
        node.filterWork += rule.work;
        references += rule.ids.length;
        if (references > MAX_REFERENCES)
          throw broken('The style sheet of the SVG refers to too many elements.');
        for (const to of rule.ids) node.edges.push(to);
      }
    }
  }

  /** Each node's cost once, from the leaves up, without recursion. */
  #total(): Cost {
    const nodes = this.#nodes;
    const costs: (Cost | undefined)[] = new Array(nodes.length);
    const nextEdge = new Uint32Array(nodes.length);
    const isOpen = new Uint8Array(nodes.length);
    const stack = [0];
    while (stack.length > 0) {
      const at = stack.at(-1)!;
      isOpen[at] = 1;
      const edge = nodes[at]!.edges[nextEdge[at]!++];
      if (edge === undefined) {
        costs[at] = this.#costOf(nodes[at]!, costs);
        isOpen[at] = 0;
        stack.pop();
        continue;
      }
      const to = this.#target(edge);
      if (to === undefined || costs[to]) continue;
      if (isOpen[to]) throw broken('An element of the SVG refers to itself.');
      stack.push(to);
    }
    return costs[0]!;
  }

  #target(edge: Edge): number | undefined {
    return typeof edge === 'number' ? edge : this.#byId.get(edge);
  }

  /** What a node costs when all that it leads to is known. */
  #costOf(node: Node, costs: readonly (Cost | undefined)[]): Cost {
    const cost: Cost = { drawn: 1, corners: node.corners, filterWork: node.filterWork };
    const applied: { tag: string; target: Cost }[] = [];
    for (const edge of node.edges) {
      const to = this.#target(edge);
      if (to === undefined) continue;
      const { tag } = this.#nodes[to]!;
      const target = costs[to]!;
      if (typeof edge === 'string' && APPLIED.includes(tag)) {
        applied.push({ tag, target });
      } else if (typeof edge === 'number' || !PAINT_ONLY.includes(tag)) {
        add(cost, target, 1);
        cost.corners += target.corners;
      }
    }
    // Children inherit patterns and markers, but not masks, clips and filters.
    const { drawn, corners } = cost;
    for (const { tag, target } of applied) {
      add(cost, target, tag === 'pattern' ? drawn : tag === 'marker' ? corners : 1);
      if (tag === 'mask') cost.filterWork += MASK_WORK;
    }
    return cost;
  }
}

interface Cost {
  /** Elements drawn. */
  drawn: number;
  /** Corners of the paths among them. */
  corners: number;
  filterWork: number;
}

function add(to: Cost, from: Cost, times: number): void {
  to.drawn += from.drawn * times;
  to.filterWork += from.filterWork * times;
}

const cornersOf = (path: string | undefined) => path?.match(/[a-z]|[-+]?[\d.]+/gi)?.length ?? 0;

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
