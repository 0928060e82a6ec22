import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { listeningHost, resolveSecrets, SECRET_FILE } from '../../src/secrets.ts';
import { refusal } from '../support/refusal.ts';
import { tempDir } from '../support/temp.ts';

const SECRET = 'a secret of more than thirty-two characters';

const resolved = (env: Record<string, string>) => resolveSecrets(loadConfig(env));

function secretOf({ jwtKey }: ReturnType<typeof resolveSecrets>): string {
  assert.ok('secret' in jwtKey);
  return Buffer.from(jwtKey.secret).toString();
}

describe('without JWT_SECRET_KEY', () => {
  it('makes a secret once, whole and for its owner only, and finds it again', (t) => {
    const DATA_DIR = join(tempDir(t), 'new', 'data');
    const first = resolved({ DATA_DIR });
    assert.deepEqual([first.generated, first.created], [true, true]);
    const file = join(DATA_DIR, SECRET_FILE);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(DATA_DIR), [SECRET_FILE]);
    const second = resolved({ DATA_DIR });
    assert.deepEqual([second.generated, second.created], [true, false]);
    assert.deepEqual(second.urlSigningKey, first.urlSigningKey);
    // What is in the file may be moved to the variable.
    assert.equal(secretOf(resolved({ JWT_SECRET_KEY: readFileSync(file, 'utf8') })), secretOf(first));
    assert.notEqual(secretOf(resolved({ DATA_DIR: tempDir(t) })), secretOf(first));
  });

  it('agrees on one secret with processes that start at the same moment', async (t) => {
    const DATA_DIR = tempDir(t);
    const script = `import { loadConfig } from './src/config.ts';
      import { resolveSecrets } from './src/secrets.ts';
      console.log(Buffer.from(resolveSecrets(loadConfig(process.env)).jwtKey.secret).toString());`;
    const outputs = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
          cwd: join(import.meta.dirname, '../..'),
          env: { ...process.env, DATA_DIR },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let text = '';
        child.stdout.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        const [status] = await once(child, 'close');
        assert.equal(status, 0);
        return text;
      }),
    );
    assert.equal(new Set(outputs).size, 1);
    assert.deepEqual(readdirSync(DATA_DIR), [SECRET_FILE]);
  });

  it('refuses where the installation is for production', (t) => {
    const DATA_DIR = tempDir(t);
    const NODE_ENV = 'production';
    assert.match(refusal(() => resolved({ DATA_DIR, NODE_ENV })).detail!, /^JWT_SECRET_KEY: .*NODE_ENV/);
    assert.deepEqual(readdirSync(DATA_DIR), []);
  });

  it('listens on this machine only, whatever HOST says, until a secret is configured', () => {
    const hostFor = (HOST: string, generated: boolean) => listeningHost(loadConfig({ HOST }), { generated });
    for (const host of ['0.0.0.0', '::', '192.168.1.7', 'example.org', '::ffff:10.0.0.1']) {
      assert.equal(hostFor(host, true), '127.0.0.1');
      assert.equal(hostFor(host, false), host);
    }
    for (const host of ['127.0.0.1', '127.8.9.10', '::1', 'localhost', '::ffff:127.0.0.1']) {
      assert.equal(hostFor(host, true), host);
    }
  });

  it('takes no secret that others may have read, and none that is damaged', (t) => {
    const DATA_DIR = tempDir(t);
    const file = join(DATA_DIR, SECRET_FILE);
    resolved({ DATA_DIR });
    const text = readFileSync(file, 'utf8');
    chmodSync(file, 0o640);
    const open = refusal(() => resolved({ DATA_DIR })).detail!;
    assert.match(open, /^DATA_DIR: expected secret\.key to be readable by its owner only/);
    chmodSync(file, 0o600);
    for (const damaged of ['', text.slice(0, 20), `${text.trim()}\n${text}`]) {
      writeFileSync(file, damaged);
      const { detail } = refusal(() => resolved({ DATA_DIR }));
      assert.match(detail!, /damaged/);
      assert.ok(!detail!.includes(text.slice(0, 10)));
    }
  });

  it('says which folder cannot hold it', (t) => {
    const folder = tempDir(t);
    writeFileSync(join(folder, 'file'), '');
    assert.match(
      refusal(() => resolved({ DATA_DIR: join(folder, 'file') })).detail!,
      /^DATA_DIR: expected a folder/,
    );
    mkdirSync(join(folder, SECRET_FILE));
    assert.match(refusal(() => resolved({ DATA_DIR: folder })).detail!, /^DATA_DIR: expected/);
  });
});

