/** Frames out of a video as interleaved pixels: one run of ffmpeg, whose output is bounded before it starts. */
import { Problem } from '../../problem.ts';
import type { Orientation } from '../types.ts';
import { type CallLimits, requireFfmpeg, runProgram } from './ffmpeg.ts';
import {
  clock,
  inputArguments,
  inputFile,
  isFullRange,
  matrixOf,
  type Stream,
  streamSpecifier,
  type VideoInput,
} from './video-stream.ts';

export interface FramesWanted {
  stream: Stream;
  /** As the frames are to come out, upright. */
  width: number;
  height: number;
  orientation: Orientation;
  kind: 'rgb24' | 'rgba' | 'gray';
  /** Another decoder than ffmpeg's first choice. */
  decoder?: string | undefined;
  /** No more than these are given. */
  frames: number;
  /** Seconds to begin at. */
  start?: number;
  /** Begin at the key frame before `start` instead, which costs one frame. */
  coarse?: boolean;
  /** Leave out frames that the decoder finds damaged, which otherwise come out patched up. */
  strict?: boolean;
  /** Frames a second over these seconds, whatever the video has; else its own frames, one after another. */
  sampled?: { fps: number; seconds: number };
}

export interface FramesGiven {
  data: Buffer;
  frames: number;
  complaint: string;
}

const CHANNELS = { rgb24: 3, rgba: 4, gray: 1 } as const;
/** Seconds of processor time, beyond the wall time, that end ffmpeg even where nobody is left to end it. */
const CPU_MARGIN_SECONDS = 5;
/** Frames that are wanted as they are get times of this pace, one step each. */
const OWN_PACE = 25;

/** What each orientation needs to be upright, for ffmpeg. */
const TURNS: Readonly<Record<Orientation, string>> = {
  1: '',
  2: 'hflip',
  3: 'hflip,vflip',
  4: 'vflip',
  5: 'transpose=cclock_flip',
  6: 'transpose=clock',
  7: 'transpose=clock_flip',
  8: 'transpose=cclock',
};

/**
 * Whole frames only; none where there is nothing at that moment, or nothing that can be decoded (`complaint` tells).
 * @throws Problem as `runProgram`
 */
export async function framesOf(
  input: VideoInput,
  wanted: FramesWanted,
  within: CallLimits,
): Promise<FramesGiven> {
  const { ffmpeg } = requireFfmpeg();
  const frameBytes = wanted.width * wanted.height * CHANNELS[wanted.kind];
  const data = Buffer.allocUnsafe(frameBytes * wanted.frames);
  let filled = 0;
  const { complaint } = await runProgram(ffmpeg, argumentsFor(input, wanted, within), within, (chunk) => {
    if (filled + chunk.length > data.length) {
      throw new Problem('internal', { cause: new Error('ffmpeg gave more than it was asked for') });
    }
    filled += chunk.copy(data, filled);
  });
  if (filled === 0 && wanted.decoder !== undefined && /^Unknown decoder/.test(complaint)) {
    // This ffmpeg was built without it: the first choice gives the colours at least.
    return framesOf(input, { ...wanted, decoder: undefined }, within);
  }
  const frames = Math.floor(filled / frameBytes);
  return { data: data.subarray(0, frames * frameBytes), frames, complaint };
}

function argumentsFor(input: VideoInput, wanted: FramesWanted, { timeoutMs }: CallLimits): string[] {
  const { decoder, start, coarse, strict, sampled, frames, kind } = wanted;
  const cpuSeconds = Math.ceil(timeoutMs / 1000) + CPU_MARGIN_SECONDS;
  return [
    ...['-nostdin', '-hide_banner', '-loglevel', 'error', '-timelimit', String(cpuSeconds)],
    ...['-filter_threads', '1'],
    ...inputArguments(input),
    ...['-codec_whitelist', input.codec.decoders.join(',')],
    ...(strict ? ['-err_detect', 'explode'] : []),
    ...(decoder === undefined ? [] : ['-c:v', decoder]),
    // The turn is ours to make: versions of ffmpeg differ in the matrices that they know.
    '-noautorotate',
    ...(start === undefined ? [] : ['-ss', clock(start)]),
    ...(coarse ? ['-noaccurate_seek'] : []),
    ...(sampled ? ['-t', clock(sampled.seconds)] : []),
    ...['-i', inputFile(input), '-map', `0:${streamSpecifier(input)}`],
    ...['-frames:v', String(frames), '-vf', filters(wanted)],
    // The pace that the filters give them: no frame is doubled or dropped for the clock's sake.
    ...['-r', String(sampled?.fps ?? OWN_PACE), '-f', 'rawvideo', '-pix_fmt', kind, 'pipe:1'],
  ];
}

function filters({ stream, width, height, orientation, kind, sampled }: FramesWanted): string {
  const [w, h] = orientation >= 5 ? [height, width] : [width, height];
  // Without these swscale takes short cuts, which are off by several levels.
  const exact = 'bicubic+accurate_rnd+full_chroma_int+full_chroma_inp';
  const range = isFullRange(stream) ? 'pc' : 'tv';
  return [
    stream.interlaced ? 'yadif=deint=interlaced' : '',
    // Before the frames are scaled, so that only those are that are wanted.
    sampled ? `fps=fps=${sampled.fps}:start_time=0` : `settb=expr=1/${OWN_PACE},setpts=N`,
    `scale=w=${w}:h=${h}:flags=${exact}:in_range=${range}:out_range=pc:in_color_matrix=${matrixOf(stream)}`,
    `format=${kind}`,
    TURNS[orientation],
  ]
    .filter((filter) => filter !== '')
    .join(',');
}
