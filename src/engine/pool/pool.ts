/** The engine behind a wall: `render` and `info` on untrusted files, in children that may be killed. */
import { extname } from 'node:path';
import type { Limits } from '../limits.ts';
import type { RenderRequest, RenderResult, Rendition } from '../types.ts';
import type { OutputOf } from './protocol.ts';
import { type PoolOptions, TaskPool } from './task-pool.ts';
import type { tasks } from './tasks.ts';

export type { PoolEvent, PoolStats } from './events.ts';
export { ChildExit } from './member.ts';
export type { Scratch } from './scratch.ts';
export type { PoolOptions } from './task-pool.ts';

type EngineTasks = typeof tasks;

export interface TaskOptions {
  /** Aborting kills the work at once; a task that waits still is dropped. */
  signal?: AbortSignal | undefined;
  /** Higher goes first among the waiting; 0 when absent. */
  priority?: number | undefined;
  /** Is never refused as `overloaded`. */
  patient?: boolean | undefined;
}

export interface EngineOptions extends PoolOptions {
  /** For requests that bring none: see `RenderRequest`. */
  matteModelPath?: string | undefined;
}

export class Pool extends TaskPool<EngineTasks> {
  readonly #defaults: Pick<RenderRequest, 'matteModelPath'>;

  constructor({ matteModelPath, ...options }: EngineOptions) {
    super(new URL(`./tasks${extname(import.meta.url)}`, import.meta.url), options);
    this.#defaults = matteModelPath === undefined ? {} : { matteModelPath };
  }

  /**
   * `render` of the engine, in a child. `request.outDir` is best the folder of a `scratch()`; when this rejects,
   * nothing writes to it any more.
   * @throws Problem, as `TaskPool.run`
   */
  render(
    request: Omit<RenderRequest, 'signal' | 'onRendition'>,
    { onRendition, ...options }: TaskOptions & { onRendition?: (rendition: Rendition) => void } = {},
  ): Promise<RenderResult> {
    return this.run(
      'render',
      { ...this.#defaults, ...request },
      { ...options, limits: request.limits, report: onRendition },
    );
  }

  /**
   * What the headers and the metadata of a file say.
   * @throws Problem, as `TaskPool.run`
   */
  info(
    sourcePath: string,
    limits: Limits,
    options: TaskOptions = {},
  ): Promise<OutputOf<EngineTasks['info']>> {
    return this.run('info', { sourcePath, limits }, { ...options, limits });
  }
}
