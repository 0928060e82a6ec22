/** Checks, normalises and hashes Plans. The normal form is what the engine works on and what renditions are keyed by. */
import { createHash } from 'node:crypto';
import { type FieldError, Problem } from '../problem.ts';
import { fieldErrors } from './field-errors.ts';
import type {
  HexColor,
  NormalOperation,
  NormalPlan,
  Operation,
  OutputFormat,
  OutputOptions,
  Plan,
} from './plan.ts';
import { planSchema } from './plan.ts';

/** What holds where a Plan says nothing. */
export const PLAN_DEFAULTS = {
  fit: 'contain',
  gravity: 'center',
  format: 'jpeg',
  quality: 95,
  chroma: '4:4:4',
  metadata: 'keep',
  padBackground: '#ffffff',
  /** Where the format has no transparency, `output.background` comes under it. */
  rotateBackground: '#00000000',
  flattenBackground: '#ffffff',
  outputBackground: '#ffffff',
} as const;

/** Which output options an output format has; those that it lacks are dropped. */
interface FormatOptions {
  quality?: true;
  lossless?: true;
  chroma?: true;
  progressive?: true;
  /** No transparency: lays the picture on `output.background`. */
  opaque?: true;
  /** Lowest and highest effort that make a difference. */
  effort?: readonly [number, number];
}

const FORMAT_OPTIONS: Record<OutputFormat, FormatOptions> = {
  jpeg: { quality: true, chroma: true, progressive: true, opaque: true },
  png: { progressive: true, effort: [0, 9] },
  webp: { quality: true, lossless: true, effort: [0, 6] },
  avif: { quality: true, lossless: true, chroma: true, effort: [0, 9] },
  tiff: {},
  gif: { effort: [1, 9] },
  bmp: { opaque: true },
};

const FIT_ALIASES = { fit: 'contain', fill: 'cover' } as const;
const FORMAT_ALIASES = { jpg: 'jpeg', tif: 'tiff' } as const;
const NAMED_COLORS = { white: '#ffffff', black: '#000000', transparent: '#00000000' } as const;

/** A hundredth of a pixel at the rim of the largest picture: finer angles and points make no other picture. */
const ANGLE_DECIMALS = 4;
const FOCUS_DECIMALS = 6;

/**
 * The normal form of a valid Plan: aliases resolved, defaults written out, what cannot matter removed.
 * `normalizePlan(normalizePlan(p))` equals `normalizePlan(p)`. The argument is left as it is.
 * @param defaultFormat what a Plan that names no format makes, e.g. from `Accept` or a file name's extension
 */
export function normalizePlan(plan: Plan, defaultFormat: OutputFormat = PLAN_DEFAULTS.format): NormalPlan {
  return {
    ...(plan.preview && { preview: plan.preview }),
    operations: withoutRepeats(withFewestTurns((plan.operations ?? []).map(normalOperation))),
    output: normalOutput({ ...plan.output, format: plan.output?.format ?? defaultFormat }),
  };
}

/**
 * Checks anything against the Plan's schema and normalises it.
 * @throws Problem `invalid_plan` whose `errors` name every wrong field by its dotted path
 */
export function parsePlan(input: unknown, defaultFormat?: OutputFormat): NormalPlan {
  const result = planSchema.safeParse(input, { reportInput: true });
  if (!result.success) throw invalidPlan(fieldErrors(result.error));
  return normalizePlan(result.data, defaultFormat);
}

/** The Problem for wrong fields of a Plan; its detail spells out the first three. */
export function invalidPlan(errors: FieldError[], cause?: unknown): Problem {
  const told = errors.slice(0, 3).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const more = errors.length > told.length ? ` (and ${errors.length - told.length} more)` : '';
  return new Problem('invalid_plan', { detail: told.join('; ') + more, errors, cause });
}

/**
 * 32 hex digits that name what a Plan makes: half of the SHA-256 over the Plan in canonical JSON and the engine's
 * version. The order of keys does not matter, the order of operations does.
 */
export function planHash(plan: NormalPlan, engineVersion: string): string {
  return createHash('sha256').update(canonicalJson({ engineVersion, plan })).digest('hex').slice(0, 32);
}

