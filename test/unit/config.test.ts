import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseEnv, promisify } from 'node:util';
import { configWarnings, limitsFrom, loadConfig, readEnvFile, VARIABLES } from '../../src/config.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { Problem } from '../../src/problem.ts';
import { tempDir } from '../support/temp.ts';

function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof Problem, `expected a Problem, got ${error}`);
    assert.equal(error.code, 'invalid_configuration');
    return error;
  }
  assert.fail('expected a Problem');
}

describe('loadConfig', () => {
  test('listens on this machine only, with the documented limits, when nothing is set', () => {
    const { dataDir, databasePath, storagePath, allowedMimeTypes, imageSizes, ...config } = loadConfig({});
    assert.ok(isAbsolute(dataDir));
    assert.equal(databasePath, join(dataDir, 'tintype.sqlite'));
    assert.equal(storagePath, join(dataDir, 'blobs'));
    assert.deepEqual(
      imageSizes.map(({ name, longSidePx }) => `${name}:${longSidePx}`),
      ['thumbnail:150', 'medium:600', 'large:1200', 'original:4096'],
    );
    for (const type of ['image/jpeg', 'image/heic', 'image/x-adobe-dng', 'image/svg+xml']) {
      assert.ok(allowedMimeTypes.includes(type), type);
    }
    assert.deepEqual(config, {
      host: '127.0.0.1',
      port: 8000,
      maxConvertBytes: 200 * 1024 * 1024,
      maxUploadBytes: 50 * 1024 * 1024,
      maxPixels: 100_000_000,
      maxFrames: 1000,
      processingTimeoutMs: 300_000,
      workerConcurrency: availableParallelism(),
      maxChildMemoryBytes: 3072 * 1024 * 1024,
      convertQueueLimit: 64,
      shutdownTimeoutMs: 30_000,
      logLevel: 'info',
      corsOrigins: [],
      environment: 'development',
      storageBackend: 'local',
      queueBackend: 'embedded',
      rateLimitMaxUploads: 50,
      rateLimitWindowMs: 3_600_000,
      maxPendingJobs: 1_000,
      webpQuality: 85,
      presetsFile: undefined,
      bucketsFile: undefined,
      maxRetries: 3,
      retryDelayMs: 60_000,
      presignedUrlTtlMs: 900_000,
      publicUrl: undefined,
      matteModelPath: undefined,
      transformCacheBytes: 1024 * 1024 * 1024,
      transformMemoryBytes: 64 * 1024 * 1024,
      unsignedUrls: false,
      jwtSecretKey: undefined,
      jwtAlgorithm: 'HS256',
      jwtPublicKey: undefined,
      jwtJwksUrl: undefined,
      jwtIssuer: undefined,
      jwtAudience: undefined,
      urlSigningKey: undefined,
    });
  });

  test('turns what is set into bytes, pixels and milliseconds', () => {
    const config = loadConfig({
      HOST: '::',
      PORT: ' 0 ',
      MAX_UPLOAD_SIZE_MB: '0.5',
      MAX_IMAGE_MEGAPIXELS: '1.5',
      PROCESSING_TIMEOUT: '0.25',
      LOG_LEVEL: 'WARN',
      CORS_ORIGINS: 'https://a.example, http://localhost:5173/',
      NODE_ENV: 'production',
    });
    assert.equal(config.host, '::');
    assert.equal(config.port, 0);
    assert.equal(config.maxUploadBytes, 524_288);
    assert.equal(config.maxPixels, 1_500_000);
    assert.equal(config.processingTimeoutMs, 250);
    assert.equal(config.logLevel, 'warn');
    assert.deepEqual(config.corsOrigins, ['https://a.example', 'http://localhost:5173']);
    assert.deepEqual(loadConfig({ CORS_ORIGINS: '*' }).corsOrigins, ['*']);
    assert.equal(config.environment, 'production');
  });

  test('takes an empty variable for an absent one', () => {
    assert.equal(loadConfig({ PORT: '', LOG_LEVEL: ' ' }).port, 8000);
  });

  test('names every wrong variable at once, with the form that is expected', () => {
    const wrong = {
      HOST: 'http://localhost',
      PORT: '80a',
      MAX_FRAMES: '1.5',
      MAX_CONVERT_SIZE_MB: '-1',
      WORKER_CONCURRENCY: '0',
      PROCESSING_TIMEOUT: '1e3',
      LOG_LEVEL: 'verbose',
      CORS_ORIGINS: 'https://a.example/path',
      NODE_ENV: 'staging',
    };
    const problem = problemOf(() => loadConfig(wrong));
    assert.deepEqual(problem.errors!.map(({ path }) => path).toSorted(), Object.keys(wrong).toSorted());
    const lines = problem.detail!.split('\n');
    assert.ok(lines.includes('PORT: expected a whole number from 0 to 65535, got "80a"'));
    assert.ok(
      lines.includes(
        'LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, got "verbose"',
      ),
    );
    assert.equal(lines.at(-1), 'See docs/configuration.md.');
  });

  test('refuses lists that are no origins', () => {
    for (const value of [
      'a.example',
      'ftp://a.example',
      '*,https://a.example',
      'https://a.example,',
      'https://u@a.example',
    ]) {
      assert.match(
        problemOf(() => loadConfig({ CORS_ORIGINS: value })).detail!,
        /^CORS_ORIGINS: expected origins/,
      );
    }
  });

  test('cannot be changed', () => {
    const config = loadConfig({ CORS_ORIGINS: 'https://a.example' });
    assert.ok(
      Object.isFrozen(config) &&
        Object.isFrozen(config.corsOrigins) &&
        Object.isFrozen(loadConfig({}).corsOrigins),
    );
  });
});

