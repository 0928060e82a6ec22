/** `resize`: contain, cover, stretch, pad; never enlarged unless asked. */
import type { NormalOperation } from '../../contract/plan.ts';
import type { Primitive, Size } from './primitive.ts';

type Resize = Extract<NormalOperation, { op: 'resize' }>;

const atLeast1 = (n: number) => Math.max(1, Math.round(n));

const scaleTo = (to: Size, from: Size): Primitive[] =>
  to.width === from.width && to.height === from.height ? [] : [{ do: 'scale', ...to }];

/** Where a box of length `part` goes along `whole`: 0 at the start, 1 at the end. */
const ALONG_X: Record<string, number> = {
  west: 0,
  northwest: 0,
  southwest: 0,
  east: 1,
  northeast: 1,
  southeast: 1,
};
const ALONG_Y: Record<string, number> = {
  north: 0,
  northwest: 0,
  northeast: 0,
  south: 1,
  southwest: 1,
  southeast: 1,
};

function place(whole: number, part: number, along: number): number {
  return Math.min(whole - part, Math.max(0, Math.round((whole - part) * along)));
}

export function resize(op: Resize, from: Size): Primitive[] {
  switch (op.fit) {
    case 'contain':
      return scaleTo(contained(op, from), from);
    case 'stretch': {
      const clamp = (wanted: number | undefined, have: number) =>
        wanted === undefined ? have : op.enlarge ? wanted : Math.min(wanted, have);
      return scaleTo({ width: clamp(op.width, from.width), height: clamp(op.height, from.height) }, from);
    }
    case 'cover':
      return cover(op, from);
    case 'pad': {
      const inner = contained(op, from);
      // A box that is smaller than a picture which must not be enlarged cannot occur: contain fits inside it.
      const width = op.width ?? inner.width;
      const height = op.height ?? inner.height;
      const gravity = op.gravity ?? 'center';
      const left = place(width, inner.width, ALONG_X[gravity] ?? 0.5);
      const top = place(height, inner.height, ALONG_Y[gravity] ?? 0.5);
      const right = width - inner.width - left;
      const bottom = height - inner.height - top;
      return [
        ...scaleTo(inner, from),
        ...(left || top || right || bottom
          ? [
              {
                do: 'extend',
                left,
                top,
                right,
                bottom,
                background: op.background ?? '#ffffff',
              } satisfies Primitive,
            ]
          : []),
      ];
    }
  }
}

/** The largest size with the picture's aspect inside the box. A missing side does not bound. */
export function contained(box: { width?: number; height?: number; enlarge: boolean }, from: Size): Size {
  let factor = Math.min((box.width ?? Infinity) / from.width, (box.height ?? Infinity) / from.height);
  if (!box.enlarge) factor = Math.min(factor, 1);
  const width = Math.min(box.width ?? Infinity, atLeast1(from.width * factor));
  const height = Math.min(box.height ?? Infinity, atLeast1(from.height * factor));
  return { width, height };
}

function cover(op: Resize, from: Size): Primitive[] {
  if (op.width === undefined || op.height === undefined) return scaleTo(contained(op, from), from);
  let box: Size = { width: op.width, height: op.height };
  if (!op.enlarge) {
    // A picture too small to cover the box covers the largest box of the same aspect that it can.
    const shrink = Math.min(1, from.width / box.width, from.height / box.height);
    box = { width: atLeast1(box.width * shrink), height: atLeast1(box.height * shrink) };
  }
  const factor = Math.max(box.width / from.width, box.height / from.height);
  const scaled: Size = {
    width: Math.max(box.width, Math.round(from.width * factor)),
    height: Math.max(box.height, Math.round(from.height * factor)),
  };
  if (scaled.width === box.width && scaled.height === box.height) return scaleTo(scaled, from);
  if (!op.focus && (op.gravity === 'attention' || op.gravity === 'entropy')) {
    return [{ do: 'smartcrop', ...box, strategy: op.gravity }];
  }
  const gravity = op.gravity ?? 'center';
  const left = op.focus
    ? centred(scaled.width, box.width, op.focus.x)
    : place(scaled.width, box.width, ALONG_X[gravity] ?? 0.5);
  const top = op.focus
    ? centred(scaled.height, box.height, op.focus.y)
    : place(scaled.height, box.height, ALONG_Y[gravity] ?? 0.5);
  return [...scaleTo(scaled, from), { do: 'extract', left, top, ...box }];
}

/** Puts the focal point into the middle of the box, as far as the picture's edges allow. */
function centred(whole: number, part: number, focus: number): number {
  return Math.min(whole - part, Math.max(0, Math.round(whole * focus - part / 2)));
}
