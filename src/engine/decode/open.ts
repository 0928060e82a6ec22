/** Opens a source for rendering: whoever decodes it, what comes out is a sharp pipeline of known size. */
import { open, readFile } from 'node:fs/promises';
import sharp, { type Sharp, type SharpOptions } from 'sharp';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import { adobeRgbProfile, iccFromCicp, withJpegIcc } from '../metadata/icc.ts';
import { safeSvg } from '../probe.ts';
import type { Size } from '../steps/primitive.ts';
import type { Facts, Orientation, Pixels } from '../types.ts';
import { decodeBmp } from './bmp.ts';
import { decodeHeif } from './heif.ts';
import { toSrgbInPlace } from './matrix-profile.ts';
import { pipelineOf } from './pixels.ts';
import { decodeRaw } from './raw.ts';

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
}

export interface OpenOptions {
  limits: Limits;
  /** The page to open; -1 for all, where they are frames in time. */
  page: number;
  signal?: AbortSignal;
  /** Put up with a JPEG's harmless oddities; see `isHarmless`. */
  lenient?: boolean;
}

export async function openSource(path: string, facts: Facts, options: OpenOptions): Promise<Source> {
  if (facts.family === 'libvips') return openLibvips(path, facts, options);
  if (options.page > 0) throw noSuchPage(options.page, 1);
  const { limits, signal } = options;
  const within = { maxPixels: limits.maxPixels, timeoutMs: limits.timeoutMs, ...(signal && { signal }) };
  let pixels: Pixels;
  switch (facts.family) {
    case 'heif':
      pixels = toSrgbInPlace(withCicp(await decodeHeif(path, facts, within), facts));
      break;
    case 'raw':
      pixels = await decodeRaw(path, facts, within);
      break;
    case 'bmp':
      pixels = await decodeBmp(path, facts);
      break;
  }
  return fromPixels(pixels, { ...facts, width: pixels.width, height: pixels.height });
}

function withCicp(pixels: Pixels, facts: Facts): Pixels {
  const icc = !pixels.icc && facts.cicp ? iccFromCicp(facts.cicp) : undefined;
  return icc ? { ...pixels, icc } : pixels;
}

function fromPixels(pixels: Pixels, facts: Facts): Source {
  return {
    facts,
    stored: { width: pixels.width, height: pixels.height },
    orientation: 1,
    pages: 1,
    pipeline: () => pipelineOf(pixels),
    shrinks: false,
    inMemory: true,
    wide: pixels.depth === 16 && pixels.icc !== undefined,
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
  { limits, page, lenient }: OpenOptions,
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
  if (page > 0) {
    // Pages of a TIFF may differ in size.
    const { width, height } = await start().metadata();
    source.stored = { width, height };
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
  return { ...fromPixels(pixels, facts), orientation: facts.orientation };
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
  return fromPixels(pixels, source.facts);
}
