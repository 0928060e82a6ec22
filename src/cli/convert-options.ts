/** The options of `tintype convert`: from arguments to what is to be done. */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { extname, sep } from 'node:path';
import type { NormalPlan, OutputFormat } from '../contract/plan.ts';
import { EXTENSIONS, OUTPUT_FORMATS } from '../contract/plan.ts';
import { PLAN_FLAGS, planFromFlags } from '../contract/plan-codec.ts';
import { Problem } from '../problem.ts';
import { type OptionSpec, type ParsedArgs, parseCommandLine, UsageError } from './args.ts';
import { fileSystemReason } from './failure.ts';
import type { Destination } from './targets.ts';
import { printable } from './text.ts';

export interface ConvertOptions {
  inputs: string[];
  plan: NormalPlan;
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

/** Other spellings of options of a plan. */
export const SUGAR_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'size',
    value: 'px|WxH',
    help: '--size 1200 fits the picture within 1200×1200, --size 1200x800 within 1200×800; the same as --width and --height',
  },
  { name: 'strip', help: 'the same as --metadata strip' },
];

/** What becomes of the pixels, in the order given. */
export const PICTURE_OPTIONS: readonly OptionSpec[] = PLAN_FLAGS.map(({ name, alias, valueName, help }) => ({
  name,
  ...(alias !== undefined && { alias }),
  ...(valueName !== undefined && { value: name === 'plan' ? 'file.json|plan' : valueName }),
  help: name === 'plan' ? `${help}, or the name of a .json file that holds one` : help,
}));

const CONVERT_OPTIONS = [...RUN_OPTIONS, ...SUGAR_OPTIONS, ...PICTURE_OPTIONS];
const PICTURE_NAMES = new Set(PICTURE_OPTIONS.map(({ name }) => name));

const FORMAT_BY_EXTENSION: ReadonlyMap<string, OutputFormat> = new Map<string, OutputFormat>([
  ...OUTPUT_FORMATS.flatMap((format): [string, OutputFormat][] => [
    [`.${format}`, format],
    [`.${EXTENSIONS[format]}`, format],
  ]),
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
  const plan = readPlan(parsed, fileFormat);
  if (fileFormat !== undefined && plan.output.format !== fileFormat) {
    throw new UsageError(
      `${printable(output!)} is named as ${fileFormat.toUpperCase()} but the format asked for is ${plan.output.format.toUpperCase()}`,
    );
  }
  return {
    inputs: parsed.positionals,
    plan,
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

/** The options of the picture in the order given, the shorthands replaced by what they stand for. */
function readPlan(parsed: ParsedArgs, defaultFormat: OutputFormat | undefined): NormalPlan {
  const flags = parsed.options.flatMap(({ name, value }): [string, string][] => {
    const text = value === true ? '' : value;
    if (name === 'strip') return [['metadata', 'strip']];
    if (name === 'size') return readSize(text);
    if (name === 'plan') return [['plan', readPlanText(text)]];
    return PICTURE_NAMES.has(name) ? [[name, text]] : [];
  });
  try {
    return planFromFlags(flags, defaultFormat === undefined ? {} : { defaultFormat });
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid_plan') throw error;
    const wrong = error.errors?.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    throw new UsageError((wrong ?? [error.message]).map(printable).join('\n'));
  }
}

function readSize(text: string): [string, string][] {
  const [, both, width, height] = /^(?:(\d{1,6})|(\d{1,6})?[x×](\d{1,6})?)$/i.exec(text) ?? [];
  const flags: [string, string][] = [];
  if (width ?? both) flags.push(['width', (width ?? both)!]);
  if (height ?? both) flags.push(['height', (height ?? both)!]);
  if (flags.length === 0) {
    throw new UsageError(`--size: expected 1200, 1200x800, 1200x or x800, got ${printable(text)}`);
  }
  return flags;
}

function readPlanText(text: string): string {
  if (!/\.json$/i.test(text)) return text;
  try {
    return readFileSync(text, 'utf8');
  } catch (error) {
    throw new UsageError(`--plan: ${printable(text)}: ${fileSystemReason(error)}`);
  }
}
