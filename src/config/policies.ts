/** The presets and bucket policies of a configuration: the built-in ones, and what is in PRESETS_FILE and BUCKETS_FILE. */
import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { type Config, invalidConfiguration } from '../config.ts';
import { fieldErrors } from '../contract/field-errors.ts';
import {
  bucketErrors,
  bucketsFileSchema,
  builtInPresets,
  createPolicies,
  type Policies,
  presetsFileSchema,
} from '../contract/policies.ts';
import type { FieldError } from '../problem.ts';

/** @throws Problem `invalid_configuration` naming the file, and what is expected where in it */
export function loadPolicies(config: Config): Policies {
  const { presetsFile, bucketsFile, allowedMimeTypes, maxUploadBytes } = config;
  const builtIn = builtInPresets({ webSizes: config.imageSizes, webpQuality: config.webpQuality });
  const configured =
    presetsFile === undefined ? [] : readJson('PRESETS_FILE', presetsFile, presetsFileSchema);
  const buckets = bucketsFile === undefined ? {} : readJson('BUCKETS_FILE', bucketsFile, bucketsFileSchema);
  const sources = {
    presets: [...builtIn, ...configured],
    buckets,
    allowedMimeTypes,
    maxBytes: maxUploadBytes,
  };
  const errors = bucketErrors(sources);
  if (errors.length > 0) throw invalidFile('BUCKETS_FILE', bucketsFile!, errors);
  return createPolicies(sources);
}

function readJson<S extends z.ZodType>(variable: string, file: string, schema: S): z.output<S> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = code === 'ENOENT' ? 'there is no such file' : 'the file cannot be read';
    throw invalidFile(variable, file, [{ path: '', message }], cause);
  }
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (cause) {
    // V8's message says where.
    const message = `expected JSON: ${(cause as Error).message}`;
    throw invalidFile(variable, file, [{ path: '', message }], cause);
  }
  const parsed = schema.safeParse(input, { reportInput: true });
  if (!parsed.success) throw invalidFile(variable, file, fieldErrors(parsed.error));
  return parsed.data;
}

function invalidFile(variable: string, file: string, errors: FieldError[], cause?: unknown) {
  return invalidConfiguration(
    errors.map(({ path, message }) => ({
      path: variable,
      message: `${file}: ${path === '' ? '' : `${path}: `}${message}`,
    })),
    cause,
  );
}
