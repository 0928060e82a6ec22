/** The typed fields of `/info`, read by exiftool from EXIF, XMP, IPTC, PNG text, maker notes and a video's own tags. */
import { type ImageInfo, MAX_INFO_KEYWORDS, MAX_INFO_TEXT_CHARS } from '../../contract/info.ts';
import type { Facts } from '../types.ts';
import { type CommandOptions, runExiftool, withPlainName } from './exiftool.ts';

/** `#` asks for the number, not its text. */
const TAGS = [
  ...['Make', 'Model', 'LensModel', 'LensID', 'Lens', 'Orientation#', 'ColorSpace#', 'InteropIndex#'],
  ...['DateTimeOriginal', 'OffsetTimeOriginal', 'CreateDate', 'OffsetTimeDigitized', 'DateCreated'],
  ...['DateTimeCreated', 'ISO#', 'FocalLength#', 'Aperture#', 'ShutterSpeed#'],
  ...['GPSLatitude#', 'GPSLongitude#', 'GPSAltitude#'],
  ...['Title', 'ObjectName', 'XPTitle', 'Description', 'Caption-Abstract', 'ImageDescription', 'Subject'],
  ...['Keywords', 'Artist', 'Creator', 'By-line', 'Author', 'Copyright', 'Rights', 'CopyrightNotice'],
  ...['Software', 'CreatorTool'],
  // Of videos.
  ...['CreationDate', 'ContentCreateDate', 'AndroidMake', 'AndroidModel', 'CameraLensModel', 'Rotation#'],
  ...['ColorPrimaries#', 'TransferCharacteristics#'],
].map((tag) => `-${tag}`);

/** Values by `group:tag`; groups are exiftool's family 0. */
type Tags = Record<string, unknown>;

/**
 * What the file says about itself. Invalid values (a 99th month, a latitude of 999) read as null, text is bounded
 * and free of control characters; it stays untrusted. A file without readable metadata gives nulls.
 * @throws Problem as `runExiftool` does: `processing_timeout`, `memory_exceeded`, `cancelled`, `dependency_down`,
 *   `metadata_failed`
 */
export async function readInfo(path: string, facts: Facts, options: CommandOptions = {}): Promise<ImageInfo> {
  const { stdout } = await withPlainName(path, (plainPath) =>
    runExiftool(['-m', '-j', '-G0', ...TAGS, plainPath], options),
  );
  const tags = parsed(stdout);
  const text = (...names: string[]) => firstOf(tags, names, toText);
  const { video } = facts;
  // Pictures have tags of the same containers, which tell of the file and not of the picture.
  const ofVideo = (...names: string[]) =>
    video ? names.flatMap((name) => [`QuickTime:${name}`, `Matroska:${name}`]) : [];
  return {
    camera_make: text('EXIF:Make', 'XMP:Make', 'MakerNotes:Make', ...ofVideo('Make', 'AndroidMake')),
    camera_model: text('EXIF:Model', 'XMP:Model', 'MakerNotes:Model', ...ofVideo('Model', 'AndroidModel')),
    lens: firstOf(
      tags,
      [
        'EXIF:LensModel',
        'XMP:LensModel',
        'Composite:LensID',
        'XMP:Lens',
        'MakerNotes:LensModel',
        'MakerNotes:Lens',
        ...ofVideo('CameraLensModel', 'LensModel'),
      ],
      toLens,
    ),
    date_taken: dateTaken(tags, video !== undefined),
    iso: firstOf(tags, ['EXIF:ISO', 'XMP:ISO', 'MakerNotes:ISO', 'Composite:ISO'], toPositive),
    focal_length: firstOf(
      tags,
      ['EXIF:FocalLength', 'XMP:FocalLength', 'MakerNotes:FocalLength'],
      toPositive,
    ),
    aperture: firstOf(tags, ['Composite:Aperture'], toRounded),
    shutter_speed: firstOf(tags, ['Composite:ShutterSpeed'], toShutterSpeed),
    orientation:
      firstOf(tags, ['EXIF:Orientation'], toOrientation) ??
      (video && QUARTER_TURNS.get(tags['Composite:Rotation'])) ??
      facts.orientation,
    color_space: video
      ? videoColorSpace(tags)
      : (toText(facts.iccProfile) ?? exifColorSpace(tags) ?? COLOR_SPACES[facts.colorSpace]),
    gps: position(tags),
    title: text('XMP:Title', 'IPTC:ObjectName', 'EXIF:XPTitle', 'PNG:Title', ...ofVideo('Title')),
    description: text(
      ...['XMP:Description', 'IPTC:Caption-Abstract', 'EXIF:ImageDescription', 'PNG:Description'],
      ...ofVideo('Description'),
    ),
    keywords: keywords(tags),
    artist: text(
      'EXIF:Artist',
      'XMP:Creator',
      'IPTC:By-line',
      'PNG:Artist',
      'PNG:Author',
      ...ofVideo('Artist', 'Author'),
    ),
    copyright: text(
      'EXIF:Copyright',
      'XMP:Rights',
      'IPTC:CopyrightNotice',
      'PNG:Copyright',
      ...ofVideo('Copyright'),
    ),
    software: text('EXIF:Software', 'XMP:CreatorTool', 'PNG:Software', ...ofVideo('Software')),
    ...(video && {
      video: {
        duration_seconds: video.durationSeconds,
        frame_rate: video.frameRate ?? null,
        video_codec: toText(video.videoCodec),
        audio_codec: toText(video.audioCodec),
      },
    }),
  };
}

