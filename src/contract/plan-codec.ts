/**
 * The spellings of a Plan besides JSON. All of them are one list of `[key, value]` tokens, in the order of the
 * operations, written differently:
 *
 * | spelling | e.g. |
 * |---|---|
 * | URL segment | `w_600,h_400,fit_cover,fp_0.3_0.7,rotate_90,f_webp,q_80` |
 * | query | `width=600&height=400&fit=cover&focus=0.3,0.7&rotate=90&format=webp&quality=80` |
 * | command line | `--width 600 --height 400 --fit cover --focus 0.3,0.7 --rotate 90 --format webp --quality 80` |
 *
 * The keys stand in `plan-keys.ts`; every spelling reads the short and the long names. Resize keys join the latest
 * resize, wherever they stand; `resize` begins another. `fill` joins the latest resize, trim or slanting rotation.
 * Values that a Plan has anyway are not printed, except the format: what is printed reads the same everywhere.
 */
import type { FieldError } from '../problem.ts';
import { Problem } from '../problem.ts';
import { shown } from './field-errors.ts';
import { nearest } from './nearest.ts';
import type { NormalOperation, NormalPlan, OutputFormat } from './plan.ts';
import type { PlanKey, Spelling } from './plan-keys.ts';
import { KEY_BY_NAME, onOff, PLAN_FLAGS, PLAN_KEYS } from './plan-keys.ts';
import { invalidPlan, type ReadPlan, readPlan } from './plan-normal.ts';

export { PLAN_FLAGS };

/** A key by any of its names, and its value; the value of a switch is empty. */
type Token = [key: string, value: string];
type Fields = Record<string, unknown>;

/** More than a Plan of 32 full operations needs: the longest is a watermark of 200 characters of 3 bytes. */
const MAX_SEGMENT_CHARS = 32_768;
const MAX_TOKENS = 400;
const MAX_ERRORS = 20;

export interface PlanReadOptions {
  /** What a Plan that names no format makes; JPEG by default. */
  defaultFormat?: OutputFormat;
}

/**
 * Reads a URL segment, already percent-decoded.
 * @throws Problem `invalid_plan` naming every key that is wrong
 */
export function planFromSegment(segment: string, options: PlanReadOptions = {}): NormalPlan {
  return readSegment(segment, options).plan;
}

function readSegment(segment: string, options: PlanReadOptions): ReadPlan {
  if (segment.length > MAX_SEGMENT_CHARS) {
    throw invalidPlan([
      { path: 'plan', message: `expected at most ${MAX_SEGMENT_CHARS} characters, got ${segment.length}` },
    ]);
  }
  const tokens = segment.split(',').map((token): Token => {
    const end = token.indexOf('_');
    return end === -1 ? [token, ''] : [token.slice(0, end), token.slice(end + 1)];
  });
  return readTokens(tokens, (name) => name, options, 'segment');
}

/** Only characters that a URL path holds unescaped: letters, digits and `_ , . -`. */
export function planToSegment(plan: NormalPlan): string {
  return tokensOf(plan, 'segment')
    .map(([key, value]) => [key.short, ...(value === '' ? [] : [value.replaceAll(',', '_')])].join('_'))
    .join(',');
}

/**
 * Reads query parameters in their order: either the keys of a Plan, or one `plan` with a URL segment or JSON.
 * @param options.ignore parameters that belong to others
 * @throws Problem `invalid_plan` naming every parameter that is wrong
 */
export function planFromQuery(
  params: Iterable<[string, string]>,
  { ignore, ...options }: PlanReadOptions & { ignore?: ReadonlySet<string> } = {},
): NormalPlan {
  const tokens = [...params].filter(([name]) => !ignore?.has(name));
  return readPairs(tokens, (name) => name, options).plan;
}

export function planToQuery(plan: NormalPlan): [string, string][] {
  return tokensOf(plan, 'plain').map(([key, value]) => [key.long, key.kind === onOff ? 'true' : value]);
}

/**
 * Reads options of the command line in their order, with or without their dashes; switches have an empty value.
 * @throws Problem `invalid_plan` naming every option that is wrong, as `--width`
 */
export function planFromFlags(flags: Iterable<[string, string]>, options: PlanReadOptions = {}): NormalPlan {
  return readPlanFlags(flags, options).plan;
}

