/**
 * WebAssembly's JavaScript interface (W3C) as far as the decoders use it. TypeScript has it only in its
 * library for browsers, whose other globals have no place in a server.
 */
declare namespace WebAssembly {
  type ImportValue = CallableFunction | Memory | Table;
  type Imports = Record<string, Record<string, ImportValue>>;
  type Exports = Record<string, ImportValue>;

  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: Imports);
    readonly exports: Exports;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: boolean });
    readonly buffer: ArrayBuffer;
  }
  class Table {
    get(index: number): CallableFunction | null;
    set(index: number, value: CallableFunction): void;
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
