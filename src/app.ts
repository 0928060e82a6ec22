/** Composition root: turns a Config into a running service. */
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { startBackground } from './app/background.ts';
import { keepYoungGenerationSmall } from './app/heap.ts';
import { openServices } from './app/services.ts';
import { loadPolicies } from './config/policies.ts';
import type { Config } from './config.ts';
import { jwtAuthorizer } from './drivers/authorizer/jwt.ts';
import { ffmpegVersion } from './engine/decode/ffmpeg.ts';
import { endExiftool, exiftoolVersion } from './engine/metadata/exiftool.ts';
import { Pool, type PoolEvent } from './engine/pool/pool.ts';
import { Metrics } from './http/metrics.ts';
import { createLogger } from './http/request-log.ts';
import type { ReadinessCheck } from './http/routes/health.ts';
import { buildServer } from './http/server.ts';
import { Problem } from './problem.ts';
import { listeningHost, resolveSecrets } from './secrets.ts';

/** A tool that was found is not looked for again so soon. */
const TOOL_CHECK_EVERY_MS = 60_000;

const LOCAL_NOTICE = `JWT_SECRET_KEY is not set: tokens are signed with a secret in DATA_DIR, and only this machine can connect.
For a token: tintype token --sub me --scope write`;

export interface Role {
  /**
   * Takes nothing more on, lets running requests and jobs finish for SHUTDOWN_TIMEOUT_SECONDS, calls off the rest, gives
   * unfinished jobs back, ends the child processes and removes all temporary files. Calling again waits for the same end.
   */
  close(): Promise<void>;
}

export interface Service extends Role {
  /** E.g. `http://127.0.0.1:8000`. */
  address: string;
}

export interface ServeOptions {
  /** Where the log goes; standard output when absent. */
  logger?: Logger;
  /** Where the line for people goes; standard error when absent. */
  announce?: (line: string) => void;
}

/**
 * Starts the service, HTTP and worker, and resolves when it answers.
 * @throws Problem `invalid_configuration` where a secret is missing, a file of the configuration is wrong, or it cannot
 *   listen on HOST and PORT; `dependency_down` where the engine does not start or the catalog or the store cannot be
 *   opened.
 */
export async function serve(config: Config, options: ServeOptions = {}): Promise<Service> {
  const { logger = createLogger(config.logLevel), announce = (line) => console.error(line) } = options;
  keepYoungGenerationSmall();
  await using stack = new AsyncDisposableStack();
  const { services, background, metrics, metadata, secrets, version } = await open(config, logger, stack);
  const { pool, catalog, blobs, queue } = services;
  const authorizer = await jwtAuthorizer({
    algorithm: config.jwtAlgorithm,
    key: secrets.jwtKey,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
  });
  const checks: Record<string, ReadinessCheck> = {
    pool: poolCheck(pool),
    metadata,
    work_folder: () => access(workDirOf(config), constants.W_OK | constants.X_OK),
    catalog: () => catalog.check(),
    storage: () => blobs.check(),
    queue: () => queue.check(),
  };
  const workerStats = () => background.worker.stats();
  const server = buildServer({
    config,
    services,
    logger,
    version,
    metrics,
    checks,
    authorizer,
    workerStats,
  });
  const host = listeningHost(config, secrets);
  const address = await server.listen(host, config.port).catch((error) => {
    throw listenProblem(error, { ...config, host });
  });
  logger.info({ version, address, children: config.workerConcurrency }, 'listening');
  announce(`Tintype ${version} listens on ${address} (try it at ${address}/docs)`);
  if (secrets.generated) {
    logger.warn('JWT_SECRET_KEY is not set: tokens are signed with a secret of DATA_DIR');
    announce(LOCAL_NOTICE);
    if (host !== config.host) announce(`HOST=${config.host} is left aside until JWT_SECRET_KEY is set.`);
  }
  const close = closing(stack.move(), logger, config, async (graceMs) => {
    await Promise.all([server.close(graceMs), background.drain(graceMs)]);
  });
  return { address, close };
}

/**
 * Starts a worker without HTTP, beside a server that has the same catalog and store.
 * @throws Problem as `serve`
 */
export async function work(config: Config, options: ServeOptions = {}): Promise<Role> {
  const { logger = createLogger(config.logLevel), announce = (line) => console.error(line) } = options;
  await using stack = new AsyncDisposableStack();
  const { background, version } = await open(config, logger, stack);
  const { concurrency } = background.worker.stats();
  logger.info({ version, children: concurrency }, 'working');
  announce(`Tintype ${version} works on ${concurrency} images at a time`);
  return { close: closing(stack.move(), logger, config, (graceMs) => background.drain(graceMs)) };
}

/** What every role has: the engine, the services over their drivers, and what runs in the background. */
async function open(config: Config, logger: Logger, stack: AsyncDisposableStack) {
  const version = await ownVersion();
  const secrets = resolveSecrets(config);
  const policies = loadPolicies(config);
  const metrics = new Metrics();
  const pool = new Pool({
    workDir: workDirOf(config),
    size: config.workerConcurrency,
    maxWaiting: config.convertQueueLimit,
    matteModelPath: config.matteModelPath,
    onEvent: (event) => {
      metrics.observePool(event);
      logPoolEvent(logger, event);
    },
  });
  metrics.watchPool(pool);
  stack.defer(() => endExiftool());
  const { urlSigningKey } = secrets;
  const { services, relay } = await openServices(
    config,
    { pool, logger, policies, urlSigningKey, metrics },
    stack,
  );
  // After the work that needs it, and before what the work needs.
  stack.defer(() => pool.close({ graceMs: 0 }));
  await pool.start();
  const metadata = metadataCheck();
  await metadata(AbortSignal.timeout(TOOL_CHECK_EVERY_MS)).catch((error) =>
    logger.warn({ err: error }, 'metadata cannot be carried over: /ready says so until it can'),
  );
  if (!(await ffmpegVersion())) logger.info('ffmpeg is not installed: videos are refused');
  const background = await startBackground(services, { relay, concurrency: config.workerConcurrency });
  stack.use(background);
  return { services, background, metrics, metadata, secrets, version };
}

/** @param drain lets what runs come to an end */
function closing(
  stack: AsyncDisposableStack,
  logger: Logger,
  { shutdownTimeoutMs }: Config,
  drain: (graceMs: number) => Promise<void>,
): () => Promise<void> {
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    logger.info({ grace_ms: shutdownTimeoutMs }, 'shutting down');
    try {
      await drain(shutdownTimeoutMs);
    } finally {
      await stack.disposeAsync();
    }
    logger.info('stopped');
  };
  return () => {
    closed ??= close();
    return closed;
  };
}

const workDirOf = ({ dataDir }: Config): string => join(dataDir, 'work');

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
