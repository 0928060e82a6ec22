/** Colours in their normal form. */
import type { HexColor } from './plan-operations.ts';

const NAMED_COLORS = { white: '#ffffff', black: '#000000', transparent: '#00000000' } as const;

/** `#rrggbb`, or `#rrggbbaa` where it is not opaque; what is fully transparent has no colour of its own. */
export function hexColor(color: string): HexColor {
  const lower = color.toLowerCase();
  if (lower === 'white' || lower === 'black' || lower === 'transparent') return NAMED_COLORS[lower];
  let digits = lower.replace('#', '');
  if (digits.length === 3) digits = digits.replace(/./g, '$&$&');
  if (digits.endsWith('00') && digits.length === 8) return NAMED_COLORS.transparent;
  if (digits.endsWith('ff') && digits.length === 8) digits = digits.slice(0, 6);
  return `#${digits}`;
}

/** Where the result must be opaque, a translucent colour is taken as it looks on white. */
export function opaqueColor(color: string): HexColor {
  const hex = hexColor(color);
  if (hex.length === 7) return hex;
  const [red = 0, green = 0, blue = 0, alpha = 0] = [1, 3, 5, 7].map((at) =>
    Number.parseInt(hex.slice(at, at + 2), 16),
  );
  const onWhite = (value: number) => Math.round(255 + ((value - 255) * alpha) / 255);
  return `#${[red, green, blue].map((v) => onWhite(v).toString(16).padStart(2, '0')).join('')}`;
}
