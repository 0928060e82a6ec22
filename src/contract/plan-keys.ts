/**
 * Every key of a Plan's spellings, in one table: it drives reading, printing and the command line's help. A new
 * operation or option of `plan.ts` needs a row here and nothing else in the codec.
 */
import type { NormalOperation, OutputOptions } from './plan.ts';
import { GRAVITIES, OUTPUT_FORMATS } from './plan.ts';
import { PLAN_DEFAULTS } from './plan-normal.ts';

type OperationName = NormalOperation['op'];

/** Where a value goes. */
export type Place =
  /** Begins an operation; the value is its `field`, or all its fields, or (a switch) it has none. */
  | { starts: OperationName; field?: string }
  /**
   * A field of the latest operation among these names, wherever in the list it stands; begins one of the first name
   * where there is none. The value beside each name is what that operation has when the key is absent.
   */
  | { joins: Partial<Record<OperationName, unknown>>; field: string; alone?: string }
  | { output: keyof OutputOptions }
  | { plan: 'preview' };

/** How a value is written. What is in range and which words there are is the schema's to say. */
export interface ValueKind {
  /** Finishes "expected …". */
  form: string;
  /** Undefined for text of another form. */
  read(text: string): unknown;
  print(value: unknown): string;
}

export interface PlanKey {
  /** In URL segments. Neither name holds an underscore: the first one ends the key. */
  short: string;
  /** In queries and, after `--`, on the command line. */
  long: string;
  /** A further name that is read and never printed. */
  alias?: string;
  place: Place;
  kind: ValueKind;
  /** Stands for the value in help texts; absent for switches. */
  valueName?: string;
  /** What holds when the key is absent; not printed then. (For `joins`, see there.) */
  implied?: unknown;
  /** The value may be left out. */
  optional?: true;
  help: string;
}

const NUMBER = /^-?\d{1,10}(\.\d{1,20})?$/;

const number: ValueKind = {
  form: 'a number',
  read: (text) => (NUMBER.test(text) ? Number(text) : undefined),
  print: String,
};

const word: ValueKind = { form: 'a word', read: (text) => text.toLowerCase(), print: String };

const color: ValueKind = {
  form: 'a colour',
  read: (text) => text,
  print: (value) => (value === '#00000000' ? 'transparent' : String(value).replace('#', '')),
};

const SWITCH: Record<string, boolean> = { '': true, true: true, '1': true, false: false, '0': false };

export const onOff: ValueKind = {
  form: 'true, false or no value',
  read: (text) => (Object.hasOwn(SWITCH, text) ? SWITCH[text] : undefined),
  print: () => '',
};

/** `4:4:4` without the colons, which a Windows file name or an unescaped path segment cannot hold. */
const chroma: ValueKind = {
  form: '444 or 420',
  read: (text) => (/^\d{3}$/.test(text) ? [...text].join(':') : text),
  print: (value) => String(value).replaceAll(':', ''),
};

/** Named numbers, separated by commas, or by underscores in a segment, where commas part the tokens. */
function numbers(...names: string[]): ValueKind {
  return {
    form: `${names.length} numbers (${names.join(', ')})`,
    read(text) {
      const parts = text.split(/[,_]/, names.length + 1);
      if (parts.length !== names.length || !parts.every((part) => NUMBER.test(part))) return undefined;
      return Object.fromEntries(names.map((name, i) => [name, Number(parts[i])]));
    },
    print: (value) => names.map((name) => (value as Record<string, number>)[name]).join(','),
  };
}

const COLOR = 'rgb, rrggbb, rrggbbaa, white, black or transparent';

