/** Binds an operation table to handlers: one Fastify route an operation, validated by its schemas. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { JsonBody, Operation } from '../contract/operation.ts';
import type { NormalPlan } from '../contract/plan.ts';
import { planFromQuery } from '../contract/plan-codec.ts';
import { invalidPlan } from '../contract/plan-normal.ts';
import { type Principal, requireScope } from '../domain/access.ts';
import type { Authorizer } from '../ports/authorizer.ts';
import { type FieldError, Problem } from '../problem.ts';
import { allowBody } from './early-answer.ts';
import type { Exchange, Exchanges } from './exchange.ts';
import { IMAGE_CSP } from './headers.ts';
import { parseFields, parseQuery, queryPairs } from './query.ts';

const DEFAULT_JSON_BYTES = 1024 * 1024;

type Output<S> = S extends z.ZodType ? z.output<S> : undefined;
type Member<O, K extends string> = O extends Record<K, infer V> ? V : undefined;
type Asking<A> = A extends 'none'
  ? undefined
  : A extends { optional: true }
    ? Principal | undefined
    : Principal;

/** One request to one operation: validated input, and what its work needs to hold to. */
export interface Call<O extends Operation = Operation> {
  params: Output<Member<O, 'params'>>;
  query: Output<Member<O, 'query'>>;
  plan: O extends { plan: true } ? NormalPlan : undefined;
  /** The parsed JSON body; a streamed body is still to be read, from `request.raw`. */
  body: Output<Member<Member<O, 'body'>, 'schema'>>;
  /** Who is asking; undefined where the operation takes no token, or takes one and got none. */
  principal: Asking<O['auth']>;
  request: FastifyRequest;
  /** Its `signal` ends the work; what the answer needs until it is out is held by it. */
  exchange: Exchange;
}

type Body<R> = R extends { schema: infer S extends z.ZodType }
  ? { json: z.output<S> }
  : R extends { content: readonly (infer M extends string)[] }
    ? { type: M | `${M};${string}`; body: Readable | Buffer | string }
    : unknown;

/** One of the answers that the table allows for an operation. */
export type Answer<O extends Operation> = {
  [S in keyof O['responses'] & number]: {
    status: S;
    headers?: Record<string, string | number>;
  } & Body<O['responses'][S]>;
}[keyof O['responses'] & number];

export type Handler<O extends Operation> = (call: Call<O>) => Answer<O> | Promise<Answer<O>>;

/** For an operation whose route a plugin brings with it. */
export interface Mounted {
  mount: (app: FastifyInstance) => Promise<void>;
}

export type Handlers<T extends Record<string, Operation>> = {
  readonly [Id in keyof T]: Handler<T[Id]> | Mounted;
};

export interface BindOptions {
  exchanges: Exchanges;
  /** Needed as soon as the table has an operation with scopes. */
  authorizer?: Authorizer;
}

/** @throws Error where the table and the handlers do not name the same operations, or a check of tokens is missing. */
export function bindOperations<T extends Record<string, Operation>>(
  app: FastifyInstance,
  table: T,
  handlers: Handlers<T>,
  options: BindOptions,
): void {
  const orphans = Object.keys(handlers).filter((id) => !(id in table));
  if (orphans.length > 0) throw new Error(`handlers without an operation: ${orphans.join(', ')}`);
  const missing = Object.keys(table).filter((id) => !(id in handlers));
  if (missing.length > 0) throw new Error(`operations without a handler: ${missing.join(', ')}`);

  for (const [id, operation] of Object.entries(table)) {
    const handler = handlers[id]!;
    if (operation.auth !== 'none' && !options.authorizer) {
      throw new Error(`operation ${id} takes a token, but nothing checks tokens`);
    }
    if (operation.auth !== 'none' && 'mount' in handler) {
      throw new Error(`operation ${id} takes a token, but its route is mounted past the check`);
    }
    if ('mount' in handler) app.register(handler.mount);
    else bindOperation(app, operation, handler as unknown as Handler<Operation>, options);
  }
}

