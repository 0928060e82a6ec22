/** What the readers of containers say about a video, and the arithmetic of it. */
import type { Orientation, SourceFormat } from '../types.ts';
import type { VideoCodec } from './codecs.ts';

/** What a container says about the picture track that stands for the file, which is its first. */
export interface VideoTrack {
  format: Extract<SourceFormat, 'mp4' | 'mov' | '3gp' | 'webm' | 'mkv'>;
  /** The track's number in an ISO base media file; of Matroska the first picture track is meant. */
  id: number;
  codec: VideoCodec;
  audioCodec?: string;
  /** Of the coded picture. */
  stored: { width: number; height: number };
  /** Width of a coded pixel by its height. */
  pixelAspect: number;
  /** What the coded picture needs to be upright. */
  orientation: Orientation;
  /** 0 where the file does not say. */
  durationSeconds: number;
  frameRate?: number;
  alpha: boolean;
}

/** Stranger pixels than of any camera are an error in the file, and are taken for square. */
const MAX_PIXEL_ASPECT = 4;

/** Size in square pixels before the turn: the one side is stretched that has to grow, so that no detail is lost. */
export function displayed({ stored, pixelAspect }: Pick<VideoTrack, 'stored' | 'pixelAspect'>): {
  width: number;
  height: number;
} {
  const sound = pixelAspect >= 1 / MAX_PIXEL_ASPECT && pixelAspect <= MAX_PIXEL_ASPECT;
  if (!sound || Math.abs(pixelAspect - 1) < 0.001) return stored;
  return pixelAspect > 1
    ? { width: Math.round(stored.width * pixelAspect), height: stored.height }
    : { width: stored.width, height: Math.round(stored.height / pixelAspect) };
}

/** A rate for people to read: 29.97, not 29.970029970029972. */
export function asFrameRate(frames: number, seconds: number): number | undefined {
  const rate = Math.round((frames / seconds) * 1000) / 1000;
  return Number.isFinite(rate) && rate > 0 && rate <= 100_000 ? rate : undefined;
}
