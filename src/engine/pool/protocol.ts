/** What the pool and its children say to each other, by Node's IPC channel with `advanced` serialization. */
import type { SerializedProblem } from '../../problem.ts';

/** Parent to child. A child holds one task at a time. */
export interface RunMessage {
  type: 'run';
  id: number;
  kind: string;
  input: unknown;
  /** Whether anyone listens to its events. */
  reports: boolean;
}

/** How a task ended. */
export type Outcome =
  | { type: 'done'; value: unknown }
  | { type: 'failed'; problem: SerializedProblem; cause?: string };

/** Child to parent, in the order in which a child's life produces them. */
export type ChildMessage =
  /** Modules are loaded; tasks may be sent. */
  | { type: 'ready' }
  /** The task has begun: its deadline counts from here. */
  | { type: 'started'; id: number }
  | { type: 'event'; id: number; event: unknown }
  | (Outcome & {
      id: number;
      /** There is nothing to tidy up: no `idle` follows. */
      idle: boolean;
    })
  /** Tidied up after the task: the next one may be sent. */
  | { type: 'idle'; id: number };

/** Work that a child can do. `report` sends progress; it arrives before the result does. */
// biome-ignore lint/suspicious/noExplicitAny: a table holds tasks of unlike inputs, events and outputs
export type Task<I = any, E = any, O = any> = (input: I, report: (event: E) => void) => Promise<O> | O;

/** What a task module exports as `tasks`; it may export `warmUp(): Promise<void>` as well. */
export type TaskTable = Record<string, Task>;

export type InputOf<T> = T extends (input: infer I, ...rest: never[]) => unknown ? I : never;
export type EventOf<T> = T extends (input: never, report: (event: infer E) => void) => unknown ? E : never;
export type OutputOf<T> = T extends (...args: never[]) => infer O ? Awaited<O> : never;
