/** Movies in ISO base media files (ISO/IEC 14496-12) and QuickTime: MP4, MOV, 3GP, and the tracks of an AVIF sequence. */
import { Problem } from '../../problem.ts';
import type { Orientation } from '../types.ts';
import { type Box, boxesOf, type Part, partsOf } from './boxes.ts';
import { audioCodec, videoCodec } from './codecs.ts';
import type { Fields } from './fields.ts';
import { fragmentsOf } from './fragments.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';
import { asFrameRate, type VideoTrack } from './video-track.ts';

const MAX_TRACKS = 256;

/** Rotation and mirroring of a display matrix: the upper left part, `[a, b, c, d]`. */
type Turn = readonly [number, number, number, number];

export interface Track {
  id: number;
  /** `vide`, `soun`, `pict`, `auxv`, … */
  handler: string;
  /** As presented, in 1/65536 px; 0 where it says nothing. */
  width: number;
  height: number;
  turn: Turn;
  /** Seconds, edits applied; undefined where it is unknown, `Infinity` where it has no end. */
  presented: number | undefined;
  /** Of the media, in units of `timescale`. */
  duration: number | undefined;
  timescale: number;
  /** The first sample entry. */
  entry: Part | undefined;
  samples: number;
  /** Sample table, edit list and references, for whoever needs them. */
  stbl: Box | undefined;
  elst: Box | undefined;
  tref: Box | undefined;
}

export interface Movie {
  timescale: number;
  duration: number | undefined;
  turn: Turn;
  tracks: Track[];
  /** It goes on in fragments behind its header. */
  mvex: Box | undefined;
}

/** @throws Problem `undecodable_image`, or `unsupported_media_type` without a picture track that is decoded here */
export async function readMovie(reader: Reader): Promise<VideoTrack> {
  const { moov, brand } = await findMovie(reader);
  if (!moov) {
    throw broken('The video has no index (moov): it was not finished, or its end is missing.');
  }
  const movie = await movieOf(reader, moov);
  const track = pictureTrack(movie);
  const type = track.entry?.type;
  if (type === undefined) throw broken('The video does not say how it is coded.');
  const entry = track.entry!.fields;
  const sound = movie.tracks.find(({ handler, entry }) => handler === 'soun' && entry);
  const fragments = movie.mvex && (await fragmentsOf(reader, movie.mvex, track));
  const frames = track.samples + (fragments?.samples ?? 0);
  if (frames === 0) throw broken('The video has no frames.');
  const mediaSeconds = ((track.duration ?? 0) + (fragments?.duration ?? 0)) / (track.timescale || 1);
  const frameRate = asFrameRate(frames, mediaSeconds);
  return {
    format: formatOf(brand),
    id: track.id,
    codec: videoCodec(type),
    ...(sound?.entry && { audioCodec: audioCodec(sound.entry.type) }),
    stored: { width: entry.u16(24), height: entry.u16(26) },
    pixelAspect: pixelAspect(track, entry),
    orientation: orientationOf(movie.turn, track.turn),
    durationSeconds: seconds(fragments ? undefined : track.presented, mediaSeconds, movie),
    ...(frameRate !== undefined && { frameRate }),
    // QuickTime: 32 bits a pixel are colour and alpha.
    alpha: /^ap4[hx]$/.test(type) && entry.u16(74) === 32,
  };
}

/** The movie's header, wherever it lies, and the major brand; a file of old QuickTime has none. */
export async function findMovie(
  reader: Reader,
): Promise<{ moov: Box | undefined; brand: string | undefined }> {
  let brand: string | undefined;
  for await (const box of boxesOf(reader)) {
    if (box.type === 'moov') return { moov: box, brand };
    if (box.type === 'ftyp') brand ??= (await reader.fields(box.body, 4)).ascii(0, 4);
  }
  return { moov: undefined, brand };
}

const formatOf = (brand: string | undefined): VideoTrack['format'] => {
  if (brand === undefined || brand === 'qt  ') return 'mov';
  return /^3g/.test(brand) ? '3gp' : 'mp4';
};

function pictureTrack({ tracks, mvex }: Movie): Track {
  const pictures = tracks.filter(({ handler }) => handler === 'vide');
  const found = pictures.find(({ samples, entry }) => entry && (samples > 0 || mvex)) ?? pictures[0];
  if (found) return found;
  const detail = tracks.some(({ handler }) => handler === 'soun')
    ? 'The file has sound alone: no video track.'
    : 'The file has no video track.';
  throw new Problem('unsupported_media_type', { detail });
}

export async function movieOf(reader: Reader, moov: Box): Promise<Movie> {
  const movie: Movie = {
    timescale: 1,
    duration: undefined,
    turn: [1, 0, 0, 1],
    tracks: [],
    mvex: undefined,
  };
  for await (const box of boxesOf(reader, moov.body, moov.end)) {
    if (box.type === 'mvhd') {
      const mvhd = await reader.fields(box.body, Math.min(box.end - box.body, 112));
      const wide = mvhd.u8(0) === 1;
      movie.timescale = mvhd.u32(wide ? 20 : 12) || 1;
      movie.duration = known(mvhd, wide ? 24 : 16, wide);
      movie.turn = turnOf(mvhd, wide ? 48 : 36);
    }
    if (box.type === 'mvex') movie.mvex = box;
    if (box.type === 'cmov') throw broken('The index of the video is compressed (cmov), which is not read.');
    if (box.type === 'trak') {
      if (movie.tracks.length >= MAX_TRACKS) throw broken(`The file has more than ${MAX_TRACKS} tracks.`);
      movie.tracks.push(await trackOf(reader, box, movie.timescale));
    }
  }
  return movie;
}

