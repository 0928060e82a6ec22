/**
 * BMP files of every kind, in the spirit of Jason Summers' bmpsuite: made here byte by byte, each with the pixels that
 * its description gives. Sizes are odd, so that rows need padding.
 */
import sharp from 'sharp';

export interface BmpCase {
  name: string;
  file: Buffer;
  /** RGB, or RGBA where `channels` is 4, from above. */
  expected?: { width: number; height: number; channels: 3 | 4; data: Uint8Array; tolerance?: number };
  /** What the refusal says. */
  refused?: RegExp;
}

type Rgb = [red: number, green: number, blue: number];

interface Layout {
  width: number;
  /** Negative where the first row is on top. */
  height: number;
  bits: number;
  headerBytes?: number;
  compression?: number;
  masks?: number[];
  palette?: Rgb[];
  /** Written instead of the palette's length. */
  colorsUsed?: number;
  pixels: Uint8Array;
  /** Unused bytes before the pixels. */
  gap?: number;
  /** Written instead of where the pixels are. */
  offset?: number;
  profile?: { type: 'MBED' | 'LINK'; data: Uint8Array };
}

const CORE = 12;
const INFO = 40;
const OS2_V2 = 64;
const V4 = 108;
const V5 = 124;

const u16 = (...values: number[]) => Buffer.from(Uint16Array.from(values).buffer);
const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);

function bmp(layout: Layout): Buffer {
  const {
    width,
    height,
    bits,
    headerBytes = INFO,
    compression = 0,
    masks = [],
    palette = [],
    profile,
  } = layout;
  const isCore = headerBytes === CORE;
  const fields = isCore
    ? Buffer.concat([u32(CORE), u16(width, height, 1, bits)])
    : Buffer.concat([
        u32(headerBytes, width, height),
        u16(1, bits),
        u32(compression, layout.pixels.length, 2835, 2835, layout.colorsUsed ?? palette.length, 0),
        ...(headerBytes >= 52 && headerBytes !== OS2_V2 ? [u32(...masks)] : []),
      ]);
  const header = Buffer.alloc(Math.max(headerBytes, 0));
  fields.copy(header);
  const masksAfter = headerBytes === INFO ? u32(...masks) : Buffer.alloc(0);
  const colors = Buffer.from(palette.flatMap(([r, g, b]) => (isCore ? [b, g, r] : [b, g, r, 0])));
  const pixelsAt = 14 + header.length + masksAfter.length + colors.length + (layout.gap ?? 0);
  if (profile) {
    header.write(profile.type.split('').reverse().join(''), 56, 'latin1');
    header.writeUInt32LE(pixelsAt - 14 + layout.pixels.length, 112);
    header.writeUInt32LE(profile.data.length, 116);
  }
  const body = Buffer.concat([layout.pixels, profile?.data ?? Buffer.alloc(0)]);
  return Buffer.concat([
    Buffer.from('BM'),
    u32(pixelsAt + body.length, 0, layout.offset ?? pixelsAt),
    header,
    masksAfter,
    colors,
    Buffer.alloc(layout.gap ?? 0),
    body,
  ]);
}

const WIDTH = 19;
const HEIGHT = 11;

const paletteOf = (count: number): Rgb[] =>
  Array.from({ length: count }, (_, i) => [(i * 37 + 5) & 255, (i * 91 + 20) & 255, (i * 151 + 40) & 255]);
const indexAt = (x: number, y: number, count: number) => (x * 7 + y * 3 + (x >> 2)) % count;
const levelAt = (x: number, y: number, channel: number, levels: number) =>
  (x * (13 + channel * 4) + y * (29 - channel * 6) + channel) % levels;

