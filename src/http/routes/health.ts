/** GET /health and GET /ready. */
import type { OPERATIONS } from '../../contract/operations.ts';
import type { Readiness } from '../../contract/resources.ts';
import { Problem } from '../../problem.ts';
import type { Handler } from '../bind.ts';

/** Resolves where the thing is up; rejects, best with a Problem whose detail may be shown, where it is down. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<void>;

const CHECK_TIMEOUT_MS = 2_000;

export function healthRoute(version: string) {
  const started_at = new Date(Date.now() - process.uptime() * 1000).toISOString();
  return () => ({
    status: 200 as const,
    headers: { 'cache-control': 'no-store' },
    json: {
      status: 'ok' as const,
      version,
      uptime_seconds: Math.round(process.uptime() * 10) / 10,
      started_at,
    },
  });
}

export interface ReadyOptions {
  checks: Readonly<Record<string, ReadinessCheck>>;
  isDraining: () => boolean;
}

export function readyRoute({ checks, isDraining }: ReadyOptions): Handler<(typeof OPERATIONS)['ready']> {
  return async () => {
    const results = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await outcomeOf(check)] as const),
    );
    const allUp = results.every(([, { status }]) => status === 'up');
    const status = isDraining() ? 'draining' : allUp ? 'ready' : 'unavailable';
    return {
      status: status === 'ready' ? 200 : 503,
      headers: { 'cache-control': 'no-store' },
      json: { status, checks: Object.fromEntries(results) },
    };
  };
}

async function outcomeOf(check: ReadinessCheck): Promise<Readiness['checks'][string]> {
  const timeout = AbortSignal.timeout(CHECK_TIMEOUT_MS);
  const late = Promise.withResolvers<never>();
  const onTimeout = (): void =>
    late.reject(new Problem('dependency_down', { detail: 'It does not answer.' }));
  timeout.addEventListener('abort', onTimeout, { once: true });
  try {
    await Promise.race([check(timeout), late.promise]);
    return { status: 'up' };
  } catch (error) {
    const { detail } = Problem.from(error);
    return { status: 'down', ...(detail !== undefined && { detail }) };
  } finally {
    timeout.removeEventListener('abort', onTimeout);
  }
}
