/**
 * URLs that render on the fly: `/t/<signature>/<plan>/<image id>[.<ext>][?expires=<unix seconds>]`.
 *
 * The plan is a URL segment as `plan-codec.ts` reads it, and knows some tokens more:
 *
 * | token | |
 * |---|---|
 * | `preset_<preset>.<rendition>` | a rendition of a preset; alone, or with a format |
 * | `w_auto`, `w_auto_800` | the width that the client says it shows; else 800 px |
 * | `dpr_2`, `dpr_auto` | multiplies widths and heights, by the client's pixel ratio where `auto` |
 * | `v_3` | a version of the image; the current one when absent |
 * | `-` | no operation, where nothing else is to be said |
 *
 * The extension stands in place of `f_`; where there is neither, the client's `Accept` decides. Metadata is stripped
 * unless the plan says `meta_keep`.
 */
import { type FieldError, Problem } from '../problem.ts';
import { shown } from './field-errors.ts';
import { EXTENSIONS, type NormalPlan, OUTPUT_FORMATS, type OutputFormat } from './plan.ts';
import { planFromSegment, planToSegment } from './plan-codec.ts';
import { KEY_BY_NAME, PLAN_KEYS } from './plan-keys.ts';
import { invalidPlan, normalizePlan } from './plan-normal.ts';

/** Of a path's part, so that no proxy refuses it. */
export const MAX_TRANSFORM_CHARS = 4_096;

/** Widths that a client's hint may lead to: each step is a rendition of its own. */
export const AUTO_WIDTH = { stepPx: 50, maxPx: 4_000, otherwisePx: 1_200 } as const;
export const PIXEL_RATIO = { min: 0.5, max: 4, hintStep: 0.5 } as const;

/** Formats that are chosen by `Accept`, the one to prefer first: of stills, and of what moves. */
export const NEGOTIATED = {
  opaque: ['avif', 'webp', 'jpeg'],
  transparent: ['avif', 'webp', 'png'],
  moving: ['webp', 'gif'],
} as const satisfies Record<string, readonly OutputFormat[]>;

/** In an order such that the first format that has an option has it as it was written. */
const NEGOTIABLE: readonly OutputFormat[] = ['avif', 'jpeg', 'png', 'webp', 'gif'];
/** Neither is a width that anybody asks for; where they make a difference stands what the client's hint decides. */
const STAND_IN_WIDTHS = [AUTO_WIDTH.maxPx + 1, AUTO_WIDTH.maxPx + 2] as const;

const PRESET = /^([a-z0-9][a-z0-9_-]{0,62})(?:\.([a-z][a-z0-9_-]{0,31}))?$/;
const VERSION = /^[1-9]\d{0,8}$/;
const RATIO = /^\d(\.\d{1,2})?$/;
const NOTHING = '-';
/** Nobody reads more. */
const MAX_ERRORS = 20;

export interface PresetName {
  preset: string;
  /** May be left out where the preset has one only. */
  rendition?: string;
}

/** A plan of a URL, read; what the client's hints and `Accept` add is not known yet. */
export interface TransformPlan {
  /** As it was written. */
  segment: string;
  /** Undefined where the plan is spelled out. */
  preset?: PresetName;
  version?: number;
  /** Factor of widths and heights. */
  ratio?: number | 'auto';
  /** Width in px where the client gives no hint; present where the width is the client's. */
  autoWidth?: number;
  /** The format that the plan itself says. */
  format?: OutputFormat;
  /** Metadata are kept. */
  keepsMetadata: boolean;
  /** @throws Problem `invalid_plan` where the plan cannot be had in this format */
  as(format: OutputFormat, autoWidthPx?: number): NormalPlan;
}

/** By every extension and name; `png` is PNG, as which APNG is named too. */
const FORMAT_BY_EXTENSION: ReadonlyMap<string, OutputFormat> = new Map([
  ...OUTPUT_FORMATS.map((format): [string, OutputFormat] => [EXTENSIONS[format], format]),
  ...OUTPUT_FORMATS.map((format): [string, OutputFormat] => [format, format]),
]);

/** Undefined where there is no such format. */
export const formatOfExtension = (ext: string): OutputFormat | undefined =>
  FORMAT_BY_EXTENSION.get(ext.toLowerCase());

/**
 * `<id>.<ext>`, or the id alone: then the extension is empty. What the id is, is not looked at. A dot that nothing
 * follows is no extension: two addresses of one picture would be two pictures to a cache.
 */
export function splitImageName(name: string): { imageId: string; ext: string } {
  const dot = name.lastIndexOf('.');
  if (dot < 0 || dot === name.length - 1) return { imageId: name.toLowerCase(), ext: '' };
  return { imageId: name.slice(0, dot).toLowerCase(), ext: name.slice(dot + 1) };
}

