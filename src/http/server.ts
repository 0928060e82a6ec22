/** The HTTP server: the operation table bound to its handlers, and what holds for every request. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { Logger } from 'pino';
import { type Config, limitsFrom } from '../config.ts';
import { openApiDocument } from '../contract/openapi.ts';
import { OPERATIONS } from '../contract/operations.ts';
import type { Authorizer } from '../ports/authorizer.ts';
import { PROBLEMS, Problem } from '../problem.ts';
import type { Services } from '../services/context.ts';
import { createOverview } from '../services/overview.ts';
import { Transforms } from '../services/transform.ts';
import { bindOperations, type Handlers } from './bind.ts';
import { holdBody } from './early-answer.ts';
import { type Exchange, Exchanges } from './exchange.ts';
import { CrossOrigin, defaultHeaders } from './headers.ts';
import { MethodTable } from './methods.ts';
import type { Metrics } from './metrics.ts';
import { answerClientError, sendProblem, toProblem } from './problems.ts';
import { logRequest } from './request-log.ts';
import { convertRoute } from './routes/convert.ts';
import { docsPage, homeRoute, openApiRoute, problemRoute } from './routes/docs.ts';
import { healthRoute, type ReadinessCheck, readyRoute } from './routes/health.ts';
import { imageRoutes } from './routes/images.ts';
import { jobRoutes } from './routes/jobs.ts';
import { overviewRoutes } from './routes/overview.ts';
import { processingRoutes } from './routes/processing.ts';
import { transformRoutes } from './routes/transform.ts';
import { uploadRoutes } from './routes/uploads.ts';

/** Request line and headers: a few kilobytes that any client sends at once. */
const HEADERS_TIMEOUT_MS = 20_000;
/** A whole request. Generous, for large files on slow lines: `receiveFile` watches that the body keeps moving. */
const REQUEST_TIMEOUT_MS = 30 * 60_000;
/** How often Node looks for requests that are too late. */
const TIMEOUT_CHECK_MS = 5_000;
/** Longer than the 60 s that reverse proxies keep idle connections: the proxy must be the one to close. */
const KEEP_ALIVE_MS = 75_000;
const MAX_CONNECTIONS = 2_000;
const MAX_PARAM_CHARS = 4_096;
/** After work was called off at shutdown: time for the answers that say so. */
const FAREWELL_MS = 500;

export interface ServerOptions {
  config: Config;
  services: Services;
  logger: Logger;
  version: string;
  metrics: Metrics;
  /** What `/ready` looks at, by name. */
  checks: Readonly<Record<string, ReadinessCheck>>;
  authorizer: Authorizer;
  /** Of the worker that runs in this process, where there is one. */
  workerStats?: () => { concurrency: number; running: number };
}

export interface HttpServer {
  app: FastifyInstance;
  /** @returns the URL that it listens on */
  listen(host: string, port: number): Promise<string>;
  /**
   * Stops accepting; `/ready` says `draining` on connections that are open still. Resolves when every running request
   * has ended; after `graceMs` they are called off with `shutting_down`.
   */
  close(graceMs: number): Promise<void>;
}

