/**
 * The configuration: environment variables in, one frozen object out. Each variable is described once, in
 * `configSchema`; the types, the messages, docs/configuration.md and .env.example follow from it.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { shown } from './contract/field-errors.ts';
import { nearest } from './contract/nearest.ts';
import type { Limits } from './engine/limits.ts';
import { Problem } from './problem.ts';

/** What a variable's documentation and messages are made of. */
export interface Variable {
  /** The environment variable. */
  name: string;
  description: string;
  /** Finishes "expected …". */
  form: string;
  /** As text; `shown` where it depends on the machine. */
  default: string | { shown: string; value: () => string };
  unit?: string;
}

const registry = z.registry<Variable>();

const MEBIBYTE = 1024 * 1024;

interface Range {
  min: number;
  max: number;
  /** Multiplies the number as written into the unit of the field. */
  times?: number;
}

const inRange = (
  { min, max, times = 1 }: Range,
  form: RegExp,
  text: string,
  ctx: z.RefinementCtx,
): number => {
  const value = form.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value * times;
  ctx.addIssue({ code: 'custom', message: 'out of range' });
  return z.NEVER;
};

type Described = Omit<Variable, 'form'> & { form?: string };

function whole(range: Range, variable: Described) {
  const form = `a whole number from ${range.min} to ${range.max}`;
  return z
    .string()
    .transform((text, ctx) => inRange(range, /^\d{1,15}$/, text, ctx))
    .register(registry, { form, ...variable });
}

/** Fractions are allowed: `0.5` MB is a limit that a test wants. */
function amount(range: Range, variable: Described) {
  const form = `a number from ${range.min} to ${range.max}`;
  return z
    .string()
    .transform((text, ctx) => inRange(range, /^\d{1,15}(\.\d{1,15})?$/, text, ctx))
    .transform(Math.round)
    .register(registry, { form, ...variable });
}

function oneOf<const Word extends string>(words: readonly Word[], variable: Described) {
  return z
    .string()
    .toLowerCase()
    .pipe(z.enum(words))
    .register(registry, { form: `one of ${words.join(', ')}`, ...variable });
}

function origins(text: string, ctx: z.RefinementCtx): readonly string[] {
  const list = text.split(',').map((origin) => origin.trim());
  const valid = list.map((origin) => {
    if (origin === '*' && list.length === 1) return origin;
    const url = URL.parse(origin);
    const isOrigin = url !== null && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href;
    return isOrigin ? url.origin : undefined;
  });
  if (valid.every((origin) => origin !== undefined)) return Object.freeze(valid);
  ctx.addIssue({ code: 'custom', message: 'not a list of origins' });
  return z.NEVER;
}

