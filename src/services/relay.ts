/**
 * Tells the queue what the catalog's outbox says. A row is forgotten only after the queue has taken its id, so a crash in
 * between announces it twice, which is harmless: a job is leased once. Several relays at once are harmless for the same
 * reason. What a queue loses afterwards is found by the workers, who also poll the catalog.
 */
import type { Services } from './context.ts';

const BATCH = 500;
/** Rows of other processes, and of a process that died before it announced them, wait no longer than this. */
const IDLE_MS = 5_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;

export interface Relay {
  /** There is something new in the outbox: do not wait for the next look. Costs nothing; call it after each commit. */
  kick(): void;
  /** Works until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export interface RelayOptions {
  idleMs?: number;
  firstBackoffMs?: number;
}

type RelayServices = Pick<Services, 'catalog' | 'queue' | 'log'>;

/** One batch. @returns how many ids were announced */
export async function relayOnce({
  catalog,
  queue,
}: Pick<RelayServices, 'catalog' | 'queue'>): Promise<number> {
  const rows = await catalog.outbox(BATCH);
  if (rows.length === 0) return 0;
  await queue.announce([...new Set(rows.map((row) => row.jobId))]);
  await catalog.relayed(rows.map((row) => row.id));
  return rows.length;
}

export function createRelay(services: RelayServices, options: RelayOptions = {}): Relay {
  const { idleMs = IDLE_MS, firstBackoffMs = FIRST_BACKOFF_MS } = options;
  let kicked = false;
  let wake: (() => void) | undefined;

  return {
    kick() {
      kicked = true;
      wake?.();
    },

    async run(signal) {
      let failures = 0;
      while (!signal.aborted) {
        kicked = false;
        try {
          const announced = await relayOnce(services);
          failures = 0;
          if (announced < BATCH && !kicked) {
            await pause(idleMs, signal, (end) => {
              wake = end;
            });
          }
        } catch (error) {
          // Kicks do not shorten this: each upload would knock at a door that is closed.
          const waitMs = Math.min(MAX_BACKOFF_MS, firstBackoffMs * 2 ** failures++);
          services.log.warn({ err: error, failures, waitMs }, 'the queue was not told of new jobs');
          await pause(waitMs, signal);
        }
      }
    },
  };
}

/** Resolves when the time is over, the signal aborts, or `end` is called. */
async function pause(ms: number, signal: AbortSignal, onStart?: (end: () => void) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const end = () => resolve();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  onStart?.(end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
}