/** JSON with the keys of every object sorted and no white space. For plain data: no cycles, dates or toJSON. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

function normalOperation(op: Operation): NormalOperation {
  switch (op.op) {
    case 'resize':
      return normalResize(op);
    case 'crop':
      // Adding 0 turns -0, which JSON cannot say, into 0.
      return { op: 'crop', left: op.left + 0, top: op.top + 0, width: op.width, height: op.height };
    case 'rotate': {
      const angle = positiveAngle(op.angle);
      if (angle % 90 === 0) return { op: 'rotate', angle };
      return { op: 'rotate', angle, background: hexColor(op.background ?? PLAN_DEFAULTS.rotateBackground) };
    }
    case 'flatten':
      return { op: 'flatten', background: opaqueColor(op.background ?? PLAN_DEFAULTS.flattenBackground) };
    case 'frame':
      return { op: 'frame', page: op.page + 0 };
    case 'flip':
    case 'flop':
    case 'grayscale':
      return { op: op.op };
  }
}

function normalResize(op: Extract<Operation, { op: 'resize' }>): NormalOperation {
  const asked = op.fit ?? PLAN_DEFAULTS.fit;
  let fit = asked === 'fit' || asked === 'fill' ? FIT_ALIASES[asked] : asked;
  // With one side free there is nothing to cut off.
  if (fit === 'cover' && (op.width === undefined || op.height === undefined)) fit = 'contain';
  const normal: NormalOperation = {
    op: 'resize',
    ...(op.width !== undefined && { width: op.width }),
    ...(op.height !== undefined && { height: op.height }),
    fit,
    enlarge: op.enlarge ?? false,
  };
  const gravity = op.gravity ?? PLAN_DEFAULTS.gravity;
  if (fit === 'cover') {
    if (op.focus) {
      normal.focus = { x: rounded(op.focus.x, FOCUS_DECIMALS), y: rounded(op.focus.y, FOCUS_DECIMALS) };
    } else normal.gravity = gravity;
  }
  if (fit === 'pad') {
    // Nothing is cut off, so nothing in the picture needs to be looked for.
    normal.gravity = gravity === 'attention' || gravity === 'entropy' ? PLAN_DEFAULTS.gravity : gravity;
    normal.background = hexColor(op.background ?? PLAN_DEFAULTS.padBackground);
  }
  return normal;
}

/**
 * A run of mirrors and turns by quarters is one of eight (the symmetries of a rectangle): each is written as at most
 * one `flip` or `flop` and one `rotate`, so that `flip, flip` vanishes and `flip, flop` is `rotate 180`.
 */
function withFewestTurns(operations: NormalOperation[]): NormalOperation[] {
  const result: NormalOperation[] = [];
  // The run so far equals: mirror left to right if `mirrored`, then turn clockwise by `quarters`.
  let quarters = 0;
  let mirrored = false;
  const mirror = () => {
    quarters = (4 - quarters) % 4;
    mirrored = !mirrored;
  };
  const endRun = () => {
    if (mirrored) result.push({ op: quarters === 2 ? 'flip' : 'flop' });
    if (quarters !== 0 && !(mirrored && quarters === 2)) result.push({ op: 'rotate', angle: quarters * 90 });
    quarters = 0;
    mirrored = false;
  };
  for (const op of operations) {
    if (op.op === 'flop') mirror();
    else if (op.op === 'flip') {
      quarters = (quarters + 2) % 4;
      mirror();
    } else if (op.op === 'rotate' && op.angle % 90 === 0) quarters = (quarters + op.angle / 90) % 4;
    else {
      endRun();
      result.push(op);
    }
  }
  endRun();
  return result;
}

/** A grey picture stays grey and an opaque one opaque: the second of two in a row does nothing. */
function withoutRepeats(operations: NormalOperation[]): NormalOperation[] {
  return operations.filter(
    ({ op }, i) => !((op === 'grayscale' || op === 'flatten') && operations[i - 1]?.op === op),
  );
}

function normalOutput(
  output: OutputOptions & { format: NonNullable<OutputOptions['format']> },
): NormalPlan['output'] {
  const asked = output.format;
  const format = asked === 'jpg' || asked === 'tif' ? FORMAT_ALIASES[asked] : asked;
  const options = FORMAT_OPTIONS[format];
  const lossless = options.lossless === true && output.lossless === true;
  const normal: NormalPlan['output'] = { format, metadata: output.metadata ?? PLAN_DEFAULTS.metadata };
  if (options.quality && !lossless) normal.quality = output.quality ?? PLAN_DEFAULTS.quality;
  if (options.effort && output.effort !== undefined) {
    const [lowest, highest] = options.effort;
    normal.effort = Math.min(highest, Math.max(lowest, output.effort));
  }
  if (lossless) normal.lossless = true;
  // Halved chroma would lose something.
  if (options.chroma) {
    normal.chroma = lossless ? PLAN_DEFAULTS.chroma : (output.chroma ?? PLAN_DEFAULTS.chroma);
  }
  if (options.progressive && output.progressive) normal.progressive = true;
  if (options.opaque) normal.background = opaqueColor(output.background ?? PLAN_DEFAULTS.outputBackground);
  return normal;
}

/** Degrees in [0, 360). */
function positiveAngle(degrees: number): number {
  return rounded(((degrees % 360) + 360) % 360, ANGLE_DECIMALS) % 360;
}

function rounded(n: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(n * factor) / factor + 0;
}

/** `#rrggbb`, or `#rrggbbaa` where it is not opaque; what is fully transparent has no colour of its own. */
function hexColor(color: string): HexColor {
  const lower = color.toLowerCase();
  if (lower === 'white' || lower === 'black' || lower === 'transparent') return NAMED_COLORS[lower];
  let digits = lower.replace('#', '');
  if (digits.length === 3) digits = digits.replace(/./g, '$&$&');
  if (digits.endsWith('00') && digits.length === 8) return NAMED_COLORS.transparent;
  if (digits.endsWith('ff') && digits.length === 8) digits = digits.slice(0, 6);
  return `#${digits}`;
}

/** Where the result must be opaque, a translucent colour is taken as it looks on white. */
function opaqueColor(color: string): HexColor {
  const hex = hexColor(color);
  if (hex.length === 7) return hex;
  const [red = 0, green = 0, blue = 0, alpha = 0] = [1, 3, 5, 7].map((at) =>
    Number.parseInt(hex.slice(at, at + 2), 16),
  );
  const onWhite = (value: number) => Math.round(255 + ((value - 255) * alpha) / 255);
  return `#${[red, green, blue].map((v) => onWhite(v).toString(16).padStart(2, '0')).join('')}`;
}