/** As `planFromFlags`, with the Plan as it was written. */
export function readPlanFlags(flags: Iterable<[string, string]>, options: PlanReadOptions = {}): ReadPlan {
  const tokens = Array.from(flags, ([name, value]): Token => [name.replace(/^--?/, ''), value]);
  return readPairs(tokens, (name) => `--${name}`, options);
}

/** Arguments, e.g. `['--width', '600', '--flip']`. */
export function planToFlags(plan: NormalPlan): string[] {
  return tokensOf(plan, 'plain').flatMap(([key, value]) => {
    if (key.kind === onOff) return [`--${key.long}`];
    // What begins with a dash and is no number would be taken for another option.
    return /^-(?![\d.])/.test(value) ? [`--${key.long}=${value}`] : [`--${key.long}`, value];
  });
}

/** Tokens, or a whole Plan under the name `plan`. */
function readPairs(tokens: Token[], label: (name: string) => string, options: PlanReadOptions): ReadPlan {
  const whole = tokens.find(([name]) => name === 'plan');
  if (!whole) return readTokens(tokens, label, options);
  const other = tokens.find((token) => token !== whole);
  if (other) {
    const message = `stands for the whole plan; ${shown(label(other[0]))} cannot be added to it`;
    throw invalidPlan([{ path: label('plan'), message }]);
  }
  const text = whole[1].trim();
  if (!text.startsWith('{')) return readSegment(text, options);
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (cause) {
    const message = `expected JSON or a plan such as w_600,f_webp, got ${shown(text)}`;
    throw invalidPlan([{ path: label('plan'), message }], cause);
  }
  return readPlan(input, options.defaultFormat);
}

function readTokens(
  tokens: readonly Token[],
  label: (name: string) => string,
  { defaultFormat }: PlanReadOptions,
  spelling: Spelling = 'plain',
): ReadPlan {
  if (tokens.length > MAX_TOKENS) {
    throw invalidPlan([
      { path: 'plan', message: `expected at most ${MAX_TOKENS} keys, got ${tokens.length}` },
    ]);
  }
  const builder = new PlanBuilder(label, spelling);
  const errors: FieldError[] = [];
  for (const [name, text] of tokens) {
    const key = keyFor(name, text);
    const message = key ? builder.add(key, text, label(name)) : unknownKey(name, label);
    if (message !== undefined) errors.push({ path: label(clip(name)), message });
    if (errors.length === MAX_ERRORS) break;
  }
  if (errors.length > 0) throw invalidPlan(errors);
  return builder.read(defaultFormat);
}

function keyFor(name: string, text: string): PlanKey | undefined {
  const key = KEY_BY_NAME.get(name);
  const other = key?.belongsTo?.(text);
  return other === undefined ? key : KEY_BY_NAME.get(other);
}

const clip = (name: string) => (name.length > 40 ? `${name.slice(0, 40)}…` : name);

function unknownKey(name: string, label: (name: string) => string): string {
  if (name === '') return 'expected a key, got nothing';
  const meant = nearest(name, KEY_BY_NAME.keys());
  return `unknown key${meant === undefined ? '' : `; did you mean ${label(meant)}?`}`;
}

/** Puts tokens together, remembering which key wrote what, so that errors name the keys. */
class PlanBuilder {
  readonly #label: (name: string) => string;
  readonly #spelling: Spelling;
  readonly #plan: Fields = {};
  readonly #operations: Fields[] = [];
  readonly #output: Fields = {};
  /** From a dotted path of the Plan to the key that wrote it. */
  readonly #writtenBy = new Map<string, string>();
  readonly #hints = new Map<string, string>();

  constructor(label: (name: string) => string, spelling: Spelling) {
    this.#label = label;
    this.#spelling = spelling;
  }

  /** @returns what is wrong with the token, or undefined */
  add(key: PlanKey, text: string, written: string): string | undefined {
    const { place } = key;
    // A key whose value may be left out is a switch as well.
    if (key.optional && text === 'false') return undefined;
    const absent = key.optional !== undefined && (text === '' || text === 'true');
    const value = absent ? undefined : key.kind.read(text, this.#spelling);
    if (value === undefined && !absent) return `expected ${key.kind.form}, got ${shown(text)}`;
    if ('plan' in place) return this.#set(this.#plan, '', place.plan, value, written);
    if ('output' in place) return this.#set(this.#output, 'output.', place.output, value, written);
    if ('starts' in place) {
      if (value === false) return undefined;
      const fields = place.field === undefined || absent ? value : { [place.field]: value };
      const index = this.#start({ op: place.starts, ...(typeof fields === 'object' ? fields : {}) }, written);
      if (place.field !== undefined) this.#writtenBy.set(`operations.${index}.${place.field}`, written);
      return undefined;
    }
    let index = this.#operations.findLastIndex(
      (op) => Object.hasOwn(place.joins, String(op.op)) && !isUpright(op),
    );
    if (index === -1) {
      if (place.begins === undefined) return `goes with ${this.#beginnersOf(place.joins)}, after it`;
      index = this.#start({ op: place.begins }, written);
      if (place.hint !== undefined) this.#hints.set(written, place.hint);
    }
    return this.#set(this.#operations[index]!, `operations.${index}.`, place.field, value, written);
  }

