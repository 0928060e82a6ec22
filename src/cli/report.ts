/**
 * Tells how a conversion goes. Standard output gets a line for each result, of text or of JSON, and nothing else;
 * standard error gets the progress bar, what failed, notes and the summary.
 */
import type { CommandContext } from './command.ts';
import type { Failure } from './failure.ts';
import { canShowBar, ProgressBar, wantsColor } from './progress.ts';
import type { Target } from './targets.ts';
import { count, formatBytes, formatDuration, printable } from './text.ts';

export interface ReportOptions {
  totalFiles: number;
  totalBytes: number;
  quiet: boolean;
  verbose: boolean;
  json: boolean;
  dryRun: boolean;
}

export interface Converted {
  format: string;
  width: number;
  height: number;
  bytes: number;
  durationMs: number;
}

/** Why a source was passed over. */
export type SkipReason = 'no image' | 'result exists' | 'would replace itself';

export class Report {
  readonly #options: ReportOptions;
  readonly #stdout: NodeJS.WriteStream;
  readonly #stderr: NodeJS.WriteStream;
  readonly #bar: ProgressBar | undefined;
  readonly #printsLines: boolean;
  readonly #startedAt = performance.now();
  readonly #running = new Map<Target, string>();
  readonly #skipped = new Map<SkipReason, number>();
  #converted = 0;
  #failed = 0;
  #settled = 0;
  #settledBytes = 0;
  #sourceBytes = 0;
  #resultBytes = 0;

  constructor(options: ReportOptions, { stdout, stderr, env }: CommandContext) {
    this.#options = options;
    this.#stdout = stdout;
    this.#stderr = stderr;
    if (!options.quiet && !options.dryRun && options.totalFiles > 0 && canShowBar(stderr, env)) {
      this.#bar = new ProgressBar(stderr, { color: wantsColor(env) });
    }
    // Where the bar and the lines would share a screen, the bar tells enough.
    this.#printsLines = !options.quiet && (!this.#bar || !stdout.isTTY || options.verbose);
  }

  get failed(): number {
    return this.#failed;
  }

  started(target: Target): void {
    this.#running.set(target, target.source.relative);
    this.#refresh();
  }

  converted(target: Target, result: Converted): void {
    const { source, path } = target;
    this.#converted += 1;
    this.#sourceBytes += source.bytes;
    this.#resultBytes += result.bytes;
    const { format, width, height, bytes, durationMs } = result;
    if (this.#options.json) {
      const figures = { format, width, height, bytes, source_bytes: source.bytes };
      this.#json({
        source: source.path,
        output: path,
        status: 'converted',
        ...figures,
        duration_ms: Math.round(durationMs),
      });
    } else {
      const figures = [`${width}×${height}`, formatBytes(bytes), formatDuration(durationMs)].join('  ');
      this.#line(`converted ${printable(source.path)} → ${printable(path)}  ${figures}`);
    }
    this.#settle(target);
  }

  /** What a dry run has to say. */
  planned({ source, path }: Target): void {
    if (this.#options.json) this.#json({ source: source.path, output: path, status: 'planned' });
    else this.#line(`would convert ${printable(source.path)} → ${printable(path)}`);
  }

  /** @param target absent where the source never became one */
  failure(path: string, failure: Failure, target?: Target): void {
    this.#failed += 1;
    if (this.#options.json) {
      const problem = { code: failure.code, detail: failure.reason };
      this.#json({ source: path, ...(target && { output: target.path }), status: 'failed', problem });
    }
    this.note(`failed ${printable(path)}: ${printable(failure.reason)}`, 'always');
    if (target) this.#settle(target);
  }

  skipped(path: string, reason: SkipReason, target?: Target): void {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
    if (this.#options.json && target) {
      this.#json({ source: path, output: target.path, status: 'skipped', reason });
    }
    if (this.#options.verbose) this.note(`skipped ${printable(path)}: ${reason}`);
    if (target) this.#settle(target);
  }

  /** The work was called off: it is no result. */
  dropped(target: Target): void {
    this.#running.delete(target);
    this.#refresh();
  }

  /** A line on standard error. */
  note(text: string, when: 'always' | 'unless quiet' = 'unless quiet'): void {
    if (when === 'always' || !this.#options.quiet) this.#write(this.#stderr, `${text}\n`);
  }

  finish(stopped: boolean): void {
    this.#bar?.end();
    const { totalFiles, dryRun } = this.#options;
    const skips = [...this.#skipped].map(([reason, n]) => `${reason}: ${n}`);
    const skipCount = [...this.#skipped.values()].reduce((sum, n) => sum + n, 0);
    const parts = [
      ...(dryRun ? [] : [`${count(this.#converted, 'file')} converted`]),
      ...(this.#failed > 0 ? [`${this.#failed} failed`] : []),
      ...(skipCount > 0 ? [`${skipCount} skipped (${skips.join(', ')})`] : []),
    ];
    if (stopped) parts.push(`${totalFiles - this.#settled} not done`);
    const sizes =
      this.#converted > 0 ? `; ${formatBytes(this.#sourceBytes)} → ${formatBytes(this.#resultBytes)}` : '';
    const time = dryRun ? '' : ` in ${formatDuration(performance.now() - this.#startedAt)}`;
    if (parts.length > 0) this.note(`${stopped ? 'stopped: ' : ''}${parts.join(', ')}${sizes}${time}`);
  }

  #settle(target: Target): void {
    this.#running.delete(target);
    this.#settled += 1;
    this.#settledBytes += target.source.bytes;
    this.#refresh();
  }

  #refresh(): void {
    const { totalFiles: total, totalBytes } = this.#options;
    const fraction = totalBytes > 0 ? this.#settledBytes / totalBytes : 0;
    this.#bar?.update({ done: this.#settled, total, fraction, running: [...this.#running.values()] });
  }

  #json(value: object): void {
    this.#write(this.#stdout, `${JSON.stringify(value)}\n`);
  }

  #line(text: string): void {
    if (this.#printsLines) this.#write(this.#stdout, `${text}\n`);
  }

  #write(stream: NodeJS.WriteStream, text: string): void {
    if (this.#bar) this.#bar.above(() => stream.write(text));
    else stream.write(text);
  }
}
