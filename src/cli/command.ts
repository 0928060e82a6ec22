/** What every command is given, and what it gives back. */

/** Exit statuses, as `tintype --help` states them. */
export const EXIT = { ok: 0, someFailed: 1, usage: 2 } as const;

export interface CommandContext {
  /** Aborted when the person or the system wants an end; a command then tidies up and returns soon. */
  signal: AbortSignal;
  env: Readonly<Record<string, string | undefined>>;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
}