  /** @throws Problem `invalid_plan` naming the keys */
  read(defaultFormat: OutputFormat | undefined): ReadPlan {
    try {
      return readPlan({ ...this.#plan, operations: this.#operations, output: this.#output }, defaultFormat);
    } catch (error) {
      const problem = Problem.from(error);
      if (problem.code !== 'invalid_plan') throw error;
      throw invalidPlan((problem.errors ?? []).map((field) => this.#asWritten(field)));
    }
  }

  #beginnersOf(operations: object): string {
    return PLAN_KEYS.filter(({ place }) => 'starts' in place && Object.hasOwn(operations, place.starts))
      .map(({ long }) => this.#label(long))
      .join(' or ');
  }

  #start(op: Fields, written: string): number {
    const index = this.#operations.push(op) - 1;
    this.#writtenBy.set(`operations.${index}`, written);
    return index;
  }

  #set(target: Fields, prefix: string, field: string, value: unknown, written: string): string | undefined {
    if (Object.hasOwn(target, field)) {
      return BEGUN_BY_THEIR_OPTIONS.has(String(target.op))
        ? `given twice for one ${target.op}; put ${this.#label(String(target.op))} before the second`
        : 'given twice';
    }
    target[field] = value;
    this.#writtenBy.set(prefix + field, written);
    return undefined;
  }

  /** The longest part of the path that a key wrote becomes that key. */
  #asWritten({ path, message }: FieldError): FieldError {
    const parts = path.split('.');
    for (let length = parts.length; length > 0; length--) {
      const written = this.#writtenBy.get(parts.slice(0, length).join('.'));
      if (written === undefined) continue;
      const rest = parts.slice(length).join('.');
      const hint = this.#hints.get(written);
      return {
        path: written,
        message: `${rest === '' ? '' : `${rest} `}${message}${hint === undefined ? '' : `; ${hint}`}`,
      };
    }
    return { path, message };
  }
}

/** A rotation that leaves no corners to fill. */
const isUpright = (op: Fields): boolean => op.op === 'rotate' && Number(op.angle) % 90 === 0;

/** Their options begin them, so that the first one needs no key of its own. */
const BEGUN_BY_THEIR_OPTIONS: ReadonlySet<string> = new Set(
  PLAN_KEYS.flatMap(({ place }) => ('joins' in place && place.begins ? [place.begins] : [])),
);

/** The tokens of a Plan, by key, with `,` between the parts of a value. */
function tokensOf(plan: NormalPlan, spelling: Spelling): [PlanKey, string][] {
  const tokens: [PlanKey, string][] = [];
  const add = (key: PlanKey, value: unknown, implied: unknown = key.implied) => {
    if (value !== undefined && value !== implied) tokens.push([key, key.kind.print(value, spelling)]);
  };
  for (const key of PLAN_KEYS) {
    if ('plan' in key.place) add(key, plan[key.place.plan]);
  }
  const begun = new Set<NormalOperation['op']>();
  for (const op of plan.operations) {
    const isNamed = begun.has(op.op) || !BEGUN_BY_THEIR_OPTIONS.has(op.op);
    begun.add(op.op);
    const fields: Fields = { ...op };
    for (const key of PLAN_KEYS) {
      const { place } = key;
      if ('starts' in place && place.starts === op.op && isNamed) {
        add(key, place.field === undefined ? fields : fields[place.field]);
      } else if ('joins' in place && Object.hasOwn(place.joins, op.op)) {
        add(key, fields[place.field], place.joins[op.op]);
      }
    }
  }
  for (const key of PLAN_KEYS) {
    if ('output' in key.place) add(key, plan.output[key.place.output]);
  }
  return tokens;
}
