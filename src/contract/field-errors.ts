/** Says what is wrong with an input in the reader's words: where, what was expected, what was found. */
import type { z } from 'zod';
import type { FieldError } from '../problem.ts';
import { nearest } from './nearest.ts';

type Issue = z.core.$ZodIssue;

/** A hostile document can be wrong in a million places; nobody reads more than these. */
const MAX_FIELD_ERRORS = 20;
const MAX_SHOWN_CHARS = 40;

/**
 * The issues of a failed `safeParse(input, { reportInput: true })`, at most 20.
 * `path` is dotted, e.g. `operations.0.fit`; empty for the whole document.
 */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.slice(0, MAX_FIELD_ERRORS).flatMap(explain).slice(0, MAX_FIELD_ERRORS);
}

/** A value as it can be shown in a message: quoted, cut at 40 characters, never expanded. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(clipped(value));
    case 'number':
    case 'boolean':
      return String(value);
    case 'undefined':
      return 'nothing';
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object';
    default:
      return `a ${typeof value}`;
  }
}

function clipped(text: string): string {
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text;
}

/** One issue; several where one object holds several unknown keys. */
function explain(issue: Issue): FieldError[] {
  const path = issue.path.map(String).map(clipped).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MAX_FIELD_ERRORS).map((key) => ({
      path: path === '' ? clipped(key) : `${path}.${clipped(key)}`,
      message: 'unknown key',
    }));
  }
  if (issue.code === 'custom') return [{ path, message: issue.message }];
  let input: unknown = issue.input;
  if (issue.code === 'invalid_union') {
    // zod reports the whole object for a wrong discriminator; the wrong value itself says more.
    const discriminator = issue.discriminator;
    if (discriminator !== undefined) {
      input = (input as Record<string, unknown> | null)?.[discriminator];
    }
  }
  return [{ path, message: `expected ${expected(issue)}, got ${shown(input)}${hint(issue, input)}` }];
}

function expected(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_value':
      return choices(issue.values);
    case 'invalid_union':
      return 'options' in issue && Array.isArray(issue.options) ? choices(issue.options) : 'another form';
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'too_small':
      return `${amount(issue.origin)}at least ${issue.minimum}${things(issue.origin)}`;
    case 'too_big':
      return `${amount(issue.origin)}at most ${issue.maximum}${things(issue.origin)}`;
    case 'invalid_key':
      return (issue.issues[0]?.message ?? 'another name').replace(/^expected /, '');
    default:
      return issue.message.replace(/^expected /, '');
  }
}

const TYPES: Record<string, string> = {
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
};

const choices = (values: readonly unknown[]): string =>
  values.length === 1 ? String(values[0]) : `one of ${values.map(String).join(', ')}`;

const amount = (origin: string): string => (origin === 'int' ? 'a whole number of ' : '');

const things = (origin: string): string =>
  origin === 'array' ? ' items' : origin === 'string' ? ' characters' : '';

function hint(issue: Issue, input: unknown): string {
  const values =
    issue.code === 'invalid_value' ? issue.values : 'options' in issue ? issue.options : undefined;
  if (typeof input !== 'string' || !Array.isArray(values)) return '';
  const meant = nearest(
    input,
    values.filter((v) => typeof v === 'string'),
  );
  return meant === undefined ? '' : `; did you mean ${meant}?`;
}
