/** Videos: facts of the picture track, whichever container it lies in. */
import type { Limits } from '../limits.ts';
import { checkPixels, checkSides, type Header, upright } from './header.ts';
import { readMatroska } from './matroska.ts';
import { readMovie } from './movie.ts';
import type { Reader } from './reader.ts';
import { displayed, type VideoTrack } from './video-track.ts';

/** @throws Problem `unsupported_media_type` without a picture track that is decoded here; `undecodable_image` */
export async function readVideo(reader: Reader): Promise<VideoTrack> {
  const [first] = await reader.upTo(0, 4);
  return first === 0x1a ? readMatroska(reader) : readMovie(reader);
}

export async function probeVideo(reader: Reader, limits: Limits): Promise<Header> {
  const track = await readVideo(reader);
  checkSides(track.stored.width, track.stored.height, 'video');
  const { width, height } = displayed(track);
  checkPixels(width, height, limits);
  const { durationSeconds, frameRate, codec, audioCodec } = track;
  return {
    format: track.format,
    ...upright(width, height, track.orientation),
    orientation: 1,
    pages: 1,
    animated: false,
    alpha: track.alpha,
    // What the decoder gives; the coded samples may have more.
    bitDepth: 8,
    colorSpace: 'rgb',
    video: {
      durationSeconds,
      ...(frameRate !== undefined && { frameRate }),
      videoCodec: codec.name,
      ...(audioCodec !== undefined && { audioCodec }),
    },
  };
}
