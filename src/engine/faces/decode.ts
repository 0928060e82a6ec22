/**
 * What the face models' two outputs mean: scores and boxes relative to anchors, as in MediaPipe's
 * `TensorsToDetectionsCalculator` and `NonMaxSuppressionCalculator`. Lengths are parts of the model's square input.
 */

/** One detection; `x` and `y` are the left top corner. */
export interface Face {
  x: number;
  y: number;
  width: number;
  height: number;
  /** 0–1. */
  score: number;
}

/** A grid of cells; each cell is the place of so many anchors. */
export interface AnchorGrid {
  cells: number;
  perCell: number;
}

export interface ModelLayout {
  /** Of its square input, in px. */
  side: number;
  /** In the order of the outputs. */
  grids: readonly AnchorGrid[];
  /** From this score on it is a face. */
  minScore: number;
}

/** Of one anchor: box and six key points, two numbers each. */
const VALUES_PER_ANCHOR = 16;
/** Logits beyond are as good as certain; the exponential must not overflow. */
const MAX_LOGIT = 100;
/** Boxes that share this much are the same face. */
const SAME_FACE_IOU = 0.3;

/** The middles of the anchors' cells, as x, y, x, y, … */
export function anchorsOf(grids: readonly AnchorGrid[]): Float32Array {
  const centres: number[] = [];
  for (const { cells, perCell } of grids) {
    for (let row = 0; row < cells; row++) {
      for (let column = 0; column < cells; column++) {
        for (let i = 0; i < perCell; i++) centres.push((column + 0.5) / cells, (row + 0.5) / cells);
      }
    }
  }
  return Float32Array.from(centres);
}

export const scoreOf = (logit: number): number =>
  1 / (1 + Math.exp(-Math.max(-MAX_LOGIT, Math.min(MAX_LOGIT, logit))));

/**
 * The faces before suppression: every anchor that is sure enough.
 * @param logits one an anchor
 * @param boxes 16 values an anchor: centre x, centre y, width and height in px of the input, the centre from the anchor's
 */
export function facesFrom(logits: Float32Array, boxes: Float32Array, layout: ModelLayout): Face[] {
  const anchors = anchorsOf(layout.grids);
  const faces: Face[] = [];
  for (let i = 0; i < logits.length; i++) {
    const score = scoreOf(logits[i]!);
    if (score < layout.minScore) continue;
    const at = i * VALUES_PER_ANCHOR;
    const width = boxes[at + 2]! / layout.side;
    const height = boxes[at + 3]! / layout.side;
    const x = boxes[at]! / layout.side + anchors[i * 2]! - width / 2;
    const y = boxes[at + 1]! / layout.side + anchors[i * 2 + 1]! - height / 2;
    if (width > 0 && height > 0) faces.push({ x, y, width, height, score });
  }
  return faces;
}

/** Weighted suppression: of the boxes that are one face, their mean by score, with the best one's score. */
export function merged(faces: Face[]): Face[] {
  let left = [...faces].sort((a, b) => b.score - a.score);
  const result: Face[] = [];
  for (let best = left[0]; best; best = left[0]) {
    const same = left.filter((face) => face === best || overlap(face, best) > SAME_FACE_IOU);
    left = left.filter((face) => !same.includes(face));
    const sum = same.reduce((total, { score }) => total + score, 0);
    const mean = (of: (face: Face) => number) =>
      same.reduce((total, face) => total + of(face) * face.score, 0) / sum;
    result.push({
      x: mean((f) => f.x),
      y: mean((f) => f.y),
      width: mean((f) => f.width),
      height: mean((f) => f.height),
      score: best.score,
    });
  }
  return result;
}

/** Intersection over union. */
function overlap(a: Face, b: Face): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (a.width * a.height + b.width * b.height - shared);
}
