/** What a file is, by its first bytes. Its name and the Content-Type that came with it count for nothing. */
import { constants, gunzipSync } from 'node:zlib';
import { FFMPEG_MISSING, findFfmpeg } from '../decode/ffmpeg.ts';
import type { Family, SourceFormat } from '../types.ts';
import { FORMATS } from './header.ts';
import { docType } from './matroska.ts';
import { xmlRootName } from './svg-text.ts';

export interface Sniffed {
  format: SourceFormat;
  family: Family;
  mime: string;
}

/** Bytes that are enough for `sniff` and `describeUnsupported`. */
export const HEAD_BYTES = 64 * 1024;

/** Compressed bytes of an svgz that are looked into: at deflate's best ratio they become 4 MB. */
const SVGZ_HEAD_BYTES = 4 * 1024;

const HEIF_BRANDS = ['heic', 'heix', 'hevc', 'hevx', 'heim', 'heis', 'hevm', 'hevs', 'mif1', 'mif2', 'msf1'];
const AVIF_BRANDS = ['avif', 'avis'];
/** Brands of MP4 in the wide sense (https://mp4ra.org/registered-types/brands): players, cameras, streams, 3GPP. */
const MOVIE_BRANDS =
  /^(qt {2}|iso[m2-9a]|mp4[12]|mp7[12]|avc1|M4V[ HP]|f4v |MSNV|mmp4|3g[eghprst2][0-9a-z]|3g2[a-c]|dash|msdh|msix|cmf[a-z0-9]|XAVC|CAEP|caqv|niko|ND[SX][CHMPS]|pana|hvc1|dby1|MFSM)$/;
const AUDIO_BRANDS = ['M4A ', 'M4B ', 'M4P '];

/**
 * The format by content, from the first 64 KB; undefined for what is not supported, videos among it where ffmpeg is
 * missing. TIFF stands for the RAW formats that are TIFF inside, where only directories deeper in the file tell:
 * `probe` does.
 */
export function sniff(head: Uint8Array): Sniffed | undefined {
  const format = sniffFormat(head);
  if (!format || isBeyondReach(format)) return undefined;
  return { format, family: FORMATS[format].family, mime: FORMATS[format].mime };
}

const isBeyondReach = (format: SourceFormat) => FORMATS[format].family === 'video' && !findFfmpeg();

function sniffFormat(head: Uint8Array): SourceFormat | undefined {
  const text = latin1(head, 0, 32);
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (/^GIF8[79]a/.test(text)) return 'gif';
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8)) return 'webp';
  if (text.startsWith('ftyp', 4)) return sniffBrand(head);
  if (isOldQuickTime(head, text)) return 'mov';
  if (text.startsWith('\x1a\x45\xdf\xa3')) return sniffDocType(head);
  if (/^(II[*+]\0|MM\0[*+])/.test(text)) return text.startsWith('CR', 8) ? 'cr2' : 'tiff';
  if (/^(IIRO|IIRS|MMOR)/.test(text)) return 'orf';
  if (text.startsWith('IIU\0')) return 'rw2';
  if (text.startsWith('FUJIFILMCCD-RAW')) return 'raf';
  if (text.startsWith('II') && text.startsWith('HEAPCCDR', 6)) return 'crw';
  if (text.startsWith('\0MRM') || text.startsWith('FOVb')) return 'raw';
  if (isBmp(head)) return 'bmp';
  return isSvg(head) ? 'svg' : undefined;
}

const latin1 = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', from, to);

function brands(head: Uint8Array): { major: string; all: string[] } {
  const size = Math.min(new DataView(head.buffer, head.byteOffset).getUint32(0), head.length, 1024);
  const all: string[] = [];
  for (let at = 16; at + 4 <= size; at += 4) all.push(latin1(head, at, at + 4));
  const major = latin1(head, 8, 12);
  return { major, all: [major, ...all] };
}

function sniffBrand(head: Uint8Array): SourceFormat | undefined {
  const { major, all } = brands(head);
  if (major === 'crx ') return 'cr3';
  if (AVIF_BRANDS.includes(major)) return 'avif';
  if (!HEIF_BRANDS.includes(major)) return movieBrand(major, all);
  const generic = major.startsWith('mi') || major === 'msf1';
  return generic && all.some((brand) => AVIF_BRANDS.includes(brand)) ? 'avif' : 'heic';
}

function movieBrand(major: string, all: string[]): SourceFormat | undefined {
  if (AUDIO_BRANDS.includes(major) || !all.some((brand) => MOVIE_BRANDS.test(brand))) return undefined;
  if (major === 'qt  ') return 'mov';
  return major.startsWith('3g') ? '3gp' : 'mp4';
}

