/** Codecs of videos: what containers call them, what the field calls them, and who may decode them. */
import { Problem } from '../../problem.ts';

export interface VideoCodec {
  /** As ffmpeg and most others call it. */
  name: string;
  /** The decoders of ffmpeg that may be used on it, and no others. */
  decoders: readonly string[];
  /** The one of them that gives the alpha plane, where ffmpeg's first choice does not. */
  alphaDecoder?: string;
}

const codec = (name: string, ...decoders: string[]): VideoCodec => ({
  name,
  decoders: decoders.length > 0 ? decoders : [name],
});

/** Codes come out of files, where `constructor` may stand for one. */
function mapOf<T>(entries: Record<string, T>): ReadonlyMap<string, T> {
  return new Map(Object.entries(entries));
}

const H264 = codec('h264');
const HEVC = codec('hevc');
const AV1 = codec('av1', 'libdav1d', 'libaom-av1');
const VP8: VideoCodec = { ...codec('vp8', 'vp8', 'libvpx'), alphaDecoder: 'libvpx' };
const VP9: VideoCodec = { ...codec('vp9', 'vp9', 'libvpx-vp9'), alphaDecoder: 'libvpx-vp9' };
const H263 = codec('h263');
const MPEG2 = codec('mpeg2video');
const MPEG1 = codec('mpeg1video');
const MJPEG = codec('mjpeg', 'mjpeg', 'mjpegb');
const PRORES = codec('prores', 'prores', 'prores_aw', 'prores_ks');
const DNXHD = codec('dnxhd');
/** The sample entry says MPEG-4, which by its descriptor may be an older one. */
const MPEG4 = codec('mpeg4', 'mpeg4', 'mpeg2video', 'mpeg1video', 'mjpeg');

/** Sample entries of ISO base media files (https://mp4ra.org/registered-types/sampleentries) and of QuickTime. */
const SAMPLE_ENTRIES = mapOf<VideoCodec>({
  ...Object.fromEntries(['avc1', 'avc2', 'avc3', 'avc4', 'dva1', 'dvav'].map((type) => [type, H264])),
  ...Object.fromEntries(['hvc1', 'hev1', 'hvc2', 'hev2', 'dvh1', 'dvhe'].map((type) => [type, HEVC])),
  ...Object.fromEntries(['apch', 'apcn', 'apcs', 'apco', 'ap4h', 'ap4x'].map((type) => [type, PRORES])),
  ...Object.fromEntries(['jpeg', 'mjpa', 'mjpb', 'dmb1', 'AVDJ'].map((type) => [type, MJPEG])),
  ...Object.fromEntries(['mp4v', 'DIVX', 'XVID', 'FMP4', 'DX50'].map((type) => [type, MPEG4])),
  ...Object.fromEntries(['s263', 'h263', 'H263'].map((type) => [type, H263])),
  ...Object.fromEntries(['m2v1', 'mp2v'].map((type) => [type, MPEG2])),
  ...Object.fromEntries(['AVdn', 'AVdh'].map((type) => [type, DNXHD])),
  m1v: MPEG1,
  av01: AV1,
  dav1: AV1,
  vp08: VP8,
  vp09: VP9,
});

/** CodecIDs of Matroska (RFC 9559, https://www.matroska.org/technical/codec_specs.html). */
const CODEC_IDS = mapOf<VideoCodec>({
  'V_MPEG4/ISO/AVC': H264,
  'V_MPEGH/ISO/HEVC': HEVC,
  V_AV1: AV1,
  V_VP8: VP8,
  V_VP9: VP9,
  'V_MPEG4/ISO/SP': MPEG4,
  'V_MPEG4/ISO/ASP': MPEG4,
  'V_MPEG4/ISO/AP': MPEG4,
  V_MPEG2: MPEG2,
  V_MPEG1: MPEG1,
  V_MJPEG: MJPEG,
  V_PRORES: PRORES,
});

const AUDIO = mapOf<string>({
  mp4a: 'aac',
  '.mp3': 'mp3',
  'ac-3': 'ac3',
  'ec-3': 'eac3',
  Opus: 'opus',
  fLaC: 'flac',
  alac: 'alac',
  samr: 'amr_nb',
  sawb: 'amr_wb',
  ...Object.fromEntries(
    ['twos', 'sowt', 'lpcm', 'in24', 'in32', 'ipcm', 'raw '].map((type) => [type, 'pcm']),
  ),
  A_AAC: 'aac',
  A_OPUS: 'opus',
  A_VORBIS: 'vorbis',
  A_FLAC: 'flac',
  A_AC3: 'ac3',
  A_EAC3: 'eac3',
  'A_MPEG/L3': 'mp3',
  'A_MPEG/L2': 'mp2',
  'A_PCM/INT/LIT': 'pcm',
  'A_PCM/INT/BIG': 'pcm',
});

/**
 * @param type a sample entry's type, or a Matroska CodecID
 * @throws Problem `unsupported_media_type` for a codec that is not decoded here
 */
export function videoCodec(type: string): VideoCodec {
  const found = SAMPLE_ENTRIES.get(type.trimEnd()) ?? CODEC_IDS.get(type);
  if (found) return found;
  const detail = /^(encv|drmi)$/.test(type)
    ? 'The video is encrypted.'
    : `The video is coded as ${JSON.stringify(printable(type))}; H.264, HEVC, AV1, VP8, VP9, MPEG-4, MPEG-2, H.263, Motion JPEG, ProRes and DNxHD are read.`;
  throw new Problem('unsupported_media_type', { detail });
}

/** The usual name, or the container's own code where there is none. */
export function audioCodec(type: string): string {
  return AUDIO.get(type) ?? AUDIO.get(type.split('/')[0]!) ?? printable(type).toLowerCase();
}

const printable = (code: string) =>
  code
    .replace(/[^\x21-\x7e]/g, ' ')
    .trim()
    .slice(0, 32);
