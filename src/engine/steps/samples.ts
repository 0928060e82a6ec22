/** Pixels as numbers: what the steps that work on single levels share. */
import type { HexColor } from '../../contract/plan.ts';
import type { Pixels } from '../types.ts';

export type Samples = Uint8Array | Uint16Array;

/** The samples without a copy, unless 16-bit data starts at an odd byte. */
export function samplesOf({ data, depth }: Pixels): Samples {
  if (depth === 8) return data;
  const aligned = data.byteOffset % 2 === 0 ? data : data.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
}

/** Room for a picture of `channels` channels with the size and depth of `like`. */
export function newSamples(like: Pixels, channels: number): Samples {
  const length = like.width * like.height * channels;
  return like.depth === 16 ? new Uint16Array(length) : new Uint8Array(length);
}

/** A picture of the size of `like`, of these samples. */
export function pixelsOf(like: Pixels, samples: Samples, channels: Pixels['channels']): Pixels {
  const { width, height } = like;
  const data = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return { data, width, height, channels, depth: samples.BYTES_PER_ELEMENT === 2 ? 16 : 8 };
}

/** White, or opaque: 255 or 65535. */
export const fullScale = ({ depth }: { depth: 8 | 16 }): number => (depth === 16 ? 65_535 : 255);

export const hasAlpha = ({ channels }: { channels: number }): boolean => channels % 2 === 0;

export interface Color {
  red: number;
  green: number;
  blue: number;
  alpha: number;
}

/** Levels of 0–255. */
export function colorOf(hex: HexColor): Color {
  const level = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16);
  return { red: level(1), green: level(3), blue: level(5), alpha: hex.length > 7 ? level(7) : 255 };
}

/** Has no hue of its own. */
export const isNeutral = ({ red, green, blue }: Color): boolean => red === green && green === blue;
