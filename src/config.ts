/**
 * The configuration: environment variables in, one frozen object out. Each variable is described once, in `config/`;
 * the types, the messages, docs/configuration.md and .env.example follow from it.
 */
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { ACCESS_FIELDS, accessConflicts } from './config/access.ts';
import { registry, type Variable } from './config/forms.ts';
import { MODEL_FIELDS } from './config/models.ts';
import { SERVER_FIELDS } from './config/server.ts';
import { TRANSFORM_FIELDS } from './config/transform.ts';
import { missingSafeguards, withoutEffect } from './config/unavailable.ts';
import { UPLOAD_FIELDS } from './config/uploads.ts';
import { shown } from './contract/field-errors.ts';
import { nearest } from './contract/nearest.ts';
import type { Limits } from './engine/limits.ts';
import { type FieldError, Problem } from './problem.ts';

export type { Variable } from './config/forms.ts';

const configSchema = z.object({
  ...SERVER_FIELDS,
  ...UPLOAD_FIELDS,
  ...TRANSFORM_FIELDS,
  ...MODEL_FIELDS,
  ...ACCESS_FIELDS,
});

export type Config = Readonly<z.output<typeof configSchema>>;

/** Every variable, in the order of the documentation. */
export const VARIABLES: readonly Variable[] = Object.values(configSchema.shape).map((field) => {
  const variable = registry.get(field);
  if (!variable) throw new TypeError('A field of configSchema has no description');
  return variable;
});

const FIELDS = Object.keys(configSchema.shape).map((field, i) => ({ field, variable: VARIABLES[i]! }));

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the variables; one that is empty counts as absent.
 * @throws Problem `invalid_configuration` that names every wrong variable and what it should be, a line each
 */
export function loadConfig(env: Environment): Config {
  const textOf = (name: string): string => {
    const variable = VARIABLES.find((known) => known.name === name);
    return env[name]?.trim() || (variable ? defaultOf(variable, textOf) : '');
  };
  const texts = Object.fromEntries(FIELDS.map(({ field, variable }) => [field, textOf(variable.name)]));
  const result = configSchema.safeParse(texts);
  if (!result.success) {
    const wrong = new Set(result.error.issues.map((issue) => issue.path[0]));
    throw invalidConfiguration(
      FIELDS.filter(({ field }) => wrong.has(field)).map(({ field, variable }) => ({
        path: variable.name,
        message: `expected ${variable.form}, got ${told(variable, texts[field]!)}`,
      })),
    );
  }
  const conflicts = [...accessConflicts(result.data), ...missingSafeguards(env)];
  if (conflicts.length > 0) throw invalidConfiguration(conflicts);
  return Object.freeze(result.data);
}

/** @param errors by variable */
export function invalidConfiguration(errors: FieldError[], cause?: unknown): Problem {
  const lines = errors.map(({ path, message }) => `${path}: ${message}`);
  return new Problem('invalid_configuration', {
    detail: [...lines, 'See docs/configuration.md.'].join('\n'),
    errors,
    cause,
  });
}

function defaultOf(variable: Variable, textOf: (name: string) => string): string {
  return typeof variable.default === 'string' ? variable.default : variable.default.value(textOf);
}

/** The text as it can be shown: no secrets, and no credentials of a URL. */
function told({ secret }: Variable, text: string): string {
  return secret ? `${text.length} characters` : shown(text.replace(/\/\/[^/]*@/, '//…@'));
}

/**
 * A sentence for each variable that has no effect: one of a backend that this version does not have, and one that is
 * not ours but was probably meant to be, e.g. `MAX_UPLOAD_SIZE`: a typing error, or the same words with one more or
 * fewer. No sentence holds a value.
 */
export function configWarnings(env: Environment): string[] {
  const names = VARIABLES.map(({ name }) => name);
  return Object.keys(env)
    .filter((name) => !names.includes(name) && env[name] !== undefined)
    .flatMap((name) => {
      const reason = withoutEffect(name);
      if (reason !== undefined) return env[name] === '' ? [] : [reason];
      const meant =
        names.find((known) => sameButOneWord(name, known)) ?? nearest(name, names.filter(isDistinctive));
      const warning = `${shown(name)} is not a variable of this service; did you mean ${meant}? See docs/configuration.md.`;
      return meant === undefined ? [] : [warning];
    });
}

/** HOST and PORT are one letter away from HOME, POST and other variables of any system. */
const isDistinctive = (name: string) => name.length > 4;

/** The words of one, in any order, are the words of the other and at most one more. */
function sameButOneWord(a: string, b: string): boolean {
  const [fewer = new Set<string>(), more = new Set<string>()] = [a, b]
    .map((name) => new Set(name.toUpperCase().split('_')))
    .sort((one, other) => one.size - other.size);
  return fewer.size >= 2 && more.size - fewer.size <= 1 && [...fewer].every((word) => more.has(word));
}

/**
 * The variables of a `.env` file; none where there is no such file. Real environment variables should win:
 * `loadConfig({ ...readEnvFile('.env'), ...process.env })`.
 * @throws Problem `invalid_configuration` where the file is there and cannot be read
 */
export function readEnvFile(path: string): Record<string, string> {
  try {
    return { ...parseEnv(readFileSync(path, 'utf8')) } as Record<string, string>;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // A folder of this name is somebody else's: Python's virtual environments are called so.
    if (code === 'ENOENT' || code === 'EISDIR') return {};
    throw new Problem('invalid_configuration', { detail: 'The .env file cannot be read.', cause });
  }
}

/** What one image may cost: as a conversion that a client waits for, or as an upload. */
export function limitsFrom(config: Config, use: 'convert' | 'upload'): Limits {
  return {
    maxBytes: use === 'convert' ? config.maxConvertBytes : config.maxUploadBytes,
    maxPixels: config.maxPixels,
    maxFrames: config.maxFrames,
    timeoutMs: config.processingTimeoutMs,
    maxMemoryBytes: config.maxChildMemoryBytes,
  };
}
