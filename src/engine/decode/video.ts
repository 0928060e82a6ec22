/** Videos through ffmpeg: the frame that stands for one, the frame at a second, a short preview that moves. */
import { Problem } from '../../problem.ts';
import { iccFromCicp } from '../metadata/icc.ts';
import { checkPixels } from '../probe/header.ts';
import { Reader } from '../probe/reader.ts';
import { readVideo } from '../probe/video.ts';
import { displayed, type VideoTrack } from '../probe/video-track.ts';
import type { Facts, FrameSequence, Pixels } from '../types.ts';
import type { CallLimits } from './ffmpeg.ts';
import { toSrgbInPlace } from './matrix-profile.ts';
import { type FramesGiven, type FramesWanted, framesOf } from './video-frames.ts';
import { cicpOf, type Inspection, inspect, type VideoInput } from './video-stream.ts';

export interface VideoLimits extends CallLimits {
  /** Of one frame; of a clip, of all its frames. */
  maxPixels: number;
}

export interface ClipLimits extends VideoLimits {
  maxFrames: number;
}

export interface Clip {
  /** Seconds. */
  start: number;
  duration: number;
  /** Frames a second. */
  fps: number;
  /** Frames are made to fit inside, in their proportions; never enlarged. */
  box?: { width: number; height: number };
}

/** Where the frame that stands for a video is looked for: here, or earlier where the video is short. */
const POSTER_SECOND = 1;
const POSTER_FRACTION = 0.1;
/** And where else, as fractions of the duration, if nothing is to be seen there. */
const POSTER_ELSEWHERE = [0.25, 0.5, 0.75];
/** In a longer video only frames that stand alone are tried elsewhere: others cost all frames since such a one. */
const POSTER_EXACT_SECONDS = 20;
/** Luminance, 0–255: below the one it is as good as black, below the other of one colour. */
const POSTER_MIN_MEAN = 20;
const POSTER_MIN_DEVIATION = 10;
/** Samples of a frame that are looked at. */
const POSTER_SAMPLES = 10_000;

/** Frames come out of order: those that are to be shown until here are all there, so much later. */
const REORDER_SECONDS = 2;
/** Moments are given to the microsecond; a frame that begins at one must not be missed for its last digit. */
const MOMENT_SECONDS = 0.001;

/**
 * The frame that is shown at `second`, or one that stands for the video: upright, in square pixels, sRGB at 8 bits a
 * channel, RGB or RGBA with straight alpha. HDR comes down to SDR as for pictures (`iccFromCicp`).
 *
 * @throws Problem `invalid_plan` for a second beyond the end; `undecodable_image`, `image_too_large`,
 * `processing_timeout`, `cancelled`, `decoder_crashed`, `unsupported_media_type` where ffmpeg is missing
 */
export async function decodeVideoFrame(
  path: string,
  facts: Facts,
  { second }: { second?: number },
  limits: VideoLimits,
): Promise<Pixels> {
  const within = withinOneDeadline(limits);
  if (second !== undefined) expectWithin(second, facts, 'second');
  const video = await openVideo(path, limits);
  return second === undefined
    ? await poster(video, within)
    : await frameAt(video, second, within, facts.video?.durationSeconds ?? 0);
}

/**
 * Frames at an even pace, whatever the video's own is, all of one size. The last may come sooner than asked for: where
 * the video ends.
 *
 * @throws Problem as `decodeVideoFrame`; `too_many_frames`; `image_too_large` for all frames together
 */
