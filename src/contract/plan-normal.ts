/** Checks, normalises and hashes Plans. The normal form is what the engine works on and what renditions are keyed by. */
import { createHash } from 'node:crypto';
import { type FieldError, Problem } from '../problem.ts';
import { fieldErrors } from './field-errors.ts';
import type { NormalPlan, OutputFormat, OutputOptions, Plan } from './plan.ts';
import { formatOf, misfits, planSchema } from './plan.ts';
import { opaqueColor } from './plan-colors.ts';
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import { BMP_ALPHA_DEPTH, BMP_DEPTH, FORMAT_OPTIONS, type FormatOptions } from './plan-formats.ts';
import { normalOperations } from './plan-normal-operations.ts';

export { PLAN_DEFAULTS } from './plan-defaults.ts';

/**
 * The normal form of a valid Plan: aliases resolved, defaults written out, what cannot matter removed.
 * `normalizePlan(normalizePlan(p))` equals `normalizePlan(p)`. The argument is left as it is.
 * @param defaultFormat what a Plan that names no format makes, e.g. from `Accept` or a file name's extension
 */
export function normalizePlan(plan: Plan, defaultFormat: OutputFormat = PLAN_DEFAULTS.format): NormalPlan {
  const operations = plan.operations ?? [];
  const measured = operations.some((op) => op.op === 'resize' && op.unit === 'mm');
  const dpi = plan.output?.dpi ?? PLAN_DEFAULTS.dpi;
  return {
    ...(plan.preview && { preview: plan.preview }),
    operations: normalOperations(operations, dpi),
    output: normalOutput({
      ...plan.output,
      format: formatOf(plan, defaultFormat),
      ...(measured && { dpi }),
    }),
  };
}

/** A Plan as it was written, checked, and what it means. */
export interface ReadPlan {
  given: Plan;
  plan: NormalPlan;
}

/**
 * Checks anything against the Plan's schema and normalises it.
 * @throws Problem `invalid_plan` whose `errors` name every wrong field by its dotted path
 */
export function readPlan(input: unknown, defaultFormat: OutputFormat = PLAN_DEFAULTS.format): ReadPlan {
  const result = planSchema.safeParse(input, { reportInput: true });
  if (!result.success) throw invalidPlan(fieldErrors(result.error));
  const given = result.data;
  // The schema knows of no other default.
  const errors = misfits(given, defaultFormat);
  if (errors.length > 0) throw invalidPlan(errors);
  return { given, plan: normalizePlan(given, defaultFormat) };
}

/** The normal form of what `readPlan` reads. */
export function parsePlan(input: unknown, defaultFormat?: OutputFormat): NormalPlan {
  return readPlan(input, defaultFormat).plan;
}

/** The Problem for wrong fields of a Plan, or of the `plan` as a whole; its detail spells out the first three. */
export function invalidPlan(errors: FieldError[], cause?: unknown): Problem {
  errors = errors.map(({ path, message }) => ({ path: path === '' ? 'plan' : path, message }));
  const told = errors.slice(0, 3).map(({ path, message }) => `${path}: ${message}`);
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

function normalOutput(output: OutputOptions & { format: OutputFormat }): NormalPlan['output'] {
  const { format } = output;
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
  if (options.dpi && output.dpi !== undefined) normal.dpi = output.dpi;
  if (options.compression) {
    const compression = output.compression ?? (output.depth === 1 ? 'g4' : PLAN_DEFAULTS.compression);
    if (compression !== PLAN_DEFAULTS.compression || output.depth === 1) normal.compression = compression;
    if (compression === 'g4') normal.depth = 1;
  }
  if (options.depths && output.depth !== undefined && output.depth !== BMP_DEPTH)
    normal.depth ??= output.depth;
  if (isOpaque(options, normal)) {
    normal.background = opaqueColor(output.background ?? PLAN_DEFAULTS.outputBackground);
  }
  return normal;
}

/** A bit is black or white. */
const isOpaque = (options: FormatOptions, { depth }: NormalPlan['output']): boolean =>
  depth === 1 || (options.opaque === true && depth !== BMP_ALPHA_DEPTH);
