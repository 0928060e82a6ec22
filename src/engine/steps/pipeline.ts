/**
 * Lays primitives on libvips through sharp. One sharp instance runs its operations in an order of its own
 * (extract, scale, turn, extract, extend, blur: `pipeline.cc`), so the list is cut into stages that agree with that
 * order; between two stages the pixels lie in memory. The common plans (upright, resize, crop to cover) are one stage
 * and stream.
 */
import type { BlurOptions, Sharp } from 'sharp';
import type { Orientation } from '../types.ts';
import { type Primitive, type Size, sizeAfter } from './primitive.ts';
import { colorOf, isNeutral } from './samples.ts';

/** sharp's own order. A stage takes primitives of rising rank. */
const RANK: Record<Primitive['do'], number> = {
  extract: 0, // EXTRACTED_LATE after a scale
  scale: 2,
  smartcrop: 2,
  orient: 3,
  // What adds transparent pixels ends a stage: whether colours are premultiplied is decided before.
  extend: 5,
  rotate: 5,
  blur: 5,
};

const EXTRACTED_LATE = 4;

/**
 * Moves a leading `orient` behind the extract and scale that follow it, mapping their geometry: the scale then sees the
 * file's own rows, so that JPEG shrink-on-load works and only the small picture is turned.
 */
export function delayOrient(primitives: Primitive[], stored: Size): Primitive[] {
  const [first, ...rest] = primitives;
  if (first?.do !== 'orient') return primitives;
  const moved: Primitive[] = [];
  let size = stored; // in stored (unturned) coordinates
  let scaled = false;
  let next = rest[0];
  while (next) {
    if (next.do === 'extract' && !scaled) {
      const area = unturn(next, size, first.orientation);
      moved.push({ do: 'extract', ...area });
      size = area;
    } else if (next.do === 'scale' && !scaled) {
      const swap = first.orientation >= 5;
      size = { width: swap ? next.height : next.width, height: swap ? next.width : next.height };
      moved.push({ do: 'scale', ...size });
      scaled = true;
    } else break;
    rest.shift();
    next = rest[0];
  }
  return [...moved, first, ...rest];
}

type Area = { left: number; top: number } & Size;

/** An area of the upright picture, in the coordinates of the stored one of size `stored`. */
function unturn(area: Area, stored: Size, orientation: Orientation): Area {
  const swap = orientation >= 5;
  const upright = swap ? { width: stored.height, height: stored.width } : stored;
  const fromRight = upright.width - area.left - area.width;
  const fromBottom = upright.height - area.top - area.height;
  const { left, top, width, height } = area;
  switch (orientation) {
    case 1:
      return { left, top, width, height };
    case 2:
      return { left: fromRight, top, width, height };
    case 3:
      return { left: fromRight, top: fromBottom, width, height };
    case 4:
      return { left, top: fromBottom, width, height };
    case 5:
      return { left: top, top: left, width: height, height: width };
    case 6:
      return { left: top, top: fromRight, width: height, height: width };
    case 7:
      return { left: fromBottom, top: fromRight, width: height, height: width };
    case 8:
      return { left: fromBottom, top: left, width: height, height: width };
  }
}

/**
 * Cuts a list of primitives where sharp's order would be broken.
 * @param gray the picture may have one channel (and alpha): sharp then lays colours on it as greys, so before one with a
 * hue comes a cut, if need be an empty stage, behind which the picture is RGB
 */
export function stagesOf(primitives: Primitive[], gray = false): Primitive[][] {
  const stages: Primitive[][] = [];
  let stage: Primitive[] = [];
  let reached = -1;
  let scaled = false;
  let mayBeGray = gray;
  const cut = () => {
    stages.push(stage);
    stage = [];
    reached = -1;
    scaled = false;
    mayBeGray = false;
  };
  for (const primitive of primitives) {
    const tints = 'background' in primitive && !isNeutral(colorOf(primitive.background));
    if (tints && mayBeGray) cut();
    let rank = primitive.do === 'extract' && scaled ? EXTRACTED_LATE : RANK[primitive.do];
    // sharp forgets a turn when it is given a second one, and tells the size of what it extracted late for
    // that of what it extended then.
    const confuses =
      (primitive.do === 'rotate' && stage.length > 0) ||
      (primitive.do === 'extend' && reached === EXTRACTED_LATE);
    if (rank <= reached || confuses) {
      cut();
      if (primitive.do === 'extract') rank = 0;
    }
    stage.push(primitive);
    reached = rank;
    if (primitive.do === 'scale') scaled = true;
  }
  if (stage.length > 0) stages.push(stage);
  return stages;
}

/** Adds one stage's primitives to a pipeline. */
export function applyStage(image: Sharp, stage: Primitive[]): Sharp {
  for (const p of stage) {
    switch (p.do) {
      case 'extract':
        image = image.extract({ left: p.left, top: p.top, width: p.width, height: p.height });
        break;
      case 'scale':
        image = image.resize(p.width, p.height, { fit: 'fill' });
        break;
      case 'smartcrop':
        image = image.resize(p.width, p.height, { fit: 'cover', position: p.strategy });
        break;
      case 'extend':
        image = image.extend({
          left: p.left,
          top: p.top,
          right: p.right,
          bottom: p.bottom,
          background: p.background,
        });
        break;
      case 'orient':
        image = turn(image, p.orientation);
        break;
      case 'rotate':
        image = image.rotate(p.angle, { background: p.background });
        break;
      case 'blur':
        image = image.blur(gaussian(p.sigma));
        break;
    }
  }
  return image;
}

/**
 * The mask reaches to where the bell is down to 3 thousandths, at 3.4 deviations: cut at libvips' default of a fifth, the
 * blur would be narrower by a fifth than asked for. In whole numbers it would be six times as fast, and change flat areas
 * by up to 8 levels.
 */
function gaussian(sigma: number): BlurOptions {
  return { sigma, minAmplitude: 0.003, precision: 'float' };
}

/** EXIF 2.32, tag 274, as sharp's fixed order has it: mirror first, then turn clockwise. */
function turn(image: Sharp, orientation: Orientation): Sharp {
  switch (orientation) {
    case 1:
      return image;
    case 2:
      return image.flop();
    case 3:
      return image.rotate(180);
    case 4:
      return image.flip();
    case 5:
      return image.flop().rotate(270);
    case 6:
      return image.rotate(90);
    case 7:
      return image.flop().rotate(90);
    case 8:
      return image.rotate(270);
  }
}

/** The size after each of `primitives`, from `size`. */
export function sizeOf(primitives: Primitive[], size: Size): Size {
  return primitives.reduce((at, primitive) => sizeAfter(primitive, at), size);
}
