/** What the engine may do and use on the command line: as in the service, from the same variables. */
import { limitsFrom, loadConfig } from '../config.ts';
import type { Limits } from '../engine/limits.ts';
import type { ProblemCode } from '../problem.ts';
import type { CommandContext } from './command.ts';

/** Which variable raises the limit that a problem tells of: whoever trusts their own files may do so. */
export const VARIABLE_OF: Partial<Record<ProblemCode, string>> = {
  upload_too_large: 'MAX_CONVERT_SIZE_MB',
  image_too_large: 'MAX_IMAGE_MEGAPIXELS',
  too_many_frames: 'MAX_FRAMES',
  processing_timeout: 'PROCESSING_TIMEOUT',
  memory_exceeded: 'MAX_CHILD_MEMORY_MB',
};

/**
 * Reads only what bears on the engine: a PORT that makes no sense is no reason not to convert.
 * @throws Problem `invalid_configuration`
 */
export function limitsOf(env: CommandContext['env']): Limits {
  const variables = Object.values(VARIABLE_OF).map((name) => [name, env[name]]);
  return limitsFrom(loadConfig(Object.fromEntries(variables)), 'convert');
}

/**
 * The operator's model for removing backgrounds.
 * @throws Problem `invalid_configuration`
 */
export function matteModelOf(env: CommandContext['env']): string | undefined {
  return loadConfig({ MATTE_MODEL_PATH: env.MATTE_MODEL_PATH }).matteModelPath;
}
