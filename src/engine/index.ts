/**
 * The engine as a library: it needs no server, no database and no configuration. It reads the source by path, writes
 * into a folder that the caller gives, and starts exiftool for metadata; `pool/` runs it in killable processes.
 */
export { DEFAULT_LIMITS, type Limits } from './limits.ts';
export { endExiftool } from './metadata/exiftool.ts';
export { readInfo } from './metadata/read.ts';
export { probe, sniff } from './probe.ts';
export { render } from './render.ts';
export type {
  Facts,
  Family,
  Orientation,
  Pixels,
  Placeholders,
  RenderRequest,
  RenderResult,
  Rendition,
  SourceFormat,
} from './types.ts';
export { ENGINE_VERSION } from './version.ts';
