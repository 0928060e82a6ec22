/** Image files built byte by byte, as small as their formats allow, so that tests can bend every field. */
import { crc32, deflateSync } from 'node:zlib';

export type Part = number | string | Uint8Array | readonly number[];

/** Joins bytes, arrays of bytes, and strings as Latin-1. */
export function bytes(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) =>
      typeof part === 'number'
        ? Buffer.from([part])
        : typeof part === 'string'
          ? Buffer.from(part, 'latin1')
          : Buffer.from(part),
    ),
  );
}

export const be16 = (...values: number[]) => values.flatMap((v) => [(v >>> 8) & 255, v & 255]);
export const be32 = (...values: number[]) =>
  values.flatMap((v) => [(v >>> 24) & 255, (v >>> 16) & 255, (v >>> 8) & 255, v & 255]);
export const le16 = (...values: number[]) => values.flatMap((v) => [v & 255, (v >>> 8) & 255]);
export const le32 = (...values: number[]) =>
  values.flatMap((v) => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, (v >>> 24) & 255]);

/** Numbers as LONG (4), SHORT (3), text as ASCII (2); `ifd` points to another directory of the file. */
export type TiffValue = number[] | { short: number[] } | { text: string } | { ifds: number[] };
export type TiffEntries = Record<number, TiffValue>;

export interface TiffOptions {
  bigEndian?: boolean;
  /** The four bytes that a file begins with, where they are not TIFF's. */
  magic?: string;
  /** Bytes between the header and the first directory, such as CR2's. */
  prefix?: Part;
  /** How many of the directories are chained, from the first; the rest are reached by `ifds`. */
  chained?: number;
  /** Index of the directory that the last of the chain points to. */
  loopTo?: number;
  tail?: Part;
}

/** A little TIFF: directories in a row, their long values after each. */
export function tiff(directories: TiffEntries[], options: TiffOptions = {}): Buffer {
  const u16 = options.bigEndian ? be16 : le16;
  const u32 = options.bigEndian ? be32 : le32;
  const start = 8 + bytes(options.prefix ?? '').length;
  const encode = (value: TiffValue, offsets: number[]): { type: number; count: number; data: Buffer } => {
    if (Array.isArray(value)) return { type: 4, count: value.length, data: bytes(u32(...value)) };
    if ('short' in value) return { type: 3, count: value.short.length, data: bytes(u16(...value.short)) };
    if ('text' in value) return { type: 2, count: value.text.length + 1, data: bytes(value.text, 0) };
    return { type: 4, count: value.ifds.length, data: bytes(u32(...value.ifds.map((i) => offsets[i] ?? 0))) };
  };
  const layout = (offsets: number[]) => {
    const found: number[] = [];
    const parts: Buffer[] = [];
    let at = start;
    for (const [index, entries] of directories.entries()) {
      found.push(at);
      const list = Object.entries(entries).map(([tag, value]) => ({
        tag: Number(tag),
        ...encode(value, offsets),
      }));
      let far = at + 2 + list.length * 12 + 4;
      const rows: Buffer[] = [];
      const values: Buffer[] = [];
      for (const { tag, type, count, data } of list) {
        const inline = data.length <= 4;
        rows.push(
          bytes(u16(tag, type), u32(count), inline ? bytes(data, new Uint8Array(4 - data.length)) : u32(far)),
        );
        if (inline) continue;
        values.push(data);
        far += data.length;
      }
      const last = (options.chained ?? directories.length) - 1;
      const next =
        index < last ? (offsets[index + 1] ?? 0) : index === last ? (offsets[options.loopTo ?? -1] ?? 0) : 0;
      parts.push(bytes(u16(list.length), ...rows, u32(next), ...values));
      at = far;
    }
    return { found, body: Buffer.concat(parts) };
  };
  const { found } = layout([]);
  const magic = options.magic ?? (options.bigEndian ? 'MM\0*' : 'II*\0');
  return bytes(magic, u32(start), options.prefix ?? '', layout(found).body, options.tail ?? '');
}

/** Entries of an uncompressed grey picture whose pixels are the file's first bytes: enough for the probe. */
export const picture = (width: number, height: number, more: TiffEntries = {}): TiffEntries => ({
  256: [width],
  257: [height],
  258: { short: [8] },
  259: { short: [1] },
  262: { short: [1] },
  273: [0],
  277: { short: [1] },
  278: [height],
  279: [8],
  ...more,
});

export const exif = (orientation: number, bigEndian = false) =>
  tiff([{ 274: { short: [orientation] } }], { bigEndian });

