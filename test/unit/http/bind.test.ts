import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Fastify, { type FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Operation } from '../../../src/contract/operation.ts';
import { bindOperations, type Handlers } from '../../../src/http/bind.ts';
import { Exchanges } from '../../../src/http/exchange.ts';
import { sendProblem, toProblem } from '../../../src/http/problems.ts';
import { Problem } from '../../../src/problem.ts';

const exchanges = new Exchanges((error) => assert.ifError(error));

function createApp(): FastifyInstance {
  const app = Fastify();
  app.addHook('onRequest', async (request, reply) => {
    exchanges.open(request.raw, reply.raw, () => {});
  });
  app.setErrorHandler((error, request, reply) => {
    sendProblem(toProblem(error), request, reply);
  });
  return app;
}

const TABLE = {
  look: {
    method: 'GET',
    path: '/things/{id}/parts/{part}',
    summary: 'Look',
    tags: [],
    auth: { scopes: ['read'] },
    params: z.strictObject({ id: z.uuid(), part: z.string().max(3) }),
    query: z.strictObject({
      limit: z.coerce.number().int().max(50).default(10),
      after: z.string().optional(),
    }),
    responses: { 200: { description: 'Seen.', schema: z.unknown() } },
    problems: [],
  },
  write: {
    method: 'POST',
    path: '/things',
    summary: 'Write',
    tags: [],
    auth: 'none',
    plan: true,
    query: z.strictObject({ dry: z.stringbool().optional() }),
    body: {
      kind: 'json',
      schema: z.strictObject({ name: z.string(), size: z.int().optional() }),
      maxBytes: 200,
    },
    responses: { 202: { description: 'Taken.', schema: z.unknown() } },
    problems: [],
  },
} as const satisfies Record<string, Operation>;

const HANDLERS: Handlers<typeof TABLE> = {
  look: ({ params, query }) => ({ status: 200, json: { params, query } }),
  write: ({ plan, query, body }) => ({ status: 202, json: { plan, query, body } }),
};

const ID = '5f0c1c0e-4f6c-4a53-9a0a-0d3c5f9f5a43';

describe('bindOperations', () => {
  const app = createApp();
  bindOperations(app, TABLE, HANDLERS, {
    exchanges,
    authorize: async ({ headers }, scopes) => {
      if (headers.authorization !== `Bearer ${scopes}`) throw new Problem('unauthorized');
    },
  });
  const auth = { authorization: 'Bearer read' };
  const get = (url: string, headers: Record<string, string> = auth) => app.inject({ url, headers });
  const post = (url: string, payload: object | string, type = 'application/json') =>
    app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } });

  it('hands over path and query as the schemas make them', async () => {
    assert.deepEqual((await get(`/things/${ID}/parts/a%20b?limit=5&after=x+y`)).json(), {
      params: { id: ID, part: 'a b' },
      query: { limit: 5, after: 'x y' },
    });
  });

  it('answers not_found for a path that cannot name anything', async () => {
    assert.equal((await get('/things/7/parts/a')).json().code, 'not_found');
  });

  it('names an unknown, a repeated and a wrong query parameter', async () => {
    for (const [query, path] of [
      ['limt=5', 'limt'],
      ['limit=5&limit=6', 'limit'],
      ['limit=51', 'limit'],
      ['__proto__=1', '__proto__'],
    ]) {
      const answer = (await get(`/things/${ID}/parts/a?${query}`)).json();
      assert.deepEqual([answer.code, answer.errors[0].path], ['invalid_field', path]);
    }
  });

  it('checks the token before anything else', async () => {
    const answer = await get('/things/7/parts/a?limt=5', {});
    assert.equal(answer.statusCode, 401);
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
  });

  it('reads a plan from the query beside what the operation names there', async () => {
    const { plan, query, body } = (await post('/things?dry=true&w=10&format=webp', { name: 'n' })).json();
    assert.equal(plan.output.format, 'webp');
    assert.equal(plan.operations[0].width, 10);
    assert.deepEqual([query, body], [{ dry: true }, { name: 'n' }]);
  });

  it('names every wrong field of a body', async () => {
    const answer = (await post('/things', { name: 1, size: 'x', more: 1 })).json();
    assert.equal(answer.code, 'invalid_field');
    assert.deepEqual(answer.errors.map(({ path }: { path: string }) => path).sort(), [
      'more',
      'name',
      'size',
    ]);
  });

  it('refuses a body that is no JSON, of another type, missing, too long, or meant to poison prototypes', async () => {
    const codes = await Promise.all(
      [
        post('/things', '{"name":'),
        post('/things', 'name=n', 'application/x-www-form-urlencoded'),
        post('/things', ''),
        post('/things', { name: 'x'.repeat(300) }),
        post('/things', '{"name":"n","__proto__":{"a":1}}'),
      ].map(async (answer) => (await answer).json().code),
    );
    assert.deepEqual(codes, [
      'malformed_request',
      'malformed_request',
      'malformed_request',
      'upload_too_large',
      'malformed_request',
    ]);
  });

  it('does not start where table and handlers do not fit', () => {
    const bind = (handlers: object, authorize = true) =>
      bindOperations(createApp(), TABLE, handlers as never, {
        exchanges,
        ...(authorize && { authorize: async () => {} }),
      });
    assert.throws(() => bind({ look: HANDLERS.look }), /without a handler: write/);
    assert.throws(() => bind({ ...HANDLERS, more: HANDLERS.look }), /without an operation: more/);
    assert.throws(() => bind(HANDLERS, false), /look needs a token/);
  });
});