export async function decodeClip(
  path: string,
  facts: Facts,
  { start, duration, fps, box }: Clip,
  limits: ClipLimits,
): Promise<FrameSequence> {
  const within = withinOneDeadline(limits);
  expectWithin(start, facts, 'start');
  const video = await openVideo(path, limits);
  const length = facts.video?.durationSeconds ?? 0;
  const seconds = length > 0 ? Math.min(duration, Math.max(length - start, 1 / fps)) : duration;
  const frames = Math.max(1, Math.round(seconds * fps));
  const size = fitted(facts, box);
  checkTogether(frames, size, limits);
  const inspection = await inspect(video.input, within());
  const given = await framesOf(
    video.input,
    { ...wanted(video, inspection), ...size, frames, start, sampled: { fps, seconds } },
    within(),
  );
  if (given.frames === 0) {
    // One frame stands still from before the start to the end: there is none that begins in between.
    const still = await frameAt({ ...video, ...size }, start, within, length);
    return { pixels: still, frameHeight: still.height, delayMs: [Math.round(1000 / fps)], loop: 0 };
  }
  const { width, height } = size;
  const pixels = toPixels(given, inspection, { width, height: height * given.frames });
  const delayMs = Array.from(
    { length: given.frames },
    (_, i) => Math.round(((i + 1) * 1000) / fps) - Math.round((i * 1000) / fps),
  );
  return { pixels, frameHeight: height, delayMs, loop: 0 };
}

interface Video {
  input: VideoInput;
  track: VideoTrack;
  /** Of a frame as it comes out, upright. */
  width: number;
  height: number;
}

async function openVideo(path: string, { maxPixels, signal }: VideoLimits): Promise<Video> {
  await using reader = await Reader.open(path, signal);
  const track = await readVideo(reader);
  const { width: w, height: h } = displayed(track);
  const [width, height] = track.orientation >= 5 ? [h, w] : [w, h];
  checkPixels(width, height, { maxPixels });
  const demuxer = track.format === 'webm' || track.format === 'mkv' ? 'matroska' : 'mov';
  const trackId = demuxer === 'mov' ? { trackId: track.id } : {};
  const input: VideoInput = { path, demuxer, codec: track.codec, ...trackId, ...track.stored, maxPixels };
  return { input, track, width, height };
}

/** Reads the clock once: what one call leaves of the time is for the next. */
function withinOneDeadline({ timeoutMs, signal }: CallLimits): () => CallLimits {
  const end = performance.now() + timeoutMs;
  return () => ({ timeoutMs: Math.max(1, end - performance.now()), signal });
}

type How = Pick<FramesWanted, 'stream' | 'orientation' | 'kind' | 'decoder'>;

function wanted({ track: { orientation, alpha, codec } }: Video, { stream }: Inspection): How {
  if (!alpha) return { stream, orientation, kind: 'rgb24' };
  return { stream, orientation, kind: 'rgba', decoder: codec.alphaDecoder };
}

async function frameAt(
  video: Video,
  second: number,
  within: () => CallLimits,
  length: number,
): Promise<Pixels> {
  const inspection = await inspect(video.input, within(), { from: second, to: second + REORDER_SECONDS });
  const begun = inspection.times.filter((time) => time <= second + MOMENT_SECONDS);
  const later = inspection.times.length > begun.length;
  const latest = begun.reduce((last, time) => Math.max(last, time), Number.NEGATIVE_INFINITY);
  if (length === 0 && !later && second - latest > REORDER_SECONDS) throw beyondEnd(second, latest, 'second');
  const start = Number.isFinite(latest) ? Math.max(0, latest - MOMENT_SECONDS) : second;
  // Where it is damaged, the last frame before that stands alone is better than what can be made of it.
  for (const at of [{ start }, { start: second, coarse: true }]) {
    const given = await oneFrame(video, inspection, within, { ...at, strict: true });
    if (given.frames > 0) return toPixels(given, inspection, video);
  }
  const given = await oneFrame(video, inspection, within, { start });
  if (given.frames === 0) throw undecodable(`at ${shown(second)} s`, given);
  return toPixels(given, inspection, video);
}

function oneFrame(
  video: Video,
  inspection: Inspection,
  within: () => CallLimits,
  at: Pick<FramesWanted, 'start' | 'coarse' | 'strict'>,
): Promise<FramesGiven> {
  const { width, height } = video;
  return framesOf(video.input, { ...wanted(video, inspection), width, height, frames: 1, ...at }, within());
}