/** @throws Error where the operation table and the handlers do not fit together. */
export function buildServer(options: ServerOptions): HttpServer {
  const { config, services, logger, version, metrics, checks, authorizer } = options;
  const overview = createOverview(services);
  metrics.watchCatalog(overview);
  const transforms = new Transforms(services, {
    cacheBytes: config.transformCacheBytes,
    memoryBytes: config.transformMemoryBytes,
  });
  const drain = new AbortController();
  const isDraining = () => drain.signal.aborted;
  const exchanges = new Exchanges((error) => logger.error({ err: error }, 'cleaning up failed'));
  const answering = new WeakMap<Socket, ServerResponse>();
  const crossOrigin = new CrossOrigin(config.corsOrigins);
  const methods = new MethodTable(Object.values(OPERATIONS));
  const limits = limitsFrom(config, 'convert');

  const app = Fastify({
    // Fastify's own remarks, such as where it listens, would be said twice.
    loggerInstance: logger.child(
      {},
      { level: logger.isLevelEnabled('warn') ? 'warn' : logger.level },
    ) as never,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    requestIdHeader: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUT_CHECK_MS },
    routerOptions: { maxParamLength: MAX_PARAM_CHARS },
    frameworkErrors: (error, request, reply) => {
      open(request, reply);
      fail(error, request, reply);
    },
    clientErrorHandler: onClientError,
  }) as unknown as FastifyInstance;
  app.server.maxConnections = MAX_CONNECTIONS;
  app.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    holdBody(request, response);
    app.server.emit('request', request, response);
  });

  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    open(request, reply);
    if (request.is404) return noRoute(request, reply);
    if (isDraining() && !(request.routeOptions.config as { whileDraining?: boolean }).whileDraining) {
      throw new Problem('shutting_down', { detail: 'The server is shutting down; another one may answer.' });
    }
  });
  app.setErrorHandler(fail);
  bindOperations(app, OPERATIONS, handlers(), { exchanges, authorizer });

  function handlers(): Handlers<typeof OPERATIONS> {
    const document = openApiDocument(OPERATIONS, { version });
    const queueLimit = config.convertQueueLimit;
    return {
      ...overviewRoutes({ services, overview, version, workerStats: options.workerStats }),
      ...imageRoutes({ services, publicUrl: config.publicUrl }),
      ...uploadRoutes({ services, publicUrl: config.publicUrl }),
      ...jobRoutes({ services, publicUrl: config.publicUrl, draining: drain.signal }),
      ...processingRoutes({ services, publicUrl: config.publicUrl, draining: drain.signal }),
      ...transformRoutes({ services, transforms, allowUnsigned: config.unsignedUrls }),
      convert: convertRoute({ services, limits, queueLimit }),
      health: healthRoute(version),
      ready: readyRoute({ checks, isDraining }),
      metrics: async () => ({
        status: 200,
        type: metrics.contentType as 'text/plain',
        body: await metrics.text(),
      }),
      home: homeRoute,
      docs: docsPage(document),
      openapi: openApiRoute(document),
      problem: problemRoute,
    };
  }

  /** First of all that happens to a request; a second call changes nothing. */
  function open(request: FastifyRequest, reply: FastifyReply): Exchange {
    const { raw } = request;
    const { socket } = raw;
    answering.set(socket, reply.raw);
    reply.headers({ ...defaultHeaders, 'x-request-id': request.id });
    crossOrigin.apply(request, reply);
    return exchanges.open(raw, reply.raw, (exchange) => {
      const route = request.routeOptions?.url ?? '(none)';
      const status = reply.raw.headersSent ? reply.raw.statusCode : PROBLEMS.cancelled.status;
      const line = { requestId: request.id, method: request.method, route, status, socket };
      const ms = logRequest(logger, exchange, line);
      metrics.observeRequest(request.method, route, status, exchange.problem?.code, ms);
      if (isDraining() && exchanges.size === 0) setImmediate(() => app.server.closeAllConnections());
    });
  }

  function noRoute(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const allowed = methods.allowed(request.raw.url ?? '/');
    if (allowed.length === 0) throw new Problem('not_found', { detail: 'Nothing has this address.' });
    reply.header('allow', allowed.join(', '));
    if (request.method !== 'OPTIONS') {
      throw new Problem('method_not_allowed', { detail: `This address takes ${allowed.join(', ')}.` });
    }
    crossOrigin.applyPreflight(request, reply, allowed);
    return reply.code(204).send();
  }

  function fail(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const problem = toProblem(error);
    exchanges.of(request).fail(problem);
    if (reply.raw.headersSent) reply.raw.destroy();
    else sendProblem(problem, request, reply.headers(exchanges.of(request).headers));
  }

  function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const response = answering.get(socket);
    const midAnswer = response?.headersSent && !response.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || midAnswer) {
      socket.destroy();
      return;
    }
    const id = randomUUID();
    const { code } = answerClientError(error, socket, id);
    logger.info({ request_id: id, code, cause: error.code }, 'not a request');
  }

  return {
    app,
    async listen(host, port) {
      await app.listen({ host, port });
      const { address, family, port: actual } = app.server.address() as AddressInfo;
      return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
    },
    async close(graceMs) {
      drain.abort();
      let farewell: NodeJS.Timeout | undefined;
      const graceOver = setTimeout(() => {
        exchanges.abortAll(
          new Problem('shutting_down', { detail: 'The server shut down before the work was done.' }),
        );
        farewell = setTimeout(() => app.server.closeAllConnections(), FAREWELL_MS);
      }, graceMs);
      const closed = app.close();
      if (exchanges.size === 0) app.server.closeAllConnections();
      await closed;
      clearTimeout(graceOver);
      clearTimeout(farewell);
      await exchanges.released();
      await transforms.close();
    },
  };
}

/** The client's own id where it is sane, so that a trace can be followed through several services. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
