/** Keys for colours and sharpness, and for what is behind the subject. */
import { colorSchema } from './plan.ts';
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import { color, number, numbers, onOff, type PlanKey, word } from './plan-key.ts';
import { BACKGROUND_METHODS, COLOR_SPACES } from './plan-operations.ts';

/** Also what was probably meant to be one: its colour is then said to be wrong, and not its method. */
const COLOR_LIKE = /^(#?[0-9a-f]{3,8}|white|black|transparent)$/i;

const ADJUSTMENTS: readonly PlanKey[] = (
  [
    ['br', 'brightness', 'factor', 'how bright; 1 changes nothing'],
    ['co', 'contrast', 'factor', 'how far from mid-grey; 1 changes nothing'],
    ['sat', 'saturation', 'factor', 'how colourful; 0 is grey, 1 changes nothing'],
    ['hue', 'hue', 'degrees', 'turn the colours around the wheel'],
    ['ga', 'gamma', 'number', 'above 1 brightens the mid-tones'],
    ['ev', 'exposure', 'stops', '1 doubles the light, -1 halves it'],
  ] as const
).map(([short, long, valueName, help]) => ({
  short,
  long,
  place: { joins: { adjust: PLAN_DEFAULTS.adjust[long] }, field: long, begins: 'adjust' },
  kind: number,
  valueName,
  help,
}));

export const COLOR_KEYS: readonly PlanKey[] = [
  {
    short: 'grayscale',
    long: 'grayscale',
    place: { starts: 'grayscale' },
    kind: onOff,
    help: 'take the colours out',
  },
  {
    short: 'adjust',
    long: 'adjust',
    place: { starts: 'adjust' },
    kind: onOff,
    help: 'begin another adjustment: the options that follow belong to it',
  },
  ...ADJUSTMENTS,
  {
    short: 'sharpen',
    long: 'sharpen',
    place: { starts: 'sharpen' },
    kind: numbers(['amount', 'radius'], 0),
    valueName: 'amount,radius',
    optional: (text) => numbers(['amount', 'radius'], 1).read(text, 'plain') !== undefined,
    help: `sharpen; ${Object.values(PLAN_DEFAULTS.sharpen).join(',')} by default, the radius in px`,
  },
  {
    short: 'blur',
    long: 'blur',
    place: { starts: 'blur', field: 'radius' },
    kind: number,
    valueName: 'px',
    help: 'blur; the standard deviation of the Gaussian',
  },
  {
    short: 'cs',
    long: 'colorspace',
    place: { starts: 'colorspace', field: 'space' },
    kind: word,
    valueName: 'space',
    help: `${COLOR_SPACES.join(', ')}: without transparency, with it, or one channel`,
  },
  {
    short: 'flatten',
    long: 'flatten',
    place: { starts: 'flatten', field: 'background' },
    kind: color,
    valueName: 'color',
    optional: (text) => colorSchema.safeParse(text).success,
    help: `lay the picture on a colour, so that nothing stays transparent; white by default`,
  },
];

export const BACKGROUND_KEYS: readonly PlanKey[] = [
  {
    short: 'cut',
    long: 'background',
    place: { starts: 'background', field: 'method' },
    // As older spellings have it, `background` with a colour is what a pad is filled with.
    belongsTo: (text) => (COLOR_LIKE.test(text) ? 'fill' : undefined),
    kind: word,
    valueName: 'method',
    help: `remove the background: ${BACKGROUND_METHODS.join(', ')}`,
  },
  {
    short: 'cutbg',
    long: 'background-color',
    place: { joins: { background: PLAN_DEFAULTS.background.color }, field: 'color' },
    kind: color,
    valueName: 'color',
    help: 'what comes in place of the background that is removed; transparent by default',
  },
  {
    short: 'mask',
    long: 'mask',
    place: { joins: { background: PLAN_DEFAULTS.background.mask }, field: 'mask' },
    kind: onOff,
    help: 'the matte itself in place of the picture whose background is removed',
  },
];
