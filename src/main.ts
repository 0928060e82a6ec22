/**
 * The command `tintype`. Each command is loaded when it is called, so that `--help` and `--version` answer at once.
 * Exit statuses: 0 done, 1 some files failed, 2 the command or the configuration is wrong, 128 + n ended by
 * signal n.
 */
import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { didYouMean, HelpRequested, parseCommandLine, UsageError } from './cli/args.ts';
import { type CommandContext, EXIT } from './cli/command.ts';
import type { HelpTopic } from './cli/help.ts';
import { printable } from './cli/text.ts';
import { Problem } from './problem.ts';

const OVERVIEW = `Tintype: a photo in, the right pictures out.

Usage: tintype <command> [options]

  convert   convert files, folders and patterns
  plan      tell what a plan will do: tintype plan explain
  info      tell what pictures are and what they say about themselves
  serve     start the HTTP service
  worker    work on uploads beside it, without HTTP
  token     print a token for it
  sign      print a URL that renders an image on the fly
  backup    copy all that it has stored, while it runs
  restore   bring a backup back
  migrate   bring its catalog up to date
  help      tell more about a command: tintype help convert

  --help, -h      this text, or that of a command
  --version, -v   the version

  tintype convert ~/Photos/iPhone         HEICs to JPEGs, beside them
  tintype convert -r in -o out -f webp    a tree to WebP, into another folder
  tintype info IMG_1.HEIC
`;

const COMMANDS = [
  'convert',
  'plan',
  'info',
  'serve',
  'worker',
  'token',
  'sign',
  'backup',
  'restore',
  'migrate',
  'help',
];

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** A shell whose reader has gone ends a program by SIGPIPE; Node gets an error instead. */
const BROKEN_PIPE_STATUS = 141;
/**
 * A terminal sends Ctrl-C to all processes of a job, and launchers (npm, npx, our own) pass on what they get: one
 * press may arrive several times. Nobody presses twice this quickly.
 */
const SAME_PRESS_MS = 400;

const stop = new AbortController();
// Each picture in work listens, and --jobs sets how many there are.
setMaxListeners(0, stop.signal);
let stoppedAt = 0;
let stopStatus: number | undefined;

for (const [signal, status] of Object.entries(SIGNALS)) {
  process.on(signal as NodeJS.Signals, () => void onSignal(status));
}
process.stdout.on('error', (error) => onStreamError(error, BROKEN_PIPE_STATUS));
// Where nobody reads the messages, the work itself still counts.
process.stderr.on('error', (error) => onStreamError(error, undefined));

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const context: CommandContext = {
    signal: stop.signal,
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
  };
  try {
    const status = await dispatch(args, context);
    return stopStatus ?? status;
  } catch (error) {
    if (stopStatus !== undefined) return stopStatus;
    if (!(error instanceof HelpRequested)) return tell(error, args);
    context.stdout.write(await helpPage(args[0] ?? 'serve', context.stdout.columns));
    return EXIT.ok;
  }
}

async function dispatch(args: string[], context: CommandContext): Promise<number> {
  const { stdout } = context;
  const [command = process.env.npm_lifecycle_event === 'start' ? 'serve' : '--help', ...rest] = args;
  switch (command) {
    case 'convert':
      return (await import('./cli/convert.ts')).convert(rest, await withEnvFile(context));
    case 'plan':
      return (await import('./cli/plan.ts')).plan(rest, await withEnvFile(context));
    case 'info':
      return (await import('./cli/info.ts')).info(rest, await withEnvFile(context));
    case 'serve':
      return runRole('serve', rest, await withEnvFile(context));
    case 'worker':
      return runRole('worker', rest, await withEnvFile(context));
    case 'token':
      return (await import('./cli/token.ts')).token(rest, await withEnvFile(context));
    case 'sign':
      return (await import('./cli/sign.ts')).sign(rest, await withEnvFile(context));
    case 'backup': {
      const { openStorage } = await import('./app/storage.ts');
      const { backupCommand } = await import('./cli/backup.ts');
      return backupCommand(rest, await withEnvFile(context), openStorage);
    }
    case 'restore': {
      const { openRestoreTarget } = await import('./app/restore-target.ts');
      const { restoreCommand } = await import('./cli/restore.ts');
      return restoreCommand(rest, await withEnvFile(context), openRestoreTarget);
    }
    case 'migrate': {
      const { migrate, pendingMigrations } = await import('./app/storage.ts');
      const { migrateCommand } = await import('./cli/migrate.ts');
      return migrateCommand(rest, await withEnvFile(context), { pending: pendingMigrations, apply: migrate });
    }
    case 'help':
    case '--help':
    case '-h':
      stdout.write(rest[0] === undefined ? OVERVIEW : await helpPage(rest[0], stdout.columns));
      return EXIT.ok;
    case '--version':
    case '-v': {
      const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
      stdout.write(`tintype ${JSON.parse(text).version}\n`);
      return EXIT.ok;
    }
  }
  const what = command.startsWith('-') ? 'option' : 'command';
  throw new UsageError(`unknown ${what} ${printable(command)}${didYouMean(command, COMMANDS)}`);
}

