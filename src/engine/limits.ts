/** What one image may cost. Each is checked before the resource is spent, and again where a header can lie. */
export interface Limits {
  /** Bytes of the source file. */
  maxBytes: number;
  /** Pixels of one decoded page; for animations, of all the pages that are decoded together. */
  maxPixels: number;
  /** Pages or frames that one job may decode. */
  maxFrames: number;
  /** Wall time of one task, all its plans together. */
  timeoutMs: number;
  /** Resident memory of the process that runs the task. */
  maxMemoryBytes: number;
}

export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze({
  maxBytes: 200 * 1024 * 1024,
  maxPixels: 100_000_000,
  maxFrames: 1_000,
  timeoutMs: 300_000,
  maxMemoryBytes: 3 * 1024 * 1024 * 1024,
});
