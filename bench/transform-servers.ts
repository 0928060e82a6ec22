/**
 * The servers that bench/transform.ts compares, each in a process of its own: `node transform-servers.ts <name> <folder>
 * <photo> <rendition>`. Prints the port that it listens on, and for `tintype` a URL for each width after it.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { createIPX, createIPXNodeServer, ipxFSStorage } from 'ipx';
import sharp from 'sharp';
import { keepYoungGenerationSmall } from '../src/app/heap.ts';
import { openServices } from '../src/app/services.ts';
import { loadPolicies } from '../src/config/policies.ts';
import { loadConfig } from '../src/config.ts';
import { originalKey } from '../src/domain/keys.ts';
import { signTransformUrl } from '../src/domain/transform-signature.ts';
import { jwtAuthorizer } from '../src/drivers/authorizer/jwt.ts';
import { DEFAULT_LIMITS } from '../src/engine/limits.ts';
import { Pool } from '../src/engine/pool/pool.ts';
import { probe } from '../src/engine/probe.ts';
import { Metrics } from '../src/http/metrics.ts';
import { createLogger } from '../src/http/request-log.ts';
import { buildServer } from '../src/http/server.ts';
import { imageRow, jobRow, versionRow } from '../src/services/upload-rows.ts';
import { JWT_SECRET_KEY } from '../test/support/uploads.ts';

const [name = '', dir = '', photo = '', rendition = ''] = process.argv.slice(2);
const QUALITY = 80;
/** What the engine takes for pictures of this size: see src/engine/encode/webp.ts. */
const EFFORT = 2;
export const WIDTHS = [597, 598, 599, 600, 601, 602, 603, 604];

/** `/<width>`: renders each time. */
const bare: RequestListener = async ({ url = '' }, response) => {
  const body = await sharp(photo)
    .autoOrient()
    .resize(Number(url.slice(1)))
    .webp({ quality: QUALITY, effort: EFFORT })
    .toBuffer();
  response.writeHead(200, { 'content-type': 'image/webp', 'content-length': body.length }).end(body);
};

/** The rendition's file, whatever is asked for. */
const staticFile: RequestListener = async (_request, response) => {
  const { size } = await stat(rendition);
  response.writeHead(200, { 'content-type': 'image/webp', 'content-length': size });
  createReadStream(rendition).pipe(response);
};

/** `/w_600,f_webp,q_80/<photo>`; it keeps no results. */
const ipx = (): RequestListener =>
  createIPXNodeServer(createIPX({ storage: ipxFSStorage({ dir: dirname(photo) }) }));

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return String((server.address() as AddressInfo).port);
}

/** The service as it is, but for the worker. */
async function tintype(memoryMb: string): Promise<string> {
  keepYoungGenerationSmall();
  const config = loadConfig({ DATA_DIR: dir, JWT_SECRET_KEY, TRANSFORM_MEMORY_MB: memoryMb });
  const pool = new Pool({ workDir: join(dir, 'work'), size: 1 });
  const urlSigningKey = Buffer.from(JWT_SECRET_KEY);
  const metrics = new Metrics();
  const logger = createLogger('info', { write: () => {} });
  const options = { pool, logger, policies: loadPolicies(config), urlSigningKey, metrics };
  const { services } = await openServices(config, options, new AsyncDisposableStack());
  const authorizer = await jwtAuthorizer({
    algorithm: 'HS256',
    key: { secret: Buffer.from(JWT_SECRET_KEY) },
  });
  const server = buildServer({ config, services, logger, version: '', metrics, checks: {}, authorizer });
  await pool.start();
  const { catalog, blobs } = services;
  const bytes = await readFile(photo);
  const key = originalKey(createHash('sha256').update(bytes).digest('hex'));
  const staged = await blobs.stage();
  await staged.write(bytes);
  await staged.finish();
  await blobs.put(key, staged.path);
  const now = new Date();
  const of = { owner: 'bench', bucket: 'photos' };
  const image = imageRow(
    { ...of, preset: 'web', visibility: 'public', project: null, context: {}, filename: 'a.jpg' },
    now,
  );
  const { imageId } = image;
  await catalog.acceptUpload({
    image,
    original: versionRow(imageId, key, await probe(staged.path, DEFAULT_LIMITS), now),
    job: jobRow({ ...of, imageId, kind: 'upload', plans: [], maxRetries: 0 }, now),
    ensureBlob: () => blobs.put(key, staged.path),
  });
  const address = await server.listen('127.0.0.1', 0);
  const urls = WIDTHS.map((width) =>
    signTransformUrl({ imageId, plan: `w_${width},q_${QUALITY}`, ext: 'webp' }, { secret: urlSigningKey }),
  );
  return [new URL(address).port, imageId, ...urls].join(' ');
}

const plain = (port: string) => [port, '', ...WIDTHS.map((width) => `/${width}`)].join(' ');
switch (name) {
  case 'tintype':
    process.stdout.write(`${await tintype('64')}\n`);
    break;
  case 'tintype-disk':
    process.stdout.write(`${await tintype('0')}\n`);
    break;
  case 'bare':
    process.stdout.write(`${plain(await listen(bare))}\n`);
    break;
  case 'bare-tuned':
    sharp.cache(false);
    sharp.concurrency(1);
    process.stdout.write(`${plain(await listen(bare))}\n`);
    break;
  case 'static':
    process.stdout.write(`${plain(await listen(staticFile))}\n`);
    break;
  case 'ipx': {
    const port = await listen(ipx());
    const paths = WIDTHS.map((width) => `/w_${width},f_webp,q_${QUALITY}/${basename(photo)}`);
    process.stdout.write(`${[port, '', ...paths].join(' ')}\n`);
    break;
  }
}