async function helpPage(topic: string, columns: number | undefined): Promise<string> {
  if (topic === 'help') return OVERVIEW;
  if (!COMMANDS.includes(topic)) {
    throw new UsageError(`there is no command ${printable(topic)}${didYouMean(topic, COMMANDS)}`);
  }
  return (await import('./cli/help.ts')).helpFor(topic as HelpTopic, columns);
}

async function withEnvFile(context: CommandContext): Promise<CommandContext> {
  const { readEnvFile } = await import('./config.ts');
  return { ...context, env: { ...readEnvFile('.env'), ...context.env } };
}

/** What runs until it is told to stop. */
async function runRole(
  role: 'serve' | 'worker',
  args: string[],
  { env, signal, stderr }: CommandContext,
): Promise<number> {
  const { SERVE_OPTIONS } = await import('./cli/help.ts');
  const [argument] = parseCommandLine(args, SERVE_OPTIONS).positionals;
  if (argument !== undefined) {
    throw new UsageError(
      `${role} takes no arguments, got ${printable(argument)}; it is configured by environment variables`,
    );
  }
  const { configWarnings, loadConfig } = await import('./config.ts');
  const config = loadConfig(env);
  for (const warning of configWarnings(env)) stderr.write(`warning: ${warning}\n`);
  const { serve, work } = await import('./app.ts');
  const service = await (role === 'serve' ? serve : work)(config);
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await service.close();
  // An end that was asked for and went well; what a service manager takes for a clean stop.
  stopStatus = undefined;
  return EXIT.ok;
}

/** @returns the exit status */
function tell(error: unknown, args: string[]): number {
  if (error instanceof UsageError) {
    const command = COMMANDS.includes(args[0] ?? '') ? `${args[0]} ` : '';
    process.stderr.write(`tintype: ${error.message}\nSee tintype ${command}--help\n`);
    return EXIT.usage;
  }
  if (error instanceof Problem) {
    process.stderr.write(`tintype: ${error.title}\n${error.detail ?? ''}\n`);
    return error.code === 'invalid_configuration' ? EXIT.usage : EXIT.someFailed;
  }
  // A fault of ours: the stack is what a report needs.
  process.stderr.write(`tintype: ${error instanceof Error ? error.stack : error}\n`);
  return EXIT.someFailed;
}

/** The first asks for an orderly end; the second ends the process. */
async function onSignal(status: number): Promise<void> {
  if (stopStatus === undefined) {
    stopStatus = status;
    stoppedAt = performance.now();
    stop.abort(new Error('stopped by a signal'));
    return;
  }
  if (performance.now() - stoppedAt < SAME_PRESS_MS) return;
  const { removePartsNow } = await import('./cli/publish.ts');
  removePartsNow();
  // The pool's children end with this process.
  process.exit(status);
}

function onStreamError(error: NodeJS.ErrnoException, status: number | undefined): void {
  if (error.code !== 'EPIPE') throw error;
  if (status === undefined || stopStatus !== undefined) return;
  stopStatus = status;
  stop.abort(new Error('nobody reads the output any more'));
}
