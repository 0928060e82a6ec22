import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { configWarnings, loadConfig } from '../../../src/config.ts';
import { refusal } from '../../support/refusal.ts';

const SECRET = 'correct horse battery staple, 32+';

describe('the variables of storing', () => {
  test('place catalog and files in DATA_DIR, or where they say', () => {
    const moved = loadConfig({ DATA_DIR: '/srv/tintype', STORAGE_PATH: '/mnt/blobs' });
    assert.equal(moved.databasePath, resolve('/srv/tintype', 'tintype.sqlite'));
    assert.equal(moved.storagePath, resolve('/mnt/blobs'));
    const relative = loadConfig({ DATA_DIR: 'd', DATABASE_PATH: 'c.db' });
    assert.equal(relative.databasePath, resolve('c.db'));
    assert.equal(relative.storagePath, resolve(join('d', 'blobs')));
  });

  test('refuse backends that this version does not have', () => {
    const detail = refusal(() => loadConfig({ STORAGE_BACKEND: 's3', QUEUE_BACKEND: 'redis' })).detail!;
    assert.match(detail, /^STORAGE_BACKEND: expected local, the one backend of this version, got "s3"$/m);
    assert.match(detail, /^QUEUE_BACKEND: expected embedded, .*, got "redis"$/m);
  });

  test('warn of servers that would not be used, without telling their addresses', () => {
    const env = {
      DATABASE_URL: 'postgres://user:hunter2@db/tintype',
      S3_BUCKET_NAME: 'hunter2',
      S3_ENDPOINT_URL: 'https://hunter2',
      REDIS_URL: 'redis://:hunter2@cache',
      SQS_QUEUE_URL: 'https://hunter2',
      CLAMD_HOST: 'hunter2',
    };
    loadConfig(env);
    const warnings = configWarnings(env);
    assert.deepEqual(
      warnings.map((warning) => warning.split(' ')[0]),
      Object.keys(env),
    );
    assert.doesNotMatch(warnings.join(), /hunter2/);
    assert.match(warnings[0]!, /no effect in this version: .* DATABASE_PATH\.$/);
    assert.deepEqual(configWarnings({ DATABASE_URL: '' }), []);
  });

  test('do not start without a safeguard that was asked for', () => {
    const detail = refusal(() =>
      loadConfig({ VIRUS_SCAN_ENABLED: 'true', AUTHZ_URL: 'https://authz.example' }),
    ).detail!;
    assert.match(detail, /^AUTHZ_URL: /m);
    assert.match(detail, /^VIRUS_SCAN_ENABLED: expected false/m);
    assert.ok(loadConfig({ VIRUS_SCAN_ENABLED: 'false', AUTHZ_URL: '' }));
  });
});

describe('the variables of uploads', () => {
  test('are turned into milliseconds, types and sizes', () => {
    const config = loadConfig({
      RATE_LIMIT_WINDOW_MINUTES: '0.5',
      RETRY_DELAY_SECONDS: '0',
      PRESIGNED_URL_TTL_SECONDS: '60',
      ALLOWED_MIME_TYPES: 'image/png, IMAGE/JPG,image/jpeg',
      IMAGE_SIZES: 'small: 320, big:2048',
      PUBLIC_URL: 'https://example.org/images/',
    });
    assert.equal(config.rateLimitWindowMs, 30_000);
    assert.equal(config.retryDelayMs, 0);
    assert.equal(config.presignedUrlTtlMs, 60_000);
    assert.deepEqual(config.allowedMimeTypes, ['image/png', 'image/jpeg']);
    assert.deepEqual(config.imageSizes, [
      { name: 'small', longSidePx: 320 },
      { name: 'big', longSidePx: 2048 },
    ]);
    assert.equal(config.publicUrl, 'https://example.org/images');
    assert.ok(Object.isFrozen(config.allowedMimeTypes) && Object.isFrozen(config.imageSizes));
  });

  for (const [name, values] of Object.entries({
    ALLOWED_MIME_TYPES: ['image/x-icon', 'text/html', 'image/jpeg,', 'jpeg'],
    IMAGE_SIZES: ['thumbnail', 'thumbnail:0', 'a:16384', 'a:1,a:2', 'A b:3', 'a:1:2', 'a:1.5', 'a:-1'],
    WEBP_QUALITY: ['0', '101', '8.5'],
    MAX_RETRIES: ['-1', '101'],
    RATE_LIMIT_MAX_UPLOADS: ['0', 'many'],
    PUBLIC_URL: ['example.org', 'ftp://example.org', 'https://a:b@example.org', 'https://example.org/?a=1'],
  })) {
    test(`${name} is refused where it is of another form`, () => {
      for (const value of values) {
        const { errors } = refusal(() => loadConfig({ [name]: value }));
        assert.deepEqual(
          errors!.map(({ path }) => path),
          [name],
          value,
        );
      }
    });
  }
});

describe('the variables of access', () => {
  test('never show a secret', () => {
    const { detail } = refusal(() => loadConfig({ JWT_SECRET_KEY: 'hunter2', URL_SIGNING_KEY: 'hunter22' }));
    assert.match(detail!, /^JWT_SECRET_KEY: expected at least 32 characters, got 7 characters$/m);
    assert.match(detail!, /^URL_SIGNING_KEY: .*, got 8 characters$/m);
    assert.doesNotMatch(detail!, /hunter2/);
    const url = refusal(() => loadConfig({ JWT_JWKS_URL: 'https://user:hunter2@issuer.example/keys' }));
    assert.doesNotMatch(url.detail!, /hunter2/);
  });

  test('take one algorithm, written in any case, and none is not one', () => {
    assert.equal(loadConfig({ JWT_ALGORITHM: 'hs384' }).jwtAlgorithm, 'HS384');
    assert.match(
      refusal(() => loadConfig({ JWT_ALGORITHM: 'none' })).detail!,
      /^JWT_ALGORITHM: expected one of/,
    );
  });

  test('mean RS256 where public keys are given and no algorithm is named', () => {
    const url = 'https://issuer.example/jwks.json';
    assert.equal(loadConfig({ JWT_JWKS_URL: url }).jwtAlgorithm, 'RS256');
    assert.equal(loadConfig({ JWT_PUBLIC_KEY: '@key.pem', JWT_SECRET_KEY: SECRET }).jwtAlgorithm, 'RS256');
    assert.equal(loadConfig({ JWT_JWKS_URL: url, JWT_ALGORITHM: 'EdDSA' }).jwtAlgorithm, 'EdDSA');
  });

  test('are refused where they do not go together', () => {
    for (const [env, pattern] of [
      [{ JWT_ALGORITHM: 'RS256' }, /^JWT_PUBLIC_KEY: .*RS256; got nothing/],
      [{ JWT_JWKS_URL: 'https://a.example', JWT_PUBLIC_KEY: 'x' }, /^JWT_PUBLIC_KEY: .* got both/],
      [
        { JWT_JWKS_URL: 'https://a.example', JWT_ALGORITHM: 'HS256' },
        /^JWT_ALGORITHM: .* JWT_JWKS_URL is set/,
      ],
      [{ JWT_ALGORITHM: 'HS512', JWT_SECRET_KEY: SECRET }, /^JWT_SECRET_KEY: expected at least 64 .* got 33/],
    ] as const) {
      assert.match(refusal(() => loadConfig(env)).detail!, pattern);
    }
  });
});
