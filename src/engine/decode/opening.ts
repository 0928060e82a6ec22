/** What of a file is decoded: Plans that want the same share it. */
import type { NormalPlan } from '../../contract/plan.ts';
import { FORMAT_OPTIONS } from '../../contract/plan-formats.ts';
import type { Facts, SourceFormat } from '../types.ts';

export type Opening =
  /** From 0; all frames in time together; or the sheets of a TIFF, one after the other. */
  | { page: number | 'all' | 'sheets' }
  | { second: number }
  | { clip: { start: number; duration: number; fps: number; box: { width: number; height: number } } };

/** Whose frames in time can be decoded. */
const MOVING: ReadonlySet<SourceFormat> = new Set(['gif', 'webp', 'png', 'avif']);
/** A preview of a video, where no size is asked for. */
const CLIP_SIDE_PX = 640;

export function openingOf({ preview, operations, output }: NormalPlan, facts: Facts): Opening {
  const [first, second] = operations;
  if (first?.op === 'frame') {
    return first.second === undefined ? { page: first.page ?? 0 } : { second: first.second };
  }
  if (first?.op === 'clip') {
    const { start, duration, fps } = first;
    const sized = second?.op === 'resize' && second.fit === 'contain' && !second.enlarge ? second : undefined;
    const side = sized ? Number.MAX_SAFE_INTEGER : CLIP_SIDE_PX;
    const box = { width: sized?.width ?? side, height: sized?.height ?? side };
    return { clip: { start, duration, fps, box } };
  }
  if (preview === 'embedded' || facts.pages === 1) return { page: 0 };
  if (facts.format === 'tiff' && output.format === 'tiff') return { page: 'sheets' };
  const { format } = output;
  // A PNG that moves stays one that moves; what else moves becomes a still PNG.
  const keeps = FORMAT_OPTIONS[format].animates || (format === 'png' && facts.format === 'png');
  return { page: facts.animated && keeps && MOVING.has(facts.format) ? 'all' : 0 };
}
