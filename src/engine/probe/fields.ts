import { broken } from './header.ts';

/** Numbers out of a block of untrusted bytes: a read outside of the block is a Problem, not a RangeError. */
export class Fields {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(bytes: Uint8Array, little = false) {
    this.bytes = bytes;
    this.length = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = little;
  }

  #check(at: number, length: number): void {
    if (!(at >= 0 && at + length <= this.length)) throw broken('A header of the image is cut short.');
  }

  u8(at: number): number {
    this.#check(at, 1);
    return this.#view.getUint8(at);
  }

  u16(at: number): number {
    this.#check(at, 2);
    return this.#view.getUint16(at, this.#little);
  }

  u24(at: number): number {
    this.#check(at, 3);
    const [first, middle, last] = [this.u8(at), this.u8(at + 1), this.u8(at + 2)];
    return this.#little ? first | (middle << 8) | (last << 16) : (first << 16) | (middle << 8) | last;
  }

  u32(at: number): number {
    this.#check(at, 4);
    return this.#view.getUint32(at, this.#little);
  }

  i32(at: number): number {
    this.#check(at, 4);
    return this.#view.getInt32(at, this.#little);
  }

  /** As a number; what is beyond 2^53 is beyond every file and comes out merely large. */
  u64(at: number): number {
    this.#check(at, 8);
    return Number(this.#view.getBigUint64(at, this.#little));
  }

  /** An unsigned number of 0 to 8 bytes. */
  uint(at: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.u8(at + (this.#little ? size - 1 - i : i));
    return value;
  }

  ascii(at: number, length: number): string {
    this.#check(at, length);
    return String.fromCharCode(...this.bytes.subarray(at, at + length));
  }

  /** A view of part of the block, in the same byte order. */
  sub(at: number, length: number): Fields {
    this.#check(at, length);
    return new Fields(this.bytes.subarray(at, at + length), this.#little);
  }
}