/** Clockwise degrees that a player turns a video by. */
const QUARTER_TURNS: ReadonlyMap<unknown, number> = new Map([
  [0, 1],
  [90, 6],
  [180, 3],
  [270, 8],
]);

function parsed(stdout: string): Tags {
  try {
    const files: unknown = JSON.parse(stdout);
    return Array.isArray(files) ? ((files[0] as Tags | undefined) ?? {}) : {};
  } catch {
    // Nothing is printed for a file that exiftool cannot make out.
    return {};
  }
}

function firstOf<T>(tags: Tags, names: string[], read: (value: unknown) => T | null): T | null {
  for (const name of names) {
    const value = read(tags[name]);
    if (value !== null) return value;
  }
  return null;
}

/** Lists become one line; what looks like a number arrives as one. */
function toText(value: unknown): string | null {
  if (Array.isArray(value)) return toText(value.filter((item) => typeof item !== 'object').join(', '));
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  const clean = String(value)
    // Far more than is kept, so that the work on a hostile value is bounded.
    .slice(0, 4 * MAX_INFO_TEXT_CHARS)
    .replace(/[\t\r\n]+/g, ' ')
    .replace(/[\p{Cc}\p{Cs}]/gu, '')
    .trim()
    .slice(0, MAX_INFO_TEXT_CHARS)
    .replace(/[\ud800-\udbff]$/, '');
  return clean === '' ? null : clean;
}

/** Cameras fill the field for manual lenses with dashes or zeros. */
function toLens(value: unknown): string | null {
  const name = toText(value);
  return name === null || /^(unknown\b|none$|n\/a|[-\s\d.]*$)/i.test(name) ? null : name;
}

function toNumber(value: unknown): number | null {
  const number =
    typeof value === 'number' ? value : Number.parseFloat(typeof value === 'string' ? value : '');
  return Number.isFinite(number) ? number : null;
}

function toPositive(value: unknown): number | null {
  const number = toNumber(value);
  return number !== null && number > 0 ? number : null;
}

/** 4.380000114 of a 4.38 mm lens is the camera's arithmetic. */
function toRounded(value: unknown): number | null {
  return toPositive(Number((toNumber(value) ?? 0).toFixed(2)));
}

function toOrientation(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 8 ? value : null;
}

function toShutterSpeed(value: unknown): string | null {
  const seconds = toPositive(value);
  if (seconds === null) return null;
  return seconds < 0.25001 ? `1/${Math.round(1 / seconds)}` : String(Number(seconds.toFixed(1)));
}

function dateTaken(tags: Tags, isVideo: boolean): string | null {
  const candidates: [date: string, offset?: string][] = [
    ['EXIF:DateTimeOriginal', 'EXIF:OffsetTimeOriginal'],
    ['XMP:DateTimeOriginal', 'EXIF:OffsetTimeOriginal'],
    ['EXIF:CreateDate', 'EXIF:OffsetTimeDigitized'],
    ['XMP:DateCreated'],
    ['Composite:DateTimeCreated'],
    ['XMP:CreateDate'],
    ['MakerNotes:DateTimeOriginal'],
  ];
  for (const [date, offset] of candidates) {
    const value = toIsoDate(tags[date], offset && tags[offset]);
    if (value !== null) return value;
  }
  return isVideo ? recorded(tags) : null;
}