describe('with JWT_SECRET_KEY', () => {
  it('needs no file, and signs URLs with a key of its own', (t) => {
    const DATA_DIR = tempDir(t);
    const env = { DATA_DIR, JWT_SECRET_KEY: SECRET, HOST: '0.0.0.0', NODE_ENV: 'production' };
    const secrets = resolved(env);
    assert.equal(secretOf(secrets), SECRET);
    assert.deepEqual([secrets.generated, secrets.created], [false, false]);
    assert.equal(secrets.urlSigningKey.length, 32);
    assert.deepEqual(secrets.urlSigningKey, resolved(env).urlSigningKey);
    assert.ok(!Buffer.from(secrets.urlSigningKey).equals(Buffer.from(SECRET)));
    assert.notDeepEqual(
      resolved({ ...env, JWT_SECRET_KEY: `${SECRET}!` }).urlSigningKey,
      secrets.urlSigningKey,
    );
    const URL_SIGNING_KEY = `another ${SECRET}`;
    assert.equal(
      Buffer.from(resolved({ ...env, URL_SIGNING_KEY }).urlSigningKey).toString(),
      URL_SIGNING_KEY,
    );
    assert.deepEqual(readdirSync(DATA_DIR), []);
  });
});

describe('with public keys', () => {
  const pem = (pair: { publicKey: { export(o: object): string | Buffer } }) =>
    String(pair.publicKey.export({ type: 'spki', format: 'pem' }));
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const P256 = pem(ec);

  it('reads one from the variable, with real or written line breaks, and from a file', (t) => {
    const DATA_DIR = tempDir(t);
    const file = join(DATA_DIR, 'key.pem');
    writeFileSync(file, P256);
    const env = { DATA_DIR, JWT_ALGORITHM: 'ES256', NODE_ENV: 'production', HOST: '::' };
    for (const JWT_PUBLIC_KEY of [P256, P256.replaceAll('\n', '\\n'), `@${file}`]) {
      const { jwtKey, generated } = resolved({ ...env, JWT_PUBLIC_KEY });
      assert.ok('publicKey' in jwtKey && jwtKey.publicKey.type === 'public');
      assert.equal(generated, false);
    }
  });

  it('keeps a secret for URLs in DATA_DIR where none is given', (t) => {
    const DATA_DIR = tempDir(t);
    const env = { DATA_DIR, JWT_JWKS_URL: 'https://issuer.example/keys' };
    const secrets = resolved(env);
    assert.deepEqual(secrets.jwtKey, { jwksUrl: 'https://issuer.example/keys' });
    assert.deepEqual([secrets.generated, secrets.created], [false, true]);
    assert.deepEqual(resolved(env).urlSigningKey, secrets.urlSigningKey);
    assert.deepEqual(readdirSync(DATA_DIR), [SECRET_FILE]);
  });

  it('refuses a key that is private, weak, of another kind, or none, and repeats nothing of it', (t) => {
    const DATA_DIR = tempDir(t);
    const privatePem = ec.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const weak = pem(generateKeyPairSync('rsa', { modulusLength: 1024 }));
    for (const [JWT_ALGORITHM, JWT_PUBLIC_KEY, pattern] of [
      ['ES256', privatePem, /expected a public key, got a private one/],
      ['RS256', P256, /expected an RSA key where JWT_ALGORITHM is RS256, got a P-256 key/],
      ['ES384', P256, /expected a P-384 key .*, got a P-256 key/],
      ['EdDSA', P256, /expected an Ed25519 key/],
      ['RS256', weak, /at least 2048 bits, got 1024/],
      ['ES256', 'nonsense', /expected a public key in PEM/],
      ['ES256', '@no-such.pem', /expected a file that can be read, got @no-such\.pem \(ENOENT\)/],
    ] as const) {
      const { detail } = refusal(() => resolved({ DATA_DIR, JWT_ALGORITHM, JWT_PUBLIC_KEY }));
      assert.match(detail!, /^JWT_PUBLIC_KEY: /);
      assert.match(detail!, pattern);
      assert.doesNotMatch(detail!, /BEGIN/);
    }
  });
});