/** Rows as a file stores them: from below unless `topDown`, each padded to four bytes. */
function rows(rowOf: (y: number) => Uint8Array, topDown = false, height = HEIGHT): Buffer {
  const order = Array.from({ length: height }, (_, i) => (topDown ? i : height - 1 - i));
  return Buffer.concat(
    order.map((y) => {
      const row = rowOf(y);
      const padded = Buffer.alloc((row.length + 3) & ~3, 0xa5);
      padded.set(row);
      return padded;
    }),
  );
}

function packed(y: number, bits: number, count: number): Uint8Array {
  const row = new Uint8Array(Math.ceil((WIDTH * bits) / 8));
  for (let x = 0; x < WIDTH; x++) {
    const bit = x * bits;
    row[bit >> 3]! |= indexAt(x, y, count) << (8 - bits - (bit & 7));
  }
  return row;
}

function picture(
  channels: 3 | 4,
  colorAt: (x: number, y: number) => number[],
  width = WIDTH,
  height = HEIGHT,
) {
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set(colorAt(x, y), (y * width + x) * channels);
  }
  return { width, height, channels, data };
}

interface PalettedOptions extends Partial<Layout> {
  /** Colours that the picture uses; those that the palette lacks are black. */
  used?: number;
}

function paletted(name: string, bits: number, colors: number, options: PalettedOptions = {}): BmpCase {
  const { used = colors, ...layout } = options;
  const palette = paletteOf(colors);
  const topDown = (layout.height ?? 1) < 0;
  return {
    name,
    file: bmp({
      width: WIDTH,
      height: HEIGHT,
      bits,
      palette,
      pixels: rows((y) => packed(y, bits, used), topDown),
      ...layout,
    }),
    expected: picture(3, (x, y) => palette[indexAt(x, y, used)] ?? [0, 0, 0]),
  };
}

interface Field {
  shift: number;
  bits: number;
}

const maskOf = ({ shift, bits }: Field) => (2 ** bits - 1) * 2 ** shift;

/** A picture of red, green, blue and, as a fourth field, alpha. */
function masked(name: string, bits: 16 | 32, fields: Field[], layout: Partial<Layout> = {}): BmpCase {
  const topDown = (layout.height ?? 1) < 0;
  const valueAt = (x: number, y: number, c: number) => {
    const levels = 2 ** fields[c]!.bits;
    // Spread over the field's whole range, both ends among them.
    return Math.floor((levelAt(x, y, c, 64) * (levels - 1)) / 63);
  };
  const rowOf = (y: number) => {
    const values = Array.from({ length: WIDTH }, (_, x) =>
      fields.reduce((sum, { shift }, c) => sum + valueAt(x, y, c) * 2 ** shift, 0),
    );
    return bits === 16 ? u16(...values) : u32(...values);
  };
  const shown = fields.filter((field, c) => c < 3 || field.bits > 0);
  return {
    name,
    file: bmp({
      width: WIDTH,
      height: HEIGHT,
      bits,
      compression: 3,
      masks: fields.map(maskOf),
      pixels: rows(rowOf, topDown),
      ...layout,
    }),
    expected: {
      ...picture(shown.length as 3 | 4, (x, y) =>
        shown.map((field, c) =>
          field.bits === 0 ? 0 : Math.round((valueAt(x, y, c) * 255) / (2 ** field.bits - 1)),
        ),
      ),
      // Of wide fields the upper bits decide.
      ...(fields.some((field) => field.bits > 12) && { tolerance: 1 }),
    },
  };
}

const at = (shift: number, bits: number): Field => ({ shift, bits });
const RGB555 = [at(10, 5), at(5, 5), at(0, 5)];
const RGB565 = [at(11, 5), at(5, 6), at(0, 5)];
const BGRX = [at(16, 8), at(8, 8), at(0, 8)];
const BGRA = [...BGRX, at(24, 8)];

const colorAt = (x: number, y: number): Rgb => [
  levelAt(x, y, 0, 256),
  levelAt(x, y, 1, 256),
  levelAt(x, y, 2, 256),
];
const trueColor = (y: number) =>
  Uint8Array.from({ length: WIDTH * 3 }, (_, i) => colorAt(Math.floor(i / 3), y)[2 - (i % 3)]!);

