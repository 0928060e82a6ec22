/** `tintype migrate`: brings the catalog's schema up to date, as every start does. */
import { type Config, loadConfig } from '../config.ts';
import { type OptionSpec, parseCommandLine, UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { printable } from './text.ts';

export const MIGRATE_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'check',
    help: 'changes nothing: names what is missing, and exits with status 1 where something is',
  },
  { name: 'help', alias: 'h', help: 'this text' },
];

export interface Migrations {
  /** Names of those that have not been applied. */
  pending(config: Config): string[];
  /** @returns the names of those that were applied now */
  apply(config: Config): Promise<string[]>;
}

/** @throws UsageError, HelpRequested, Problem */
export async function migrateCommand(
  args: string[],
  { env, stdout }: CommandContext,
  { pending, apply }: Migrations,
): Promise<number> {
  const parsed = parseCommandLine(args, MIGRATE_OPTIONS);
  const [argument] = parsed.positionals;
  if (argument !== undefined) throw new UsageError(`migrate takes no arguments, got ${printable(argument)}`);
  const config = loadConfig(env);
  const check = parsed.has('check');
  const names = check ? pending(config) : await apply(config);
  for (const name of names) stdout.write(`${check ? 'pending' : 'applied'} ${name}\n`);
  if (names.length === 0) stdout.write('the catalog is up to date\n');
  return check && names.length > 0 ? EXIT.someFailed : EXIT.ok;
}
