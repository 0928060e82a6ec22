/** The forms that variables take, and what is known of each variable. */
import { resolve } from 'node:path';
import { z } from 'zod';

/** What a variable's documentation and messages are made of. */
export interface Variable {
  /** The environment variable. */
  name: string;
  description: string;
  /** Finishes "expected …". */
  form: string;
  /** As text; `shown` where it depends on the machine or on another variable. */
  default: string | { shown: string; value: (textOf: (name: string) => string) => string };
  unit?: string;
  /** Its value is shown to nobody. */
  secret?: true;
}

export type Described = Omit<Variable, 'form'> & { form?: string };

export const registry = z.registry<Variable>();

export const MEBIBYTE = 1024 * 1024;

interface Range {
  min: number;
  max: number;
  /** Multiplies the number as written into the unit of the field. */
  times?: number;
}

/** Fails a field; what is told is its variable's form. */
export function refuse(ctx: z.RefinementCtx): never {
  ctx.addIssue({ code: 'custom', message: 'of another form' });
  return z.NEVER;
}

const inRange = (
  { min, max, times = 1 }: Range,
  form: RegExp,
  text: string,
  ctx: z.RefinementCtx,
): number => {
  const value = form.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value * times : refuse(ctx);
};

export function whole(range: Range, variable: Described) {
  const form = `a whole number from ${range.min} to ${range.max}`;
  return z
    .string()
    .transform((text, ctx) => inRange(range, /^\d{1,15}$/, text, ctx))
    .register(registry, { form, ...variable });
}

/** Fractions are allowed: `0.5` MB is a limit that a test wants. */
export function amount(range: Range, variable: Described) {
  const form = `a number from ${range.min} to ${range.max}`;
  return z
    .string()
    .transform((text, ctx) => inRange(range, /^\d{1,15}(\.\d{1,15})?$/, text, ctx))
    .transform(Math.round)
    .register(registry, { form, ...variable });
}

export function oneOf<const Word extends string>(words: readonly Word[], variable: Described) {
  return z
    .string()
    .toLowerCase()
    .pipe(z.enum(words))
    .register(registry, { form: `one of ${words.join(', ')}`, ...variable });
}

/** A file or folder; the field is its absolute path. */
export function path(variable: Described & { form: string }) {
  return z
    .string()
    .regex(/^[^\0]+$/)
    .transform((text) => resolve(text))
    .register(registry, variable);
}

/** Absent where the variable is; else what `read` makes of the text. */
export function optional<T>(
  read: (text: string, ctx: z.RefinementCtx) => T,
  variable: Omit<Variable, 'default'> & Partial<Pick<Variable, 'default'>>,
) {
  return z
    .string()
    .transform((text, ctx) => (text === '' ? undefined : read(text, ctx)))
    .register(registry, { default: '', ...variable });
}

/** An absolute http(s) URL without credentials; undefined for any other text. */
export function httpUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  const fits = url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  return fits ? url : undefined;
}

/** The parts of a comma-separated list, each read; undefined where one of them cannot be. */
export function list<T>(text: string, read: (item: string) => T | undefined): T[] | undefined {
  const items = text.split(',').map((item) => read(item.trim()));
  return items.every((item) => item !== undefined) ? items : undefined;
}
