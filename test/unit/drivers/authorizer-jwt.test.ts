import assert from 'node:assert/strict';
import { createHmac, KeyObject, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { TOKEN_ALGORITHMS, type TokenAlgorithm, type TokenKey } from '../../../src/contract/tokens.ts';
import { type JwtAuthorizerOptions, jwtAuthorizer } from '../../../src/drivers/authorizer/jwt.ts';
import { Problem, type ProblemCode } from '../../../src/problem.ts';
import { startKeySet } from '../../support/key-set.ts';

const never = new AbortController().signal;
const secret = new TextEncoder().encode('a secret of more than thirty-two characters');
const CLAIMS = { sub: 'ann', scope: 'read write' };
const now = () => Math.floor(Date.now() / 1000);

type SigningKey = Parameters<SignJWT['sign']>[0];

const sign = (claims: JWTPayload, key: SigningKey = secret, alg = 'HS256', kid?: string) =>
  new SignJWT(claims).setProtectedHeader({ alg, ...(kid && { kid }) }).sign(key);

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

async function keysFor(alg: TokenAlgorithm): Promise<{ signing: SigningKey; key: TokenKey }> {
  if (alg.startsWith('HS')) {
    const bytes = new Uint8Array(randomBytes(64));
    return { signing: bytes, key: { secret: bytes } };
  }
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { signing: privateKey, key: { publicKey: KeyObject.from(publicKey) } };
}

const authorizer = (options: Partial<JwtAuthorizerOptions> = {}) =>
  jwtAuthorizer({ algorithm: 'HS256', key: { secret }, ...options });

const accepts = async (token: string, options?: Partial<JwtAuthorizerOptions>) =>
  (await authorizer(options)).authenticate(`Bearer ${token}`, never);

async function refuses(
  work: Promise<object | undefined>,
  detail: RegExp,
  code: ProblemCode = 'unauthorized',
): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code, String(error.detail));
    assert.match(error.detail!, detail);
    return true;
  });
}

describe('each algorithm', () => {
  for (const alg of TOKEN_ALGORITHMS) {
    it(`${alg}: takes its own tokens, none of another key, and none that was changed`, async () => {
      const { signing, key } = await keysFor(alg);
      const options = { algorithm: alg, key };
      const token = await sign(CLAIMS, signing, alg);
      const principal = await accepts(token, options);
      assert.deepEqual(principal, { subject: 'ann', scopes: new Set(['read', 'write']) });
      const other = await keysFor(alg);
      await refuses(accepts(await sign(CLAIMS, other.signing, alg), options), /signature does not fit/);
      const [head, , signature] = token.split('.');
      const forged = `${head}.${encoded({ ...CLAIMS, scope: 'admin' })}.${signature}`;
      await refuses(accepts(forged, options), /signature does not fit/);
    });
  }

  it('EdDSA: takes the name that RFC 9864 gives it as well', async () => {
    const { signing, key } = await keysFor('EdDSA');
    const token = await sign(CLAIMS, signing, 'Ed25519');
    assert.equal((await accepts(token, { algorithm: 'EdDSA', key })).subject, 'ann');
  });
});

