/** Opens a source for rendering: whoever decodes it, what comes out is a sharp pipeline of known size. */
import { open, readFile } from 'node:fs/promises';
import sharp, { type Sharp, type SharpOptions } from 'sharp';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import { adobeRgbProfile, iccFromCicp, withJpegIcc } from '../metadata/icc.ts';
import { safeSvg } from '../probe.ts';
import type { Size } from '../steps/primitive.ts';
import type { Facts, FrameSequence, Orientation, Pixels } from '../types.ts';
import { decodeApng, decodeApngFrame } from './apng.ts';
import { decodeAvis } from './avis.ts';
import { decodeBmp } from './bmp.ts';
import { findFfmpeg } from './ffmpeg.ts';
import { decodeHeif } from './heif.ts';
import { toSrgbInPlace } from './matrix-profile.ts';
import { frameCount, framesOf, type Motion, pipelineOfFrames, readMotion } from './motion.ts';
import type { Opening } from './opening.ts';
import { pipelineOf } from './pixels.ts';
import { decodeRaw } from './raw.ts';
import { decodeClip, decodeVideoFrame } from './video.ts';

export interface Source {
  facts: Facts;
  /** Of one page as the pipeline gives it, before `orientation` is applied. */
  stored: Size;
  orientation: Orientation;
  /** Pages that the pipeline gives, one below the other. */
  pages: number;
  /** A new pipeline from the beginning. */
  pipeline: () => Sharp;
  /** Reading again for a small picture is cheap: JPEG and WebP shrink while they load, an SVG is drawn at its size. */
  shrinks: boolean;
  /** Decoded already: a pipeline costs no decoding. */
  inMemory: boolean;
  /** RGB of 16 bits with a profile: libvips needs to be told to leave its wide working space. */
  wide: boolean;
  /** Of the frames, where there are several. */
  motion?: Motion;
}

export interface OpenOptions {
  limits: Limits;
  opening: Opening;
  signal?: AbortSignal;
  /** Put up with a JPEG's harmless oddities; see `isHarmless`. */
  lenient?: boolean;
}

/** @throws Problem `invalid_plan` where there is no such page or second; what the decoders throw */
export async function openSource(path: string, facts: Facts, options: OpenOptions): Promise<Source> {
  const { opening } = options;
  if (facts.family === 'video') return openVideo(path, facts, options);
  if ('clip' in opening) throw notMoving('A clip', 'start');
  if ('second' in opening) {
    if (!facts.animated || facts.pages === 1) throw notMoving('A second', 'second');
    return openPage(path, facts, await pageAt(path, facts, opening.second, options), options);
  }
  return openPage(path, facts, opening.page, options);
}

async function openPage(
  path: string,
  facts: Facts,
  page: number | 'all' | 'sheets',
  options: OpenOptions,
): Promise<Source> {
  const { limits, signal } = options;
  const moves = facts.animated && facts.pages > 1;
  if (moves && page !== 0 && facts.format === 'png') {
    return typeof page === 'number'
      ? {
          ...sourceOfPixels(await decodeApngFrame(path, facts, pageOf(page, facts), options), facts),
          orientation: facts.orientation,
        }
      : { ...sourceOfFrames(await decodeApng(path, facts, options), facts), orientation: facts.orientation };
  }
  if (moves && page !== 0 && facts.format === 'avif' && (typeof page === 'number' || findFfmpeg())) {
    const sequence = await decodeAvis(path, facts, { ...limits, ...(signal && { signal }) });
    return typeof page === 'number'
      ? sourceOfPixels(framesOf(sequence)[pageOf(page, facts)]!, facts)
      : sourceOfFrames(sequence, facts);
  }
  if (facts.family === 'libvips') {
    return openLibvips(
      path,
      facts,
      typeof page === 'number' ? page : facts.format === 'avif' ? 0 : -1,
      options,
    );
  }
  if (typeof page === 'number' && page > 0) throw noSuchPage(page, 1);
  const within = { maxPixels: limits.maxPixels, timeoutMs: limits.timeoutMs, ...(signal && { signal }) };
  return sourceOfPixels(await decodeStill(path, facts, within), facts);
}

function pageOf(page: number, facts: Facts): number {
  if (page >= facts.pages) throw noSuchPage(page, facts.pages);
  return page;
}

