/**
 * What a file is and how large its picture, before any pixel is decoded. Works on untrusted bytes in the
 * server's own process: by bounded reads, without recursion, and every malformed input ends in a Problem.
 */
import { Problem } from '../problem.ts';
import { findFfmpeg } from './decode/ffmpeg.ts';
import type { Limits } from './limits.ts';
import { probeCr3, probeHeif } from './probe/bmff.ts';
import { probeBmp } from './probe/bmp.ts';
import { probeGif } from './probe/gif.ts';
import { FORMATS, type Header } from './probe/header.ts';
import { probeJpeg } from './probe/jpeg.ts';
import { probePng } from './probe/png.ts';
import { probeRaw } from './probe/raw.ts';
import { Reader } from './probe/reader.ts';
import { describeUnsupported, HEAD_BYTES, missingTool, sniff } from './probe/sniff.ts';
import { probeSvg } from './probe/svg.ts';
import { probeTiff } from './probe/tiff.ts';
import { probeVideo } from './probe/video.ts';
import { probeWebp } from './probe/webp.ts';
import type { Facts, SourceFormat } from './types.ts';

export { describeUnsupported, HEAD_BYTES, type Sniffed, sniff } from './probe/sniff.ts';
export { safeSvg } from './probe/svg-safe.ts';

type Prober = (reader: Reader, limits: Limits) => Promise<Header>;

const PROBERS: Readonly<Record<SourceFormat, Prober>> = {
  jpeg: probeJpeg,
  png: probePng,
  gif: probeGif,
  webp: probeWebp,
  avif: probeHeif,
  heic: probeHeif,
  tiff: probeTiff,
  dng: probeTiff,
  cr2: probeTiff,
  nef: probeTiff,
  arw: probeTiff,
  rw2: probeTiff,
  orf: probeTiff,
  raf: probeRaw,
  crw: probeRaw,
  raw: probeRaw,
  cr3: probeCr3,
  svg: probeSvg,
  bmp: probeBmp,
  mp4: probeVideo,
  mov: probeVideo,
  '3gp': probeVideo,
  webm: probeVideo,
  mkv: probeVideo,
};

/**
 * Facts from the headers of the file at `path`. Of a RAW file, `width` and `height` are what the camera states;
 * the developed picture may differ by some pixels at the sensor's margins. More pages than `maxFrames` are no
 * error here: they may not all be asked for.
 * @throws Problem unsupported_media_type for what is no supported image, an empty file among it;
 *   upload_too_large; image_too_large by pixels of one page; undecodable_image; cancelled
 */
export async function probe(path: string, limits: Limits, signal?: AbortSignal): Promise<Facts> {
  await using reader = await Reader.open(path, signal);
  return await probeReader(reader, limits);
}

/** `probe` of what a reader reads. */
export async function probeReader(reader: Reader, limits: Limits): Promise<Facts> {
  if (reader.size > limits.maxBytes) {
    throw new Problem('upload_too_large', {
      detail: `The file has ${reader.size} bytes; at most ${limits.maxBytes} are allowed.`,
    });
  }
  const head = await reader.upTo(0, HEAD_BYTES);
  const sniffed = sniff(head);
  if (!sniffed) throw unsupported(head);
  const header = await PROBERS[sniffed.format](reader, limits);
  const { family, mime } = FORMATS[header.format];
  return { ...header, family, mime, bytes: reader.size };
}

/** Why bytes that `sniff` does not know are refused. */
export function unsupported(head: Uint8Array): Problem {
  if (head.length === 0) return new Problem('unsupported_media_type', { detail: 'The file is empty.' });
  const found = describeUnsupported(head);
  const missing = missingTool(head);
  if (missing) return new Problem('unsupported_media_type', { detail: `The file is ${found}. ${missing}` });
  const videos = findFfmpeg() ? ', or a video: MP4, MOV, 3GP, WebM or Matroska' : '';
  const images = `JPEG, PNG, GIF, WebP, AVIF, HEIC, TIFF, SVG, BMP or camera RAW${videos}`;
  const detail = found
    ? `The file is ${found}. Send an image: ${images}.`
    : `The bytes of the file are those of no image: ${images}.`;
  return new Problem('unsupported_media_type', { detail });
}
