/** A progress bar on the last line of a terminal. */
import { columnsOf, fitColumns, formatClock, printable } from './text.ts';

export interface ProgressState {
  /** Files that are through, however they ended. */
  done: number;
  total: number;
  /** Of the work, by bytes: large files take longer. 0–1. */
  fraction: number;
  /** Names of the files in work. */
  running: readonly string[];
}

export interface ProgressOptions {
  color: boolean;
  /** Milliseconds; monotonic. */
  now?: () => number;
}

const REDRAW_EVERY_MS = 100;
/** So that the clock goes on while one picture takes its time. */
const TICK_EVERY_MS = 1_000;
const BAR_COLUMNS = 24;
/** Before these, rate and end are guesses. */
const RATE_AFTER_MS = 1_000;
const ETA_AFTER_FILES = 3;
const ETA_AFTER_FRACTION = 0.05;

type Stream = Pick<NodeJS.WriteStream, 'write' | 'columns'>;

export class ProgressBar {
  readonly #stream: Stream;
  readonly #color: boolean;
  readonly #now: () => number;
  readonly #startedAt: number;
  #state: ProgressState = { done: 0, total: 0, fraction: 0, running: [] };
  #drawnAt = Number.NEGATIVE_INFINITY;
  #isShown = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: Stream, { color, now = () => performance.now() }: ProgressOptions) {
    this.#stream = stream;
    this.#color = color;
    this.#now = now;
    this.#startedAt = now();
  }

  update(state: ProgressState): void {
    this.#state = state;
    this.#schedule(REDRAW_EVERY_MS);
  }

  /** Writes lines to the terminal, above the bar. */
  above(write: () => void): void {
    this.#clear();
    write();
    this.#schedule(REDRAW_EVERY_MS);
  }

  /** Leaves the terminal as if the bar had never been. */
  end(): void {
    clearTimeout(this.#timer);
    this.#clear();
  }

  #schedule(everyMs: number): void {
    clearTimeout(this.#timer);
    const waitMs = Math.max(0, this.#drawnAt + everyMs - this.#now());
    if (waitMs === 0) this.#draw();
    else this.#timer = setTimeout(() => this.#draw(), waitMs).unref();
  }

  #draw(): void {
    this.#drawnAt = this.#now();
    // The last column stays free: some terminals break the line as soon as it is taken.
    const columns = (this.#stream.columns || 80) - 1;
    this.#stream.write(`\r\x1b[2K${this.#line(columns)}`);
    this.#isShown = true;
    this.#schedule(TICK_EVERY_MS);
  }

  #clear(): void {
    if (this.#isShown) this.#stream.write('\r\x1b[2K');
    this.#isShown = false;
  }

  #line(columns: number): string {
    const { done, total, fraction, running } = this.#state;
    const elapsedMs = this.#now() - this.#startedAt;
    const figures = [`${done}/${total}`];
    if (done > 0 && elapsedMs >= RATE_AFTER_MS) {
      figures.push(`${((done * 1000) / elapsedMs).toFixed(1)}/s`);
      if (fraction > 0 && (done >= ETA_AFTER_FILES || fraction >= ETA_AFTER_FRACTION))
        figures.push(`ETA ${formatClock((elapsedMs * (1 - fraction)) / fraction)}`);
    }
    const counted = figures.join('  ');
    const bar = columns >= 60 ? `${this.#bar(fraction)}  ` : '';
    const room = columns - columnsOf(bar) - counted.length - 2;
    const names = fitColumns(running.map(printable).join(', '), room);
    return fitColumns(counted, columns) === counted ? `${bar}${counted}${names && `  ${names}`}` : '';
  }

  #bar(fraction: number): string {
    const filled = Math.round(Math.min(1, fraction) * BAR_COLUMNS);
    const [full, rest] = ['█'.repeat(filled), '░'.repeat(BAR_COLUMNS - filled)];
    return this.#color ? `\x1b[32m${full}\x1b[2;39m${rest}\x1b[0m` : full + rest;
  }
}

/** Whether a bar makes sense on this stream: a terminal that can go back to the start of a line. */
export const canShowBar = (
  stream: NodeJS.WriteStream,
  env: Readonly<Record<string, string | undefined>>,
): boolean => stream.isTTY === true && env.TERM !== 'dumb';

/** https://no-color.org */
export const wantsColor = (env: Readonly<Record<string, string | undefined>>): boolean => !env.NO_COLOR;
