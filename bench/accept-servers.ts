/**
 * The servers that bench/accept.ts compares, each in a process of its own: `node accept-servers.ts <name> <folder>`.
 * Prints the port that it listens on.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import { keepYoungGenerationSmall } from '../src/app/heap.ts';
import { openServices } from '../src/app/services.ts';
import { loadPolicies } from '../src/config/policies.ts';
import { loadConfig } from '../src/config.ts';
import { jwtAuthorizer } from '../src/drivers/authorizer/jwt.ts';
import { Pool } from '../src/engine/pool/pool.ts';
import { Metrics } from '../src/http/metrics.ts';
import { createLogger } from '../src/http/request-log.ts';
import { buildServer } from '../src/http/server.ts';
import { JWT_SECRET_KEY } from '../test/support/uploads.ts';

const [name = '', dir = ''] = process.argv.slice(2);
mkdirSync(dir, { recursive: true });

async function store(stream: Readable, { hash, sync }: { hash: boolean; sync: boolean }): Promise<void> {
  const path = join(dir, randomUUID());
  const file = await open(path, 'wx');
  const sha256 = createHash('sha256');
  for await (const chunk of stream) {
    if (hash) sha256.update(chunk);
    await file.write(chunk);
  }
  if (hash) sha256.digest('hex');
  if (sync) await file.datasync();
  await file.close();
  await unlink(path);
}

const formed = (request: IncomingMessage, options: { hash: boolean; sync: boolean }) =>
  new Promise<void>((resolve, reject) => {
    const parser = new Busboy({ headers: request.headers as { 'content-type': string } });
    const stored: Promise<void>[] = [];
    parser.on('file', (_name, stream) => stored.push(store(stream, options)));
    parser.on('finish', () => Promise.all(stored).then(() => resolve(), reject));
    request.pipe(parser);
  });

const BARE: Record<string, (request: IncomingMessage) => Promise<void>> = {
  'bare-sync': (request) => store(request, { hash: false, sync: true }),
  busboy: (request) => formed(request, { hash: true, sync: false }),
  'busboy-sync': (request) => formed(request, { hash: true, sync: true }),
};

async function bare(work: (request: IncomingMessage) => Promise<void>): Promise<number> {
  const server = createServer((request, response) => {
    work(request).then(() => {
      response.writeHead(202, { 'content-type': 'application/json' }).end('{"ok":true}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** The service as it is, but for the worker: nothing is rendered. */
async function tintype(): Promise<number> {
  keepYoungGenerationSmall();
  const config = loadConfig({
    DATA_DIR: dir,
    JWT_SECRET_KEY,
    RATE_LIMIT_MAX_UPLOADS: '1000000000',
  });
  const logger = createLogger('info', { write: () => {} });
  const pool = new Pool({ workDir: join(dir, 'work'), size: 1 });
  const policies = loadPolicies(config);
  const urlSigningKey = Buffer.from(JWT_SECRET_KEY);
  const stack = new AsyncDisposableStack();
  const metrics = new Metrics();
  const options = { pool, logger, policies, urlSigningKey, metrics };
  const { services } = await openServices(config, options, stack);
  const authorizer = await jwtAuthorizer({
    algorithm: 'HS256',
    key: { secret: Buffer.from(JWT_SECRET_KEY) },
    issuer: undefined,
    audience: undefined,
  } as Parameters<typeof jwtAuthorizer>[0]);
  const server = buildServer({ config, services, logger, version: '', metrics, checks: {}, authorizer });
  return Number(new URL(await server.listen('127.0.0.1', 0)).port);
}

// `<name>+small`: with the same setting of V8 as the service.
if (name.endsWith('+small')) keepYoungGenerationSmall();
const work = BARE[name.replace('+small', '')];
process.stdout.write(`${work ? await bare(work) : await tintype()}\n`);
