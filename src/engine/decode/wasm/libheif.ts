/**
 * The part of libheif's C API that a decoder needs, over libheif-js. Structures come back through a first
 * pointer argument, as wasm32 does it; offsets are those of libheif 1.23 (heif_error.h, heif_security.h,
 * heif_decoding.h, heif_plugin.h). Views of the memory are re-read at each use: they die when it grows.
 */
import { createRequire } from 'node:module';

/** Pointers, sizes and ints alike. */
type Word = number;

interface Exports {
  malloc(size: Word): Word;
  free(pointer: Word): void;
  heif_context_alloc(): Word;
  heif_context_free(context: Word): void;
  heif_context_get_security_limits(context: Word): Word;
  heif_context_read_from_memory_without_copy(
    error: Word,
    context: Word,
    data: Word,
    size: Word,
    options: Word,
  ): void;
  heif_context_get_primary_image_handle(error: Word, context: Word, outHandle: Word): void;
  heif_image_handle_release(handle: Word): void;
  heif_image_handle_get_ispe_width(handle: Word): number;
  heif_image_handle_get_ispe_height(handle: Word): number;
  heif_image_handle_has_alpha_channel(handle: Word): number;
  heif_image_handle_is_premultiplied_alpha(handle: Word): number;
  heif_image_handle_get_color_profile_type(handle: Word): number;
  heif_image_handle_get_raw_color_profile_size(handle: Word): number;
  heif_image_handle_get_raw_color_profile(error: Word, handle: Word, outData: Word): void;
  heif_decode_image(
    error: Word,
    handle: Word,
    outImage: Word,
    colorspace: number,
    chroma: number,
    options: Word,
  ): void;
  heif_image_release(image: Word): void;
  heif_image_get_width(image: Word, channel: number): number;
  heif_image_get_height(image: Word, channel: number): number;
  heif_image_get_plane_readonly2(image: Word, channel: number, outStride: Word): Word;
  heif_image_get_decoding_warnings(image: Word, first: number, outErrors: Word, max: number): number;
  heif_get_decoder_descriptors(format: number, outDescriptors: Word, max: number): number;
  heif_decoder_descriptor_get_id_name(descriptor: Word): Word;
  de265_set_parameter_bool(context: Word, parameter: number, value: number): void;
}

type Emscripten = { [K in keyof Exports as `_${K}`]: Exports[K] };

const COMPRESSION_HEVC = 1;
export const COLORSPACE_RGB = 1;
export const CHROMA_INTERLEAVED_RGB = 10;
export const CHROMA_INTERLEAVED_RGBA = 11;
export const CHANNEL_INTERLEAVED = 10;
/** heif_color_profile_type: restricted and unrestricted ICC, as four characters. */
export const PROFILE_RICC = 0x72494343;
export const PROFILE_PROF = 0x70726f66;
/** sizeof(heif_error). */
export const ERROR_BYTES = 12;

/** What libheif says when it refuses; `code` and `subcode` are heif_error_code and heif_suberror_code. */
export class HeifError extends Error {
  override readonly name = 'HeifError';
  readonly code: number;
  readonly subcode: number;

  constructor(code: number, subcode: number, message: string) {
    super(message);
    this.code = code;
    this.subcode = subcode;
  }
}

/** heif_security_limits: offsets of the fields that are set, 64 bits each. */
const LIMIT_FIELDS = { maxImageSizePixels: 8, maxTotalMemory: 64 } as const;

export class LibHeif {
  readonly api: Emscripten;
  readonly #memory: WebAssembly.Memory;
  /** Scratch for one heif_error and one out pointer. */
  readonly #error: Word;
  readonly #out: Word;

  /** The module is instantiated synchronously, which a worker thread may. */
  static start(wasm: WebAssembly.Module): LibHeif {
    let instance: WebAssembly.Instance | undefined;
    const factory = createRequire(import.meta.url)('libheif-js/libheif-wasm/libheif.js') as (options: {
      instantiateWasm(
        imports: WebAssembly.Imports,
        receive: (instance: WebAssembly.Instance) => WebAssembly.Exports,
      ): WebAssembly.Exports;
      print(): void;
      printErr(): void;
    }) => Emscripten;
    const api = factory({
      instantiateWasm(imports, receive) {
        instance = new WebAssembly.Instance(wasm, imports);
        return receive(instance);
      },
      print() {},
      printErr() {},
    });
    return new LibHeif(api, instance!);
  }

  private constructor(api: Emscripten, instance: WebAssembly.Instance) {
    const exported = Object.values(instance.exports);
    this.api = api;
    this.#memory = exported.find((e) => e instanceof WebAssembly.Memory)!;
    this.#error = this.allocate(ERROR_BYTES);
    this.#out = this.allocate(4);
    this.#decodeHevcInFull(exported.find((e) => e instanceof WebAssembly.Table)!);
  }

