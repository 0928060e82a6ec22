/** The same request again gets the first answer again, and is not worked on twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';
import { isGone } from './lease-owner.ts';
import type { Turns } from './turns.ts';

/** How long a request waits for the first one of its key where another process works on that. */
const PATIENCE_MS = 5_000;
const POLL_MS = 100;

export interface IdempotentRequest {
  owner: string;
  key: string;
  /** Of all that the answer depends on. */
  fingerprint: string;
}

export interface IdempotencyOptions {
  signal: AbortSignal;
  /** Shared by all requests of this process. */
  turns: Turns;
}

/**
 * @param work settles the key itself, together with what it does: see `AcceptedUploads.idempotency`
 * @returns what `work` gives, or the first answer
 * @throws Problem `conflict` where the key was used for another request, or its first one takes too long elsewhere (with
 *   `retryAfterSeconds`); what `work` throws, and the key is free again
 */
export async function once<T>(
  { owner, key, fingerprint }: IdempotentRequest,
  { catalog, clock, log, leaseOwner }: Pick<Services, 'catalog' | 'clock' | 'log' | 'leaseOwner'>,
  { signal, turns }: IdempotencyOptions,
  work: () => Promise<T>,
): Promise<T | { again: unknown }> {
  using _turn = await turns.take(JSON.stringify([owner, key]), signal);
  const deadline = performance.now() + PATIENCE_MS;
  const claimant = { process: leaseOwner, isGone };
  const claim = () => catalog.claimIdempotencyKey(owner, key, fingerprint, clock.now(), claimant);
  for (;;) {
    try {
      const answer = await claim();
      if (answer !== undefined) return { again: answer };
      break;
    } catch (error) {
      if (!isRunning(error) || performance.now() > deadline) throw error;
      await sleep(POLL_MS, undefined, { signal });
    }
  }
  try {
    return await work();
  } catch (error) {
    // Where this fails as well, the claim ends by itself after a while.
    await catalog
      .settleIdempotencyKey(owner, key, undefined)
      .catch((cause) => log.warn({ err: cause }, 'an idempotency key could not be given free'));
    throw error;
  }
}

const isRunning = (error: unknown): boolean =>
  error instanceof Problem && error.code === 'conflict' && error.retryAfterSeconds !== undefined;