function rgb24(name: string, layout: Partial<Layout> = {}): BmpCase {
  const pixels = rows(trueColor, (layout.height ?? 1) < 0);
  return {
    name,
    file: bmp({ width: WIDTH, height: HEIGHT, bits: 24, pixels, ...layout }),
    expected: picture(3, colorAt),
  };
}

/** What a run-length encoder may say. */
type Code =
  | { run: number; of: number[] }
  | { literals: number[] }
  | { jump: [right: number, up: number] }
  | 'line'
  | 'end';

/** One picture in the words of RLE4, RLE8 or RLE24, whose `of` and `literals` are palette indices. */
function runs(name: string, bits: 4 | 8 | 24, codes: Code[], layout: Partial<Layout> = {}): BmpCase {
  const [width, height] = [layout.width ?? 9, layout.height ?? 4];
  const palette = paletteOf(bits === 4 ? 16 : 40);
  const canvas = Array.from({ length: height }, () => new Array<number>(width).fill(0));
  const out: number[] = [];
  let [x, fromBelow] = [0, 0];
  const paint = (index: number) => {
    const row = canvas[height - 1 - fromBelow];
    if (row && x < width) row[x] = index;
    x += 1;
  };
  for (const code of codes) {
    if (code === 'line') {
      out.push(0, 0);
      [x, fromBelow] = [0, fromBelow + 1];
    } else if (code === 'end') out.push(0, 1);
    else if ('jump' in code) {
      out.push(0, 2, ...code.jump);
      [x, fromBelow] = [x + code.jump[0], fromBelow + code.jump[1]];
    } else if ('run' in code) {
      out.push(code.run, ...stored(code.of));
      for (let i = 0; i < code.run; i++) paint(code.of[i % code.of.length]!);
    } else {
      out.push(0, code.literals.length, ...stored(code.literals));
      if (out.length % 2 === 1) out.push(0);
      for (const index of code.literals) paint(index);
    }
  }
  function stored(indices: number[]): number[] {
    if (bits === 8) return indices;
    if (bits === 24) return indices.flatMap((i) => palette[i]!.toReversed());
    const pairs = Math.ceil(indices.length / 2);
    return Array.from({ length: pairs }, (_, i) => (indices[i * 2]! << 4) | (indices[i * 2 + 1] ?? 0));
  }
  return {
    name,
    file: bmp({
      width,
      height,
      bits,
      compression: bits === 4 ? 2 : bits === 8 ? 1 : 4,
      ...(bits === 24 ? { headerBytes: OS2_V2 } : { palette }),
      pixels: Uint8Array.from(out),
      ...layout,
    }),
    expected: picture(
      3,
      (px, py) => (bits === 24 && canvas[py]![px] === 0 ? [0, 0, 0] : palette[canvas[py]![px]!]!),
      width,
      height,
    ),
  };
}

const refusedCase = (name: string, refused: RegExp, layout: Layout): BmpCase => ({
  name,
  file: bmp(layout),
  refused,
});

