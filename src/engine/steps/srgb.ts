/** The sRGB transfer curve and luminance: IEC 61966-2-1. Levels are 0–1, and go on beyond 1 as the curve does. */

/** Level to light. */
export function toLinear(level: number): number {
  return level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4;
}

/** Light to level. */
export function fromLinear(light: number): number {
  return light <= 0.0031308 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055;
}

/** What red, green and blue of Rec. 709 add to luminance, or, taken of levels, to luma. */
export const LUMA = { red: 0.2126, green: 0.7152, blue: 0.0722 } as const;
