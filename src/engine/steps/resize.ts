/** `resize`: contain, cover, stretch, pad; never enlarged unless asked. */
import type { NormalOperation } from '../../contract/plan.ts';
import { enoughForFaces } from '../faces/detect.ts';
import { centred, placed } from './gravity.ts';
import type { Primitive, Size } from './primitive.ts';

type Resize = Extract<NormalOperation, { op: 'resize' }>;

const atLeast1 = (n: number) => Math.max(1, Math.round(n));

/** Nothing where it has that size. */
export const scaleTo = (to: Size, from: Size): Primitive[] =>
  to.width === from.width && to.height === from.height ? [] : [{ do: 'scale', ...to }];

/** Of `cover` by `face`, what comes before `faceCrop`: the picture at the size that faces are looked for in, or larger. */
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
      const { left, top } = placed({ width, height }, inner, op.gravity ?? 'center');
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
  const { box, scaled } = covering({ width: op.width, height: op.height }, op.enlarge, from);
  const scale = scaleTo(scaled, from);
  if (scaled.width === box.width && scaled.height === box.height) return scale;
  if (op.focus) return [...scale, { do: 'extract', ...centred(scaled, box, op.focus), ...box }];
  const gravity = op.gravity ?? 'center';
  // The rest is done by faceCrop, behind.
  if (gravity === 'face') return scaleTo(enoughForFaces(scaled, from), from);
  if (gravity === 'attention' || gravity === 'entropy') {
    // Scaled by a step of its own: that one can come before a turn, and then the file is read at its small size.
    return [...scale, { do: 'smartcrop', ...box, strategy: gravity }];
  }
  return [...scale, { do: 'extract', ...placed(scaled, box, gravity), ...box }];
}

/** What `cover` cuts out, and the smallest size with the picture's aspect that holds it. */
export function covering(wanted: Size, enlarge: boolean, from: Size): { box: Size; scaled: Size } {
  // A picture too small to cover the box covers the largest box of the same aspect that it can.
  const shrink = enlarge ? 1 : Math.min(1, from.width / wanted.width, from.height / wanted.height);
  const box = { width: atLeast1(wanted.width * shrink), height: atLeast1(wanted.height * shrink) };
  const factor = Math.max(box.width / from.width, box.height / from.height);
  const scaled = {
    width: Math.max(box.width, Math.round(from.width * factor)),
    height: Math.max(box.height, Math.round(from.height * factor)),
  };
  return { box, scaled };
}
