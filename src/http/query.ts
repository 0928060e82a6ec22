/** Reads and validates the parts of a request by the operation's schemas. */
import type { z } from 'zod';
import { fieldErrors, shown } from '../contract/field-errors.ts';
import { Problem } from '../problem.ts';

/** The query as it was written, in order, decoded as a form (`+` is a space). */
export function queryPairs(url: string): [string, string][] {
  const start = url.indexOf('?');
  return start < 0 ? [] : [...new URLSearchParams(url.slice(start + 1))];
}

/**
 * Query parameters as the schema's output.
 * @throws Problem `invalid_field` for an unknown, repeated, missing or wrong parameter.
 */
export function parseQuery(schema: z.ZodType, pairs: Iterable<[string, string]>): unknown {
  const values: Record<string, string> = Object.create(null);
  for (const [name, value] of pairs) {
    if (name in values) {
      const errors = [{ path: name, message: 'given more than once' }];
      throw new Problem('invalid_field', { detail: `The parameter ${shown(name)} is given twice.`, errors });
    }
    values[name] = value;
  }
  return parseFields(schema, { ...values }, 'query');
}

/** @throws Problem `invalid_field`, naming each wrong field. */
export function parseFields(schema: z.ZodType, value: unknown, where: 'query' | 'body' | 'form'): unknown {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  const errors = fieldErrors(parsed.error);
  const [first] = errors;
  const field = first?.path ? `The field ${shown(first.path)} of the ${where}` : `The ${where}`;
  throw new Problem('invalid_field', { detail: `${field} is wrong: ${first?.message}.`, errors });
}
