/**
 * Images by URL, 12 MP JPEG → 600 px WebP of quality 80: what the first request for a rendition costs, against a bare
 * `http` + sharp handler that makes the same, and how many requests a second find it, against a bare handler of static
 * files. ipx stands beside both; it keeps no results, so its hits are rendered.
 *
 *   npm run bench:transform
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { tokenOf } from '../test/support/uploads.ts';
import { save } from './compare.ts';
import { cpuMs, median } from './cpu.ts';
import { benchInput } from './inputs.ts';

const COLD_ROUNDS = 9;
const HIT_ROUNDS = 7;
const HIT_SECONDS = 1;
const CONNECTIONS = 8;
/** For what is done after the answer: it counts. */
const SETTLE_MS = 700;
const MAX_COLD_RATIO = 1.05;
const MIN_HIT_RATIO = 0.6;

const WHAT: Record<string, string> = {
  tintype: 'the service: WebP quality 80, effort 2; stored durably after the answer; hits from memory',
  'tintype-disk': 'the service without TRANSFORM_MEMORY_MB: hits from the store',
  bare: 'node:http + sharp from the file, as sharp comes: quality 80, effort 2; renders each time',
  'bare-tuned': 'the same with sharp.concurrency(1) and without its cache, as the service has it',
  ipx: 'ipx 3 on node:http, its own settings (quality 80, effort 4); renders each time',
  static: 'node:http + stat + createReadStream of the rendition',
};

const run = promisify(execFile);
const dir = await mkdtemp(join(tmpdir(), 'tintype-bench-'));
const photo = await benchInput('jpeg-12mp');
const rendition = join(dir, 'rendition.webp');

interface Server {
  name: string;
  pid: number;
  port: string;
  imageId: string;
  paths: string[];
  stop: () => void;
}

async function start(name: string): Promise<Server> {
  const script = join(import.meta.dirname, 'transform-servers.ts');
  const child = spawn(process.execPath, [script, name, join(dir, name), photo, rendition], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout!, 'data');
  const [port = '', imageId = '', ...paths] = String(line).trim().split(' ');
  return { name, pid: child.pid!, port, imageId, paths, stop: () => child.kill('SIGKILL') };
}

async function bytesOf({ name, port }: Server, path: string): Promise<Buffer> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  const body = Buffer.from(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`${name} answered ${response.status}: ${body}`);
  return body;
}

const authorization = `Bearer ${await tokenOf('bench')}`;

async function forget({ port, imageId }: Server): Promise<void> {
  const url = `http://127.0.0.1:${port}/api/v1/images/${imageId}/purge`;
  const response = await fetch(url, { method: 'POST', headers: { authorization } });
  if (response.status !== 200) throw new Error(`purge answered ${response.status}`);
  await response.arrayBuffer();
}

/** Each width once, one after the other. @returns milliseconds of CPU, of the server and its children, for each */
async function coldRound(server: Server): Promise<{ cpuMs: number; wallMs: number }> {
  if (server.imageId) await forget(server);
  await sleep(SETTLE_MS);
  const [cpuBefore, wallBefore] = [cpuMs(server.pid), performance.now()];
  for (const path of server.paths) await bytesOf(server, path);
  const wall = performance.now() - wallBefore;
  await sleep(SETTLE_MS);
  const { length } = server.paths;
  return { cpuMs: (cpuMs(server.pid) - cpuBefore) / length, wallMs: wall / length };
}

async function hitRound({ pid, port, paths }: Server): Promise<{ perSecond: number; cpuMicros: number }> {
  const load = join(import.meta.dirname, 'transform-load.ts');
  const cpuBefore = cpuMs(pid);
  const { stdout } = await run(process.execPath, [
    load,
    port,
    paths[3]!,
    String(HIT_SECONDS),
    String(CONNECTIONS),
  ]);
  const answers = Number(stdout);
  return { perSecond: answers / HIT_SECONDS, cpuMicros: ((cpuMs(pid) - cpuBefore) * 1000) / answers };
}

const tintype = await start('tintype');
const same = await bytesOf(tintype, tintype.paths[3]!);
await writeFile(rendition, same);
const others = await Promise.all(['bare', 'bare-tuned', 'ipx', 'tintype-disk', 'static'].map(start));
const named = new Map([tintype, ...others].map((server) => [server.name, server]));
const bare = await bytesOf(named.get('bare')!, named.get('bare')!.paths[3]!);

const coldOf = ['tintype', 'bare', 'bare-tuned', 'ipx'].map((name) => named.get(name)!);
const cold = new Map(coldOf.map(({ name }) => [name, [] as Awaited<ReturnType<typeof coldRound>>[]]));
for (const server of coldOf) await coldRound(server); // compiled
for (let n = 0; n < COLD_ROUNDS; n++) {
  for (const server of coldOf) cold.get(server.name)!.push(await coldRound(server));
}

const hitOf = ['tintype', 'tintype-disk', 'static', 'ipx'].map((name) => named.get(name)!);
const hits = new Map(hitOf.map(({ name }) => [name, [] as Awaited<ReturnType<typeof hitRound>>[]]));
for (const server of hitOf) await hitRound(server);
for (let n = 0; n < HIT_ROUNDS; n++) {
  for (const server of hitOf) hits.get(server.name)!.push(await hitRound(server));
}
for (const server of named.values()) server.stop();

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits));
const results = {
  bytes: { tintype: same.length, bare: bare.length, identical: same.equals(bare) },
  cold: coldOf.map(({ name }) => {
    const mine = cold.get(name)!;
    const ratio = rounded(median(mine.map(({ cpuMs: ms }, n) => cold.get('tintype')![n]!.cpuMs / ms)), 3);
    return {
      name,
      what: WHAT[name],
      cpuMs: rounded(median(mine.map(({ cpuMs: ms }) => ms))),
      wallMs: rounded(median(mine.map(({ wallMs }) => wallMs))),
      cpuRatio: ratio,
      ...(name === 'bare' && { target: MAX_COLD_RATIO, ok: ratio <= MAX_COLD_RATIO }),
    };
  }),
  hit: hitOf.map(({ name }) => {
    const mine = hits.get(name)!;
    const ratio = rounded(
      median(mine.map(({ perSecond }, n) => hits.get('tintype')![n]!.perSecond / perSecond)),
    );
    return {
      name,
      what: WHAT[name],
      perSecond: Math.round(median(mine.map(({ perSecond }) => perSecond))),
      cpuMicros: Math.round(median(mine.map(({ cpuMicros }) => cpuMicros))),
      ratio,
      ...(name === 'static' && { target: MIN_HIT_RATIO, ok: ratio >= MIN_HIT_RATIO }),
    };
  }),
};
process.stdout.write(`\nimages by URL, 12 MP JPEG → 600 px WebP of ${same.length} bytes\n`);
for (const line of [...results.cold, ...results.hit]) process.stdout.write(`  ${JSON.stringify(line)}\n`);
save('transform', 'npm run bench:transform', results);
await rm(dir, { recursive: true, force: true });
process.exitCode = [...results.cold, ...results.hit].every(({ ok }) => ok !== false) ? 0 : 1;
