import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Fastify, { type FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Operation, Scope } from '../../../src/contract/operation.ts';
import { bindOperations, type Handlers } from '../../../src/http/bind.ts';
import { Exchanges } from '../../../src/http/exchange.ts';
import { sendProblem, toProblem } from '../../../src/http/problems.ts';
import type { Authorizer } from '../../../src/ports/authorizer.ts';
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
  glance: {
    method: 'GET',
    path: '/glances',
    summary: 'Glance',
    tags: [],
    auth: { scopes: ['read'], optional: true },
    responses: { 200: { description: 'Seen.', schema: z.unknown() } },
    problems: [],
  },
} as const satisfies Record<string, Operation>;

/** Tokens that are just a subject and scopes: `me:read,write`. */
const authorizer: Authorizer = {
  async authenticate(header) {
    const [, subject, scopes] = /^Bearer (\w+):([\w,]*)$/.exec(header ?? '') ?? [];
    if (subject === undefined) throw new Problem('unauthorized');
    return { subject, scopes: new Set(scopes!.split(',') as Scope[]) };
  },
};

const HANDLERS: Handlers<typeof TABLE> = {
  look: ({ params, query, principal }) => ({
    status: 200,
    json: { params, query, subject: principal.subject },
  }),
  write: ({ plan, query, body }) => ({ status: 202, json: { plan, query, body } }),
  glance: ({ principal }) => ({ status: 200, json: { subject: principal?.subject ?? null } }),
};

const ID = '5f0c1c0e-4f6c-4a53-9a0a-0d3c5f9f5a43';

describe('bindOperations', () => {
  const app = createApp();
  bindOperations(app, TABLE, HANDLERS, { exchanges, authorizer });
  const auth = { authorization: 'Bearer me:read' };
  const get = (url: string, headers: Record<string, string> = auth) => app.inject({ url, headers });
  const post = (url: string, payload: object | string, type = 'application/json') =>
    app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } });

  it('hands over path and query as the schemas make them', async () => {
    assert.deepEqual((await get(`/things/${ID}/parts/a%20b?limit=5&after=x+y`)).json(), {
      params: { id: ID, part: 'a b' },
      query: { limit: 5, after: 'x y' },
      subject: 'me',
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

  it('tells a token that is not valid from one that is missing, and from one without the scope', async () => {
    const answer = await get(`/things/${ID}/parts/a`, { authorization: 'Basic bWU6cmVhZA==' });
    assert.equal(answer.statusCode, 401);
    assert.equal(answer.headers['www-authenticate'], 'Bearer error="invalid_token"');
    const narrow = await get(`/things/${ID}/parts/a`, { authorization: 'Bearer me:' });
    assert.equal(narrow.json().code, 'forbidden');
    assert.match(narrow.json().detail, /scope read/);
  });

  it('refuses without a token before a byte of the body was read', async () => {
    const strict = createApp();
    const guarded = { ...TABLE, write: { ...TABLE.write, auth: { scopes: ['write'] } } } as const;
    const { look, write, glance } = HANDLERS;
    bindOperations(strict, guarded, { look, write: write as never, glance }, { exchanges, authorizer });
    // Would be malformed_request, had anybody looked.
    const answer = await strict.inject({
      method: 'POST',
      url: '/things',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(answer.json().code, 'unauthorized');
  });

  it('lets in whom it need not know, and takes no wrong token for none', async () => {
    assert.deepEqual((await get('/glances', {})).json(), { subject: null });
    assert.deepEqual((await get('/glances')).json(), { subject: 'me' });
    assert.equal((await get('/glances', { authorization: 'Bearer nonsense' })).statusCode, 401);
    assert.equal((await get('/glances', { authorization: '' })).statusCode, 401);
    assert.equal((await get('/glances', { authorization: 'Bearer me:' })).statusCode, 403);
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
    const bind = (handlers: object, checked = true) =>
      bindOperations(createApp(), TABLE, handlers as never, { exchanges, ...(checked && { authorizer }) });
    assert.throws(() => bind({ look: HANDLERS.look }), /without a handler: write/);
    assert.throws(() => bind({ ...HANDLERS, more: HANDLERS.look }), /without an operation: more/);
    assert.throws(() => bind(HANDLERS, false), /look takes a token/);
    assert.throws(() => bind({ ...HANDLERS, look: { mount: async () => {} } }), /look .* past the check/);
  });
});
