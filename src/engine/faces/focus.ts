/** Where to cut so that the faces stay. */
import type { Face } from './decode.ts';

/** What belongs to a head beyond the detected face (brows to chin), in parts of its height and width. */
const HAIR = 0.5;
const NECK = 0.25;
const EARS = 0.25;

/** From and to along one side, with what the head counts. */
interface Span {
  from: number;
  to: number;
  weight: number;
}

/**
 * The point that a crop of `window` (parts of the picture's width and height) should be centred on; undefined where
 * there is no face. A crop keeps as many heads as it can, the larger ones first, and has those that it keeps in its
 * middle.
 */
export function focusOn(
  faces: readonly Face[],
  window: { width: number; height: number },
): { x: number; y: number } | undefined {
  if (faces.length === 0) return undefined;
  const weight = (face: Face) => face.width * face.height * face.score;
  const across = faces.map((face) => ({
    from: face.x - EARS * face.width,
    to: face.x + (1 + EARS) * face.width,
    weight: weight(face),
  }));
  const down = faces.map((face) => ({
    from: face.y - HAIR * face.height,
    to: face.y + (1 + NECK) * face.height,
    weight: weight(face),
  }));
  return { x: middleOfKept(across, window.width), y: middleOfKept(down, window.height) };
}

function middleOfKept(spans: Span[], window: number): number {
  const inPicture = spans.map(({ from, to, weight }) => ({
    from: Math.max(0, from),
    to: Math.min(1, to),
    weight,
  }));
  let best: Span[] = [];
  // The best crop can be moved on until it begins where a head does.
  for (const { from } of inPicture) {
    const kept = inPicture.filter((span) => span.from >= from && span.to <= from + window);
    if (weightOf(kept) > weightOf(best)) best = kept;
  }
  // No head fits: the middle of the largest.
  if (best.length === 0) best = [inPicture.reduce((a, b) => (b.weight > a.weight ? b : a))];
  const from = Math.min(...best.map((span) => span.from));
  const to = Math.max(...best.map((span) => span.to));
  return Math.min(1, Math.max(0, (from + to) / 2));
}

const weightOf = (spans: Span[]): number => spans.reduce((sum, { weight }) => sum + weight, 0);
