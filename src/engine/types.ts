/** The engine's vocabulary. */
import type { NormalPlan } from '../contract/plan.ts';
import type { Limits } from './limits.ts';

/** Who decodes it: `libvips` (sharp), `heif` and `raw` (WebAssembly), `bmp` (ours), `video` (ffmpeg). */
export type Family = 'libvips' | 'heif' | 'raw' | 'bmp' | 'video';

export type SourceFormat =
  | 'jpeg'
  | 'png'
  | 'gif'
  | 'webp'
  | 'avif'
  | 'tiff'
  | 'svg'
  | 'bmp'
  | 'heic'
  | 'dng'
  | 'cr2'
  | 'cr3'
  | 'crw'
  | 'nef'
  | 'arw'
  | 'raf'
  | 'rw2'
  | 'orf'
  | 'raw' // any other that LibRaw reads
  | 'mp4'
  | 'mov'
  | '3gp'
  | 'webm'
  | 'mkv';

/** 1–8 as in EXIF. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** What the headers say; nothing here needed a decoded pixel. */
export interface Facts {
  format: SourceFormat;
  family: Family;
  mime: string;
  /** Bytes of the file. */
  bytes: number;
  /** As displayed: orientation, irot, imir and clap applied; an SVG at its own size at 72 dpi, rounded. */
  width: number;
  height: number;
  /** What the decoder's pixels still need to be upright; 1 for HEIC and AVIF (their decoder has applied it) and RAW. */
  orientation: Orientation;
  /** Frames or pages; 1 for a plain picture. Counting stops at `maxFrames + 1`. */
  pages: number;
  /** Pages are frames in time (GIF, animated WebP, APNG, AVIF sequence), not sheets of paper. */
  animated: boolean;
  alpha: boolean;
  /** Bits a channel, of the largest channel. */
  bitDepth: number;
  colorSpace: 'rgb' | 'gray' | 'cmyk' | 'lab' | 'palette' | 'cfa';
  /** The embedded ICC profile's description, e.g. `Display P3`. */
  iccProfile?: string;
  /** A JPEG without a profile whose EXIF says that its RGB is Adobe's. */
  adobeRgb?: true;
  /** Coding-independent code points (ISO/IEC 23091-2) from an nclx `colr` box or a PNG cICP chunk. */
  cicp?: { primaries: number; transfer: number; matrix: number; fullRange: boolean };
  /** Of a video only, whose `pages` is 1: a moment of it is asked for by the second. */
  video?: VideoFacts;
}

export interface VideoFacts {
  /** Of the first picture track; 0 where the file does not say, as in a WebM that was never finished. */
  durationSeconds: number;
  /** Frames a second on average. */
  frameRate?: number;
  /** As the field calls it: `h264`, `hevc`, `av1`, `vp9`, …; the container's own code where it is none of those. */
  videoCodec?: string;
  audioCodec?: string;
}

/** Interleaved pixels in memory, upright. */
export interface Pixels {
  /** Row-major, no padding; 8 bits a sample, or 16 in native byte order where `depth` is 16. */
  data: Uint8Array;
  width: number;
  height: number;
  channels: 1 | 2 | 3 | 4;
  depth: 8 | 16;
  /** ICC profile of these pixels; sRGB when absent. */
  icc?: Uint8Array;
}

/** Frames in time: full canvases, composed, one below the other. */
export interface FrameSequence {
  /** As high as all frames together. */
  pixels: Pixels;
  /** Of one frame. */
  frameHeight: number;
  /** How long each frame stays. */
  delayMs: number[];
  /** Times that the animation plays; 0 for ever. */
  loop: number;
}

/** Small stand-ins to show before the picture arrives. */
export interface Placeholders {
  /** `#rrggbb`. */
  dominantColor: string;
  /** Base64 of the ThumbHash bytes. */
  thumbhash: string;
  /** BlurHash text, 4×3 components. */
  blurhash: string;
}

/** One picture that was made, in a file of the task's folder. */
export interface Rendition {
  /** Index into the plans that were asked for. */
  index: number;
  plan: NormalPlan;
  path: string;
  width: number;
  height: number;
  /** Frames in the output; 1 for a still. */
  pages: number;
  bytes: number;
}

export interface RenderRequest {
  /** The source, by file: it is never copied. */
  sourcePath: string;
  plans: NormalPlan[];
  limits: Limits;
  /** Existing folder that the renditions and all temporary files go to; the caller removes it. */
  outDir: string;
  /** Compute placeholders as well. */
  placeholders?: boolean;
  /** Files of the images that the plans' watermarks name, by id. */
  assets?: Readonly<Record<string, string>>;
  /** The operator's model for removing backgrounds: a file in ONNX. */
  matteModelPath?: string;
  signal?: AbortSignal;
  /** Called as each rendition is complete on disk, smallest first. */
  onRendition?: (rendition: Rendition) => void;
}

export interface RenderResult {
  facts: Facts;
  /** In the order of the plans. */
  renditions: Rendition[];
  placeholders?: Placeholders;
}
