/** Turns everything that goes wrong into problem documents (RFC 9457), in one place. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ProblemDocument } from '../contract/resources.ts';
import { PROBLEMS, Problem, type ProblemCode } from '../problem.ts';
import { answerBeforeBodyEnds, bodyPending } from './early-answer.ts';
import { defaultHeaders } from './headers.ts';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';
const MAX_INSTANCE_CHARS = 256;
/** For problems that may pass, where nobody knows better. */
const RETRY_AFTER_SECONDS = 5;

/** The URL that a problem's `type` names; the operation `problem` answers it. */
const problemType = (code: ProblemCode): string => `/problems/${code}`;

export function problemDocument(problem: Problem, url: string, requestId: string): ProblemDocument {
  const [path = '/'] = url.split('?', 1);
  return {
    ...problem.extra,
    type: problemType(problem.code),
    title: problem.title,
    status: problem.status,
    ...(problem.detail !== undefined && { detail: problem.detail }),
    code: problem.code,
    instance: path.slice(0, MAX_INSTANCE_CHARS),
    request_id: requestId,
    ...(problem.errors && { errors: problem.errors }),
  };
}

/** Answers with a problem, even while the client is still sending its body. */
export function sendProblem(problem: Problem, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const body = Buffer.from(JSON.stringify(problemDocument(problem, request.raw.url ?? '/', request.id)));
  reply
    .code(problem.status)
    .header('content-type', PROBLEM_MEDIA_TYPE)
    .header('content-length', body.length)
    .header('cache-control', 'no-store');
  const retryAfterSeconds =
    problem.retryAfterSeconds ?? (problem.status === 503 ? RETRY_AFTER_SECONDS : undefined);
  if (retryAfterSeconds !== undefined) reply.header('retry-after', Math.ceil(retryAfterSeconds));
  if (problem.code === 'range_not_satisfiable' && problem.extra?.size_bytes !== undefined) {
    reply.header('content-range', `bytes */${problem.extra.size_bytes}`);
  }
  if (problem.code === 'unauthorized') reply.header('www-authenticate', challenge(request));
  if (!bodyPending(request.raw)) return reply.send(body);
  reply.header('connection', 'close');
  return reply.send(answerBeforeBodyEnds(body, request.raw));
}

/** RFC 6750, section 3: no error is told to who gave no token. */
const challenge = ({ headers }: FastifyRequest): string =>
  headers.authorization === undefined ? 'Bearer' : 'Bearer error="invalid_token"';

/** Fastify's own errors, by their code; whatever is not ours and not known is `internal`. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new Problem('upload_too_large', { detail: 'The body is larger than this call takes.' });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new Problem('malformed_request', {
        detail: 'The Content-Type is malformed, or not one that this call takes.',
      });
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new Problem('malformed_request', { detail: 'The body is not valid JSON.' });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new Problem('malformed_request', {
        detail: 'The body does not have the length that Content-Length announces.',
      });
    case 'FST_ERR_BAD_URL':
      return new Problem('malformed_request', { detail: 'The URL is not well formed.' });
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new Problem('not_found', { detail: 'A part of the path is too long.' });
  }
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new Problem(status === 404 ? 'not_found' : 'malformed_request', { cause: error });
  }
  return new Problem('internal', { cause: error });
}

/** What Node's HTTP parser gave up on: there is no request yet, only a socket. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket, requestId: string): Problem {
  const problem = clientProblem(error);
  const body = JSON.stringify(problemDocument(problem, '/', requestId));
  // 431 is the one status that no problem of ours has.
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : problem.status;
  const headers = {
    ...defaultHeaders,
    'content-type': PROBLEM_MEDIA_TYPE,
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    'x-request-id': requestId,
    connection: 'close',
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join('')}\r\n${body}`);
  socket.destroySoon();
  return problem;
}

function clientProblem(error: NodeJS.ErrnoException): Problem {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('request_timeout', {
        detail: 'The request did not arrive in the time that is allowed for it.',
      });
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('malformed_request', { detail: 'The headers are too long.' });
    case 'HPE_INVALID_EOF_STATE':
      return new Problem('malformed_request', { detail: 'The request ended before it was complete.' });
    default:
      return new Problem('malformed_request', { detail: 'This is not well-formed HTTP.' });
  }
}

/** Every code with its meaning, for the operation that explains one. */
export const problemTypeOf = (code: ProblemCode) => ({ type: problemType(code), code, ...PROBLEMS[code] });