function headers(): BmpCase[] {
  return [
    ...([1, 4, 8] as const).map((bits) =>
      paletted(`${bits} bits, OS/2 1.x`, bits, 2 ** bits, { headerBytes: CORE }),
    ),
    rgb24('24 bits, OS/2 1.x', { headerBytes: CORE }),
    ...([16, 20, 24, 36, 64] as const).map((headerBytes) =>
      // A header of 16 bytes has no place for the number of colours: all of them are there.
      paletted(`8 bits, OS/2 2.x with ${headerBytes} bytes`, 8, 256, { headerBytes }),
    ),
    rgb24('24 bits, OS/2 2.x with 16 bytes', { headerBytes: 16 }),
    rgb24('24 bits, OS/2 2.x with 64 bytes', { headerBytes: OS2_V2 }),
    ...[40, 52, 56, V4, V5].flatMap((headerBytes) => [
      paletted(`8 bits under a header of ${headerBytes} bytes`, 8, 256, {
        headerBytes,
        masks: headerBytes === 40 ? [] : [0, 0, 0],
      }),
      rgb24(`24 bits under a header of ${headerBytes} bytes`, {
        headerBytes,
        masks: headerBytes === 40 ? [] : [0, 0, 0],
      }),
    ]),
    ...([1, 2, 4, 8] as const).map((bits) => paletted(`${bits} bits`, bits, 2 ** bits)),
    paletted('8 bits, top-down', 8, 256, { height: -HEIGHT }),
    paletted('1 bit, top-down', 1, 2, { height: -HEIGHT }),
    rgb24('24 bits, top-down', { height: -HEIGHT }),
  ];
}

function palettes(): BmpCase[] {
  return [
    paletted('a palette of one colour', 1, 1, { used: 1 }),
    paletted('fewer colours than the depth has', 8, 100),
    paletted('indices beyond the palette', 8, 100, { used: 140 }),
    paletted('4 bits, 12 colours', 4, 12),
    paletted('more colours than the depth has', 4, 24, { used: 16 }),
    paletted('a number of colours that is absurd', 8, 256, { colorsUsed: 0xffffffff }),
    paletted('no number of colours', 8, 256, { colorsUsed: 0 }),
    rgb24('24 bits with a palette to suggest', { palette: paletteOf(16) }),
    paletted('a gap before the pixels', 8, 256, { gap: 100 }),
    paletted('OS/2 1.x with a short palette', 8, 20, { headerBytes: CORE }),
    paletted('no offset of the pixels', 8, 256, { offset: 0 }),
    rgb24('24 bits, no offset of the pixels', { offset: 0 }),
  ];
}

function fields(): BmpCase[] {
  return [
    masked('16 bits, no masks', 16, RGB555, { compression: 0, masks: [] }),
    masked('16 bits, 5-6-5', 16, RGB565),
    masked('16 bits, 5-5-5 by masks', 16, RGB555),
    masked('16 bits, 5-6-5, top-down', 16, RGB565, { height: -HEIGHT }),
    masked('16 bits, 4-4-4', 16, [at(8, 4), at(4, 4), at(0, 4)]),
    masked('16 bits, 2-3-1', 16, [at(4, 2), at(1, 3), at(0, 1)]),
    masked('16 bits, green alone', 16, [at(0, 0), at(0, 16), at(0, 0)]),
    masked('16 bits, 5-5-5-1 of V4', 16, [...RGB555, at(15, 1)], { headerBytes: V4 }),
    masked('16 bits, 4-4-4-4 of V5', 16, [at(8, 4), at(4, 4), at(0, 4), at(12, 4)], { headerBytes: V5 }),
    masked('32 bits, no masks', 32, BGRX, { compression: 0, masks: [] }),
    masked('32 bits by masks', 32, BGRX),
    masked('32 bits, red in the lowest byte', 32, [at(0, 8), at(8, 8), at(16, 8)]),
    masked('32 bits, fields from the highest bit', 32, [at(24, 8), at(16, 8), at(8, 8)]),
    masked('32 bits, 10-10-10', 32, [at(20, 10), at(10, 10), at(0, 10)]),
    masked('32 bits, 11-11-10', 32, [at(21, 11), at(10, 11), at(0, 10)]),
    masked('32 bits, 7-17-8', 32, [at(25, 7), at(8, 17), at(0, 8)]),
    masked('32 bits, red alone, over all of them', 32, [at(0, 32), at(0, 0), at(0, 0)]),
    masked('32 bits, masks inside of 52 bytes', 32, BGRX, { headerBytes: 52 }),
    masked('32 bits with alpha, 56 bytes', 32, BGRA, { headerBytes: 56 }),
    masked('32 bits with alpha, V4', 32, BGRA, { headerBytes: V4 }),
    masked('32 bits with alpha, V5', 32, BGRA, { headerBytes: V5 }),
    masked('32 bits with alpha, V5, top-down', 32, BGRA, { headerBytes: V5, height: -HEIGHT }),
    masked('32 bits with alpha after 40 bytes', 32, BGRA, { compression: 6 }),
    masked('32 bits with alpha, 6-17-5-4', 32, [at(26, 6), at(9, 17), at(4, 5), at(0, 4)], {
      headerBytes: V5,
    }),
  ];
}

