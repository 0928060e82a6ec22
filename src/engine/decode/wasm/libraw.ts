/** The part of LibRaw that a decoder needs, over libraw-wasm's Emscripten module (LibRaw 0.22). */

/** LibRaw's output parameters (libraw_output_params_t), as libraw-wasm spells them. */
export interface LibRawSettings {
  useCameraWb: boolean;
  /** 1: sRGB. */
  outputColor: number;
  noAutoBright: boolean;
  bright: number;
  /** 3: AHD. */
  userQual: number;
  outputBps: 8 | 16;
}

export interface LibRawSizes {
  /** Of the developed picture, upright. */
  width: number;
  height: number;
  raw_width: number;
  raw_height: number;
}

export interface LibRawPicture {
  width: number;
  height: number;
  colors: number;
  bits: number;
  /** A copy outside of WebAssembly memory. */
  data: Uint8Array<ArrayBuffer>;
}

/** One file; `delete` frees what it holds. */
interface Processor {
  open(file: Uint8Array, settings: LibRawSettings): void;
  metadata(full: boolean): LibRawSizes;
  imageData(): LibRawPicture;
  delete(): void;
}

type LoadModule = (options: {
  instantiateWasm(
    imports: WebAssembly.Imports,
    receive: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
  ): void;
  wasmMemory: WebAssembly.Memory;
  print(): void;
  printErr(line: string): void;
}) => Promise<{ LibRaw: new () => Processor }>;

/** LibRaw refused; `code` is a LibRaw_errors value. */
export class LibRawError extends Error {
  override readonly name = 'LibRawError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * LibRaw_errors by LibRaw_exceptions. libraw-wasm's LibRaw is built without catch clauses, so what LibRaw
 * throws inside comes out as it is, an enumeration value.
 */
const ERROR_OF_EXCEPTION = [
  -1, -100007, -100008, -100008, -100009, -100009, -100010, -100011, -100009, -100008, -100012, -100013, -2,
];

/** As its import declares it: 256 MB that grow to 2 GB, in pages of 64 KB. */
const MEMORY = { initial: 4_096, maximum: 32_768, shared: true } as const;

const MAX_MESSAGE_BYTES = 200;

export class LibRaw {
  readonly #memory = new WebAssembly.Memory(MEMORY);
  /** What the decoder printed on standard error. */
  #printed: string[] = [];
  #processor: (new () => Processor) | undefined;

  static async start(wasm: WebAssembly.Module): Promise<LibRaw> {
    const libraw = new LibRaw();
    // The package declares types for its browser front only.
    const { default: load } = (await import('libraw-wasm/dist/libraw.js' as string)) as {
      default: LoadModule;
    };
    const module = await load({
      instantiateWasm(imports, receive) {
        receive(new WebAssembly.Instance(wasm, imports), wasm);
      },
      wasmMemory: libraw.#memory,
      print() {},
      printErr: (line) => libraw.#printed.push(line),
    });
    libraw.#processor = module.LibRaw;
    return libraw;
  }

  get heapBytes(): number {
    return this.#memory.buffer.byteLength;
  }

  /**
   * Opens a file, shows its sizes to `check`, and develops it.
   * @throws LibRawError; whatever was thrown, this object must not be used again.
   */
  develop(
    file: Uint8Array,
    settings: LibRawSettings,
    check: (sizes: LibRawSizes) => void,
  ): { picture: LibRawPicture; complaints: string[] } {
    this.#printed = [];
    const processor = new this.#processor!();
    this.#run(() => processor.open(file, settings));
    check(this.#run(() => processor.metadata(false)));
    const picture = this.#run(() => processor.imageData());
    processor.delete();
    return { picture, complaints: this.#printed };
  }

  #run<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      // Emscripten throws C++ exceptions as objects with a pointer.
      const { excPtr } = error as { excPtr?: number };
      throw typeof excPtr === 'number' ? this.#exception(excPtr) : error;
    }
  }

  /** An enumeration value, or the wrapper's std::runtime_error: a vtable pointer and a pointer to its text. */
  #exception(pointer: number): LibRawError {
    const heap = Buffer.from(this.#memory.buffer);
    if (pointer <= 0 || pointer + 8 > heap.length) return new LibRawError(-1, 'unknown exception');
    const first = heap.readUInt32LE(pointer);
    const code = ERROR_OF_EXCEPTION[first];
    if (code !== undefined) return new LibRawError(code, `LibRaw exception ${first}`);
    const at = heap.readUInt32LE(pointer + 4);
    const text = heap.toString('latin1', at, at + MAX_MESSAGE_BYTES).split('\0')[0]!;
    return new LibRawError(Number(/code (-\d+)/.exec(text)?.[1] ?? -1), text);
  }
}
