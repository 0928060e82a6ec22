/** Answers that are given again to the same request. An empty answer: the request runs. */
import { ABANDONED_CLAIM_MS, type Catalog, type Claimant } from '../../../ports/catalog.ts';
import { Problem } from '../../../problem.ts';
import type { Access, Tx } from './tables.ts';

const RUNNING = '';

export function idempotencyMethods({ write }: Access) {
  return {
    async claimIdempotencyKey(
      owner: string,
      key: string,
      fingerprint: string,
      now: Date = new Date(),
      by?: Claimant,
    ): Promise<unknown> {
      const created_at = now.toISOString();
      const claimant = by?.process ?? null;
      return write.transaction().execute(async (tx) => {
        const known = await tx
          .selectFrom('idempotency_keys')
          .selectAll()
          .where('owner', '=', owner)
          .where('key', '=', key)
          .executeTakeFirst();
        if (!known) {
          await tx
            .insertInto('idempotency_keys')
            .values({ owner, key, fingerprint, answer: RUNNING, created_at, claimant })
            .execute();
          return undefined;
        }
        if (known.fingerprint !== fingerprint) {
          throw new Problem('conflict', { detail: 'This Idempotency-Key was used for another request.' });
        }
        if (known.answer !== RUNNING) return answerOf(known.answer);
        const isGone = known.claimant !== null && by?.isGone(known.claimant) === true;
        if (!isGone && now.getTime() - Date.parse(known.created_at) <= ABANDONED_CLAIM_MS) {
          throw new Problem('conflict', {
            detail: 'The first request with this Idempotency-Key is still running.',
            retryAfterSeconds: 1,
          });
        }
        await tx
          .updateTable('idempotency_keys')
          .set({ created_at, claimant })
          .where('owner', '=', owner)
          .where('key', '=', key)
          .execute();
        return undefined;
      });
    },

    async settleIdempotencyKey(owner: string, key: string, answer: unknown | undefined): Promise<void> {
      await write.transaction().execute(async (tx) => {
        if (answer !== undefined) await settle(tx, owner, key, answer);
        else {
          await tx
            .deleteFrom('idempotency_keys')
            .where('owner', '=', owner)
            .where('key', '=', key)
            .where('answer', '=', RUNNING)
            .execute();
        }
      });
    },
  } satisfies Partial<Catalog>;
}

function answerOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    // It was accepted once: running it again would accept it twice.
    throw new Problem('internal', { detail: 'The answer to the first request is damaged.', cause });
  }
}

async function settle(tx: Tx, owner: string, key: string, answer: unknown): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('idempotency_keys')
    .set({ answer: JSON.stringify(answer) })
    .where('owner', '=', owner)
    .where('key', '=', key)
    .where('answer', '=', RUNNING)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Settles a claim with the work that it stands for. @throws Problem conflict where another request has done it meanwhile */
export async function settleInside(tx: Tx, owner: string, key: string, answer: unknown): Promise<void> {
  if (await settle(tx, owner, key, answer)) return;
  throw new Problem('conflict', {
    detail: 'Another request with this Idempotency-Key was faster.',
    retryAfterSeconds: 1,
  });
}