  get heapBytes(): number {
    return this.#memory.buffer.byteLength;
  }

  bytes(pointer: Word, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, pointer, length);
  }

  u32(pointer: Word): number {
    return new DataView(this.#memory.buffer).getUint32(pointer, true);
  }

  allocate(size: number): Word {
    const pointer = this.api._malloc(size);
    if (pointer === 0) throw new RangeError(`out of memory: ${size} bytes`);
    return pointer;
  }

  /** Runs a call that returns a heif_error. */
  check(call: (error: Word) => void): void {
    call(this.#error);
    const error = this.errorAt(this.#error);
    if (error.code !== 0) throw error;
  }

  /** The same for one that also stores a pointer. */
  checkOut(call: (error: Word, out: Word) => void): Word {
    this.check((error) => call(error, this.#out));
    return this.u32(this.#out);
  }

  errorAt(pointer: Word): HeifError {
    return new HeifError(this.u32(pointer), this.u32(pointer + 4), this.#string(this.u32(pointer + 8)));
  }

  plane(image: Word, channel: number): { pointer: Word; stride: number } {
    const pointer = this.api._heif_image_get_plane_readonly2(image, channel, this.#out);
    return { pointer, stride: this.u32(this.#out) };
  }

  setLimits(context: Word, limits: { [K in keyof typeof LIMIT_FIELDS]: number }): void {
    const struct = this.api._heif_context_get_security_limits(context);
    const view = new DataView(this.#memory.buffer);
    for (const [name, offset] of Object.entries(LIMIT_FIELDS)) {
      view.setBigUint64(struct + offset, BigInt(limits[name as keyof typeof LIMIT_FIELDS]), true);
    }
  }

  #string(pointer: Word): string {
    const rest = new Uint8Array(this.#memory.buffer, pointer);
    return new TextDecoder().decode(rest.slice(0, rest.indexOf(0)));
  }

  /**
   * libheif's Emscripten build tells its HEVC decoder to leave out the in-loop filters, for speed. Pictures of
   * phones are then off by up to 21 of 255 (52 dB), more strongly compressed ones show blocks. This turns the
   * filters on again, for 6 % more time, and has faulty pictures withheld: the default is to return them with
   * the missing part grey.
   *
   * libheif makes a decoder through the `new_decoder2` member of its heif_decoder_plugin, an index into the
   * module's function table. That entry becomes a function of ours, which calls the old one and sets the
   * switches.
   */
  #decodeHevcInFull(table: WebAssembly.Table): void {
    const { api } = this;
    const count = api._heif_get_decoder_descriptors(COMPRESSION_HEVC, this.#out, 1);
    const plugin = this.u32(this.#out);
    const id = count > 0 ? this.#string(api._heif_decoder_descriptor_get_id_name(plugin)) : 'none';
    const pluginVersion = count > 0 ? this.u32(plugin) : 0;
    if (id !== 'libde265' || pluginVersion !== PLUGIN_VERSION) {
      throw new Error(`libheif-js: expected libde265 plugin ${PLUGIN_VERSION}, found ${id} ${pluginVersion}`);
    }
    const index = this.u32(plugin + PLUGIN_NEW_DECODER2);
    const original = table.get(index) as (error: Word, outDecoder: Word, options: Word) => void;
    const inFull = tableFunction((error, outDecoder, options) => {
      original(error, outDecoder, options);
      if (this.u32(error) !== 0) return;
      // libde265_decoder begins with its de265_decoder_context.
      const context = this.u32(this.u32(outDecoder));
      api._de265_set_parameter_bool(context, DE265_DISABLE_DEBLOCKING, 0);
      api._de265_set_parameter_bool(context, DE265_DISABLE_SAO, 0);
      api._de265_set_parameter_bool(context, DE265_SUPPRESS_FAULTY_PICTURES, 1);
    });
    table.set(index, inFull);
  }
}

const PLUGIN_VERSION = 5;
const PLUGIN_NEW_DECODER2 = 56;
const DE265_SUPPRESS_FAULTY_PICTURES = 6;
const DE265_DISABLE_DEBLOCKING = 7;
const DE265_DISABLE_SAO = 8;

/**
 * A function of ours in the form that a WebAssembly table takes. Only WebAssembly exports fit, so this is the
 * smallest module that imports a function (i32, i32, i32) → () and exports it again.
 */
function tableFunction(run: (a: number, b: number, c: number) => void): CallableFunction {
  const module = Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version 1
    ...[0x01, 0x07, 0x01, 0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x00], // type 0
    ...[0x02, 0x07, 0x01, 0x01, 0x65, 0x01, 0x66, 0x00, 0x00], // import e.f: type 0
    ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00], // export f
  );
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module), { e: { f: run } });
  return exports.f as CallableFunction;
}
