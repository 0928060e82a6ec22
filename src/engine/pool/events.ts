/** What a pool tells of itself, for logs and metrics. */
import type { ProblemCode } from '../../problem.ts';
import type { Exit } from './member.ts';

export type PoolEvent =
  | { type: 'child_started'; pid: number; startMs: number }
  | ({ type: 'child_exited'; pid: number | undefined } & Exit)
  | {
      type: 'task_finished';
      kind: string;
      /** Absent where it succeeded. */
      problem?: ProblemCode;
      waitedMs: number;
      ranMs: number;
      /** 0 where the task was too short to be sampled. */
      peakRssBytes: number;
    }
  | { type: 'sweep_failed'; dir: string; error: unknown };

export interface PoolStats {
  size: number;
  busy: number;
  idle: number;
  waiting: number;
  /** No child comes up: tasks are refused until one does. */
  down: boolean;
  /** Children that were replaced because they died or were killed. */
  restarts: number;
  /** Children that were replaced because of their age or size. */
  recycled: number;
  completed: number;
  failed: number;
  /** By process id, as last sampled; a child's descendants count with it. */
  rssBytes: Record<number, number>;
  /** The largest sum over all children at one sampling. */
  peakRssBytes: number;
}