/** In the order in which the keys of one operation, and of the output, are printed. */
export const PLAN_KEYS: readonly PlanKey[] = [
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
    help: 'take one page of a GIF, WebP or TIFF, from 0; must come first',
  },
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
    place: { joins: { resize: undefined }, field: 'width' },
    kind: number,
    valueName: 'px',
    help: 'resize to this width',
  },
  {
    short: 'h',
    long: 'height',
    place: { joins: { resize: undefined }, field: 'height' },
    kind: number,
    valueName: 'px',
    help: 'resize to this height',
  },
  {
    short: 'fit',
    long: 'fit',
    place: { joins: { resize: PLAN_DEFAULTS.fit }, field: 'fit' },
    kind: word,
    valueName: 'how',
    help: 'contain (within the box, the default), cover (fill it and crop), stretch, or pad',
  },
  {
    short: 'g',
    long: 'gravity',
    place: { joins: { resize: PLAN_DEFAULTS.gravity }, field: 'gravity' },
    kind: word,
    valueName: 'where',
    help: `what cover keeps and where pad puts the picture: ${GRAVITIES.join(', ')}`,
  },
  {
    short: 'fp',
    long: 'focus',
    place: { joins: { resize: undefined }, field: 'focus' },
    kind: numbers('x', 'y'),
    valueName: 'x,y',
    help: 'the point that cover keeps in the middle, as fractions of width and height, e.g. 0.3,0.7',
  },
  {
    short: 'enlarge',
    long: 'enlarge',
    place: { joins: { resize: false }, field: 'enlarge' },
    kind: onOff,
    help: 'let a resize make small pictures larger',
  },
  {
    short: 'crop',
    long: 'crop',
    place: { starts: 'crop' },
    kind: numbers('left', 'top', 'width', 'height'),
    valueName: 'left,top,width,height',
    help: 'keep this rectangle, in px',
  },
  {
    short: 'rotate',
    long: 'rotate',
    place: { starts: 'rotate', field: 'angle' },
    kind: number,
    valueName: 'degrees',
    help: 'turn clockwise, by any angle',
  },
  {
    short: 'bg',
    long: 'background',
    place: {
      joins: { resize: PLAN_DEFAULTS.padBackground, rotate: PLAN_DEFAULTS.rotateBackground },
      field: 'background',
      alone: 'to fill what is transparent in a JPEG, use matte',
    },
    kind: color,
    valueName: 'color',
    help: `what the pad or slanting rotation before it fills with: ${COLOR}`,
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
  {
    short: 'flatten',
    long: 'flatten',
    place: { starts: 'flatten', field: 'background' },
    kind: color,
    valueName: 'color',
    optional: true,
    help: 'lay the picture on a colour, so that nothing stays transparent',
  },
  {
    short: 'grayscale',
    long: 'grayscale',
    place: { starts: 'grayscale' },
    kind: onOff,
    help: 'take the colours out',
  },
  {
    short: 'f',
    long: 'format',
    place: { output: 'format' },
    kind: word,
    valueName: 'name',
    help: OUTPUT_FORMATS.join(', '),
  },
  {
    short: 'q',
    long: 'quality',
    place: { output: 'quality' },
    kind: number,
    valueName: '1-100',
    implied: PLAN_DEFAULTS.quality,
    help: `for JPEG, WebP and AVIF; ${PLAN_DEFAULTS.quality} by default`,
  },
  {
    short: 'e',
    long: 'effort',
    place: { output: 'effort' },
    kind: number,
    valueName: '0-9',
    help: 'from fast to small, for WebP (at most 6), AVIF, PNG and GIF',
  },
  {
    short: 'lossless',
    long: 'lossless',
    place: { output: 'lossless' },
    kind: onOff,
    help: 'lose nothing, for WebP and AVIF',
  },
  {
    short: 'chroma',
    long: 'chroma',
    place: { output: 'chroma' },
    kind: chroma,
    valueName: '444|420',
    implied: PLAN_DEFAULTS.chroma,
    help: 'chroma subsampling of JPEG and AVIF; 444 by default',
  },
  {
    short: 'progressive',
    long: 'progressive',
    place: { output: 'progressive' },
    kind: onOff,
    help: 'write JPEG and PNG so that they show coarse first',
  },
  {
    short: 'meta',
    long: 'metadata',
    place: { output: 'metadata' },
    kind: word,
    valueName: 'keep|strip',
    implied: PLAN_DEFAULTS.metadata,
    help: 'keep (the default) or strip what the file says about camera, place, time and people',
  },
  {
    short: 'matte',
    long: 'matte',
    place: { output: 'background' },
    kind: color,
    valueName: 'color',
    implied: PLAN_DEFAULTS.outputBackground,
    help: 'what transparent pixels are laid on in JPEG and BMP; white by default',
  },
];

/** By every name. A Map, so that `__proto__` and `constructor` are names like any other. */
export const KEY_BY_NAME: ReadonlyMap<string, PlanKey> = new Map(
  PLAN_KEYS.flatMap((key) =>
    [key.short, key.long, key.alias ?? key.long].map((name): [string, PlanKey] => [name, key]),
  ),
);

/** An option of the command line. */
export interface PlanFlag {
  /** Without the dashes. */
  name: string;
  /** The short key, also without dashes. `h` is left out: it asks for help everywhere. */
  alias?: string;
  /** Present where the option takes a value. */
  valueName?: string;
  help: string;
}

/** For the command line's parser and help, in the order of the table. */
export const PLAN_FLAGS: readonly PlanFlag[] = [
  ...PLAN_KEYS.map(({ short, long, valueName, help }) => ({
    name: long,
    ...(short.length === 1 && short !== 'h' && { alias: short }),
    ...(valueName !== undefined && { valueName }),
    help,
  })),
  {
    name: 'plan',
    valueName: 'plan',
    help: 'a whole plan, as JSON or in short form (w_600,h_400,fit_cover,f_webp)',
  },
];
