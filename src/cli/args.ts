/** Reads a command's arguments by a table of its options, keeping their order. */
import { parseArgs } from 'node:util';
import { nearest } from '../contract/nearest.ts';

export interface OptionSpec {
  /** Long name, without dashes. */
  name: string;
  /** One letter, without the dash. */
  alias?: string;
  /** Name of the value in the help, e.g. `px`; without it the option is a switch. */
  value?: string;
  /** The value may be left out: whether an argument that follows is the value. */
  optional?: (text: string) => boolean;
  /** One or two sentences. */
  help: string;
}

export interface ParsedArgs {
  /** Every option in the order given, repeats included; a switch, and what has no value, has the value `true`. */
  options: { name: string; value: string | true }[];
  positionals: string[];
  has(name: string): boolean;
  /** The last value given. */
  value(name: string): string | undefined;
}

/** The command was not understood; nothing has been done. Exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The option `help` was given: its page is wanted, whatever else the arguments say. */
export class HelpRequested extends Error {
  override readonly name = 'HelpRequested';
}

/** `; did you mean X?`, or nothing where no candidate is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const guess = nearest(word, candidates);
  return guess === undefined ? '' : `; did you mean ${guess}?`;
}

/**
 * @throws UsageError for an unknown option, a missing value, or a value where none belongs
 * @throws HelpRequested
 */
export function parseCommandLine(args: string[], specs: readonly OptionSpec[]): ParsedArgs {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const { tokens } = parseArgs({
    args,
    // Not strict: the messages for what is wrong are ours.
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      specs.map((spec) => [
        spec.name,
        {
          // Of an option whose value may be left out, the argument that follows is looked at below.
          type: spec.value === undefined || spec.optional ? 'boolean' : 'string',
          ...(spec.alias && { short: spec.alias }),
        },
      ]),
    ),
  });

  const options: ParsedArgs['options'] = [];
  const positionals: string[] = [];
  let takenAsValue: number | undefined;
  for (const [i, token] of tokens.entries()) {
    if (token.kind === 'positional' && i !== takenAsValue) positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const spec = byName.get(token.name);
    if (!spec) {
      const names = specs.map((s) => `--${s.name}`);
      throw new UsageError(`unknown option ${token.rawName}${didYouMean(token.rawName, names)}`);
    }
    if (spec.value === undefined) {
      if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
      if (spec.name === 'help') throw new HelpRequested();
      options.push({ name: spec.name, value: true });
      continue;
    }
    if (spec.optional && !token.value) {
      const next = tokens[i + 1];
      const follows = next?.kind === 'positional' && spec.optional(next.value);
      if (follows) takenAsValue = i + 1;
      options.push({ name: spec.name, value: follows ? next.value : true });
      continue;
    }
    const short = !token.rawName.startsWith('--');
    // `-q=90` reaches us as `=90`.
    const value = short && token.inlineValue ? token.value.replace(/^=/, '') : token.value;
    const swallowedOption =
      token.inlineValue === false && /^-/.test(token.value ?? '') && !/^-[\d.]/.test(token.value ?? '');
    if (value === undefined || value === '' || swallowedOption) {
      const hint = swallowedOption ? ` (a value that begins with a dash: --${spec.name}=${value})` : '';
      throw new UsageError(`${token.rawName} needs a value: --${spec.name} <${spec.value}>${hint}`);
    }
    options.push({ name: spec.name, value });
  }
  return {
    options,
    positionals,
    has: (name) => options.some((option) => option.name === name),
    value: (name) => {
      const last = options.findLast((option) => option.name === name);
      return typeof last?.value === 'string' ? last.value : undefined;
    },
  };
}
