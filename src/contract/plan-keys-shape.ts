/** Keys for what of the file is taken, and for the size and shape of the picture. */
import { GRAVITIES } from './plan.ts';
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import { COLOR_FORMS, color, number, numbers, onOff, type PlanKey, word } from './plan-key.ts';

const RESIZE = { begins: 'resize' } as const;
const isNumber = (text: string) => number.read(text, 'plain') !== undefined;

export const SOURCE_KEYS: readonly PlanKey[] = [
  {
    short: 'preview',
    long: 'preview',
    place: { plan: 'preview' },
    kind: word,
    valueName: 'embedded',
    help: 'work on the preview embedded in a RAW file, in place of developing it',
  },
  {
    short: 'frame',
    long: 'frame',
    alias: 'page',
    place: { starts: 'frame', field: 'page' },
    kind: number,
    valueName: 'n',
    help: 'take one page of a GIF, WebP, PNG, AVIF or TIFF, from 0; must come first',
  },
  {
    short: 'second',
    long: 'second',
    place: { starts: 'frame', field: 'second' },
    kind: number,
    valueName: 's',
    help: 'take the picture at this second of a video or an animation; must come first',
  },
  {
    short: 'clip',
    long: 'clip',
    place: { starts: 'clip' },
    kind: numbers(['start', 'duration', 'fps'], 0),
    valueName: 'start,duration,fps',
    optional: (text) => numbers(['start', 'duration', 'fps'], 1).read(text, 'plain') !== undefined,
    help: `a short moving preview of a video, from this second on; must come first; ${Object.values(PLAN_DEFAULTS.clip).join(',')} by default`,
  },
];

export const SIZE_KEYS: readonly PlanKey[] = [
  {
    short: 'resize',
    long: 'resize',
    place: { starts: 'resize' },
    kind: onOff,
    help: 'begin another resize: the resize options that follow belong to it',
  },
  {
    short: 'w',
    long: 'width',
    place: { joins: { resize: undefined }, field: 'width', ...RESIZE },
    kind: number,
    valueName: 'length',
    help: 'resize to this width',
  },
  {
    short: 'h',
    long: 'height',
    place: { joins: { resize: undefined }, field: 'height', ...RESIZE },
    kind: number,
    valueName: 'length',
    help: 'resize to this height',
  },
  {
    short: 'unit',
    long: 'unit',
    place: { joins: { resize: 'px' }, field: 'unit', ...RESIZE },
    kind: word,
    valueName: 'px|mm',
    help: 'what width and height are in; mm are measured by dpi',
  },
  {
    short: 'fit',
    long: 'fit',
    place: { joins: { resize: PLAN_DEFAULTS.fit }, field: 'fit', ...RESIZE },
    kind: word,
    valueName: 'how',
    help: 'contain (within the box, the default), cover (fill it and crop), stretch, or pad',
  },
  {
    short: 'g',
    long: 'gravity',
    place: { joins: { resize: PLAN_DEFAULTS.gravity }, field: 'gravity', ...RESIZE },
    kind: word,
    valueName: 'where',
    help: `what cover keeps and where pad puts the picture: ${GRAVITIES.join(', ')}`,
  },
  {
    short: 'fp',
    long: 'focus',
    place: { joins: { resize: undefined }, field: 'focus', ...RESIZE },
    kind: numbers(['x', 'y']),
    valueName: 'x,y',
    help: 'the point that cover keeps in the middle, as fractions of width and height, e.g. 0.3,0.7',
  },
  {
    short: 'enlarge',
    long: 'enlarge',
    place: { joins: { resize: false }, field: 'enlarge', ...RESIZE },
    kind: onOff,
    help: 'let a resize make small pictures larger',
  },
  {
    short: 'crop',
    long: 'crop',
    place: { starts: 'crop' },
    kind: numbers(['left', 'top', 'width', 'height']),
    valueName: 'left,top,width,height',
    help: 'keep this rectangle, in px',
  },
  {
    short: 'trim',
    long: 'trim',
    place: { starts: 'trim', field: 'threshold' },
    kind: number,
    valueName: '0-255',
    optional: isNumber,
    help: `cut the plain border off; levels may differ by so much, ${PLAN_DEFAULTS.trim} by default`,
  },
  {
    short: 'rotate',
    long: 'rotate',
    place: { starts: 'rotate', field: 'angle' },
    kind: number,
    valueName: 'degrees',
    help: 'turn clockwise, by any angle',
  },
  // After the keys that begin what it joins: it is printed in this order.
  {
    short: 'bg',
    long: 'fill',
    place: {
      joins: { resize: PLAN_DEFAULTS.padBackground, rotate: PLAN_DEFAULTS.rotateBackground, trim: undefined },
      field: 'background',
      hint: 'to fill what is transparent in a JPEG, use matte',
      ...RESIZE,
    },
    kind: color,
    valueName: 'color',
    help: `what the pad or slanting rotation before it fills with, or what the trim before it takes away: ${COLOR_FORMS}`,
  },
  {
    short: 'flip',
    long: 'flip',
    place: { starts: 'flip' },
    kind: onOff,
    help: 'mirror top to bottom',
  },
  {
    short: 'flop',
    long: 'flop',
    place: { starts: 'flop' },
    kind: onOff,
    help: 'mirror left to right',
  },
];
