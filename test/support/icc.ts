/** Writes small ICC profiles, so that tests need none of anybody's. */

type Xyz = readonly [x: number, y: number, z: number];

/** Colorants adapted to D50, as ICC.1:2001-04 wants them in `rXYZ`, `gXYZ` and `bXYZ`. */
export interface MatrixProfile {
  description: string;
  red: Xyz;
  green: Xyz;
  blue: Xyz;
  gamma: number;
}

/** Adobe RGB (1998) image encoding, annex: colorants of the D50 connection space, gamma 563/256. */
export const ADOBE_RGB: MatrixProfile = {
  description: 'Compatible with Adobe RGB (1998)',
  red: [0.60974, 0.31111, 0.01947],
  green: [0.20528, 0.62567, 0.06087],
  blue: [0.14919, 0.06322, 0.74457],
  gamma: 563 / 256,
};

/** ROMM RGB (ISO 22028-2), white D50, with a plain 1.8 curve. */
export const PROPHOTO_RGB: MatrixProfile = {
  description: 'ROMM RGB, gamma 1.8',
  red: [0.79767, 0.28804, 0],
  green: [0.13519, 0.71188, 0],
  blue: [0.03135, 0.00009, 0.82491],
  gamma: 1.8,
};

const D50: Xyz = [0.9642, 1, 0.82491];

/** A version 2 RGB display profile of matrix and one gamma curve, ICC.1:2001-04. */
export function matrixProfile({ description, red, green, blue, gamma }: MatrixProfile): Buffer {
  const curve = curveTag(gamma);
  const tags: [signature: string, body: Buffer][] = [
    ['desc', descriptionTag(description)],
    ['cprt', Buffer.from('text\0\0\0\0No copyright, use freely\0', 'latin1')],
    ['wtpt', xyzTag(D50)],
    ['rXYZ', xyzTag(red)],
    ['gXYZ', xyzTag(green)],
    ['bXYZ', xyzTag(blue)],
    ['rTRC', curve],
    ['gTRC', curve],
    ['bTRC', curve],
  ];
  const table = Buffer.alloc(4 + tags.length * 12);
  table.writeUInt32BE(tags.length, 0);
  const bodies: Buffer[] = [];
  let offset = 128 + table.length;
  for (const [index, [signature, body]] of tags.entries()) {
    table.write(signature, 4 + index * 12, 'latin1');
    table.writeUInt32BE(offset, 8 + index * 12);
    table.writeUInt32BE(body.length, 12 + index * 12);
    const padded = Buffer.alloc(Math.ceil(body.length / 4) * 4);
    body.copy(padded);
    bodies.push(padded);
    offset += padded.length;
  }
  return Buffer.concat([header(offset), table, ...bodies]);
}

function header(totalBytes: number): Buffer {
  const out = Buffer.alloc(128);
  out.writeUInt32BE(totalBytes, 0);
  out.writeUInt32BE(0x02400000, 8);
  out.write('mntrRGB XYZ ', 12, 'latin1');
  // 2026-01-01T00:00:00, so that the bytes are the same at each run.
  for (const [index, value] of [2026, 1, 1, 0, 0, 0].entries()) out.writeUInt16BE(value, 24 + index * 2);
  out.write('acsp', 36, 'latin1');
  xyz(D50).copy(out, 68);
  return out;
}

const fixed16 = (value: number): number => Math.round(value * 65_536);

function xyz(values: Xyz): Buffer {
  const out = Buffer.alloc(12);
  for (const [index, value] of values.entries()) out.writeInt32BE(fixed16(value), index * 4);
  return out;
}

function xyzTag(values: Xyz): Buffer {
  return Buffer.concat([Buffer.from('XYZ \0\0\0\0', 'latin1'), xyz(values)]);
}

/** A `curv` of one entry is a gamma in 8.8 fixed point. */
function curveTag(gamma: number): Buffer {
  const out = Buffer.alloc(14);
  out.write('curv', 0, 'latin1');
  out.writeUInt32BE(1, 8);
  out.writeUInt16BE(Math.round(gamma * 256), 12);
  return out;
}

/** `textDescriptionType`: ASCII, then an empty Unicode and an empty 67-byte ScriptCode part. */
function descriptionTag(description: string): Buffer {
  const ascii = Buffer.from(`${description}\0`, 'latin1');
  const head = Buffer.alloc(12);
  head.write('desc', 0, 'latin1');
  head.writeUInt32BE(ascii.length, 8);
  return Buffer.concat([head, ascii, Buffer.alloc(4 + 4 + 2 + 1 + 67)]);
}