/** Keys are the fields of Config; the environment variable of each is in its description. */
const configSchema = z.object({
  host: z
    .string()
    .regex(/^[a-z0-9_.:%-]{1,255}$/i)
    .register(registry, {
      name: 'HOST',
      form: 'a host name or an IP address',
      default: '127.0.0.1',
      description:
        'Address to listen on. By default only this machine can connect; `0.0.0.0` or `::` opens the service to the network.',
    }),
  port: whole(
    { min: 0, max: 65_535 },
    { name: 'PORT', default: '8000', description: 'TCP port to listen on; 0 takes any free one.' },
  ),
  dataDir: z
    .string()
    .regex(/^[^\0]+$/)
    .transform((path) => resolve(path))
    .register(registry, {
      name: 'DATA_DIR',
      form: 'a folder',
      default: './data',
      description:
        'Folder for everything that the service stores, temporary files included. Made when it is missing.',
    }),
  maxConvertBytes: amount(
    { min: 0.001, max: 10_240, times: MEBIBYTE },
    {
      name: 'MAX_CONVERT_SIZE_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '200',
      description: 'Largest file that `POST /convert` accepts.',
    },
  ),
  maxUploadBytes: amount(
    { min: 0.001, max: 10_240, times: MEBIBYTE },
    {
      name: 'MAX_UPLOAD_SIZE_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '50',
      description: 'Largest file that an upload accepts.',
    },
  ),
  maxPixels: amount(
    { min: 0.001, max: 10_000, times: 1_000_000 },
    {
      name: 'MAX_IMAGE_MEGAPIXELS',
      unit: 'megapixels',
      default: '100',
      description:
        'Largest picture that is decoded, checked before its pixels are. An animation counts with all its frames.',
    },
  ),
  maxFrames: whole(
    { min: 1, max: 100_000 },
    {
      name: 'MAX_FRAMES',
      unit: 'frames',
      default: '1000',
      description: 'Most frames or pages that one image may have decoded.',
    },
  ),
  processingTimeoutMs: amount(
    { min: 0.1, max: 86_400, times: 1_000 },
    {
      name: 'PROCESSING_TIMEOUT',
      unit: 'seconds',
      default: '300',
      description: 'Longest that the work on one image may take.',
    },
  ),
  workerConcurrency: whole(
    { min: 1, max: 256 },
    {
      name: 'WORKER_CONCURRENCY',
      unit: 'images',
      default: {
        shown: 'the number of CPU cores',
        value: () => String(Math.min(256, availableParallelism())),
      },
      description: 'How many images are worked on at the same time, each in a process of its own.',
    },
  ),
  maxChildMemoryBytes: amount(
    { min: 128, max: 1_048_576, times: MEBIBYTE },
    {
      name: 'MAX_CHILD_MEMORY_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '3072',
      description:
        'Most memory that the process working on one image may take; it is ended when it takes more.',
    },
  ),
  convertQueueLimit: whole(
    { min: 0, max: 100_000 },
    {
      name: 'CONVERT_QUEUE_LIMIT',
      unit: 'requests',
      default: '64',
      description: 'How many conversions may wait for a free worker; further ones are answered with 503.',
    },
  ),
  shutdownTimeoutMs: amount(
    { min: 0, max: 3_600, times: 1_000 },
    {
      name: 'SHUTDOWN_TIMEOUT_SECONDS',
      unit: 'seconds',
      default: '30',
      description: 'How long a stopping server lets running work finish.',
    },
  ),
  logLevel: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    name: 'LOG_LEVEL',
    default: 'info',
    description: 'The least severe messages that are logged.',
  }),
  corsOrigins: z
    .string()
    .transform((text, ctx) => (text === '' ? Object.freeze([]) : origins(text, ctx)))
    .register(registry, {
      name: 'CORS_ORIGINS',
      form: 'origins such as https://example.org, separated by commas, or *',
      default: '',
      description: 'Web origins whose pages may call the service from a browser.',
    }),
  environment: oneOf(['development', 'test', 'production'], {
    name: 'NODE_ENV',
    default: 'development',
    description: 'What this installation is for.',
  }),
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
  const texts = Object.fromEntries(
    FIELDS.map(({ field, variable }) => [field, env[variable.name]?.trim() || defaultOf(variable)]),
  );
  const result = configSchema.safeParse(texts);
  if (result.success) return Object.freeze(result.data);
  const wrong = new Set(result.error.issues.map((issue) => issue.path[0]));
  const errors = FIELDS.filter(({ field }) => wrong.has(field)).map(({ field, variable }) => ({
    path: variable.name,
    message: `expected ${variable.form}, got ${shown(texts[field])}`,
  }));
  const lines = errors.map(({ path, message }) => `${path}: ${message}`);
  throw new Problem('invalid_configuration', {
    detail: [...lines, 'See docs/configuration.md.'].join('\n'),
    errors,
  });
}

function defaultOf(variable: Variable): string {
  return typeof variable.default === 'string' ? variable.default : variable.default.value();
}

/**
 * A sentence for each variable that is not ours but was probably meant to be, e.g. `MAX_UPLOAD_SIZE`: a typing error,
 * or the same words with one more or fewer.
 */
export function configWarnings(env: Environment): string[] {
  const names = VARIABLES.map(({ name }) => name);
  return Object.keys(env)
    .filter((name) => !names.includes(name) && env[name] !== undefined)
    .flatMap((name) => {
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
