/** WebM and Matroska (RFC 9559): facts of the first picture track. */
import { Problem } from '../../problem.ts';
import type { Orientation } from '../types.ts';
import { audioCodec, videoCodec } from './codecs.ts';
import { type Element, elementPartsOf, elementsOf, float, headOf, text, unsigned } from './ebml.ts';
import { Fields } from './fields.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';
import { asFrameRate, type VideoTrack } from './video-track.ts';

const EBML = 0x1a45dfa3;
const DOC_TYPE = 0x4282;
const SEGMENT = 0x18538067;
const INFO = 0x1549a966;
const TIMESTAMP_SCALE = 0x2ad7b1;
const DURATION = 0x4489;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const TRACK_TYPE = 0x83;
const CODEC_ID = 0x86;
const DEFAULT_DURATION = 0x23e383;
const VIDEO = 0xe0;
const PIXEL_WIDTH = 0xb0;
const PIXEL_HEIGHT = 0xba;
const DISPLAY_WIDTH = 0x54b0;
const DISPLAY_HEIGHT = 0x54ba;
const ALPHA_MODE = 0x53c0;
const PROJECTION = 0x7670;
const PROJECTION_POSE_ROLL = 0x7675;
const CLUSTER = 0x1f43b675;
const TIMESTAMP = 0xe7;
const SIMPLE_BLOCK = 0xa3;
const BLOCK_GROUP = 0xa0;
const BLOCK = 0xa1;

const PICTURE = 1;
const SOUND = 2;

/** Where a recording without a duration is looked at from, counted from its end. */
const TAIL_BYTES = 2 * 1024 * 1024;
const NANOSECONDS = 1e9;

/** The DocType in the first bytes of a file: `webm`, `matroska`; undefined for what is no EBML. */
export function docType(head: Uint8Array): string | undefined {
  const ebml = headOf(head);
  if (ebml?.id !== EBML) return undefined;
  const end = Math.min(ebml.bytes + (ebml.size ?? 0), head.length);
  for (const { id, fields } of elementPartsOf(new Fields(head.subarray(ebml.bytes, end)))) {
    if (id === DOC_TYPE) return text(fields);
  }
  // The default of RFC 9559 (section 11.1).
  return 'matroska';
}

/** @throws Problem `undecodable_image`, or `unsupported_media_type` without a picture track that is decoded here */
export async function readMatroska(reader: Reader): Promise<VideoTrack> {
  const type = docType(await reader.upTo(0, 4096));
  const segment = await find(reader, SEGMENT, 0, reader.size);
  if (!segment) throw broken('The video ends before it begins.');
  const info = { scale: 1_000_000, duration: 0 };
  let tracks: Entry[] | undefined;
  let clusters: number | undefined;
  for await (const element of elementsOf(reader, segment.body, segment.end)) {
    if (element.id === INFO) readInfo(await bodyOf(reader, element), info);
    if (element.id === TRACKS) tracks ??= tracksOf(await bodyOf(reader, element));
    if (element.id === CLUSTER) clusters ??= element.body;
    if (element.id === CLUSTER && (tracks || element.endless)) break;
  }
  if (!tracks) throw broken('The video does not describe its tracks.');
  const track = tracks.find((entry) => entry.type === PICTURE);
  if (!track) {
    const sound = tracks.some((entry) => entry.type === SOUND);
    const detail = sound ? 'The file has sound alone: no video track.' : 'The file has no video track.';
    throw new Problem('unsupported_media_type', { detail });
  }
  if (clusters === undefined) throw broken('The video has no frames.');
  const units = info.duration > 0 ? info.duration : await lastTimestamp(reader, segment);
  const frameRate = track.frameNs ? asFrameRate(1, track.frameNs / NANOSECONDS) : undefined;
  const sound = tracks.find((entry) => entry.type === SOUND);
  return {
    format: type === 'webm' ? 'webm' : 'mkv',
    id: 0,
    codec: videoCodec(track.codecId),
    ...(sound && { audioCodec: audioCodec(sound.codecId) }),
    stored: { width: track.width, height: track.height },
    pixelAspect: pixelAspect(track),
    orientation: orientationOf(track.roll),
    durationSeconds: Math.round(((units * info.scale) / NANOSECONDS) * 1e6) / 1e6,
    ...(frameRate !== undefined && { frameRate }),
    alpha: track.alpha,
  };
}

async function find(reader: Reader, id: number, from: number, to: number): Promise<Element | undefined> {
  for await (const element of elementsOf(reader, from, to)) if (element.id === id) return element;
  return undefined;
}

const bodyOf = (reader: Reader, { body, end }: Element) => reader.fields(body, end - body);