type Token = [key: string, value: string];

/**
 * Reads the plan of a URL, percent-decoded.
 * @throws Problem `invalid_plan` naming every key that is wrong
 */
export function readTransformPlan(segment: string): TransformPlan {
  if (segment.length > MAX_TRANSFORM_CHARS) {
    const message = `a plan in a URL has at most ${MAX_TRANSFORM_CHARS} characters, got ${segment.length}`;
    throw invalidPlan([{ path: 'plan', message }]);
  }
  const errors: FieldError[] = [];
  const said: Partial<TransformPlan> = {};
  const body: Token[] = [];
  let autoAt: number | undefined;
  const once = (path: string, name: keyof TransformPlan, value: unknown, form: string, text: string) => {
    if (said[name] !== undefined) errors.push({ path, message: 'given twice' });
    else if (value === undefined) errors.push({ path, message: `expected ${form}, got ${shown(text)}` });
    else Object.assign(said, { [name]: value });
  };
  const tokens = segment === NOTHING ? [] : segment.split(',').map(tokenOf);
  for (const [key, value] of tokens) {
    if (key === 'preset') once(key, 'preset', readPreset(value), '<preset>.<rendition>', value);
    else if (key === 'v') once(key, 'version', readVersion(value), 'the number of a version', value);
    else if (key === 'dpr') {
      const form = `auto, or a number from ${PIXEL_RATIO.min} to ${PIXEL_RATIO.max}`;
      once(key, 'ratio', readRatio(value), form, value);
    } else if (longName(key) === 'width' && /^auto(_|$)/.test(value)) {
      const form = `auto, or auto_<px> with at most ${AUTO_WIDTH.maxPx}`;
      once(key, 'autoWidth', readAutoWidth(value), form, value);
      autoAt = body.push([key, '']) - 1;
    } else body.push([key, value]);
  }
  if (said.autoWidth !== undefined && body.some(([key]) => longName(key) === 'unit')) {
    errors.push({ path: 'unit', message: 'the width that a client shows is in px' });
  }
  const strange = said.preset && body.find(([key]) => longName(key) !== 'format');
  if (strange) {
    errors.push({ path: strange[0], message: 'a preset stands alone, or with a format, dpr and v' });
  }
  if (errors.length > 0) throw invalidPlan(errors.slice(0, MAX_ERRORS));
  const planOf = (format: OutputFormat, widthPx: number): NormalPlan =>
    bodyPlan(autoAt === undefined ? body : body.with(autoAt, [body[autoAt]![0], String(widthPx)]), format);
  const keepsMetadata =
    body.some(([key]) => longName(key) === 'metadata') &&
    planOf('webp', AUTO_WIDTH.otherwisePx).output.metadata === 'keep';
  const as: TransformPlan['as'] = (format, autoWidthPx = AUTO_WIDTH.otherwisePx) => {
    const plan = planOf(format, autoWidthPx);
    return { ...plan, output: { ...plan.output, metadata: keepsMetadata ? 'keep' : 'strip' } };
  };
  // What it makes whatever is asked for, it says itself.
  const [format, other] = [as('webp').output.format, as('jpeg').output.format];
  return { segment, ...said, ...(format === other && { format }), keepsMetadata, as };
}

function tokenOf(text: string): Token {
  const end = text.indexOf('_');
  return end === -1 ? [text, ''] : [text.slice(0, end), text.slice(end + 1)];
}

const textOf = ([key, value]: Token): string => (value === '' ? key : `${key}_${value}`);
const longName = (key: string): string | undefined => KEY_BY_NAME.get(key)?.long;

function bodyPlan(body: readonly Token[], defaultFormat: OutputFormat): NormalPlan {
  return body.length === 0
    ? normalizePlan({}, defaultFormat)
    : planFromSegment(body.map(textOf).join(','), { defaultFormat });
}

function readPreset(text: string): PresetName | undefined {
  const [, preset, rendition] = PRESET.exec(text) ?? [];
  return preset === undefined ? undefined : { preset, ...(rendition !== undefined && { rendition }) };
}

const readVersion = (text: string): number | undefined => (VERSION.test(text) ? Number(text) : undefined);

function readRatio(text: string): number | 'auto' | undefined {
  if (text === 'auto') return text;
  const ratio = RATIO.test(text) ? Number(text) : Number.NaN;
  return ratio >= PIXEL_RATIO.min && ratio <= PIXEL_RATIO.max ? ratio : undefined;
}

function readAutoWidth(text: string): number | undefined {
  if (text === 'auto') return AUTO_WIDTH.otherwisePx;
  const px = /^auto_[1-9]\d{0,4}$/.test(text) ? Number(text.slice('auto_'.length)) : Number.NaN;
  return px <= AUTO_WIDTH.maxPx ? px : undefined;
}

