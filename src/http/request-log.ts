/** The log: one line a request, with nothing in it that is secret or that a terminal would act upon. */
import type { Socket } from 'node:net';
import { type Logger, pino } from 'pino';
import type { Exchange } from './exchange.ts';

/** Members that are blanked wherever an object with them is logged, one level deep or at the top. */
const REDACTED = ['authorization', 'cookie', 'token', 'signature', 'secret', 'password'];

/** @param level A pino level, or `silent`. */
export function createLogger(level: string, destination?: { write(line: string): void }): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.headers.${name}`]),
      censor: '[redacted]',
    },
  };
  return destination ? pino(options, destination) : pino(options);
}

export interface RequestLine {
  requestId: string;
  method: string;
  /** The route's pattern, never the URL: paths and queries can carry signatures and tokens. */
  route: string;
  status: number;
  socket: Socket;
}

/**
 * Writes the one line about a request that is over.
 * @returns how long it took, in ms
 */
export function logRequest(logger: Logger, exchange: Exchange, line: RequestLine): number {
  const { requestId, method, route, status, socket } = line;
  const ms = performance.now() - exchange.startedAtMs;
  const { problem } = exchange;
  const entry = {
    request_id: requestId,
    method,
    route,
    status,
    ...bytesSinceLast(socket),
    ms: Math.round(ms * 10) / 10,
    ...(problem && { code: problem.code }),
  };
  const cause = problem?.cause;
  if (problem && problem.status === 500) logger.error({ ...entry, err: cause ?? problem }, 'request');
  else plainOf(logger).info(cause === undefined ? entry : { ...entry, cause: briefly(cause) }, 'request');
  return ms;
}

const plain = new WeakMap<Logger, Logger>();

/** For lines of known members, none of them redacted: looking through each for the others takes ten times the line. */
function plainOf(logger: Logger): Logger {
  const known = plain.get(logger) ?? logger.child({}, { redact: [] });
  plain.set(logger, known);
  return known;
}

const counted = new WeakMap<Socket, { bytesRead: number; bytesWritten: number }>();

/** What this request moved over its connection, heads included; several requests may share one. */
function bytesSinceLast(socket: Socket): { bytes_in: number; bytes_out: number } {
  const { bytesRead, bytesWritten } = socket;
  const before = counted.get(socket) ?? { bytesRead: 0, bytesWritten: 0 };
  counted.set(socket, { bytesRead, bytesWritten });
  return { bytes_in: bytesRead - before.bytesRead, bytes_out: bytesWritten - before.bytesWritten };
}

/** The cause of a refusal: its message is for us, its stack would only fill the log. */
function briefly(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).slice(0, 300);
}