function bindOperation(
  app: FastifyInstance,
  operation: Operation,
  handler: Handler<Operation>,
  { exchanges, authorizer }: BindOptions,
): void {
  const { body, auth } = operation;
  app.register(async (scope) => {
    if (body?.kind === 'stream') {
      // The handler reads the raw stream; Fastify must neither consume nor buffer it.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    }
    scope.route({
      method: operation.method,
      url: operation.path.replaceAll(/\{(\w+)\}/g, ':$1'),
      config: { whileDraining: operation.whileDraining === true },
      bodyLimit: body?.kind === 'json' ? (body.maxBytes ?? DEFAULT_JSON_BYTES) : DEFAULT_JSON_BYTES,
      onRequest: async (request) => {
        if (auth !== 'none') await admit(request, auth, authorizer!, exchanges.of(request));
      },
      preParsing: async (request, _reply, payload) => {
        if (body?.kind !== 'stream') allowBody(request.raw);
        return payload;
      },
      handler: async (request, reply) => {
        const exchange = exchanges.of(request);
        const { signal } = exchange;
        const principal = exchange.principal as Principal;
        const input = readInput(operation, request);
        try {
          signal.throwIfAborted();
          return send(reply, exchange, await handler({ ...input, principal, request, exchange }));
        } catch (error) {
          // What fails because the work was called off has one cause: the calling off.
          throw signal.aborted ? signal.reason : error;
        }
      },
    });
  });
}

/** Before the body is read. @throws Problem `unauthorized`, `forbidden` or `dependency_down` */
async function admit(
  { headers }: FastifyRequest,
  { scopes, optional }: Exclude<Operation['auth'], 'none'>,
  authorizer: Authorizer,
  exchange: Exchange,
): Promise<void> {
  if (optional && headers.authorization === undefined) return;
  const principal = await authorizer.authenticate(headers.authorization, exchange.signal);
  for (const scope of scopes) requireScope(principal, scope);
  exchange.principal = principal;
}

function readInput(operation: Operation, request: FastifyRequest) {
  const { params, query, body } = operation;
  const pairs = queryPairs(request.raw.url ?? '/');
  const named = new Set(Object.keys(query?.shape ?? {}));
  return {
    params: params && readParams(params, request.params),
    query: query && parseQuery(query, operation.plan ? pairs.filter(([name]) => named.has(name)) : pairs),
    plan: operation.plan && planFromQuery(pairs, { ignore: named }),
    body: body?.kind === 'json' ? parseBody(body, request.body) : undefined,
  } as Pick<Call, 'params' | 'query' | 'plan' | 'body'>;
}

/** @throws Problem `invalid_field`, or `invalid_plan` */
function parseBody({ schema, planAt }: JsonBody, value: unknown): unknown {
  try {
    return parseFields(schema, value, 'body');
  } catch (error) {
    const { code, errors = [] } = Problem.from(error);
    const isOfPlan = ({ path }: FieldError) =>
      planAt === '' || path === planAt || path.startsWith(`${planAt}.`);
    if (planAt === undefined || code !== 'invalid_field' || !errors.every(isOfPlan)) throw error;
    throw invalidPlan(errors);
  }
}

/** A path that cannot name anything names nothing. */
function readParams(schema: z.ZodType, params: unknown): unknown {
  const parsed = schema.safeParse(params);
  if (!parsed.success) throw new Problem('not_found', { detail: 'Nothing has this address.' });
  return parsed.data;
}

interface AnyAnswer {
  status: number;
  headers?: Record<string, string | number>;
  json?: unknown;
  type?: string;
  body?: Readable | Buffer | string;
}

function send(reply: FastifyReply, exchange: Exchange, answer: AnyAnswer): FastifyReply {
  reply.code(answer.status).headers(exchange.headers);
  const { vary, ...headers } = answer.headers ?? {};
  reply.headers(headers);
  if (vary !== undefined) reply.header('vary', [reply.getHeader('vary'), vary].filter(Boolean).join(', '));
  if (answer.json !== undefined) return reply.type('application/json').send(JSON.stringify(answer.json));
  if (answer.body === undefined) {
    // To HEAD, Fastify would say of an answer without a body that it has 0 bytes.
    return reply.send(reply.request.method === 'HEAD' ? Readable.from([]) : undefined);
  }
  if (answer.type?.startsWith('image/')) reply.header('content-security-policy', IMAGE_CSP);
  // Past its first byte an answer cannot turn into a problem; the log tells it from a client that left.
  if (answer.body instanceof Readable) {
    answer.body.once('error', (cause) => exchange.fail(new Problem('internal', { cause })));
  }
  return reply.type(answer.type ?? 'application/octet-stream').send(answer.body);
}
