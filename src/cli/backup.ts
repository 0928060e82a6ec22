/** `tintype backup`: a copy of the catalog and of all images, taken while the service runs. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Config, loadConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import { type BackupResult, type BackupSource, backup } from '../services/backup.ts';
import { type OptionSpec, parseCommandLine, UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { showCopying } from './copy-progress.ts';
import { fileSystemReason } from './failure.ts';
import { count, formatBytes, formatDuration, printable } from './text.ts';

export const BACKUP_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'allow-damaged',
    help: 'makes the backup without the objects that the store has lost, and names them; otherwise there is none',
  },
  { name: 'json', help: 'the result as one line of JSON on standard output, and no progress' },
  { name: 'help', alias: 'h', help: 'this text' },
];

export type OpenStorage = (config: Config) => Promise<BackupSource & AsyncDisposable>;

/** @throws UsageError, HelpRequested, Problem */
export async function backupCommand(
  args: string[],
  context: CommandContext,
  open: OpenStorage,
): Promise<number> {
  const parsed = parseCommandLine(args, BACKUP_OPTIONS);
  const folder = oneFolder('backup', parsed.positionals);
  const [json, allowDamaged] = [parsed.has('json'), parsed.has('allow-damaged')];
  const config = loadConfig(context.env);
  const startedAt = performance.now();
  await using source = await open(config);
  using progress = showCopying(context, json);
  const result = await backup(resolve(folder), source, {
    signal: context.signal,
    version: ownVersion(),
    allowDamaged,
    onProgress: (figures) => progress.update(figures),
  }).catch((error) => {
    throw onFiles(error, 'backup_incomplete');
  });
  progress[Symbol.dispose]();
  tell(result, folder, performance.now() - startedAt, json, context);
  return EXIT.ok;
}

function tell(
  { manifest, copied, kept, removed }: BackupResult,
  folder: string,
  ms: number,
  json: boolean,
  { stdout, stderr }: CommandContext,
): void {
  const { created_at, objects, damaged } = manifest;
  if (json) {
    const figures = { copied: copied.objects, copied_bytes: copied.bytes, kept, removed };
    const answer = { backup: folder, created_at, objects: objects.count, bytes: objects.bytes, damaged };
    stdout.write(`${JSON.stringify({ ...answer, ...figures, duration_ms: Math.round(ms) })}\n`);
    return;
  }
  for (const key of damaged) stderr.write(`missing in the store, and in the backup: ${key}\n`);
  const parts = [
    `${count(objects.count, 'object')}, ${formatBytes(objects.bytes)}`,
    `${copied.objects} copied (${formatBytes(copied.bytes)}), ${kept} kept of an earlier backup, ${removed} removed`,
    formatDuration(ms),
  ];
  stdout.write(`backed up to ${printable(folder)}: ${parts.join('; ')}\n`);
}

/** @throws UsageError */
export function oneFolder(command: string, [folder, ...more]: readonly string[]): string {
  if (folder === undefined) throw new UsageError(`${command} needs a folder: tintype ${command} <folder>`);
  if (more.length === 0) return folder;
  throw new UsageError(`${command} takes one folder, got ${more.length + 1}`);
}

/** What the file system says, in the words of a person; everything else as it is. */
export function onFiles(error: unknown, code: 'backup_incomplete' | 'backup_unusable'): unknown {
  const { errno, syscall } = error as NodeJS.ErrnoException;
  if (error instanceof Problem || (errno === undefined && syscall === undefined)) return error;
  return new Problem(code, { detail: `The file system: ${fileSystemReason(error)}.`, cause: error });
}

function ownVersion(): string {
  return String(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version);
}
