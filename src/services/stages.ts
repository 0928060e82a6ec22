/** Takes the time of stages, for those who measure. */
import type { Services, StageTimes } from './context.ts';

type Work = Parameters<StageTimes['observeStage']>[0];

/** The time counts whether it succeeds or not. */
export async function timed<T>(
  { metrics }: Pick<Services, 'metrics'>,
  work: Work,
  stage: string,
  run: () => Promise<T>,
): Promise<T> {
  if (!metrics) return run();
  const beganMs = performance.now();
  try {
    return await run();
  } finally {
    metrics.observeStage(work, stage, (performance.now() - beganMs) / 1000);
  }
}

/** Stages of which each ends where the next one begins. */
export class Stages {
  readonly #services: Pick<Services, 'metrics'>;
  readonly #work: Work;
  #current: { stage: string; sinceMs: number } | undefined;

  constructor(services: Pick<Services, 'metrics'>, work: Work) {
    this.#services = services;
    this.#work = work;
  }

  /** The same as the one that is running: it goes on. */
  enter(stage: string): void {
    if (this.#current?.stage === stage) return;
    this.end();
    this.#current = { stage, sinceMs: performance.now() };
  }

  end(): void {
    if (!this.#current) return;
    const { stage, sinceMs } = this.#current;
    this.#current = undefined;
    this.#services.metrics?.observeStage(this.#work, stage, (performance.now() - sinceMs) / 1000);
  }
}