async function poster(video: Video, within: () => CallLimits): Promise<Pixels> {
  const { durationSeconds: length, frameRate, alpha } = video.track;
  const inspection = await inspect(video.input, within());
  let best: { given: FramesGiven; deviation: number } | undefined;
  for (const start of posterSeconds(length, frameRate ?? 0)) {
    const coarse = start > POSTER_SECOND && length > POSTER_EXACT_SECONDS;
    const given = await oneFrame(video, inspection, within, { start, coarse, strict: true });
    if (given.frames === 0) continue;
    const { mean, deviation } = luminance(given.data, alpha ? 4 : 3);
    if (!best || deviation > best.deviation) best = { given, deviation };
    if (mean >= POSTER_MIN_MEAN && deviation >= POSTER_MIN_DEVIATION) break;
  }
  // All damaged: what can be made of the first.
  const given = best?.given ?? (await oneFrame(video, inspection, within, { start: 0 }));
  if (given.frames === 0) throw undecodable('that can be decoded', given);
  return toPixels(given, inspection, video);
}

/** Moments to look at, the best first; those of one frame once. */
function posterSeconds(length: number, frameRate: number): number[] {
  const first = Math.min(POSTER_SECOND, length * POSTER_FRACTION);
  const seconds = [first];
  const apart = frameRate > 0 ? 1 / frameRate : 0;
  for (const second of [...POSTER_ELSEWHERE.map((fraction) => fraction * length), 0]) {
    if (seconds.every((other) => Math.abs(other - second) > apart)) seconds.push(second);
  }
  // A frame that begins before the first moment and stays is found from the beginning only.
  return seconds.includes(0) ? seconds : [...seconds, 0];
}

/** Of some samples spread over the frame, as 0–255. */
function luminance(data: Uint8Array, channels: number): { mean: number; deviation: number } {
  const pixels = data.length / channels;
  const step = Math.max(1, Math.floor(pixels / POSTER_SAMPLES));
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < pixels; i += step) {
    const at = i * channels;
    const y = 0.2126 * data[at]! + 0.7152 * data[at + 1]! + 0.0722 * data[at + 2]!;
    count += 1;
    sum += y;
    squares += y * y;
  }
  const mean = sum / count;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)) };
}

function toPixels(
  { data }: FramesGiven,
  { stream }: Inspection,
  { width, height }: { width: number; height: number },
): Pixels {
  const channels = (data.length / width / height) as 3 | 4;
  const icc = iccFromCicp(cicpOf(stream));
  return toSrgbInPlace({ data, width, height, channels, depth: 8, ...(icc && { icc }) });
}

function fitted(facts: Facts, box: Clip['box']): { width: number; height: number } {
  const scale = box ? Math.min(1, box.width / facts.width, box.height / facts.height) : 1;
  return {
    width: Math.max(1, Math.round(facts.width * scale)),
    height: Math.max(1, Math.round(facts.height * scale)),
  };
}

function checkTogether(
  frames: number,
  { width, height }: { width: number; height: number },
  { maxFrames, maxPixels }: ClipLimits,
): void {
  if (frames > maxFrames) {
    throw new Problem('too_many_frames', {
      detail: `The clip has ${frames} frames; at most ${maxFrames} are allowed. Ask for a shorter one, or for fewer frames a second.`,
    });
  }
  const pixels = frames * width * height;
  if (pixels <= maxPixels) return;
  const [found, allowed] = [pixels, maxPixels].map((n) => Math.round(n / 1e5) / 10);
  throw new Problem('image_too_large', {
    detail: `The clip has ${found} megapixels in ${frames} frames; at most ${allowed} are allowed. Ask for a smaller or a shorter one, or for fewer frames a second.`,
  });
}

function expectWithin(second: number, { video }: Facts, field: 'second' | 'start'): void {
  const length = video?.durationSeconds ?? 0;
  if (length > 0 && second > length) throw beyondEnd(second, length, field);
}

function beyondEnd(second: number, length: number, field: 'second' | 'start'): Problem {
  const end = shown(Math.max(0, length));
  return new Problem('invalid_plan', {
    detail: `Second ${shown(second)} was asked for; the video ends after ${end} s.`,
    errors: [{ path: `operations.0.${field}`, message: `must be at most ${end}` }],
  });
}

const shown = (seconds: number): string => String(Math.floor(seconds * 1000) / 1000);

function undecodable(what: string, given: FramesGiven | undefined): Problem {
  const reason = given?.complaint ? `: ${given.complaint}.` : '.';
  return new Problem('undecodable_image', { detail: `The video has no frame ${what}${reason}` });
}