async function trackOf(reader: Reader, trak: Box, movieTimescale: number): Promise<Track> {
  const track: Track = {
    id: 0,
    handler: '',
    width: 0,
    height: 0,
    turn: [1, 0, 0, 1],
    presented: undefined,
    duration: undefined,
    timescale: 0,
    entry: undefined,
    samples: 0,
    stbl: undefined,
    elst: undefined,
    tref: undefined,
  };
  let mdia: Box | undefined;
  for await (const box of boxesOf(reader, trak.body, trak.end)) {
    if (box.type === 'tkhd') {
      const tkhd = await reader.fields(box.body, Math.min(box.end - box.body, 96));
      const wide = tkhd.u8(0) === 1;
      track.id = tkhd.u32(wide ? 20 : 12);
      const duration = known(tkhd, wide ? 28 : 20, wide);
      track.presented = duration === undefined ? Number.POSITIVE_INFINITY : duration / movieTimescale;
      track.turn = turnOf(tkhd, wide ? 52 : 40);
      track.width = tkhd.u32(wide ? 88 : 76);
      track.height = tkhd.u32(wide ? 92 : 80);
    }
    if (box.type === 'tref') track.tref = box;
    if (box.type === 'mdia') mdia ??= box;
    if (box.type === 'edts') {
      for await (const edit of boxesOf(reader, box.body, box.end))
        if (edit.type === 'elst') track.elst = edit;
    }
  }
  if (mdia) await readMedia(reader, mdia, track);
  return track;
}

async function readMedia(reader: Reader, mdia: Box, track: Track): Promise<void> {
  for await (const box of boxesOf(reader, mdia.body, mdia.end)) {
    if (box.type === 'mdhd') {
      const mdhd = await reader.fields(box.body, Math.min(box.end - box.body, 36));
      const wide = mdhd.u8(0) === 1;
      track.timescale = mdhd.u32(wide ? 20 : 12);
      track.duration = known(mdhd, wide ? 24 : 16, wide);
    }
    if (box.type === 'hdlr') track.handler = (await reader.fields(box.body, 12)).ascii(8, 4);
    if (box.type !== 'minf') continue;
    for await (const inner of boxesOf(reader, box.body, box.end)) {
      if (inner.type === 'stbl') track.stbl ??= inner;
    }
  }
  if (!track.stbl || !/^(vide|soun|pict|auxv)$/.test(track.handler)) return;
  for await (const box of boxesOf(reader, track.stbl.body, track.stbl.end)) {
    if (box.type === 'stsd') {
      const stsd = await reader.fields(box.body, box.end - box.body);
      track.entry ??= partsOf(stsd, 8).next().value ?? undefined;
    }
    if (box.type === 'stsz' || box.type === 'stz2')
      track.samples = (await reader.fields(box.body, 12)).u32(8);
  }
}

/** A duration; all ones say that it is not known. */
function known(fields: Fields, at: number, wide: boolean): number | undefined {
  const value = wide ? fields.u64(at) : fields.u32(at);
  return value === (wide ? 2 ** 64 : 0xffff_ffff) ? undefined : value;
}

function seconds(presented: number | undefined, media: number, movie: Movie): number {
  const candidates = [presented, media, (movie.duration ?? 0) / movie.timescale];
  const found = candidates.find((value) => value !== undefined && Number.isFinite(value) && value > 0) ?? 0;
  return Math.round(found * 1e6) / 1e6;
}

const turnOf = (fields: Fields, at: number): Turn => [
  fields.i32(at),
  fields.i32(at + 4),
  fields.i32(at + 12),
  fields.i32(at + 16),
];

/**
 * What the matrices of the track and the movie do to the picture, in steps of 90 degrees: other angles are taken for
 * the nearest, as all players do. Points are rows: (x, y) becomes (ax + cy, bx + dy).
 */
export function orientationOf(movie: Turn, track: Turn): Orientation {
  const [ma, mb, mc, md] = movie.some((n) => n !== 0) ? movie : [1, 0, 0, 1];
  const [ta, tb, tc, td] = track;
  const a = ta * ma + tb * mc;
  const b = ta * mb + tb * md;
  const c = tc * ma + td * mc;
  const d = tc * mb + td * md;
  if (Math.abs(a) + Math.abs(d) >= Math.abs(b) + Math.abs(c)) {
    if (a < 0) return d < 0 ? 3 : 2;
    return d < 0 ? 4 : 1;
  }
  if (b > 0) return c > 0 ? 5 : 6;
  return c > 0 ? 8 : 7;
}

/** `pasp` where there is one; else what the size of the track makes of the coded picture. */
function pixelAspect({ width, height }: Track, entry: Fields): number {
  for (const { type, fields } of partsOf(entry, 78)) {
    if (type === 'pasp' && fields.u32(0) > 0 && fields.u32(4) > 0) return fields.u32(0) / fields.u32(4);
  }
  const stored = entry.u16(24) / entry.u16(26);
  return width > 0 && height > 0 && stored > 0 ? width / height / stored : 1;
}