/** Before there was `ftyp`, a movie began with any of its boxes. In a text, four letters before are a size of 512 MB. */
function isOldQuickTime(head: Uint8Array, text: string): boolean {
  if (!/^(moov|mdat|wide|pnot|free|skip)$/.test(text.slice(4, 8))) return false;
  const size = new DataView(head.buffer, head.byteOffset).getUint32(0);
  return size <= 1 || (size >= 8 && size < 0x2000_0000);
}

function sniffDocType(head: Uint8Array): SourceFormat | undefined {
  const type = docType(head);
  if (type === 'webm') return 'webm';
  return type === 'matroska' ? 'mkv' : undefined;
}

/** `BM` begins many texts: the reserved fields and the size of the second header must fit too. */
function isBmp(head: Uint8Array): boolean {
  if (head[0] !== 0x42 || head[1] !== 0x4d || head.length < 18) return false;
  const size = head[14]! | (head[15]! << 8) | (head[16]! << 16) | (head[17]! << 24);
  return size >= 12 && size <= 1024;
}

function isSvg(head: Uint8Array): boolean {
  if (head[0] !== 0x1f || head[1] !== 0x8b) return xmlRootName(head) === 'svg';
  try {
    // Cut off anywhere, the stream gives what it holds so far.
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 8 * 1024 * 1024 };
    return (
      xmlRootName(gunzipSync(head.subarray(0, SVGZ_HEAD_BYTES), options).subarray(0, HEAD_BYTES)) === 'svg'
    );
  } catch {
    return false;
  }
}

/** Magic bytes of what people upload by mistake. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^%PDF-/, 'a PDF'],
  [/^%!PS|^\xc5\xd0\xd3\xc6/, 'a PostScript file'],
  [/^PK[\x03\x05\x07]/, 'a ZIP archive'],
  [/^\x1f\x8b/, 'a gzip archive'],
  [/^7z\xbc\xaf|^Rar!|^BZh|^\xfd7zXZ/, 'an archive'],
  [/^\x1a\x45\xdf\xa3/, 'a WebM or Matroska video'],
  [/^RIFF[\s\S]{4}AVI /, 'an AVI video'],
  [/^RIFF[\s\S]{4}WAVE|^ID3|^OggS|^fLaC/, 'an audio file'],
  [/^\0\0\0\x0cJXL |^\xff\x0a/, 'a JPEG XL image'],
  [/^\0\0\0\x0cjP {2}|^\xff\x4f\xff\x51/, 'a JPEG 2000 image'],
  [/^8BPS/, 'a Photoshop document'],
  [/^gimp xcf/, 'a GIMP image'],
  [/^\0\0[\x01\x02]\0/, 'an icon file'],
  [/^AT&TFORM/, 'a DjVu document'],
  [/^P[1-7][\s#]/, 'a Netpbm image'],
  [/^v\/1\x01/, 'an OpenEXR image'],
  [/^#\?RADIANCE/, 'a Radiance HDR image'],
  [/^DDS /, 'a DirectDraw texture'],
  [/^#define\s+\w+_width/, 'an X bitmap'],
  [/^MZ/, 'a Windows program'],
  [/^\x7fELF/, 'a Linux program'],
  [/^\s*push graphic-context/, 'an ImageMagick drawing (MVG)'],
  [/^version https:\/\/git-lfs/, 'a Git LFS pointer, not the file it stands for'],
  [/^\s*(<!doctype html|<html|<head|<script|<body)/i, 'an HTML page'],
  [/^\s*[{[]\s*["\]}{[\d]/, 'JSON text'],
];

/** Why it is that a file which would be read elsewhere is not read here; undefined for all others. */
export function missingTool(head: Uint8Array): string | undefined {
  const format = sniffFormat(head);
  return format && isBeyondReach(format) ? FFMPEG_MISSING : undefined;
}

/** In a few words what an unsupported file is, with its article; undefined where its bytes do not tell. */
export function describeUnsupported(head: Uint8Array): string | undefined {
  const text = latin1(head, 0, 256);
  if (text.startsWith('ftyp', 4)) {
    const brand = text.slice(8, 12);
    if (AUDIO_BRANDS.includes(brand)) return 'an audio file';
    return brand === 'qt  ' ? 'a QuickTime video' : 'an MP4 video';
  }
  if (isOldQuickTime(head, text)) return 'a QuickTime video';
  const known = OTHERS.find(([magic]) => magic.test(text));
  if (known) return known[1];
  if (/^(\xef\xbb\xbf)?\s*</.test(text)) return 'an XML or HTML text';
  return /^[\t\r\n\x20-\x7e]+$/.test(text) ? 'plain text' : undefined;
}
