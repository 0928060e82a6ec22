/** Keys for watermarks, and for black and white: engraving and shapes. */
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import { color, freeText, number, onOff, type PlanKey, word } from './plan-key.ts';
import { DITHER_METHODS, PLACES, VECTOR_COLORS, VECTOR_DETAILS } from './plan-operations.ts';

const isOneOf = (words: readonly string[]) => (text: string) => words.includes(text.toLowerCase());

const WATERMARK_OPTIONS: readonly PlanKey[] = (
  [
    ['wmg', 'gravity', word, 'where', `where the watermark stands: ${PLACES.join(', ')}`],
    ['wmo', 'opacity', number, '0-1', 'how opaque the watermark is'],
    ['wms', 'scale', number, '0.01-1', 'its width, as a part of the picture’s'],
    ['wmm', 'margin', number, 'px', 'how far from the edges it stays'],
    ['wmc', 'color', color, 'color', 'of a text'],
  ] as const
).map(([short, field, kind, valueName, help]) => ({
  short,
  long: `watermark-${field}`,
  place: { joins: { watermark: PLAN_DEFAULTS.watermark[field] }, field },
  kind,
  valueName,
  help: `${help}; ${kind.print(PLAN_DEFAULTS.watermark[field], 'plain')} by default`,
}));

export const WATERMARK_KEYS: readonly PlanKey[] = [
  {
    short: 'wm',
    long: 'watermark',
    place: { starts: 'watermark', field: 'image' },
    kind: word,
    valueName: 'image',
    help: 'lay another image of the same owner over the picture, by its id',
  },
  {
    short: 'wmtext',
    long: 'watermark-text',
    place: { starts: 'watermark', field: 'text' },
    kind: freeText,
    valueName: 'text',
    help: 'write a text over the picture',
  },
  ...WATERMARK_OPTIONS,
  {
    short: 'wmtile',
    long: 'watermark-tile',
    place: { joins: { watermark: PLAN_DEFAULTS.watermark.tile }, field: 'tile' },
    kind: onOff,
    help: 'repeat the watermark all over the picture',
  },
];

export const ENGRAVING_KEYS: readonly PlanKey[] = [
  {
    short: 'threshold',
    long: 'threshold',
    place: { starts: 'threshold', field: 'level' },
    kind: number,
    valueName: '0-255',
    optional: (text) => number.read(text, 'plain') !== undefined,
    help: `black and white: what is at least so light is white; ${PLAN_DEFAULTS.threshold} by default`,
  },
  {
    short: 'dither',
    long: 'dither',
    place: { starts: 'dither', field: 'method' },
    kind: word,
    valueName: 'method',
    optional: isOneOf(DITHER_METHODS),
    help: `black and white that looks grey: ${DITHER_METHODS.join(', ')}; ${PLAN_DEFAULTS.dither} by default`,
  },
  {
    short: 'vec',
    long: 'vectorize',
    place: { starts: 'vectorize', field: 'colors' },
    kind: word,
    valueName: VECTOR_COLORS.join('|'),
    optional: isOneOf(VECTOR_COLORS),
    help: `draw the picture in shapes, as SVG, in colour (the default) or black and white; must come last`,
  },
  {
    short: 'detail',
    long: 'detail',
    place: { joins: { vectorize: PLAN_DEFAULTS.vectorize.detail }, field: 'detail' },
    kind: word,
    valueName: VECTOR_DETAILS.join('|'),
    help: `how closely the shapes follow the picture; ${PLAN_DEFAULTS.vectorize.detail} by default`,
  },
  {
    short: 'maxbytes',
    long: 'max-bytes',
    place: { joins: { vectorize: PLAN_DEFAULTS.vectorize.maxBytes }, field: 'maxBytes' },
    kind: number,
    valueName: 'bytes',
    help: `what the SVG may have, ${PLAN_DEFAULTS.vectorize.maxBytes} by default; detail is given up for it`,
  },
];
