/** The options of `tintype convert`: from arguments to what is to be done. */
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { extname, resolve, sep } from 'node:path';
import type { NormalPlan, OutputFormat } from '../contract/plan.ts';
import { EXTENSIONS, OUTPUT_FORMATS } from '../contract/plan.ts';
import { type OptionSpec, type ParsedArgs, parseCommandLine, UsageError } from './args.ts';
import { MODEL_OPTIONS, PICTURE_OPTIONS, readPictureOptions, SUGAR_OPTIONS } from './plan-options.ts';
import type { Destination } from './targets.ts';
import { printable } from './text.ts';

export interface ConvertOptions {
  inputs: string[];
  plan: NormalPlan;
  /** Files of the images that the plan names, by id. */
  assets: Record<string, string>;
  /** As `--matte-model` says. */
  matteModelPath?: string | undefined;
  destination: Destination;
  recursive: boolean;
  /** Pictures worked on at the same time. */
  jobs: number;
  /** Replace existing files. */
  force: boolean;
  /** Pass over sources whose result exists. */
  skipExisting: boolean;
  dryRun: boolean;
  quiet: boolean;
  verbose: boolean;
  json: boolean;
}

/** Where the results go, and how the command runs. */
export const RUN_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'output',
    alias: 'o',
    value: 'file|folder',
    help: 'where results go: a folder (made if missing; the tree of the sources is mirrored in it), or for one source a file, whose extension then names the format; beside each source when absent',
  },
  {
    name: 'recursive',
    alias: 'r',
    help: 'descend into the folders in a folder; without it only the files directly in it are converted',
  },
  { name: 'flat', help: 'put everything directly into the output folder, without mirroring the tree' },
  {
    name: 'force',
    help: 'replace existing results; a file that is to be converted itself is never replaced',
  },
  { name: 'skip-existing', help: 'pass over sources whose result exists: to go on after a stop' },
  {
    name: 'jobs',
    alias: 'j',
    value: 'n',
    help: `pictures converted at the same time; one for each CPU core by default`,
  },
  { name: 'dry-run', help: 'only say what would become what' },
  { name: 'json', help: 'one line of JSON for each file, on standard output' },
  { name: 'quiet', help: 'no progress and no summary, only what failed' },
  { name: 'verbose', help: 'a line for each file above the progress bar, and the names of what was skipped' },
  { name: 'help', alias: 'h', help: 'this text' },
];

export const CONVERT_OPTIONS: readonly OptionSpec[] = [
  ...RUN_OPTIONS,
  ...SUGAR_OPTIONS,
  ...MODEL_OPTIONS,
  ...PICTURE_OPTIONS,
];

/** A format's own name wins: `.png` is PNG, though APNG is named so too. */
const FORMAT_BY_EXTENSION: ReadonlyMap<string, OutputFormat> = new Map<string, OutputFormat>([
  ...OUTPUT_FORMATS.map((format): [string, OutputFormat] => [`.${EXTENSIONS[format]}`, format]),
  ...OUTPUT_FORMATS.map((format): [string, OutputFormat] => [`.${format}`, format]),
  ['.jpe', 'jpeg'],
]);

/** @throws UsageError, HelpRequested */
export function readConvertOptions(args: string[]): ConvertOptions {
  const parsed = parseCommandLine(args, CONVERT_OPTIONS);
  if (parsed.positionals.length === 0) {
    throw new UsageError('nothing to convert: name files, folders or patterns');
  }
  if (parsed.has('force') && parsed.has('skip-existing')) {
    throw new UsageError('--force and --skip-existing contradict each other');
  }
  const output = parsed.value('output');
  const destination = readDestination(output, parsed);
  const fileFormat =
    destination.kind === 'file'
      ? FORMAT_BY_EXTENSION.get(extname(destination.path).toLowerCase())
      : undefined;
  // SVG is what a plan draws or does not: no default.
  const { plan, assets } = readPictureOptions(parsed, fileFormat === 'svg' ? undefined : fileFormat);
  if (fileFormat !== undefined && EXTENSIONS[plan.output.format] !== EXTENSIONS[fileFormat]) {
    if (fileFormat === 'svg') {
      throw new UsageError(
        `${printable(output!)} is named as SVG, which --vectorize makes of a picture: add it, after all that is to come before`,
      );
    }
    throw new UsageError(
      `${printable(output!)} is named as ${fileFormat.toUpperCase()} but the format asked for is ${plan.output.format.toUpperCase()}`,
    );
  }
  requireFiles(plan, assets);
  const matteModel = parsed.value('matte-model');
  if (matteModel !== undefined && !statSync(matteModel, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(`--matte-model: ${printable(matteModel)} is no file`);
  }
  return {
    inputs: parsed.positionals,
    plan,
    assets,
    ...(matteModel !== undefined && { matteModelPath: resolve(matteModel) }),
    destination,
    recursive: parsed.has('recursive'),
    jobs: readJobs(parsed.value('jobs')),
    force: parsed.has('force'),
    skipExisting: parsed.has('skip-existing'),
    dryRun: parsed.has('dry-run'),
    quiet: parsed.has('quiet'),
    verbose: parsed.has('verbose'),
    json: parsed.has('json'),
  };
}

export function readJobs(text: string | undefined): number {
  if (text === undefined) return availableParallelism();
  const jobs = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (jobs < 1 || jobs > 256) {
    throw new UsageError(`--jobs: expected a whole number from 1 to 256, got ${printable(text)}`);
  }
  return jobs;
}

function readDestination(output: string | undefined, { positionals, has }: ParsedArgs): Destination {
  const flat = has('flat');
  if (output === undefined) {
    if (flat) throw new UsageError('--flat needs an output folder: -o <folder>');
    return { kind: 'beside' };
  }
  const existing = statSync(output, { throwIfNoEntry: false });
  if (existing?.isDirectory() || output.endsWith('/') || output.endsWith(sep)) {
    return { kind: 'folder', path: output, flat };
  }
  const extension = extname(output).toLowerCase();
  if (FORMAT_BY_EXTENSION.has(extension)) return { kind: 'file', path: output };
  if (existing)
    throw new UsageError(`${printable(output)} is a file, neither a folder nor named as a picture`);
  // One source and a name like photo.jxl: a file was meant, of a format that is not written.
  if (positionals.length === 1 && /^\.[a-z][a-z0-9]{1,4}$/.test(extension)) {
    throw new UsageError(
      `${printable(output)}: ${printable(extension.slice(1))} is not a format that can be written ` +
        `(${OUTPUT_FORMATS.join(', ')}); for a folder of that name end it with /`,
    );
  }
  return { kind: 'folder', path: output, flat };
}

/** The ids that a plan of the service may hold stand for nothing here. */
function requireFiles({ operations }: NormalPlan, assets: Record<string, string>): void {
  for (const op of operations) {
    if (op.op === 'watermark' && op.image !== undefined && assets[op.image] === undefined) {
      throw new UsageError(
        `the plan lays the image ${op.image} over the picture, which only the service knows; here that is --watermark <file>`,
      );
    }
  }
}
