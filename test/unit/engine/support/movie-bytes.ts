/** Movies and Matroska files built byte by byte, without a frame that could be decoded. */
import { be16, be32, box, bytes, fullBox, type Part } from './image-bytes.ts';

export const IDENTITY = [1, 0, 0, 1];

/** Fixed-point rows of a display matrix. */
const matrix = ([a = 1, b = 0, c = 0, d = 1]: readonly number[]) =>
  be32(a * 65_536, b * 65_536, 0, c * 65_536, d * 65_536, 0, 0, 0, 0x4000_0000);

export interface TrackOptions {
  id?: number;
  handler?: string;
  /** Sample entry. */
  codec?: string;
  width?: number;
  height?: number;
  /** As presented; those of the coded picture when absent. */
  presented?: [width: number, height: number];
  turn?: readonly number[];
  /** In thousandths of a second; undefined where it is unknown. */
  duration?: number | undefined;
  samples?: number;
  /** Boxes behind the fields of the sample entry. */
  entryBoxes?: Part;
  /** Boxes beside `mdia`. */
  boxes?: Part;
  /** Boxes of the sample table beside `stsd` and `stsz`. */
  tables?: Part;
}

export function track(options: TrackOptions = {}): Buffer {
  const { id = 1, handler = 'vide', codec = 'avc1', width = 64, height = 48, turn = IDENTITY } = options;
  const { samples = 20, entryBoxes = '', boxes = '', tables = '' } = options;
  const duration = 'duration' in options ? (options.duration ?? 0xffff_ffff) : 2000;
  const [shownWidth, shownHeight] = options.presented ?? [width, height];
  const picture = handler !== 'soun';
  const entry = picture
    ? box(codec, new Uint8Array(24), be16(width, height), new Uint8Array(50), entryBoxes)
    : box(codec, new Uint8Array(28));
  const table = box(
    'stbl',
    fullBox('stsd', 0, 0, be32(1), entry),
    fullBox('stsz', 0, 0, be32(1, samples)),
    tables,
  );
  return box(
    'trak',
    fullBox(
      'tkhd',
      0,
      3,
      be32(0, 0, id, 0, duration, 0, 0, 0, 0),
      matrix(turn),
      be32(shownWidth * 65_536, shownHeight * 65_536),
    ),
    boxes,
    box(
      'mdia',
      fullBox('mdhd', 0, 0, be32(0, 0, 1000, duration), be16(0, 0)),
      fullBox('hdlr', 0, 0, be32(0), handler, be32(0, 0, 0), 0),
      box('minf', table),
    ),
  );
}

export interface MovieOptions {
  brand?: string;
  compatible?: string[];
  tracks?: Buffer[];
  /** The movie's own matrix. */
  turn?: readonly number[];
  /** Further boxes of `moov`. */
  boxes?: Part;
  /** Where the index lies; cameras write it last. */
  moov?: 'first' | 'last' | 'missing';
  /** Boxes behind it all. */
  tail?: Part;
}

export function movie(options: MovieOptions = {}): Buffer {
  const { brand = 'isom', compatible = [], tracks = [track()], turn = IDENTITY, boxes = '' } = options;
  const header = fullBox(
    'mvhd',
    0,
    0,
    be32(0, 0, 1000, 2000, 0x10000, 0, 0, 0),
    matrix(turn),
    be32(0, 0, 0, 0, 0, 0, 2),
  );
  const index = box('moov', header, ...tracks, boxes);
  const data = box('mdat', 'coded frames');
  const { moov = 'first', tail = '' } = options;
  return bytes(
    box('ftyp', brand, be32(0), ...compatible),
    ...(moov === 'first' ? [index] : []),
    data,
    ...(moov === 'last' ? [index] : []),
    tail,
  );
}

/** An EBML element: its id as the bytes that it is, its size in eight bytes, or unknown. */
export function element(id: number, body: Part, endless = false): Buffer {
  const content = bytes(body);
  const idBytes = be32(id).slice(be32(id).findIndex((byte) => byte !== 0));
  const size = endless ? [0x01, 255, 255, 255, 255, 255, 255, 255] : [0x01, 0, 0, 0, ...be32(content.length)];
  return bytes(idBytes, size, content);
}

const float64 = (value: number) => {
  const data = Buffer.alloc(8);
  data.writeDoubleBE(value);
  return data;
};

export interface MatroskaOptions {
  docType?: string;
  codecId?: string;
  /** 1 for pictures, 2 for sound. */
  trackType?: number;
  width?: number;
  height?: number;
  display?: [width: number, height: number];
  roll?: number;
  alpha?: boolean;
  /** Milliseconds; none is written when undefined. */
  duration?: number | undefined;
  frameNs?: number;
  /** Clusters that do not say where they end, as browsers record. */
  live?: boolean;
  /** When blocks begin, in milliseconds after their cluster's 1000. */
  blocks?: number[];
}

export function matroska(options: MatroskaOptions = {}): Buffer {
  const {
    docType = 'webm',
    codecId = 'V_VP9',
    trackType = 1,
    width = 64,
    height = 48,
    live = false,
  } = options;
  const duration = 'duration' in options ? options.duration : 2000;
  const { blocks = [0, 500, 900] } = options;
  const picture = bytes(
    element(0xb0, be32(width)),
    element(0xba, be32(height)),
    options.display
      ? bytes(element(0x54b0, be32(options.display[0])), element(0x54ba, be32(options.display[1])))
      : '',
    options.roll === undefined ? '' : element(0x7670, element(0x7675, float64(options.roll))),
    options.alpha ? element(0x53c0, 1) : '',
  );
  const entry = bytes(
    element(0xd7, 1),
    element(0x83, trackType),
    element(0x86, codecId),
    options.frameNs === undefined ? '' : element(0x23e383, be32(options.frameNs)),
    trackType === 1 ? element(0xe0, picture) : '',
  );
  const cluster = bytes(
    element(0xe7, be32(1000)),
    ...blocks.map((at) => element(0xa3, bytes(0x81, be16(at & 0xffff), 0x80, 'frame'))),
  );
  return bytes(
    element(0x1a45dfa3, element(0x4282, docType)),
    element(
      0x18538067,
      bytes(
        element(
          0x1549a966,
          bytes(
            element(0x2ad7b1, be32(1_000_000)),
            duration === undefined ? '' : element(0x4489, float64(duration)),
          ),
        ),
        element(0x1654ae6b, element(0xae, entry)),
        element(0x1f43b675, cluster, live),
      ),
      live,
    ),
  );
}