describe('the algorithm is ours to choose', () => {
  it('refuses a token without a signature, however it spells none', async () => {
    for (const alg of ['none', 'None', 'NONE', '']) {
      const unsigned = `${encoded({ alg, typ: 'JWT' })}.${encoded(CLAIMS)}.`;
      await refuses(accepts(unsigned), /not (signed with HS256|a valid one)/);
    }
  });

  it('refuses a token that is signed with the public key as if it were a secret', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true });
    const object = KeyObject.from(publicKey);
    const pem = object.export({ type: 'spki', format: 'pem' });
    const signed = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ ...CLAIMS, scope: 'admin' })}`;
    const mac = createHmac('sha256', pem).update(signed).digest('base64url');
    await refuses(
      accepts(`${signed}.${mac}`, { algorithm: 'RS256', key: { publicKey: object } }),
      /not signed with RS256/,
    );
  });

  it('refuses a stronger algorithm with the right secret too', async () => {
    const long = new Uint8Array(randomBytes(64));
    await refuses(accepts(await sign(CLAIMS, long, 'HS512'), { key: { secret: long } }), /HS256/);
  });

  it('refuses headers that bring their own key or ask for what it does not know', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const token = await new SignJWT(CLAIMS).setProtectedHeader({ alg: 'ES256', jwk }).sign(privateKey);
    const { key } = await keysFor('ES256');
    await refuses(accepts(token, { algorithm: 'ES256', key }), /signature does not fit/);
    const signed = `${encoded({ alg: 'HS256', crit: ['x'], x: 1 })}.${encoded(CLAIMS)}`;
    const mac = createHmac('sha256', secret).update(signed).digest('base64url');
    await refuses(accepts(`${signed}.${mac}`), /not a valid one/);
  });
});

describe('a token that was checked before', () => {
  it('ends when it expires, and vouches for no other', async (t) => {
    const { authenticate } = await authorizer();
    const token = await sign({ ...CLAIMS, exp: now() + 60 });
    const first = await authenticate(`Bearer ${token}`, never);
    assert.deepEqual(await authenticate(`Bearer ${token}`, never), first);
    const [head, body, signature] = token.split('.');
    for (const other of [
      `${head}.${encoded({ ...CLAIMS, sub: 'bob' })}.${signature}`,
      `${head}.${body}.${signature!.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`,
      `${head}.${body}.`,
    ]) {
      await refuses(authenticate(`Bearer ${other}`, never), /signature does not fit|not a valid one/);
    }
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 90_000 });
    await refuses(authenticate(`Bearer ${token}`, never), /has expired/);
  });

  it('is remembered among a bounded number of them', async () => {
    const { authenticate } = await authorizer();
    const tokens = await Promise.all(Array.from({ length: 1_100 }, (_, i) => sign({ sub: `user ${i}` })));
    for (const [i, token] of [...tokens, ...tokens].entries()) {
      assert.equal((await authenticate(`Bearer ${token}`, never)).subject, `user ${i % tokens.length}`);
    }
  });
});

describe('claims', () => {
  it('hold a token to its time, a few seconds more or less', async () => {
    const at = (claims: JWTPayload) => sign({ ...CLAIMS, ...claims });
    await refuses(accepts(await at({ exp: now() - 20 })), /has expired/);
    await refuses(accepts(await at({ nbf: now() + 60 })), /not valid yet/);
    for (const claims of [{ exp: now() - 1 }, { nbf: now() + 2 }, { exp: now() + 60, nbf: now() - 60 }]) {
      assert.equal((await accepts(await at(claims))).subject, 'ann');
    }
    for (const claims of [{ exp: 'soon' }, { nbf: '0' }] as unknown as JWTPayload[]) {
      await refuses(accepts(await at(claims)), /claim (exp|nbf)/);
    }
  });

  it('name a subject', async () => {
    for (const sub of [undefined, '', 'a'.repeat(256), 'ann\n', 7]) {
      await refuses(accepts(await sign({ ...CLAIMS, sub } as JWTPayload)), /claim sub/);
    }
    assert.equal(
      (await accepts(await sign({ sub: 'Ann Ö. <a@example.org>' }))).subject,
      'Ann Ö. <a@example.org>',
    );
  });

  it('give scopes as text or as a list, with what they imply, and no unknown ones', async () => {
    for (const [scope, expected] of [
      ['read', ['read']],
      ['write', ['read', 'write']],
      [['write'], ['read', 'write']],
      ['admin', ['read', 'write', 'admin']],
      ['openid  profile read', ['read']],
      ['administrator readwrite', []],
      ['', []],
      [undefined, []],
    ] as const) {
      const { scopes } = await accepts(await sign({ sub: 'ann', scope }));
      assert.deepEqual(scopes, new Set(expected), String(scope));
    }
    await refuses(accepts(await sign({ sub: 'ann', scope: { read: true } })), /claim scope/);
  });

  it('may hold it to buckets; what is no list of buckets is not taken for all of them', async () => {
    const withBuckets = async (buckets: unknown) =>
      (await accepts(await sign({ ...CLAIMS, buckets }))).buckets;
    assert.deepEqual(await withBuckets(['a', 'b']), new Set(['a', 'b']));
    assert.deepEqual(await withBuckets([]), new Set());
    assert.equal(await withBuckets(undefined), undefined);
    for (const buckets of ['photos', null, [1], {}]) await refuses(withBuckets(buckets), /claim buckets/);
  });

  it('name issuer and audience where those are configured', async () => {
    const options = { issuer: 'https://issuer.example', audience: 'tintype' };
    const right = { ...CLAIMS, iss: options.issuer, aud: ['other', 'tintype'] };
    assert.equal((await accepts(await sign(right), options)).subject, 'ann');
    await refuses(accepts(await sign({ ...right, iss: 'https://else.example' }), options), /claim iss/);
    await refuses(accepts(await sign({ ...right, aud: 'other' }), options), /claim aud/);
    await refuses(accepts(await sign(CLAIMS), options), /claim (iss|aud)/);
  });
});

describe('the header Authorization', () => {
  it('holds a bearer token, and what else it holds is repeated to nobody', async () => {
    const { authenticate } = await authorizer();
    const token = await sign(CLAIMS);
    for (const header of [`Bearer ${token}`, `bearer   ${token} `]) {
      assert.equal((await authenticate(header, never)).subject, 'ann');
    }
    for (const header of [undefined, '']) await refuses(authenticate(header, never), /needs a token/);
    for (const header of [
      'Bearer',
      'Bearer hunter2',
      token,
      `Basic ${token}`,
      `Bearer ${token} ${token}`,
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token}.${token}`,
      'Bearer ..',
      `Bearer ${'A'.repeat(100_000)}`,
    ]) {
      await refuses(authenticate(header, never), /^Expected "Bearer" and a JSON Web Token/);
    }
    for (const header of ['Bearer a.b.c', `Bearer ${encoded({ alg: 'HS256' })}.e30.e30`]) {
      await refuses(authenticate(header, never), /^The token/);
    }
  });

  it('is not looked into once the request is called off', async () => {
    const { authenticate } = await authorizer();
    const reason = new Problem('cancelled');
    await assert.rejects(authenticate(`Bearer ${await sign(CLAIMS)}`, AbortSignal.abort(reason)), reason);
  });
});

