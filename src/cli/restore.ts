/** `tintype restore`: a backup comes back, into an empty DATA_DIR. */
import { resolve } from 'node:path';
import { type Config, loadConfig } from '../config.ts';
import { type RestoreResult, type RestoreTarget, restore } from '../services/restore.ts';
import { type OptionSpec, parseCommandLine } from './args.ts';
import { oneFolder, onFiles } from './backup.ts';
import { type CommandContext, EXIT } from './command.ts';
import { showCopying } from './copy-progress.ts';
import { count, formatBytes, formatDuration, printable } from './text.ts';

export const RESTORE_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'force',
    help: 'also where there is something already: it is moved aside, under names that end in .replaced and the time',
  },
  {
    name: 'verify',
    help: 'reads every original first and compares its SHA-256; sizes, and the whole catalog, are compared without it',
  },
  { name: 'json', help: 'the result as one line of JSON on standard output, and no progress' },
  { name: 'help', alias: 'h', help: 'this text' },
];

export type OpenRestoreTarget = (config: Config, options: { force: boolean }) => Promise<RestoreTarget>;

/** @throws UsageError, HelpRequested, Problem */
export async function restoreCommand(
  args: string[],
  context: CommandContext,
  open: OpenRestoreTarget,
): Promise<number> {
  const parsed = parseCommandLine(args, RESTORE_OPTIONS);
  const folder = oneFolder('restore', parsed.positionals);
  const [json, force, verify] = [parsed.has('json'), parsed.has('force'), parsed.has('verify')];
  const config = loadConfig(context.env);
  const startedAt = performance.now();
  using progress = showCopying(context, json);
  const result = await restore(resolve(folder), () => open(config, { force }), {
    signal: context.signal,
    verify,
    onProgress: (figures) => progress.update(figures),
  }).catch((error) => {
    throw onFiles(error, 'backup_unusable');
  });
  progress[Symbol.dispose]();
  tell(result, folder, performance.now() - startedAt, json, context);
  return EXIT.ok;
}

function tell(
  { manifest, restored, pendingAgain }: RestoreResult,
  folder: string,
  ms: number,
  json: boolean,
  { stdout, stderr }: CommandContext,
): void {
  const { created_at, objects, damaged } = manifest;
  if (json) {
    const answer = { backup: folder, created_at, objects: objects.count, bytes: objects.bytes, damaged };
    const figures = {
      restored: restored.objects,
      restored_bytes: restored.bytes,
      jobs_pending_again: pendingAgain,
    };
    stdout.write(`${JSON.stringify({ ...answer, ...figures, duration_ms: Math.round(ms) })}\n`);
    return;
  }
  for (const key of damaged) stderr.write(`not in the backup: ${key}\n`);
  const parts = [
    `${count(objects.count, 'object')}, ${formatBytes(objects.bytes)}, ${restored.objects} of them copied`,
    `${count(pendingAgain, 'job')} that ${pendingAgain === 1 ? 'was' : 'were'} under way will be done again`,
    formatDuration(ms),
  ];
  stdout.write(`restored the backup of ${created_at} from ${printable(folder)}: ${parts.join('; ')}\n`);
}