export const pngChunk = (type: string, body: Part = '') => {
  const typed = bytes(type, body);
  return bytes(be32(typed.length - 4), typed, be32(crc32(typed)));
};

export interface PngOptions {
  width?: number;
  height?: number;
  depth?: number;
  colorType?: number;
  before?: Buffer[];
  after?: Buffer[];
}

export function png({
  width = 4,
  height = 3,
  depth = 8,
  colorType = 2,
  before = [],
  after = [],
}: PngOptions = {}): Buffer {
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colorType] ?? 1;
  const row = 1 + Math.ceil((width * channels * depth) / 8);
  const ihdr = pngChunk('IHDR', bytes(be32(width, height), depth, colorType, 0, 0, 0));
  const data = width * height < 1e6 ? deflateSync(new Uint8Array(row * height)) : bytes(0);
  return bytes('\x89PNG\r\n\x1a\n', ihdr, ...before, pngChunk('IDAT', data), ...after, pngChunk('IEND'));
}

export interface GifFrame {
  left?: number;
  top?: number;
  width: number;
  height: number;
  transparent?: boolean;
}

/** A GIF with a palette of two colours; every pixel has index 0. */
export function gif(width: number, height: number, frames: GifFrame[]): Buffer {
  const parts: Part[] = ['GIF89a', le16(width, height), 0x80, 0, 0, 0, 0, 0, 255, 255, 255];
  for (const frame of frames) {
    if (frame.transparent) parts.push([0x21, 0xf9, 4, 1, 10, 0, 0, 0]);
    parts.push([0x2c], le16(frame.left ?? 0, frame.top ?? 0, frame.width, frame.height), [0, 2]);
    const data = lzwOfZeros(frame.width * frame.height);
    for (let at = 0; at < data.length; at += 255) {
      const block = data.subarray(at, at + 255);
      parts.push(block.length, block);
    }
    parts.push(0);
  }
  return bytes(...parts, 0x3b);
}

/** Codes of three bits, the table cleared before every pixel. */
function lzwOfZeros(pixels: number): Buffer {
  const out: number[] = [];
  let held = 0;
  let bits = 0;
  const put = (code: number) => {
    held |= code << bits;
    bits += 3;
    while (bits >= 8) {
      out.push(held & 255);
      held >>= 8;
      bits -= 8;
    }
  };
  for (let i = 0; i < pixels; i++) {
    put(4);
    put(0);
  }
  put(5);
  out.push(held & 255);
  return Buffer.from(out);
}

export const riff = (...chunks: [string, Part][]) => {
  const body = bytes(
    'WEBP',
    ...chunks.flatMap(([type, part]) => {
      const data = bytes(part);
      return [type, le32(data.length), data, data.length % 2 === 1 ? [0] : []] as Part[];
    }),
  );
  return bytes('RIFF', le32(body.length), body);
};

const le24 = (value: number) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255];

export const vp8x = (flags: number, width: number, height: number) =>
  bytes(flags, 0, 0, 0, le24(width - 1), le24(height - 1));
export const vp8l = (width: number, height: number, alpha = false) =>
  bytes(0x2f, le32(((width - 1) | ((height - 1) << 14) | ((alpha ? 1 : 0) << 28)) >>> 0), 0, 0, 0);
export const vp8 = (width: number, height: number) =>
  bytes(0, 0, 0, 0x9d, 0x01, 0x2a, le16(width, height), 0, 0);

export const box = (type: string, ...parts: Part[]): Buffer => {
  const body = bytes(...parts);
  return bytes(be32(body.length + 8), type, body);
};
export const fullBox = (type: string, version: number, flags: number, ...parts: Part[]) =>
  box(type, be32(((version << 24) | flags) >>> 0), ...parts);

export interface HeifItem {
  id: number;
  type: string;
  /** Numbers of properties, from 1. */
  properties?: number[];
  /** Bytes of the item in the mdat; for a `grid` in the idat. */
  data: Part;
  hidden?: boolean;
}

export interface HeifOptions {
  brand?: string;
  brands?: string[];
  primary?: number;
  items: HeifItem[];
  properties: Buffer[];
  references?: { type: string; from: number; to: number[] }[];
  trailer?: Part;
}

export const ispe = (width: number, height: number) => fullBox('ispe', 0, 0, be32(width, height));
export const pixi = (...bits: number[]) => fullBox('pixi', 0, 0, bits.length, bits);
export const irot = (turns: number) => box('irot', turns);
export const alphaType = fullBox('auxC', 0, 0, 'urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0');
export const clap = (width: [number, number], height: [number, number]) =>
  box('clap', be32(...width, ...height, 0, 1, 0, 1));

