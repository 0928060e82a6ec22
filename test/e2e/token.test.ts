/** `tintype token` and the server's own secret, as people meet them: processes in one folder. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Fastify from 'fastify';
import { z } from 'zod';
import { loadConfig } from '../../src/config.ts';
import type { Operation } from '../../src/contract/operation.ts';
import { jwtAuthorizer } from '../../src/drivers/authorizer/jwt.ts';
import { bindOperations, type Handlers } from '../../src/http/bind.ts';
import { Exchanges } from '../../src/http/exchange.ts';
import { sendProblem, toProblem } from '../../src/http/problems.ts';
import { resolveSecrets, SECRET_FILE } from '../../src/secrets.ts';
import { Desk } from '../support/desk.ts';

const SECRET = 'a secret of more than thirty-two characters';

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());

/** A server of one operation that tells who asks, with the configuration that lies on the desk. */
async function askWho(t: TestContext, env: Record<string, string>) {
  const config = loadConfig(env);
  const authorizer = await jwtAuthorizer({
    algorithm: config.jwtAlgorithm,
    key: resolveSecrets(config).jwtKey,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
  });
  const exchanges = new Exchanges((error) => assert.ifError(error));
  const app = Fastify();
  app.addHook('onRequest', async (request, reply) => {
    exchanges.open(request.raw, reply.raw, () => {});
  });
  app.setErrorHandler((error, request, reply) => {
    sendProblem(toProblem(error), request, reply);
  });
  const table = {
    who: {
      method: 'POST',
      path: '/who',
      summary: 'Who asks',
      tags: [],
      auth: { scopes: ['write'] },
      responses: { 200: { description: 'You do.', schema: z.unknown() } },
      problems: [],
    },
  } as const satisfies Record<string, Operation>;
  const handlers: Handlers<typeof table> = {
    who: ({ principal: { subject, buckets } }) => ({
      status: 200,
      json: { subject, buckets: buckets ? [...buckets] : null },
    }),
  };
  bindOperations(app, table, handlers, { exchanges, authorizer });
  const address = await app.listen({ port: 0, host: '127.0.0.1' });
  t.after(() => app.close());
  return (token: string) =>
    fetch(`${address}/who`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
}

const envFile = (env: Record<string, string>): string =>
  Object.entries(env)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

describe('tintype token', () => {
  it('prints a token, and only that, which the service of the same configuration takes', async (t) => {
    const desk = new Desk(t);
    const env = { JWT_SECRET_KEY: SECRET, JWT_ISSUER: 'tintype', JWT_AUDIENCE: 'photos', HOST: '0.0.0.0' };
    desk.put('.env', envFile(env));
    const who = await askWho(t, env);

    const { status, stdout, stderr } = await desk.run('token', '--sub', 'me', '--scope', 'read write');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const answer = await who(stdout.trim());
    assert.deepEqual([answer.status, await answer.json()], [200, { subject: 'me', buckets: null }]);
    const { iat, exp, ...claims } = claimsOf(stdout) as { iat: number; exp: number };
    assert.equal(exp - iat, 24 * 3600);
    assert.deepEqual(claims, { sub: 'me', scope: 'read write', iss: 'tintype', aud: 'photos' });

    const bound = await desk.run(
      ...['token', '--sub', 'shop', '--admin', '--expires', '30d'],
      ...['--bucket', 'products', '--bucket', 'banners'],
    );
    assert.deepEqual(await (await who(bound.stdout.trim())).json(), {
      subject: 'shop',
      buckets: ['products', 'banners'],
    });
    const { scope, iat: from, exp: to } = claimsOf(bound.stdout) as Record<string, number>;
    assert.deepEqual([scope, to! - from!], ['admin', 30 * 86_400]);

    const reader = await desk.run('token', '--sub', 'me', '--scope', 'read');
    assert.equal((await who(reader.stdout.trim())).status, 403);
    const [head, , signature] = stdout.trim().split('.');
    const body = Buffer.from(JSON.stringify({ ...claims, sub: 'you' })).toString('base64url');
    const forged = await who(`${head}.${body}.${signature}`);
    assert.equal(forged.status, 401);
    assert.equal(forged.headers.get('www-authenticate'), 'Bearer error="invalid_token"');
  });

  it('shares the secret that the server makes, and says where it had to make it', async (t) => {
    const desk = new Desk(t);
    desk.put('.env', 'PORT=0\n');
    const server = desk.start(['serve']);
    t.after(() => server.child.kill('SIGKILL'));
    await server.says(/JWT_SECRET_KEY is not set: .* only this machine can connect\.\n.*tintype token/);
    const file = join(desk.dir, 'data', SECRET_FILE);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const secret = desk.read(join('data', SECRET_FILE)).toString().trim();

    const { status, stdout, stderr } = await desk.run('token', '--sub', 'me', '--scope', 'write');
    assert.deepEqual([status, stderr], [0, '']);
    const who = await askWho(t, { DATA_DIR: join(desk.dir, 'data') });
    assert.equal((await who(stdout.trim())).status, 200);

    server.child.kill('SIGTERM');
    const said = await server.outcome;
    assert.equal(said.status, 0);
    assert.ok(!`${said.stdout}${said.stderr}`.includes(secret), 'the secret is told to nobody');

    const elsewhere = new Desk(t);
    const first = await elsewhere.run('token', '--sub', 'me', '--scope', 'write');
    assert.match(first.stderr, /^JWT_SECRET_KEY is not set: made a secret in DATA_DIR/);
    assert.equal((await who(first.stdout.trim())).status, 401, 'another folder, another secret');
    assert.equal((await elsewhere.run('token', '--sub', 'me', '--scope', 'write')).stderr, '');
  });

  it('refuses where only a public key is known', async (t) => {
    const desk = new Desk(t);
    const { publicKey } = generateKeyPairSync('ed25519');
    desk.put('key.pem', publicKey.export({ type: 'spki', format: 'pem' }));
    desk.put('.env', envFile({ JWT_ALGORITHM: 'EdDSA', JWT_PUBLIC_KEY: '@key.pem' }));
    const { status, stdout, stderr } = await desk.run('token', '--sub', 'me', '--scope', 'write');
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /whoever holds the private key; JWT_PUBLIC_KEY only verifies/);
  });

  it('ends with status 2 where it is not understood, making nothing', async (t) => {
    const desk = new Desk(t);
    const { status, stdout, stderr } = await desk.run('token', '--sub', 'me', '--scope', 'wirte');
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /did you mean write\?\nSee tintype token --help/);
    assert.deepEqual(desk.files(), []);
  });
});

describe('a server without JWT_SECRET_KEY', () => {
  it('listens on this machine only, and says so', async (t) => {
    const desk = new Desk(t);
    desk.put('.env', 'PORT=0\nHOST=0.0.0.0\n');
    const server = desk.start(['serve']);
    t.after(() => server.child.kill('SIGKILL'));
    await server.says(/HOST=0\.0\.0\.0 is left aside until JWT_SECRET_KEY is set/);
    server.child.kill('SIGTERM');
    const { status, stderr } = await server.outcome;
    assert.equal(status, 0);
    assert.match(stderr, /listens on http:\/\/127\.0\.0\.1:\d+/);
  });

  it('does not start in production', async (t) => {
    const desk = new Desk(t);
    desk.put('.env', 'PORT=0\nNODE_ENV=production\n');
    const server = desk.start(['serve']);
    t.after(() => server.child.kill('SIGKILL'));
    const { status, stderr } = await server.outcome;
    assert.equal(status, 2);
    assert.match(stderr, /JWT_SECRET_KEY: .*NODE_ENV=production/);
    assert.ok(!existsSync(join(desk.dir, 'data')), 'nothing was made');
  });
});
