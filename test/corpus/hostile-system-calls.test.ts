/** What the server and its children ask of the kernel while they work on the hostile corpus. */
import assert from 'node:assert/strict';
import { existsSync, realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve, sep } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { corpusDir, corpusMissing, hostile, hostileFacts, hostileNames } from '../support/corpus.ts';
import { processesHidden, processStatus } from '../support/processes.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { convert, eventually } from '../support/service.ts';
import { readTrace, type SystemCall, tracer, tracingForbidden } from '../support/system-calls.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';

const AT_A_TIME = 4;
const projectRoot = resolve(import.meta.dirname, '../..');

/** What programs, their libraries and fonts are made of. Nothing else of the machine is to be read. */
const INSTALLED = [
  ...['/usr', '/lib', '/lib64', '/opt', '/proc', '/sys', '/dev', '/var/cache/fontconfig', '/etc/fonts'],
  ...['/etc/ld.so.cache', '/etc/localtime', '/etc/perl', '/etc/ssl', '/etc/nsswitch.conf'],
  join(projectRoot, 'src'),
  join(projectRoot, 'node_modules'),
  join(projectRoot, 'package.json'),
  dirname(dirname(realpathSync(process.execPath))),
];

/** What the files of the corpus are after. */
const TARGETS = /passwd|shadow|ubuntu-logo|win\.ini|pwned|resolv\.conf|\/etc\/hosts|TARGET_DOMAIN|169\.254/;

describe('the hostile corpus', { skip: corpusMissing || processesHidden }, () => {
  test('makes no connection, reads no file of the machine, writes none outside of the data folder', async (t) => {
    const strace = requireTool(t, 'strace');
    if (!strace) return;
    const forbidden = tracingForbidden(strace);
    if (forbidden !== undefined) return t.skip(forbidden);
    const trace = join(tempDir(t), 'trace');
    const { port, connections } = await listener(t);
    const server = await startServerProcess(t, { launcher: tracer(strace, trace) });
    const { tracer: tracerPid = 0 } = processStatus(server.pid) ?? {};
    assert.ok(tracerPid > 0);

    await drawText(server);
    const begunAt = Date.now();
    const sent = await sendAll(server, port);
    const endedAt = Date.now();
    await server.close();
    await eventually('the trace is complete', () => (processStatus(tracerPid)?.state ?? 'Z') === 'Z');

    const all = readTrace(trace);
    const calls = all.filter(({ at }) => at >= begunAt && at <= endedAt);
    // Shows that the server and, by what they wrote, its children were watched all the time.
    const stored = calls.filter(({ name, paths }) => name === 'openat' && paths[0]?.endsWith('/source'));
    assert.ok(stored.filter(({ writes }) => writes).length >= sent, 'the receiving of each file is seen');
    assert.ok(
      calls.some(({ writes, paths }) => writes && paths.some((path) => /\/task-\w+\/0\.jpg$/.test(path))),
    );

    assert.equal(connections(), 0, 'something was fetched');
    // Node's event loop has rings by which it polls; those for files, which it leaves off, are of this kind.
    assertNone(
      'asks for a ring for files',
      all,
      ({ name, text, failed }) =>
        name === 'io_uring_setup' && text.includes('IORING_SETUP_SQPOLL') && !failed,
    );
    assertNone(
      'calls someone',
      calls,
      ({ name, text }) => name === 'connect' || /sin6?_addr|sun_path/.test(text),
    );
    assertNone('runs a program', calls, ({ name, text }) => name.startsWith('execve') && !isOurProgram(text));
    assertNone('is what a file was after', calls, ({ paths }) => paths.some((path) => TARGETS.test(path)));

    const own = [server.dataDir];
    assertNone('changes a file', calls, ({ writes, paths }) =>
      writes
        ? !paths.every((path) => isWithin(path, own) || /^\/(dev\/null$|proc\/self\/)/.test(path))
        : false,
    );
    assertNone(
      'reads a file',
      calls,
      ({ failed, paths }) => !failed && !paths.every((path) => isWithin(path, [...own, ...INSTALLED])),
    );
    t.diagnostic(`${sent} requests, ${calls.length} calls watched`);
  });
});

/** By the first text that is drawn, fontconfig renews the system's font cache where fonts have been installed since. */
async function drawText(server: ServerProcess): Promise<void> {
  const svg = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"><text y="20">Tintype</text></svg>',
  );
  const answers = await Promise.all(Array.from({ length: AT_A_TIME }, () => convert(server, svg)));
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
  }
}

function assertNone(what: string, calls: SystemCall[], is: (call: SystemCall) => boolean): void {
  const found = calls.filter(is).map(({ pid, name, text }) => `${pid} ${name}(${text}`.slice(0, 300));
  assert.deepEqual([...new Set(found)].slice(0, 10), [], `${found.length} × ${what}`);
}

const isWithin = (path: string, folders: string[]) =>
  folders.some((folder) => path === folder || path.startsWith(folder + sep));

/** Node, for a further child, exiftool's perl, and what decodes videos. */
const isOurProgram = (execve: string) =>
  execve.startsWith(`"${process.execPath}"`) ||
  /^"\/[\w./-]+\/perl", \[[^\]]*exiftool/.test(execve) ||
  /^"\/[\w./-]+\/(ffmpeg|ffprobe)", \[/.test(execve);

/** Somewhere for the pictures to call, and how often it was called. */
async function listener(t: TestContext): Promise<{ port: number; connections: () => number }> {
  let count = 0;
  const server = createServer((socket) => {
    count += 1;
    socket.destroy();
  });
  t.after(() => server.close());
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return { port: (server.address() as { port: number }).port, connections: () => count };
}

/** @returns how many requests were made */
async function sendAll(server: ServerProcess, port: number): Promise<number> {
  const photo = await sharp({ create: { width: 40, height: 30, channels: 3, background: 'teal' } })
    .jpeg()
    .toBuffer();
  const uploads: { filename: string; bytes: Buffer }[] = hostileNames.map((filename) => ({
    filename,
    bytes: photo,
  }));
  for (const { name } of hostileFacts) {
    if (!existsSync(join(corpusDir!, 'hostile', name))) continue;
    const bytes = await readFile(hostile(name));
    uploads.push({ filename: name, bytes });
    const aimed = bytes
      .toString('latin1')
      .replaceAll(/[\w.-]*TARGET_DOMAIN(:TARGET_PORT)?/g, `127.0.0.1:${port}`);
    if (aimed.length !== bytes.length) uploads.push({ filename: name, bytes: Buffer.from(aimed, 'latin1') });
  }
  const queue = uploads.values();
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (const { filename, bytes } of queue) {
        const response = await convert(server, bytes, { query: 'format=jpeg', filename });
        await response.arrayBuffer();
        assert.ok(response.status < 500, `${filename}: ${response.status}`);
      }
    }),
  );
  return uploads.length;
}