async function openVideo(
  path: string,
  facts: Facts,
  { opening, limits, signal }: OpenOptions,
): Promise<Source> {
  const within = { ...limits, ...(signal && { signal }) };
  if ('clip' in opening) return sourceOfFrames(await decodeClip(path, facts, opening.clip, within), facts);
  if ('page' in opening && typeof opening.page === 'number' && opening.page > 0)
    throw noSuchPage(opening.page, 1);
  const at = 'second' in opening ? { second: opening.second } : {};
  return sourceOfPixels(await decodeVideoFrame(path, facts, at, within), facts);
}

/** The frame that an animation shows at a second of its first round. */
async function pageAt(
  path: string,
  facts: Facts,
  second: number,
  { limits, signal }: OpenOptions,
): Promise<number> {
  const { delayMs } =
    facts.format === 'png'
      ? await decodeApng(path, facts, { limits, ...(signal && { signal }) })
      : facts.format === 'avif'
        ? await decodeAvis(path, facts, { ...limits, ...(signal && { signal }) })
        : await readMotion(path, facts, signal);
  let endsMs = 0;
  for (const [page, delay] of delayMs.entries()) {
    endsMs += delay;
    if (second * 1000 < endsMs) return page;
  }
  throw new Problem('invalid_plan', {
    detail: `Second ${second} was asked for; the animation takes ${endsMs / 1000} s.`,
    errors: [{ path: 'operations.0.second', message: `must be below ${endsMs / 1000}` }],
  });
}

async function decodeStill(
  path: string,
  facts: Facts,
  within: { maxPixels: number; timeoutMs: number; signal?: AbortSignal },
): Promise<Pixels> {
  switch (facts.family) {
    case 'heif':
      return toSrgbInPlace(withCicp(await decodeHeif(path, facts, within), facts));
    case 'raw':
      return decodeRaw(path, facts, within);
    case 'bmp':
      return decodeBmp(path, facts);
    default:
      throw new Error(`${facts.family} is opened otherwise`);
  }
}

function notMoving(what: string, field: string): Problem {
  return new Problem('invalid_plan', {
    detail: `${what} can be taken only of what moves; this file is a still picture${field === 'start' ? ' or an animation' : ''}.`,
    errors: [
      {
        path: `operations.0.${field}`,
        message: field === 'start' ? 'needs a video' : 'needs a video or an animation',
      },
    ],
  });
}

function withCicp(pixels: Pixels, facts: Facts): Pixels {
  const icc = !pixels.icc && facts.cicp ? iccFromCicp(facts.cicp) : undefined;
  return icc ? { ...pixels, icc } : pixels;
}

/** @param facts of the file that they are from; the size is that of the pixels */
export function sourceOfPixels(pixels: Pixels, facts: Facts): Source {
  const { width, height, depth, icc } = pixels;
  return {
    facts: { ...facts, width, height },
    stored: { width, height },
    orientation: 1,
    pages: 1,
    pipeline: () => pipelineOf(pixels),
    shrinks: false,
    inMemory: true,
    wide: depth === 16 && icc !== undefined,
  };
}

function sourceOfFrames(sequence: FrameSequence, facts: Facts): Source {
  const { pixels, frameHeight, delayMs, loop } = sequence;
  return {
    ...sourceOfPixels({ ...pixels, height: frameHeight }, facts),
    pages: frameCount(sequence),
    pipeline: () => pipelineOfFrames(sequence),
    motion: { delayMs, loop },
  };
}

function noSuchPage(page: number, pages: number): Problem {
  return new Problem('invalid_plan', {
    detail: `Page ${page} was asked for; the file has ${pages}, counted from 0.`,
    errors: [{ path: 'operations.0.page', message: `must be below ${pages}` }],
  });
}

