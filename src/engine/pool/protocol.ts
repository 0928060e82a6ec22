/** What the pool and its children say to each other, by Node's IPC channel with `advanced` serialization. */
import type { SerializedProblem } from '../../problem.ts';

/** Parent to child. A child holds one task at a time. */
export interface RunMessage {
  type: 'run';
  id: number;
  kind: string;
  input: unknown;
}

/** Child to parent, in the order in which a child's life produces them. */
export type ChildMessage =
  /** Modules are loaded; tasks may be sent. */
  | { type: 'ready' }
  /** The task has begun: its deadline counts from here. */
  | { type: 'started'; id: number }
  | { type: 'event'; id: number; event: unknown }
  | { type: 'done'; id: number; value: unknown }
  | { type: 'failed'; id: number; problem: SerializedProblem; cause?: string }
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