function readInfo(block: Fields, info: { scale: number; duration: number }): void {
  for (const { id, fields } of elementPartsOf(block)) {
    if (id === TIMESTAMP_SCALE) info.scale = unsigned(fields) || 1_000_000;
    if (id !== DURATION) continue;
    const duration = float(fields);
    info.duration = Number.isFinite(duration) && duration > 0 ? duration : 0;
  }
}

interface Entry {
  type: number;
  codecId: string;
  frameNs: number;
  width: number;
  height: number;
  displayWidth: number;
  displayHeight: number;
  roll: number;
  alpha: boolean;
}

function tracksOf(block: Fields): Entry[] {
  const entries: Entry[] = [];
  for (const { id, fields } of elementPartsOf(block)) if (id === TRACK_ENTRY) entries.push(entryOf(fields));
  return entries;
}

function entryOf(block: Fields): Entry {
  const entry: Entry = {
    type: 0,
    codecId: '',
    frameNs: 0,
    width: 0,
    height: 0,
    displayWidth: 0,
    displayHeight: 0,
    roll: 0,
    alpha: false,
  };
  for (const { id, fields } of elementPartsOf(block)) {
    if (id === TRACK_TYPE) entry.type = unsigned(fields);
    if (id === CODEC_ID) entry.codecId = text(fields);
    if (id === DEFAULT_DURATION) entry.frameNs = unsigned(fields);
    if (id === VIDEO) readPicture(fields, entry);
  }
  return entry;
}

function readPicture(block: Fields, entry: Entry): void {
  for (const { id, fields } of elementPartsOf(block)) {
    if (id === PIXEL_WIDTH) entry.width = unsigned(fields);
    if (id === PIXEL_HEIGHT) entry.height = unsigned(fields);
    // Pixels, centimetres or a mere ratio (DisplayUnit): of use is the ratio, which all of them give.
    if (id === DISPLAY_WIDTH) entry.displayWidth = unsigned(fields);
    if (id === DISPLAY_HEIGHT) entry.displayHeight = unsigned(fields);
    if (id === ALPHA_MODE) entry.alpha = unsigned(fields) === 1;
    if (id !== PROJECTION) continue;
    for (const part of elementPartsOf(fields)) {
      if (part.id === PROJECTION_POSE_ROLL) entry.roll = float(part.fields);
    }
  }
}

function pixelAspect({ width, height, displayWidth, displayHeight }: Entry): number {
  if (displayWidth === 0 || displayHeight === 0 || width === 0 || height === 0) return 1;
  return (displayWidth / displayHeight) * (height / width);
}

/** Counter-clockwise degrees (https://www.matroska.org/technical/notes.html#rotation), taken in steps of 90. */
function orientationOf(roll: number): Orientation {
  const quarters = Number.isFinite(roll) ? ((Math.round(roll / 90) % 4) + 4) % 4 : 0;
  return ([1, 8, 3, 6] as const)[quarters]!;
}

/**
 * When the last block of a recording begins that does not say how long it is: browsers record so. Clusters of
 * unknown size cannot be walked from the front without reading all, so that the last one is looked for at the end.
 */
async function lastTimestamp(reader: Reader, segment: Element): Promise<number> {
  const from = Math.max(segment.body, segment.end - TAIL_BYTES);
  const tail = await reader.upTo(from, segment.end - from);
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength);
  const at = bytes.lastIndexOf(Buffer.of(0x1f, 0x43, 0xb6, 0x75));
  const cluster = at < 0 ? undefined : headOf(bytes.subarray(at, at + 12));
  if (!cluster) return 0;
  let timestamp = 0;
  let last = 0;
  for (const { id, fields } of elementPartsOf(new Fields(bytes.subarray(at + cluster.bytes)))) {
    if (id === TIMESTAMP) timestamp = unsigned(fields);
    if (id === SIMPLE_BLOCK) last = Math.max(last, timestamp + offsetOf(fields));
    if (id !== BLOCK_GROUP) continue;
    for (const part of elementPartsOf(fields)) {
      if (part.id === BLOCK) last = Math.max(last, timestamp + offsetOf(part.fields));
    }
  }
  return Math.max(last, timestamp);
}

/** A block begins with the number of its track, a variable integer, and its time after its cluster's. */
function offsetOf(block: Fields): number {
  const trackBytes = block.length > 0 ? Math.clz32(block.u8(0)) - 23 : 9;
  if (trackBytes > 8 || block.length < trackBytes + 2) return 0;
  const offset = block.u16(trackBytes);
  return offset > 0x7fff ? offset - 0x10000 : offset;
}