async function openLibvips(
  path: string,
  facts: Facts,
  page: number,
  { limits, lenient, signal }: OpenOptions,
): Promise<Source> {
  if (page >= facts.pages) throw noSuchPage(page, facts.pages);
  const all = page < 0;
  // libvips walks all directories of a TIFF whatever page is wanted, in time that grows with their square.
  if (all || facts.format === 'tiff') checkFrames(facts, limits, all);
  const input = await inputOf(path, facts, limits);
  const options: SharpOptions = {
    // libjpeg only warns where entropy-coded data is damaged: the picture would be partly grey.
    failOn: facts.format === 'jpeg' && !lenient ? 'warning' : 'error',
    limitInputPixels: limits.maxPixels,
    ...(all ? { pages: -1 } : page > 0 && { page }),
  };
  const start = () => sharp(input, options);
  const cicpIcc = !all && !facts.iccProfile && facts.cicp ? iccFromCicp(facts.cicp) : undefined;
  const turned = facts.orientation >= 5;
  const source: Source = {
    facts,
    stored: { width: turned ? facts.height : facts.width, height: turned ? facts.width : facts.height },
    orientation: facts.orientation,
    pages: all ? facts.pages : 1,
    pipeline: start,
    shrinks: facts.format === 'jpeg' || facts.format === 'webp' || facts.format === 'svg',
    inMemory: false,
    wide: facts.bitDepth > 8 && facts.iccProfile !== undefined && facts.colorSpace === 'rgb',
  };
  if (all) source.motion = await readMotion(path, facts, signal);
  if (page > 0 && facts.format === 'tiff') {
    // Its pages may differ in everything.
    const { width, height, orientation = 1, depth, icc, space } = await start().metadata();
    const bitDepth = depth === 'ushort' ? 16 : 8;
    source.stored = { width, height };
    source.orientation = orientation as Orientation;
    source.facts = { ...facts, bitDepth, colorSpace: space === 'b-w' || space === 'grey16' ? 'gray' : 'rgb' };
    source.wide = bitDepth > 8 && icc !== undefined && source.facts.colorSpace === 'rgb';
  }
  if (!cicpIcc) return source;
  const deep = facts.bitDepth > 8;
  const { data, info } = await start()
    .toColourspace(deep ? 'rgb16' : 'srgb')
    .raw({ depth: deep ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const pixels: Pixels = {
    data,
    width: info.width,
    height: info.height,
    channels: info.channels as Pixels['channels'],
    depth: deep ? 16 : 8,
    icc: cicpIcc,
  };
  return { ...sourceOfPixels(pixels, facts), facts, orientation: facts.orientation };
}

/** What libvips is given: the file itself, unless it would be misread as it is. */
async function inputOf(path: string, facts: Facts, limits: Limits): Promise<string | Buffer> {
  if (facts.format === 'svg') return safeSvg(path, limits);
  if (facts.format === 'avif') return asStillAvif(path);
  if (facts.adobeRgb) return withJpegIcc(await readFile(path), adobeRgbProfile());
  return path;
}

const BRAND_AT = 8;

/**
 * libvips looks at an AVIF's major brand alone and refuses sequences (`avis`), whose still picture it can decode:
 * those are handed over from memory under the name that it knows.
 */
async function asStillAvif(path: string): Promise<string | Buffer> {
  const file = await open(path);
  try {
    const { buffer } = await file.read({ buffer: Buffer.alloc(4), position: BRAND_AT });
    if (buffer.toString('latin1') === 'avif') return path;
    const whole = await file.readFile();
    whole.write('avif', BRAND_AT, 'latin1');
    return whole;
  } finally {
    await file.close();
  }
}

/** Frames in time are decoded together: their count and their pixels in all are bounded. */
function checkFrames(facts: Facts, limits: Limits, together: boolean): void {
  if (facts.pages > limits.maxFrames) {
    throw new Problem('too_many_frames', {
      detail: together
        ? `The animation has more than ${limits.maxFrames} frames. Ask for one with frame, or for a format without animation.`
        : `The TIFF has more than ${limits.maxFrames} pages.`,
    });
  }
  const pixels = facts.width * facts.height * facts.pages;
  if (together && pixels > limits.maxPixels) {
    throw new Problem('image_too_large', {
      detail: `The animation has ${Math.round(pixels / 1e6)} megapixels in ${facts.pages} frames; at most ${Math.round(limits.maxPixels / 1e6)} are allowed.`,
    });
  }
}

/** The whole picture upright, in sRGB, in memory: for sources that are dear to decode and needed more than once. */
export async function toMemory(source: Source, image: Sharp): Promise<Source> {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const pixels: Pixels = {
    data,
    width: info.width,
    height: info.height,
    channels: info.channels as Pixels['channels'],
    depth: 8,
  };
  return sourceOfPixels(pixels, source.facts);
}