describe('a key set', () => {
  const pair = async (kid: string | undefined, alg = 'RS256') => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), alg, ...(kid && { kid }) };
    return { jwk, token: await sign(CLAIMS, privateKey, alg, kid) };
  };
  const remote = (
    url: string,
    jwks: JwtAuthorizerOptions['jwks'] = {},
    algorithm: TokenAlgorithm = 'RS256',
  ) => authorizer({ algorithm, key: { jwksUrl: url }, jwks });
  const ask = async (to: ReturnType<typeof remote>, token: string) =>
    (await to).authenticate(`Bearer ${token}`, never);

  it('is fetched once, also for many tokens at the same time', async (t) => {
    const first = await pair('1');
    const set = await startKeySet(t, [first.jwk]);
    const keys = remote(set.url);
    const all = await Promise.all(Array.from({ length: 20 }, () => ask(keys, first.token)));
    assert.ok(all.every(({ subject }) => subject === 'ann'));
    assert.equal((await ask(keys, first.token)).subject, 'ann');
    assert.equal(set.asked, 1);
  });

  it('may be rotated: a new key is looked for, a withdrawn one is good no more', async (t) => {
    const [first, second] = [await pair('1'), await pair('2')];
    const set = await startKeySet(t, [first.jwk]);
    const keys = remote(set.url, { cooldownMs: 0 });
    await ask(keys, first.token);
    set.keys = [second.jwk];
    assert.equal((await ask(keys, second.token)).subject, 'ann');
    await refuses(ask(keys, first.token), /key that is not known/);
  });

  it('is not fetched again for each token with an unknown key', async (t) => {
    const [known, unknown] = [await pair('1'), await pair('2')];
    const set = await startKeySet(t, [known.jwk]);
    const keys = remote(set.url);
    await ask(keys, known.token);
    for (let i = 0; i < 5; i++) await refuses(ask(keys, unknown.token), /key that is not known/);
    assert.equal(set.asked, 1);
  });

  it('may hold several keys that a token without a key’s name fits', async (t) => {
    const [first, second, stranger] = [await pair(undefined), await pair(undefined), await pair(undefined)];
    const set = await startKeySet(t, [first.jwk, second.jwk]);
    const keys = remote(set.url);
    assert.equal((await ask(keys, second.token)).subject, 'ann');
    await refuses(ask(keys, stranger.token), /signature does not fit/);
  });

  it('gives keys for the configured algorithm only', async (t) => {
    const [elliptic, rsa] = [await pair('1', 'ES256'), await pair('2')];
    const set = await startKeySet(t, [elliptic.jwk, rsa.jwk]);
    const keys = remote(set.url, {}, 'ES256');
    assert.equal((await ask(keys, elliptic.token)).subject, 'ann');
    await refuses(ask(keys, rsa.token), /not signed with ES256/);
  });

  it('that cannot be had is no fault of the token, and is asked for again a little later', async (t) => {
    const first = await pair('1');
    const set = await startKeySet(t, [first.jwk]);
    for (const fault of [
      (response) => response.writeHead(500).end(),
      (response) => response.writeHead(302, { location: set.url }).end(),
      (response) => response.end('<html>'),
      (response) => response.end('{"keys":7}'),
      (response) => response.destroy(),
      () => {}, // never answers
    ] as NonNullable<typeof set.fault>[]) {
      const keys = remote(set.url, { failurePauseMs: 0, timeoutMs: 150 });
      set.fault = fault;
      await refuses(ask(keys, first.token), /keys of the tokens/, 'dependency_down');
      set.fault = undefined;
      assert.equal((await ask(keys, first.token)).subject, 'ann');
    }
  });

  it('that cannot be had is left alone for a moment', async (t) => {
    const first = await pair('1');
    const set = await startKeySet(t, [first.jwk]);
    set.fault = (response) => response.writeHead(503).end();
    const keys = remote(set.url, { failurePauseMs: 60_000 });
    for (let i = 0; i < 5; i++) await refuses(ask(keys, first.token), /keys/, 'dependency_down');
    assert.equal(set.asked, 1);
  });

  it('that went away serves on from what is known, until that is too old', async (t) => {
    const first = await pair('1');
    const set = await startKeySet(t, [first.jwk]);
    const [lasting, brief] = [remote(set.url), remote(set.url, { maxAgeMs: 0 })];
    await ask(lasting, first.token);
    await ask(brief, first.token);
    set.fault = (response) => response.destroy();
    assert.equal((await ask(lasting, first.token)).subject, 'ann');
    await refuses(ask(brief, first.token), /keys/, 'dependency_down');
  });
});
