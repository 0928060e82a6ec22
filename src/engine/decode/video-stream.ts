/**
 * What ffmpeg sees in a video, by ffprobe: the stream to decode and its colours, of which the container may know
 * nothing, and where its frames lie in time. All further work is told what to do by this, and guesses nothing.
 */
import { resolve } from 'node:path';
import { Problem } from '../../problem.ts';
import type { VideoCodec } from '../probe/codecs.ts';
import type { Facts } from '../types.ts';
import { type CallLimits, requireFfmpeg, runProgram } from './ffmpeg.ts';

/** A source as ffmpeg is to take it: the demuxer and the decoders are named, none is found by trying. */
export interface VideoInput {
  path: string;
  demuxer: 'mov' | 'matroska';
  codec: VideoCodec;
  /** Track of an ISO base media file. Without it the first stream of pictures is meant. */
  trackId?: number;
  /** Of its frames, as the container has it. */
  width: number;
  height: number;
  /** Frames are wanted as they are stored, in their order. */
  ignoreEdits?: true;
  maxPixels: number;
}

export interface Stream {
  width: number;
  height: number;
  pixelFormat: string;
  /** ffmpeg's names; `unknown` or empty where nothing says it. */
  range: string;
  matrix: string;
  primaries: string;
  transfer: string;
  interlaced: boolean;
}

export interface Inspection {
  stream: Stream;
  /** Seconds from the beginning of the file of the frames in the interval that was asked for, in no order. */
  times: number[];
}

/** Lines for some 200,000 frames. */
const MAX_OUTPUT_CHARS = 8 * 1024 * 1024;
/** One block of memory; a frame of 100 megapixels at 16 bits has 600 MB. */
const MAX_ALLOC_BYTES = 1024 ** 3;
/** A row of blocks more or less: coded heights such as 1088 for 1080 get into headers. */
const MAX_STRETCH = 1.05;
/** Coded frames are a little larger than what is shown of them. */
const CODED_OVERHEAD = 1.1;

/**
 * Options that hold for both programs and must stand before the file that they are about. (A list of decoders would not
 * do for ffprobe: it opens one for every stream, and gives up where one is not on the list.)
 */
export function inputArguments({ demuxer, maxPixels, ignoreEdits }: VideoInput): string[] {
  return [
    ...['-protocol_whitelist', 'file,pipe', '-max_alloc', String(MAX_ALLOC_BYTES)],
    ...['-max_pixels', String(Math.min(Math.ceil(maxPixels * CODED_OVERHEAD) + 65_536, 2 ** 31 - 1))],
    ...['-threads', '1', '-f', demuxer],
    ...(ignoreEdits ? ['-ignore_editlist', '1'] : []),
  ];
}

/** With its protocol the name is neither an option nor an address, whatever it holds. */
export const inputFile = ({ path }: VideoInput): string => `file:${resolve(path)}`;

const STREAM_ENTRIES =
  'index,id,codec_type,width,height,pix_fmt,color_range,color_space,color_primaries,color_transfer,field_order';

/**
 * Where ffprobe gives up, on a broken sound track for one, the answer holds what the container says: ffmpeg, which opens
 * the one stream alone, may fare better.
 * @param interval seconds; the times of the frames in it, and of those since the key frame before it, are answered
 * @throws Problem as `runProgram`
 */
export async function inspect(
  input: VideoInput,
  within: CallLimits,
  interval?: { from: number; to: number },
): Promise<Inspection> {
  const { ffprobe } = requireFfmpeg();
  const entries = `stream=${STREAM_ENTRIES}:stream_disposition=attached_pic:format=start_time`;
  const args = [
    ...['-hide_banner', '-loglevel', 'error', ...inputArguments(input), '-select_streams', 'v'],
    ...['-show_entries', interval ? `${entries}:packet=stream_index,pts_time,flags` : entries],
    ...(interval ? ['-read_intervals', `${clock(interval.from)}%${clock(interval.to)}`] : []),
    ...['-of', 'compact', '-i', inputFile(input)],
  ];
  let output = '';
  await runProgram(ffprobe, args, within, (chunk) => {
    output += chunk.toString('latin1');
    if (output.length > MAX_OUTPUT_CHARS) throw tooManyFrames();
  });
  const lines = output.split('\n').map(lineOf);
  const isWanted = (values: Values): boolean =>
    input.trackId === undefined
      ? values['disposition:attached_pic'] !== '1'
      : Number(values.id) === input.trackId;
  const values = lines.find(({ kind, values }) => kind === 'stream' && isWanted(values))?.values ?? {};
  const start = Number(lines.find(({ kind }) => kind === 'format')?.values.start_time) || 0;
  const times = lines
    .filter((line) => line.kind === 'packet' && line.values.stream_index === values.index)
    .filter((line) => !line.values.flags?.includes('D'))
    .map((line) => Number(line.values.pts_time) - start)
    .filter((time) => Number.isFinite(time));
  const stream = streamOf(values, input);
  checkProportions(stream, input);
  return { stream, times };
}

