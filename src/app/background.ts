/** What runs beside the requests: the relay, the sweeper and the worker. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Services } from '../services/context.ts';
import type { Relay } from '../services/relay.ts';
import { sweep } from '../services/sweep.ts';
import { startWorker, type Worker } from '../worker/loop.ts';

/** How long after its death a worker's job may wait, and what was deleted may lie in the store. */
const SWEEP_EVERY_MS = 30_000;

export interface Background extends AsyncDisposable {
  readonly worker: Pick<Worker, 'stats'>;
  /** Leases nothing more; resolves when no job runs. What is left after `graceMs` is given back. */
  drain(graceMs: number): Promise<void>;
}

/** Tidies up first: what a dead worker held is there to be leased when this resolves. */
export async function startBackground(
  services: Services,
  { relay, concurrency }: { relay: Relay; concurrency: number },
): Promise<Background> {
  const end = new AbortController();
  const { log } = services;
  const tidy = async () => {
    const swept = await sweep(services, end.signal);
    if (Object.values(swept).some((count) => count > 0)) log.info({ ...swept }, 'swept');
    if (swept.reclaimedJobs > 0) relay.kick();
  };
  await tidy();
  const sweeping = every(SWEEP_EVERY_MS, tidy, end.signal);
  const relaying = relay.run(end.signal);
  const worker = startWorker(services, { concurrency });
  const drain = (graceMs: number) => worker.stop({ graceMs });
  return {
    worker,
    drain,
    async [Symbol.asyncDispose]() {
      await drain(0);
      end.abort();
      await Promise.all([sweeping, relaying]);
    },
  };
}

/** One at a time, with pauses between; ends with the signal. */
async function every(ms: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(ms, undefined, { signal }).catch(() => {});
    if (!signal.aborted) await work();
  }
}