/**
 * The format of the result; undefined where the client's `Accept` decides.
 * @throws Problem `invalid_plan` where the extension is none that is written, or not the plan's format
 */
export function formatOf(plan: TransformPlan, ext: string): OutputFormat | undefined {
  if (ext === '') return plan.format;
  const format = formatOfExtension(ext);
  if (!format) {
    const known = [...FORMAT_BY_EXTENSION.keys()].join(', ');
    throw invalidPlan([{ path: 'ext', message: `expected one of ${known}, got ${shown(ext)}` }]);
  }
  if (plan.format !== undefined && EXTENSIONS[plan.format] === EXTENSIONS[format]) return plan.format;
  if (plan.format !== undefined) {
    const message = `the plan makes ${plan.format}, and the URL ends in ${shown(ext)}`;
    throw invalidPlan([{ path: 'ext', message }]);
  }
  return format;
}

/**
 * The one spelling of all that mean the same with this extension: what is signed, so that each of them is. Undefined
 * where none was found; it reads back as the plan, or is not given.
 */
export function canonicalSegment(plan: TransformPlan, ext: string): string | undefined {
  try {
    const format = formatOf(plan, ext);
    const formats = format === undefined ? NEGOTIABLE : [format];
    const says = format !== undefined && format !== formatOfExtension(ext);
    const text = [
      ...(plan.preset ? [presetToken(plan.preset)] : bodyTokens(plan, formats)),
      ...(says ? [`f_${format}`] : []),
      ...(plan.keepsMetadata ? ['meta_keep'] : []),
      ...(plan.ratio === undefined ? [] : [`dpr_${plan.ratio}`]),
      ...(plan.version === undefined ? [] : [`v_${plan.version}`]),
    ].join(',');
    const segment = text === '' ? NOTHING : text;
    const read = readTransformPlan(segment);
    const same =
      formatOf(read, ext) === format &&
      formats.every((f) => STAND_IN_WIDTHS.every((width) => meansSame(plan, read, f, width)));
    return same ? segment : undefined;
  } catch (error) {
    if (error instanceof Problem && error.code === 'invalid_plan') return undefined;
    throw error;
  }
}

const presetToken = ({ preset, rendition }: PresetName): string =>
  `preset_${preset}${rendition === undefined ? '' : `.${rendition}`}`;

function meansSame(a: TransformPlan, b: TransformPlan, format: OutputFormat, width: number): boolean {
  const meaningOf = (plan: TransformPlan) => {
    const { preset, version, ratio, autoWidth } = plan;
    return JSON.stringify([preset, version, ratio, autoWidth, plan.as(format, width)]);
  };
  return meaningOf(a) === meaningOf(b);
}

/** The tokens of the operations, then those of the output that matter in any of the formats. */
function bodyTokens(plan: TransformPlan, formats: readonly OutputFormat[]): string[] {
  const [first] = formats as [OutputFormat];
  const operations = printed(plan, first).filter((token) => !isOfOutput(token));
  const output = new Map<string, string>();
  for (const token of formats.flatMap((format) => printed(plan, format).filter(isOfOutput))) {
    const [key] = tokenOf(token);
    if (longName(key) === 'format' || longName(key) === 'metadata' || output.has(key)) continue;
    output.set(key, token);
  }
  const ordered = PLAN_KEYS.flatMap(({ short }) => output.get(short) ?? []);
  return [...operations, ...ordered];
}

const isOfOutput = (token: string): boolean => {
  const key = KEY_BY_NAME.get(tokenOf(token)[0]);
  return key !== undefined && 'output' in key.place;
};

function printed(plan: TransformPlan, format: OutputFormat): string[] {
  const [one, other] = STAND_IN_WIDTHS.map((width) => {
    const text = planToSegment(plan.as(format, width));
    return text === '' ? [] : text.split(',');
  }) as [string[], string[]];
  const auto = plan.autoWidth === AUTO_WIDTH.otherwisePx ? 'w_auto' : `w_auto_${plan.autoWidth}`;
  return one.map((token, i) => (token === other[i] ? token : auto));
}

export interface TransformAddress {
  signature: string;
  /** Not percent-encoded. */
  segment: string;
  imageId: string;
  /** Empty where there is none. */
  ext: string;
  /** Unix seconds; empty where there is none. */
  expires: string;
}

/** Path and query. */
export function transformPath({ signature, segment, imageId, ext, expires }: TransformAddress): string {
  const plan = encodeURIComponent(segment).replaceAll('%2C', ',');
  const name = ext === '' ? imageId : `${imageId}.${ext}`;
  return `/t/${signature}/${plan}/${name}${expires === '' ? '' : `?expires=${expires}`}`;
}
