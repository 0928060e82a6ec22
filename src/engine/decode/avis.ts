/** AVIF image sequences through ffmpeg: libvips decodes their first picture only. */
import { Problem } from '../../problem.ts';
import { iccFromCicp } from '../metadata/icc.ts';
import { type ImageSequence, readImageSequence } from '../probe/avis.ts';
import { checkSides } from '../probe/header.ts';
import { Reader } from '../probe/reader.ts';
import type { Facts, FrameSequence, Pixels } from '../types.ts';
import { toSrgbInPlace } from './matrix-profile.ts';
import { checkFrames } from './motion.ts';
import type { ClipLimits } from './video.ts';
import { type FramesGiven, framesOf } from './video-frames.ts';
import { cicpOf, inspect, type VideoInput } from './video-stream.ts';

/**
 * All frames of the sequence, upright, with their times: RGB, or RGBA with straight alpha where it has an alpha track.
 * `icc` is left on the pixels where the sequence has a profile that is no plain matrix.
 *
 * @throws Problem `undecodable_image` also where only one frame is missing; `too_many_frames`, `image_too_large`,
 * `processing_timeout`, `cancelled`, `decoder_crashed`, `unsupported_media_type` where ffmpeg is missing
 */
export async function decodeAvis(path: string, _facts: Facts, limits: ClipLimits): Promise<FrameSequence> {
  const end = performance.now() + limits.timeoutMs;
  const within = () => ({ timeoutMs: Math.max(1, end - performance.now()), signal: limits.signal });
  await using reader = await Reader.open(path, limits.signal);
  const sequence = await readImageSequence(reader, limits);
  const [width, height] =
    sequence.orientation >= 5 ? [sequence.height, sequence.width] : [sequence.width, sequence.height];
  const frames = sequence.delayMs.length;
  checkSides(width, height, 'image sequence');
  checkFrames({ width, height, pages: frames }, limits);

  const decode = async (trackId: number, kind: 'rgb24' | 'gray') => {
    const { codec, orientation } = sequence;
    const input: VideoInput = {
      ...{ path, demuxer: 'mov', codec, trackId, width: sequence.width, height: sequence.height },
      ...{ ignoreEdits: true, maxPixels: limits.maxPixels },
    };
    const { stream } = await inspect(input, within());
    const given = await framesOf(input, { stream, width, height, orientation, kind, frames }, within());
    if (given.frames < frames) throw missing(given, frames);
    return { data: given.data, stream };
  };
  const size = { width, height: height * frames, depth: 8 } as const;
  const { data, stream } = await decode(sequence.id, 'rgb24');
  const icc = sequence.icc ?? iccFromCicp(cicpOf(stream));
  const opaque: Pixels = { data, ...size, channels: 3, ...(icc && { icc }) };
  const pixels =
    sequence.alphaId === undefined
      ? opaque
      : {
          ...opaque,
          data: joined(data, (await decode(sequence.alphaId, 'gray')).data, sequence),
          channels: 4 as const,
        };
  return {
    pixels: toSrgbInPlace(pixels),
    frameHeight: height,
    delayMs: sequence.delayMs,
    loop: sequence.loop,
  };
}

function missing({ frames, complaint }: FramesGiven, expected: number): Problem {
  const reason = complaint ? `: ${complaint}.` : '.';
  return new Problem('undecodable_image', {
    detail: `AVIF: of the ${expected} frames of the animation ${frames} can be decoded${reason}`,
  });
}

/** Colours and alpha, one pixel after another. */
function joined(
  colors: Buffer,
  alphas: Buffer,
  { premultiplied }: Pick<ImageSequence, 'premultiplied'>,
): Buffer {
  const data = Buffer.allocUnsafe(alphas.length * 4);
  for (let i = 0; i < alphas.length; i++) {
    const alpha = alphas[i]!;
    for (let c = 0; c < 3; c++) {
      const color = colors[i * 3 + c]!;
      data[i * 4 + c] = premultiplied && alpha > 0 ? Math.min(255, Math.round((color * 255) / alpha)) : color;
    }
    data[i * 4 + 3] = alpha;
  }
  return data;
}