/** By the camera's own clock where it says so; the header of the movie counts in UTC (ISO/IEC 14496-12, 8.2.2.3). */
function recorded(tags: Tags): string | null {
  const local = ['QuickTime:CreationDate', 'QuickTime:DateTimeOriginal', 'QuickTime:ContentCreateDate'];
  return (
    firstOf(tags, local, (value) => toIsoDate(value, undefined)) ??
    firstOf(tags, ['Matroska:DateTimeOriginal', 'QuickTime:CreateDate'], (value) => toIsoDate(value, 'Z'))
  );
}

const DATE = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?\s*(Z|[+-]\d\d:\d\d)?$/;

/** `2024:05:01 10:20:30`, perhaps with its fraction and offset; the offset may also come by itself. */
function toIsoDate(value: unknown, separateOffset: unknown): string | null {
  const match = typeof value === 'string' ? DATE.exec(value.trim()) : null;
  if (!match) return null;
  const [, year, month, day, hour, minute, second = '00', fraction = '', ownOffset] = match;
  const local = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  // The 31st of April would come back as another day.
  const time = new Date(`${local}Z`);
  if (Number.isNaN(time.getTime()) || !time.toISOString().startsWith(local) || Number(year) < 1) return null;
  return local + fraction + (validOffset(ownOffset) ?? validOffset(separateOffset) ?? '');
}

function validOffset(value: unknown): string | null {
  const match = typeof value === 'string' ? /^(?:Z|[+-](\d\d):([0-5]\d))$/.exec(value.trim()) : null;
  return match && Number(match[1] ?? 0) <= 14 ? match[0] : null;
}

/** The composite position has its hemisphere; XMP's by itself has as well. */
function position(tags: Tags): ImageInfo['gps'] {
  for (const group of ['Composite', 'XMP']) {
    const latitude = toNumber(tags[`${group}:GPSLatitude`]);
    const longitude = toNumber(tags[`${group}:GPSLongitude`]);
    if (latitude === null || longitude === null) continue;
    if (Math.abs(latitude) > 90 || Math.abs(longitude) > 180) continue;
    const altitude = firstOf(
      tags,
      ['Composite:GPSAltitude', 'EXIF:GPSAltitude', 'XMP:GPSAltitude'],
      toNumber,
    );
    return { latitude, longitude, ...(altitude !== null && { altitude }) };
  }
  return null;
}

function keywords(tags: Tags): string[] | null {
  const found = new Set<string>();
  for (const list of [tags['XMP:Subject'], tags['IPTC:Keywords']]) {
    for (const item of Array.isArray(list) ? list : [list]) {
      const word = toText(item);
      if (word !== null && found.size < MAX_INFO_KEYWORDS) found.add(word);
    }
  }
  return found.size > 0 ? [...found] : null;
}

/** EXIF has a number for sRGB; Adobe RGB is "uncalibrated" with an interoperability index of its own (DCF 2.0). */
function exifColorSpace(tags: Tags): string | null {
  const space = tags['EXIF:ColorSpace'];
  if (space === 1) return 'sRGB';
  if (space === 2 || (space === 65_535 && tags['EXIF:InteropIndex'] === 'R03')) return 'Adobe RGB';
  return null;
}

/** Code points of ISO/IEC 23091-2, where the video has them in its container. */
function videoColorSpace(tags: Tags): string | null {
  const gamut = VIDEO_GAMUTS.get(tags['QuickTime:ColorPrimaries'] ?? tags['Matroska:ColorPrimaries']);
  const transfer = tags['QuickTime:TransferCharacteristics'] ?? tags['Matroska:TransferCharacteristics'];
  const curve = transfer === 16 ? 'PQ' : transfer === 18 ? 'HLG' : undefined;
  return [gamut, curve].filter((part) => part !== undefined).join(' ') || null;
}

const VIDEO_GAMUTS: ReadonlyMap<unknown, string> = new Map([
  [1, 'BT.709'],
  [5, 'BT.601'],
  [6, 'BT.601'],
  [9, 'BT.2020'],
  [11, 'DCI-P3'],
  [12, 'Display P3'],
]);

/** Where the file says nothing. */
const COLOR_SPACES: Record<Facts['colorSpace'], string> = {
  rgb: 'sRGB',
  palette: 'sRGB',
  gray: 'Grayscale',
  cmyk: 'CMYK',
  lab: 'Lab',
  cfa: 'RAW',
};
