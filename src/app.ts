/** Composition root: turns a Config into a running service. */
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { loadPolicies } from './config/policies.ts';
import type { Config } from './config.ts';
import { jwtAuthorizer } from './drivers/authorizer/jwt.ts';
import { endExiftool, exiftoolVersion } from './engine/metadata/exiftool.ts';
import { Pool, type PoolEvent } from './engine/pool/pool.ts';
import { Metrics } from './http/metrics.ts';
import { createLogger } from './http/request-log.ts';
import type { ReadinessCheck } from './http/routes/health.ts';
import { buildServer } from './http/server.ts';
import { Problem } from './problem.ts';
import { resolveSecrets } from './secrets.ts';

/** A tool that was found is not looked for again so soon. */
const TOOL_CHECK_EVERY_MS = 60_000;

const LOCAL_NOTICE = `JWT_SECRET_KEY is not set: tokens are signed with a secret in DATA_DIR, and only this machine can connect.
For a token: tintype token --sub me --scope write`;

export interface Service {
  /** E.g. `http://127.0.0.1:8000`. */
  address: string;
  /**
   * Stops accepting, lets running requests finish for SHUTDOWN_TIMEOUT_SECONDS, calls off the rest, ends the child
   * processes and removes all temporary files. Calling again waits for the same end.
   */
  close(): Promise<void>;
}

export interface ServeOptions {
  /** Where the log goes; standard output when absent. */
  logger?: Logger;
  /** Where the line for people goes; standard error when absent. */
  announce?: (line: string) => void;
}

/**
 * Starts the service and resolves when it answers.
 * @throws Problem `invalid_configuration` where a secret is missing, a file of the configuration is wrong, or it cannot
 *   listen on HOST and PORT; `dependency_down` where the engine does not start.
 */
export async function serve(config: Config, options: ServeOptions = {}): Promise<Service> {
  const { logger = createLogger(config.logLevel), announce = (line) => console.error(line) } = options;
  const version = await ownVersion();
  const secrets = resolveSecrets(config);
  const authorizer = await jwtAuthorizer({
    algorithm: config.jwtAlgorithm,
    key: secrets.jwtKey,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
  });
  // What is wrong in the files of presets and buckets stops the start.
  loadPolicies(config);
  const workDir = join(config.dataDir, 'work');
  const metrics = new Metrics();
  const pool = new Pool({
    workDir,
    size: config.workerConcurrency,
    maxWaiting: config.convertQueueLimit,
    onEvent: (event) => {
      metrics.observePool(event);
      logPoolEvent(logger, event);
    },
  });
  metrics.watchPool(pool);
  const metadata = metadataCheck();
  const checks: Record<string, ReadinessCheck> = {
    pool: poolCheck(pool),
    metadata,
    work_folder: () => access(workDir, constants.W_OK | constants.X_OK),
  };
  try {
    await pool.start();
    const server = buildServer({ config, pool, logger, version, metrics, checks, authorizer });
    const address = await server.listen(config.host, config.port).catch((error) => {
      throw listenProblem(error, config);
    });
    await metadata(AbortSignal.timeout(TOOL_CHECK_EVERY_MS)).catch((error) =>
      logger.warn({ err: error }, 'metadata cannot be carried over: /ready says so until it can'),
    );
    logger.info({ version, address, children: config.workerConcurrency }, 'listening');
    announce(`Tintype ${version} listens on ${address} (try it at ${address}/docs)`);
    if (secrets.generated) {
      logger.warn('JWT_SECRET_KEY is not set: tokens are signed with a secret of DATA_DIR');
      announce(LOCAL_NOTICE);
    }

    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      logger.info({ grace_ms: config.shutdownTimeoutMs }, 'shutting down');
      await server.close(config.shutdownTimeoutMs);
      // No request is left that could wait for a child.
      await pool.close({ graceMs: 0 });
      await endExiftool();
      logger.info('stopped');
    };
    return {
      address,
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  } catch (error) {
    await pool.close({ graceMs: 0 });
    await endExiftool();
    throw error;
  }
}

function poolCheck(pool: Pool): ReadinessCheck {
  return async () => {
    const { busy, idle } = pool.stats();
    if (busy + idle === 0) {
      throw new Problem('dependency_down', { detail: 'No child process of the engine is up.' });
    }
  };
}

/** Perl is the system's, and slim images lack it. */
function metadataCheck(): ReadinessCheck {
  let goodUntilMs = 0;
  return async () => {
    if (performance.now() < goodUntilMs) return;
    await exiftoolVersion();
    await endExiftool();
    goodUntilMs = performance.now() + TOOL_CHECK_EVERY_MS;
  };
}

function logPoolEvent(logger: Logger, event: PoolEvent): void {
  if (event.type === 'sweep_failed') {
    logger.warn({ err: event.error, dir: event.dir }, event.type);
    return;
  }
  if (event.type !== 'child_exited') {
    const { type, ...rest } = event;
    logger.debug(rest, type);
    return;
  }
  const { type, reason, ...exit } = event;
  const why = reason instanceof Problem ? reason.code : reason;
  const asked = why === 'retired' || why === 'cancelled' || why === 'shutting_down';
  logger[asked ? 'debug' : 'warn']({ ...exit, reason: why }, type);
}

function listenProblem(cause: NodeJS.ErrnoException, { host, port }: Config): Problem {
  const reasons: Record<string, [path: string, message: string]> = {
    EADDRINUSE: ['PORT', `something else listens on port ${port} of ${host} already`],
    EACCES: ['PORT', `listening on port ${port} is not allowed to this user`],
    EADDRNOTAVAIL: ['HOST', `${host} is not an address of this machine`],
    ENOTFOUND: ['HOST', `${host} is not known`],
  };
  const [path, message] = reasons[cause.code ?? ''] ?? ['HOST', `cannot listen on ${host}:${port}`];
  const errors = [{ path, message }];
  return new Problem('invalid_configuration', { detail: `${path}: ${message}.`, errors, cause });
}

async function ownVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return String(JSON.parse(text).version);
}
