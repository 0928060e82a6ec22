/** Image sequences in HEIF and AVIF: tracks whose samples are pictures (ISO/IEC 23008-12 section 7). */
import type { Limits } from '../limits.ts';
import { type Box, type Part, partsOf } from './boxes.ts';
import type { Fields } from './fields.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';

export interface Sequence {
  width: number;
  height: number;
  /** Counting stops at one above the limit. */
  frames: number;
  /** Sample entry type, `av01` or `hvc1`. */
  codec: string;
  alpha: boolean;
}

/** The first picture track of `moov`; undefined where it has none, as in the video of a motion photo. */
export async function readSequence(reader: Reader, moov: Box, limits: Limits): Promise<Sequence | undefined> {
  const block = await reader.fields(moov.body, moov.end - moov.body);
  let sequence: Sequence | undefined;
  let alpha = false;
  for (const trak of partsOf(block)) {
    if (trak.type !== 'trak') continue;
    const media = find(trak.fields, 'mdia');
    const handler = media && find(media, 'hdlr')?.ascii(8, 4);
    if (handler === 'auxv') alpha = true;
    if (handler === 'pict') sequence ??= readTrack(media!, limits);
  }
  return sequence && { ...sequence, alpha };
}

function readTrack(media: Fields, limits: Limits): Sequence {
  const minf = find(media, 'minf');
  const stbl = minf && find(minf, 'stbl');
  const stsd = stbl && find(stbl, 'stsd');
  const sizes = stbl && (find(stbl, 'stsz') ?? find(stbl, 'stz2'));
  if (!stsd || !sizes) throw broken('The image sequence of the file has no samples.');
  const entry: Part | undefined = partsOf(stsd, 8).next().value ?? undefined;
  if (sizes.u32(8) === 0) throw broken('The image sequence of the file has no frames.');
  if (!entry) throw broken('The image sequence of the file does not say how it is coded.');
  return {
    width: entry.fields.u16(24),
    height: entry.fields.u16(26),
    frames: Math.min(sizes.u32(8), limits.maxFrames + 1),
    codec: entry.type,
    alpha: false,
  };
}

function find(block: Fields, type: string): Fields | undefined {
  for (const part of partsOf(block)) if (part.type === type) return part.fields;
  return undefined;
}
