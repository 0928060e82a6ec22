/** Path data in as few characters as the grammar of SVG 1.1, section 8.3.9, needs. */
import type { ClosedPath } from './fit.ts';

/** How raster coordinates become the document's. */
export interface Scale {
  x: number;
  y: number;
  /** Units of the last decimal in one of the document's: 1, 10 or 100. */
  steps: number;
}

/** Relative commands; each end is rounded once, so errors do not add up. */
export class PathWriter {
  readonly #scale: Scale;
  /** Whole pieces: a text that grows letter by letter would be copied over and over. */
  readonly #parts: string[] = [];
  /** The number that was written last. */
  #last = '';
  #command = '';
  #x = 0;
  #y = 0;

  constructor(scale: Scale) {
    this.#scale = scale;
  }

  /** False where nothing of the path is left at this precision. */
  add(path: ClosedPath): boolean {
    const { x: sx, y: sy, steps } = this.#scale;
    const roundX = (value: number) => Math.round(value * sx * steps);
    const roundY = (value: number) => Math.round(value * sy * steps);
    const start = { parts: this.#parts.length, command: this.#command, x: this.#x, y: this.#y };
    const [startX, startY] = [roundX(path.x), roundY(path.y)];
    this.#write('m', [startX - this.#x, startY - this.#y]);
    [this.#x, this.#y] = [startX, startY];
    let visible = 0;
    // Of the curve before, how far behind its end its second control point lies.
    let [smoothX, smoothY] = [0, 0];
    for (const [index, segment] of path.segments.entries()) {
      const endX = roundX(segment.length === 2 ? segment[0] : segment[4]);
      const endY = roundY(segment.length === 2 ? segment[1] : segment[5]);
      const [dx, dy] = [endX - this.#x, endY - this.#y];
      if (segment.length === 2) {
        const closes = index === path.segments.length - 1 && endX === startX && endY === startY;
        [smoothX, smoothY] = [0, 0];
        if ((dx === 0 && dy === 0) || closes) {
          visible += closes ? 1 : 0;
          continue;
        }
        if (dy === 0) this.#write('h', [dx]);
        else if (dx === 0) this.#write('v', [dy]);
        else this.#write('l', [dx, dy]);
      } else {
        const [x1, y1] = [roundX(segment[0]) - this.#x, roundY(segment[1]) - this.#y];
        const [x2, y2] = [roundX(segment[2]) - this.#x, roundY(segment[3]) - this.#y];
        if (dx === 0 && dy === 0 && x1 === 0 && y1 === 0 && x2 === 0 && y2 === 0) continue;
        if (x1 === smoothX && y1 === smoothY) this.#write('s', [x2, y2, dx, dy]);
        else this.#write('c', [x1, y1, x2, y2, dx, dy]);
        [smoothX, smoothY] = [dx - x2, dy - y2];
        visible += 1;
      }
      visible += 1;
      [this.#x, this.#y] = [endX, endY];
    }
    if (visible < 2) {
      this.#parts.length = start.parts;
      this.#command = start.command;
      [this.#x, this.#y] = [start.x, start.y];
      return false;
    }
    this.#parts.push('z');
    this.#command = 'z';
    [this.#x, this.#y] = [startX, startY];
    return true;
  }

  toString(): string {
    return this.#parts.join('');
  }

  #write(command: string, values: number[]): void {
    let separate = command === this.#command;
    let text = separate ? '' : command;
    this.#command = command;
    for (const value of values) {
      const number = decimal(value, this.#scale.steps);
      // A sign, or a second decimal point, begins a new number by itself.
      const isApart = number.startsWith('-') || (number.startsWith('.') && this.#last.includes('.'));
      text += separate && !isApart ? ` ${number}` : number;
      this.#last = number;
      separate = true;
    }
    this.#parts.push(text);
  }
}

/** `-.5` for −5 steps of a tenth. */
function decimal(value: number, steps: number): string {
  if (steps === 1 || value % steps === 0) return String(value / steps);
  const text = String(value / steps);
  if (text.startsWith('0.')) return text.slice(1);
  return text.startsWith('-0.') ? `-${text.slice(2)}` : text;
}