describe('configWarnings', () => {
  test('tells of names that are close to ours', () => {
    for (const [name, meant] of [
      ['MAX_UPLOAD_SIZE', 'MAX_UPLOAD_SIZE_MB'],
      ['UPLOAD_MAX_SIZE_MB', 'MAX_UPLOAD_SIZE_MB'],
      ['PROCESSING_TIMEOUT_SECONDS', 'PROCESSING_TIMEOUT'],
      ['LOGLEVEL', 'LOG_LEVEL'],
      ['CORS_ORIGIN', 'CORS_ORIGINS'],
      ['log_level', 'LOG_LEVEL'],
    ] as const) {
      const [warning, ...others] = configWarnings({ [name]: '1' });
      assert.match(warning!, new RegExp(`^"${name}" .* did you mean ${meant}\\? See docs/configuration.md`));
      assert.deepEqual(others, []);
    }
  });

  test('leaves alone what a system has anyway, and our own names', () => {
    const usual =
      'AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY HOME PATH USER LANG SHELL HOSTNAME POST PWD TERM NODE_OPTIONS NODE_PATH TMPDIR DATADIR_X LOGNAME';
    const names = [...usual.split(' '), ...VARIABLES.map(({ name }) => name)];
    assert.deepEqual(configWarnings(Object.fromEntries(names.map((name) => [name, '1']))), []);
  });
});

test('limitsFrom differs between conversions and uploads in their bytes only, and agrees with the engine', () => {
  const config = loadConfig({});
  assert.deepEqual(limitsFrom(config, 'convert'), DEFAULT_LIMITS);
  assert.deepEqual(limitsFrom(config, 'upload'), { ...DEFAULT_LIMITS, maxBytes: 50 * 1024 * 1024 });
});

test('readEnvFile reads a .env file, has nothing where there is none, and tells where it cannot read', async (t) => {
  const folder = tempDir(t);
  const file = join(folder, '.env');
  assert.deepEqual(readEnvFile(file), {});
  await writeFile(file, '# a comment\nPORT=9000\nHOST="::1"\nLOG_LEVEL=\n');
  assert.deepEqual(readEnvFile(file), { PORT: '9000', HOST: '::1', LOG_LEVEL: '' });
  assert.equal(loadConfig({ ...readEnvFile(file), PORT: '9001' }).port, 9001);
  assert.deepEqual(readEnvFile(folder), {}, 'somebody else has a folder of this name');
  assert.doesNotMatch(problemOf(() => readEnvFile(join(file, 'below'))).detail!, /tintype-test/);
});

test('the generated documents are up to date', async () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  await promisify(execFile)(process.execPath, [join(root, 'scripts/gen-docs.ts'), '--check']);
});

test('.env.example holds every variable, commented out, with a value that is valid', () => {
  const text = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
  assert.deepEqual(Object.keys(parseEnv(text)), []);
  const uncommented = parseEnv(text.replace(/^#(?=[A-Z_]+=)/gm, ''));
  assert.deepEqual(Object.keys(uncommented).toSorted(), VARIABLES.map(({ name }) => name).toSorted());
  assert.deepEqual(loadConfig(uncommented), loadConfig({}));
});

test('every variable is described in sentences', () => {
  for (const { name, description } of VARIABLES) {
    assert.match(name, /^[A-Z][A-Z_]*$/);
    assert.match(description, /\.$/, name);
  }
});
