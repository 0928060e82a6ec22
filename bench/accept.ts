/**
 * What accepting an upload costs, durably and without the work on it, against servers that only take the bytes.
 *
 *   npm run bench:accept
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { multipartParts } from '../test/support/service.ts';
import { tokenOf } from '../test/support/uploads.ts';
import { save } from './compare.ts';
import { cpuMsOf, median } from './cpu.ts';
import { benchInput } from './inputs.ts';

const ROUNDS = 9;
const UPLOADS = 40;
const BYTES = 2 * 2 ** 20;
/**
 * `busboy` writes and hashes, `bare-sync` writes and syncs what comes without a form, `busboy-sync` does all of it.
 * `+small` has the same setting of V8 as the service, which does more for its CPU than anything else.
 */
const NAMES = ['tintype', 'busboy', 'busboy-sync', 'bare-sync', 'busboy+small', 'busboy-sync+small'];
const TARGETS: Record<string, number> = { busboy: 1.5 };

const dir = await mkdtemp(join(tmpdir(), 'tintype-bench-'));
const photo = await readFile(await benchInput('jpeg-12mp'));
/** Another 2 MB JPEG each time: what is stored already would cost less. */
function jpegOf(n: number): Buffer {
  const file = Buffer.alloc(BYTES, n);
  photo.copy(file, 0, 0, Math.min(photo.length, BYTES - 16));
  file.write(String(n).padStart(16), BYTES - 16);
  return file;
}

interface Server {
  name: string;
  pid: number;
  port: number;
  stop: () => void;
}

async function start(name: string): Promise<Server> {
  const script = join(import.meta.dirname, 'accept-servers.ts');
  const child = spawn(process.execPath, [script, name, join(dir, name)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [port] = await once(child.stdout!, 'data');
  return { name, pid: child.pid!, port: Number(port), stop: () => child.kill('SIGKILL') };
}

const agent = new Agent({ keepAlive: true });
const authorization = `Bearer ${await tokenOf('bench')}`;
let sent = 0;

/** One upload. @returns its milliseconds */
async function send({ name, port }: Server): Promise<number> {
  const file = jpegOf(++sent);
  const bare = name === 'bare-sync';
  const body = bare
    ? file
    : multipartParts('B', [
        ['Content-Disposition: form-data; name="bucket"', 'photos'],
        ['Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg', file],
      ]);
  const type = bare ? 'image/jpeg' : 'multipart/form-data; boundary=B';
  const headers = { authorization, 'content-type': type, 'content-length': body.length };
  const startedAtMs = performance.now();
  const call = request({ port, agent, method: 'POST', path: '/api/v1/images/upload', headers });
  call.end(body);
  const [response] = await once(call, 'response');
  for await (const _ of response);
  if (response.statusCode !== 202) throw new Error(`${name} answered ${response.statusCode}`);
  return performance.now() - startedAtMs;
}

/** Milliseconds of CPU and of the clock for each upload. */
async function round(server: Server): Promise<{ cpuMs: number; wallMs: number }> {
  const [cpuBefore, wallBefore] = [cpuMsOf(server.pid), performance.now()];
  for (let n = 0; n < UPLOADS; n++) await send(server);
  return {
    cpuMs: (cpuMsOf(server.pid) - cpuBefore) / UPLOADS,
    wallMs: (performance.now() - wallBefore) / UPLOADS,
  };
}

async function p99AtEight(server: Server): Promise<number> {
  const times: number[] = [];
  const client = async () => {
    for (let n = 0; n < 40; n++) times.push(await send(server));
  };
  await Promise.all(Array.from({ length: 8 }, client));
  return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
}

const servers = await Promise.all(NAMES.map(start));
const measured = new Map(servers.map(({ name }) => [name, [] as { cpuMs: number; wallMs: number }[]]));
for (const server of servers) await round(server); // compiled, and folders are there
for (let n = 0; n < ROUNDS; n++) {
  for (const server of servers) measured.get(server.name)!.push(await round(server));
}
const ours = measured.get('tintype')!;
const tails = new Map<string, number>();
for (const server of servers) tails.set(server.name, await p99AtEight(server));
for (const server of servers) server.stop();

const rounded = (value: number) => Math.round(value * 100) / 100;
const results = servers.map(({ name }) => {
  const mine = measured.get(name)!;
  const ratio = rounded(median(mine.map(({ cpuMs }, n) => ours[n]!.cpuMs / cpuMs)));
  const target = TARGETS[name];
  return {
    name,
    cpuMs: rounded(median(mine.map(({ cpuMs }) => cpuMs))),
    wallMs: rounded(median(mine.map(({ wallMs }) => wallMs))),
    p99MsAtConcurrency8: rounded(tails.get(name)!),
    p99Ratio: rounded(tails.get('tintype')! / tails.get(name)!),
    cpuRatio: ratio,
    ...(target !== undefined && { target, ok: ratio <= target }),
  };
});
process.stdout.write(`\naccepting a 2 MB JPEG, ${ROUNDS} interleaved rounds of ${UPLOADS}\n`);
for (const result of results) process.stdout.write(`  ${JSON.stringify(result)}\n`);
save('accept', 'npm run bench:accept', results);
await rm(dir, { recursive: true, force: true });
process.exitCode = results.every(({ ok }) => ok !== false) ? 0 : 1;
agent.destroy();
