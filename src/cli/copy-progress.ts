/** How far a backup, or its way back, is: a bar on a terminal, a line now and then elsewhere. */
import type { CopyProgress } from '../services/backup.ts';
import type { CommandContext } from './command.ts';
import { canShowBar, ProgressBar, wantsColor } from './progress.ts';
import { count, formatBytes } from './text.ts';

const LINE_EVERY_MS = 10_000;

export interface ShownProgress extends Disposable {
  update(progress: CopyProgress): void;
}

/** @param isQuiet tells nothing: the result alone is wanted */
export function showCopying({ stderr, env }: CommandContext, isQuiet: boolean): ShownProgress {
  const bar =
    !isQuiet && canShowBar(stderr, env) ? new ProgressBar(stderr, { color: wantsColor(env) }) : undefined;
  let toldAt = performance.now();
  return {
    update({ objects, totalObjects, bytes, totalBytes }) {
      const fraction = totalBytes === 0 ? 1 : bytes / totalBytes;
      bar?.update({ done: objects, total: totalObjects, fraction, running: [] });
      if (bar || isQuiet || performance.now() - toldAt < LINE_EVERY_MS) return;
      toldAt = performance.now();
      const figures = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
      stderr.write(`${objects} of ${count(totalObjects, 'object')}, ${figures}\n`);
    },
    [Symbol.dispose]: () => bar?.end(),
  };
}