export const gridData = (rows: number, columns: number, width: number, height: number) =>
  bytes(0, 0, rows - 1, columns - 1, be16(width, height));

/** A HEIF or AVIF file whose coded pictures are any bytes: the probe does not decode them. */
export function heif(options: HeifOptions): Buffer {
  const { items, properties } = options;
  const ftyp = box('ftyp', options.brand ?? 'heic', be32(0), ...(options.brands ?? ['mif1', 'heic']));
  const infos = items.map((i) => fullBox('infe', 2, i.hidden ? 1 : 0, be16(i.id, 0), i.type, 0));
  const ipma = items.map((i) => bytes(be16(i.id), i.properties?.length ?? 0, i.properties ?? []));
  const references = (options.references ?? []).map((r) => box(r.type, be16(r.from, r.to.length, ...r.to)));
  const meta = (dataAt: number) => {
    let inFile = dataAt;
    let inIdat = 0;
    const locations = items.map((item) => {
      const data = bytes(item.data);
      const idat = item.type === 'grid';
      const at = idat ? inIdat : inFile;
      if (idat) inIdat += data.length;
      else inFile += data.length;
      return bytes(be16(item.id, idat ? 1 : 0, 0, 1), be32(at, data.length));
    });
    return fullBox(
      'meta',
      0,
      0,
      fullBox('hdlr', 0, 0, be32(0), 'pict', be32(0, 0, 0), 0),
      fullBox('pitm', 0, 0, be16(options.primary ?? items[0]?.id ?? 1)),
      fullBox('iloc', 1, 0, 0x44, 0x00, be16(items.length), ...locations),
      fullBox('iinf', 0, 0, be16(items.length), ...infos),
      box('iprp', box('ipco', ...properties), fullBox('ipma', 0, 0, be32(items.length), ...ipma)),
      ...(references.length > 0 ? [fullBox('iref', 0, 0, ...references)] : []),
      box('idat', ...items.filter((i) => i.type === 'grid').map((i) => i.data)),
    );
  };
  const dataAt = ftyp.length + meta(0).length + 8;
  const data = items.filter((i) => i.type !== 'grid').map((i) => i.data);
  return bytes(ftyp, meta(dataAt), box('mdat', ...data), options.trailer ?? '');
}

/** JPEG segments around a frame header; the scan is any bytes. */
export const segment = (marker: number, ...parts: Part[]) => {
  const body = bytes(...parts);
  return bytes(0xff, marker, be16(body.length + 2), body);
};
export const sof = (marker: number, width: number, height: number, components = 3, precision = 8) =>
  segment(
    marker,
    precision,
    be16(height, width),
    components,
    Array.from({ length: components }, (_, i) => [i + 1, 0x11, 0]).flat(),
  );
export const sos = (components = 3) =>
  bytes(
    segment(0xda, components, Array.from({ length: components }, (_, i) => [i + 1, 0]).flat(), 0, 63, 0),
    [1, 2, 0xff, 0, 3, 0xff, 0xd0, 4],
  );
export const jpeg = (...segments: Buffer[]) => bytes(0xff, 0xd8, ...segments, 0xff, 0xd9);

export interface BmpOptions {
  width: number;
  height: number;
  bits: number;
  compression?: number;
  /** Bytes of the second header. */
  headerBytes?: number;
  masks?: number[];
  /** Blue, green, red (and a fourth byte but in OS/2 headers). */
  palette?: number[][];
  pixels: Part;
}

export function bmp({
  width,
  height,
  bits,
  compression = 0,
  headerBytes = 40,
  masks = [],
  palette = [],
  pixels,
}: BmpOptions) {
  const core = headerBytes === 12;
  const start = core
    ? bytes(le32(12), le16(width, height, 1, bits))
    : bytes(le32(headerBytes, width, height), le16(1, bits), le32(compression, 0, 0, 0, palette.length, 0));
  const inside = headerBytes > 40 ? headerBytes - 40 : 0;
  const info = bytes(start, le32(...masks));
  const padded = inside > 0 ? bytes(info, new Uint8Array(headerBytes - info.length)) : info;
  const colors = bytes(...palette.map((color) => (core ? color.slice(0, 3) : [...color.slice(0, 3), 0])));
  const offset = 14 + padded.length + colors.length;
  const body = bytes(pixels);
  return bytes('BM', le32(offset + body.length, 0, offset), padded, colors, body);
}
