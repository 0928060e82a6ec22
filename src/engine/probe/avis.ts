/** AVIF image sequences (AV1 Image File Format, section 3): the pictures' track, its alpha, its times and its loops. */
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import type { Orientation } from '../types.ts';
import { type Box, boxesOf, partsOf } from './boxes.ts';
import { type VideoCodec, videoCodec } from './codecs.ts';
import { broken } from './header.ts';
import { findMovie, movieOf, orientationOf, type Track } from './movie.ts';
import type { Reader } from './reader.ts';

export interface ImageSequence {
  id: number;
  /** The track of the alpha planes. */
  alphaId?: number;
  /** Colours were multiplied by their alpha. */
  premultiplied: boolean;
  codec: VideoCodec;
  /** Of one picture as it is stored. */
  width: number;
  height: number;
  orientation: Orientation;
  /** How long each picture stays, one for each. */
  delayMs: number[];
  /** How often all of it is played; 0 for ever. */
  loop: number;
  icc?: Uint8Array;
}

const ALPHA = 'urn:mpeg:mpegB:cicp:systems:auxiliary:alpha';
const MAX_LOOPS = 65_535;

/** @throws Problem `undecodable_image`, `too_many_frames` */
export async function readImageSequence(
  reader: Reader,
  limits: Pick<Limits, 'maxFrames'>,
): Promise<ImageSequence> {
  const { moov } = await findMovie(reader);
  const movie = moov && (await movieOf(reader, moov));
  const track = movie?.tracks.find(({ handler, entry }) => handler === 'pict' && entry);
  if (!movie || !track?.entry || !track.stbl) throw broken('The file holds no image sequence.');
  if (track.samples === 0) throw broken('The image sequence of the file has no frames.');
  if (track.samples > limits.maxFrames) {
    throw new Problem('too_many_frames', {
      detail: `The animation has ${track.samples} frames; at most ${limits.maxFrames} are allowed.`,
    });
  }
  const entry = track.entry.fields;
  const alpha = await alphaOf(reader, movie.tracks, track);
  const icc = Array.from(partsOf(entry, 78))
    .filter(({ type, fields }) => type === 'colr' && /^(prof|rICC)$/.test(fields.ascii(0, 4)))
    .map(({ fields }) => fields.bytes.slice(4))[0];
  return {
    id: track.id,
    ...(alpha && { alphaId: alpha.id }),
    premultiplied: alpha !== undefined && (await refersTo(reader, track, 'prem', alpha.id)),
    codec: videoCodec(track.entry.type),
    width: entry.u16(24),
    height: entry.u16(26),
    orientation: orientationOf(movie.turn, track.turn),
    delayMs: await delaysOf(reader, track),
    loop: await loopsOf(reader, track, movie.timescale),
    ...(icc && { icc }),
  };
}

async function alphaOf(reader: Reader, tracks: Track[], pictures: Track): Promise<Track | undefined> {
  for (const track of tracks) {
    if (track.handler !== 'auxv' || !track.entry || track.samples !== pictures.samples) continue;
    if (!(await refersTo(reader, track, 'auxl', pictures.id))) continue;
    const type = Array.from(partsOf(track.entry.fields, 78)).find((part) => part.type === 'auxi')?.fields;
    // Some writers leave it out; no other plane is in use.
    if (!type || type.ascii(4, type.length - 4).split('\0')[0] === ALPHA) return track;
  }
  return undefined;
}

async function refersTo(reader: Reader, { tref }: Track, type: string, id: number): Promise<boolean> {
  if (!tref) return false;
  for (const part of partsOf(await reader.fields(tref.body, tref.end - tref.body))) {
    if (part.type !== type) continue;
    for (let at = 0; at + 4 <= part.fields.length; at += 4) if (part.fields.u32(at) === id) return true;
  }
  return false;
}

/** `stts`: runs of samples that last as long as one another. Rounded so that the whole lasts as long as it does. */
async function delaysOf(reader: Reader, { stbl, samples, timescale }: Track): Promise<number[]> {
  const stts = await childOf(reader, stbl!, 'stts');
  if (!stts || timescale === 0)
    throw broken('The image sequence of the file does not say how long it lasts.');
  const table = await reader.fields(stts.body, stts.end - stts.body);
  const delays: number[] = [];
  let units = 0;
  let shown = 0;
  for (let i = 0; i < table.u32(4) && delays.length < samples; i++) {
    const run = Math.min(table.u32(8 + 8 * i), samples - delays.length);
    const each = table.u32(12 + 8 * i);
    for (let k = 0; k < run; k++) {
      units += each;
      const end = Math.round((units * 1000) / timescale);
      delays.push(end - shown);
      shown = end;
    }
  }
  if (delays.length < samples) throw broken('The image sequence of the file times fewer frames than it has.');
  return delays;
}

/**
 * An edit list that repeats (flag 1) is played as often as it fits into the track's duration, for ever where that has
 * no end; one that does not repeat is played once. Without an edit list nothing is said, and it goes on for ever.
 */
async function loopsOf(reader: Reader, { elst, presented }: Track, movieTimescale: number): Promise<number> {
  if (!elst) return 0;
  const list = await reader.fields(elst.body, Math.min(elst.end - elst.body, 28));
  if (list.u32(4) === 0 || presented === Number.POSITIVE_INFINITY) return 0;
  if ((list.u24(1) & 1) === 0) return 1;
  const segment = (list.u8(0) === 1 ? list.u64(8) : list.u32(8)) / movieTimescale;
  if (segment === 0 || presented === undefined) return 0;
  // A rounding error of the duration is no further loop.
  return Math.min(Math.max(1, Math.ceil(presented / segment - 1e-6)), MAX_LOOPS);
}

async function childOf(reader: Reader, parent: Box, type: string): Promise<Box | undefined> {
  for await (const box of boxesOf(reader, parent.body, parent.end)) if (box.type === type) return box;
  return undefined;
}