const LINE_8: Code[] = [{ run: 4, of: [7] }, { literals: [1, 2, 3] }, { run: 2, of: [9] }, 'line'];
const LINE_4: Code[] = [{ run: 5, of: [7, 3] }, { literals: [1, 2, 15] }, { run: 1, of: [9, 4] }, 'line'];

function runLengths(): BmpCase[] {
  const four = (line: Code[]) => Array.from({ length: 4 }, () => line).flat();
  return [
    runs('RLE8', 8, [...four(LINE_8), 'end']),
    runs('RLE8 without an end', 8, four(LINE_8)),
    runs('RLE8, literals of odd and even length', 8, [
      { literals: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
      'line',
      { literals: [4, 3, 2, 1] },
      { literals: [5, 6, 7, 8, 9] },
      'line',
      'line',
      { run: 9, of: [2] },
      'line',
      'end',
    ]),
    runs('RLE8, jumps', 8, [
      { run: 2, of: [5] },
      { jump: [3, 1] },
      { run: 2, of: [6] },
      { jump: [0, 2] },
      { run: 1, of: [8] },
      'end',
    ]),
    runs('RLE8, lines that end early', 8, [{ run: 2, of: [5] }, 'line', 'line', { run: 3, of: [6] }, 'end']),
    runs('RLE8, nothing but an end', 8, ['end']),
    runs('RLE8 under a V5 header', 8, [...four(LINE_8), 'end'], { headerBytes: V5, masks: [0, 0, 0] }),
    runs('RLE8 of OS/2 2.x', 8, [...four(LINE_8), 'end'], { headerBytes: OS2_V2 }),
    runs('RLE4', 4, [...four(LINE_4), 'end']),
    runs('RLE4, literals of odd length', 4, [
      { literals: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
      'line',
      { literals: [15, 0, 14] },
      { literals: [1, 2, 3, 4, 5, 6] },
      'end',
    ]),
    runs('RLE4, jumps', 4, [
      { jump: [4, 1] },
      { run: 3, of: [5, 6] },
      { jump: [1, 1] },
      { run: 1, of: [2, 3] },
      'end',
    ]),
    runs('RLE24 of OS/2', 24, [
      { run: 4, of: [7] },
      { literals: [1, 2, 3] },
      { run: 2, of: [9] },
      'line',
      { jump: [2, 1] },
      { literals: [5, 6, 7, 8] },
      'line',
      { run: 9, of: [30] },
      'end',
    ]),
    { ...runs('RLE8 past the right edge', 8, [{ run: 10, of: [1] }, 'end']), refused: /past the edge/ },
    {
      ...runs('RLE8 past the upper edge', 8, [...four(LINE_8), { run: 1, of: [1] }, 'end']),
      refused: /past the edge/,
    },
    {
      ...runs('RLE8 jumping out', 8, [{ jump: [200, 0] }, { run: 1, of: [1] }, 'end']),
      refused: /past the edge/,
    },
    {
      ...runs('RLE4 past the right edge', 4, [{ literals: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }, 'end']),
      refused: /past the edge/,
    },
    { ...runs('RLE8 cut off', 8, LINE_8), refused: /ends before/ },
  ].map(({ expected, refused, ...rest }) =>
    refused ? { ...rest, refused } : { ...rest, expected: expected! },
  );
}

function refusals(): BmpCase[] {
  const plain = { width: 4, height: 3, bits: 24, pixels: new Uint8Array(48) };
  return [
    refusedCase('a negative width', /width of -4/, { ...plain, width: -4 }),
    refusedCase('no width', /0 × 3/, { ...plain, width: 0 }),
    refusedCase('no height', /4 × 0/, { ...plain, height: 0 }),
    refusedCase('the least height that there is', /2147483648/, { ...plain, height: -2147483648 }),
    refusedCase('more pixels than allowed', /at most/, { ...plain, width: 0x7fffffff, height: 0x7fffffff }),
    refusedCase('7 bits', /7 bits/, { ...plain, bits: 7 }),
    refusedCase('no bits', /0 bits/, { ...plain, bits: 0 }),
    refusedCase('64 bits', /64 bits/, { ...plain, bits: 64 }),
    refusedCase('an unknown compression', /compression 11/, { ...plain, compression: 11 }),
    refusedCase('RLE8 of 24 bits', /compression 1 with 24/, { ...plain, compression: 1 }),
    refusedCase('bit fields of 8 bits', /compression 3 with 8/, { ...plain, bits: 8, compression: 3 }),
    refusedCase('Huffman of OS/2', /Huffman/, { ...plain, bits: 1, compression: 3, headerBytes: OS2_V2 }),
    refusedCase('a header of 66 bytes', /66 bytes/, { ...plain, headerBytes: 66 }),
    refusedCase('RLE from above', /top-down/, { ...plain, height: -3, bits: 8, compression: 1 }),
    refusedCase('masks with holes', /contiguous/, { ...plain, bits: 32, compression: 3, masks: [5, 8, 16] }),
    refusedCase('empty masks', /empty/, { ...plain, bits: 32, compression: 3, masks: [0, 0, 0] }),
    refusedCase('too few pixels', /ends before/, { ...plain, pixels: new Uint8Array(30) }),
    refusedCase('pixels beyond the end', /ends before/, { ...plain, offset: 0xfffffff0 }),
    refusedCase('a JPEG that is none', /does not hold/, { ...plain, bits: 0, compression: 4 }),
    refusedCase('an SVG for a PNG', /does not hold/, {
      ...plain,
      bits: 0,
      compression: 5,
      pixels: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>'),
    }),
  ];
}

async function embedded(): Promise<BmpCase[]> {
  const expected = picture(3, colorAt);
  const image = () => sharp(expected.data, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
  const layout = { width: WIDTH, height: HEIGHT, bits: 0 };
  const png = await image().png().toBuffer();
  const jpeg = await image().jpeg({ quality: 90 }).toBuffer();
  const profile = (type: 'MBED' | 'LINK') => ({ type, data: Buffer.from('a profile, or a path to one') });
  return [
    { name: 'a PNG inside', file: bmp({ ...layout, compression: 5, pixels: png }), expected },
    {
      name: 'a JPEG inside',
      file: bmp({ ...layout, compression: 4, headerBytes: V5, pixels: jpeg }),
      expected: { ...expected, data: await sharp(jpeg).raw().toBuffer() },
    },
    refusedCase('a PNG of another size inside', /19 × 11/, {
      ...layout,
      width: 20,
      compression: 5,
      pixels: png,
    }),
    rgb24('a profile embedded in V5', { headerBytes: V5, masks: [0, 0, 0], profile: profile('MBED') }),
    rgb24('a profile linked by V5', { headerBytes: V5, masks: [0, 0, 0], profile: profile('LINK') }),
  ];
}

export const bmpCases = async (): Promise<BmpCase[]> => [
  ...headers(),
  ...palettes(),
  ...fields(),
  ...runLengths(),
  ...(await embedded()),
  ...refusals(),
];
