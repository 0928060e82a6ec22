/** Says who is asking. What they may do is decided by `domain/access.ts`. */
import type { Principal } from '../domain/access.ts';

export type { Principal } from '../domain/access.ts';

export interface Authorizer {
  /**
   * @param header the request's `Authorization`
   * @throws Problem `unauthorized` where there is no token or not a valid one; `dependency_down` (retryable) where what
   *   is needed to tell cannot be reached; the signal's reason when it aborts
   */
  authenticate(header: string | undefined, signal: AbortSignal): Promise<Principal>;
}