/** Frames are scaled to the size that the header promised: of other proportions they would come out distorted. */
function checkProportions(stream: Stream, { width, height }: VideoInput): void {
  const stretch = (stream.width * height) / (stream.height * width);
  if (stretch <= MAX_STRETCH && stretch >= 1 / MAX_STRETCH) return;
  throw new Problem('undecodable_image', {
    detail: `The header of the video promises ${width} × ${height} pixels; its frames have ${stream.width} × ${stream.height}.`,
  });
}

/** For `-map`. */
export const streamSpecifier = ({ trackId }: VideoInput): string =>
  trackId === undefined ? 'V:0' : `i:${trackId}`;

const tooManyFrames = () =>
  new Problem('undecodable_image', { detail: 'The video has too many frames between two that stand alone.' });

/** Seconds as ffmpeg reads them: never with an exponent. */
export const clock = (seconds: number): string => Math.max(0, seconds).toFixed(6);

type Values = Record<string, string | undefined>;

/** `stream|index=0|width=64|…` */
function lineOf(line: string): { kind: string; values: Values } {
  const [kind = '', ...pairs] = line.trim().split('|');
  const values: Values = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at > 0) values[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return { kind, values };
}

function streamOf(values: Values, { width, height }: VideoInput): Stream {
  return {
    width: Number(values.width) || width,
    height: Number(values.height) || height,
    pixelFormat: values.pix_fmt ?? '',
    range: values.color_range ?? '',
    matrix: values.color_space ?? '',
    primaries: values.color_primaries ?? '',
    transfer: values.color_transfer ?? '',
    interlaced: /^(tt|bb|tb|bt)$/.test(values.field_order ?? ''),
  };
}

/** ffmpeg's names of YUV matrices, by what its scaler calls them. */
const MATRICES: Readonly<Record<string, string>> = {
  bt709: 'bt709',
  smpte170m: 'bt601',
  bt470bg: 'bt601',
  fcc: 'fcc',
  smpte240m: 'smpte240m',
  bt2020nc: 'bt2020',
  bt2020c: 'bt2020',
};

/** Where nothing says how colours are coded, high definition is BT.709 and all else BT.601, as players take it. */
export function matrixOf({ matrix, width, height }: Stream): string {
  return MATRICES[matrix] ?? (width >= 1280 || height > 576 ? 'bt709' : 'bt601');
}

export const isFullRange = ({ range, pixelFormat }: Stream): boolean =>
  range === 'pc' || (range !== 'tv' && pixelFormat.startsWith('yuvj'));

/** `ColourPrimaries` and `TransferCharacteristics` (ISO/IEC 23091-2) by ffmpeg's names. */
const PRIMARIES: Readonly<Record<string, number>> = {
  bt709: 1,
  bt2020: 9,
  smpte431: 11,
  smpte432: 12,
};
const TRANSFERS: Readonly<Record<string, number>> = {
  bt709: 1,
  gamma22: 4,
  linear: 8,
  'iec61966-2-1': 13,
  smpte2084: 16,
  'arib-std-b67': 18,
};

/** What the red, green and blue of the frames stand for; SDR by the curve that displays show it by. */
export function cicpOf({ primaries, transfer }: Stream): NonNullable<Facts['cicp']> {
  const hdr = transfer === 'smpte2084' || transfer === 'arib-std-b67';
  return {
    primaries: PRIMARIES[primaries] ?? (hdr ? 9 : 1),
    transfer: TRANSFERS[transfer] ?? 1,
    matrix: 0,
    fullRange: true,
  };
}
