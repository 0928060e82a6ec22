import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import {
  endExiftool,
  exiftool,
  exiftoolVersion,
  runExiftool,
  withPlainName,
} from '../../../../src/engine/metadata/exiftool.ts';
import { Problem } from '../../../../src/problem.ts';
import { tempDir } from '../../../support/temp.ts';

const dir = tempDir({ after });
after(endExiftool);

const moduleUrl = new URL('../../../../src/engine/metadata/exiftool.ts', import.meta.url).href;
const code = (expected: string) => (error: unknown) => error instanceof Problem && error.code === expected;

/** A TIFF of very many one-pixel directories, which exiftool reads one after the other for a long time. */
async function slowFile(): Promise<string> {
  const path = join(dir, 'slow.tif');
  const count = 30_000;
  const tiff = Buffer.alloc(8 + count * 18);
  tiff.write('II*\0', 0, 'latin1');
  for (let i = 0; i < count; i++) {
    const at = 8 + 18 * i;
    tiff.writeUInt32LE(at, i === 0 ? 4 : at - 4);
    tiff.writeUInt16LE(1, at);
    tiff.writeUInt16LE(0x0100, at + 2);
    tiff.writeUInt16LE(4, at + 4);
    tiff.writeUInt32LE(1, at + 6);
    tiff.writeUInt32LE(1, at + 10);
  }
  await writeFile(path, tiff);
  return path;
}

/** Waits for the process to be gone, or dead and not yet collected by whoever runs this. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
      if (readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) return;
    } catch {
      return;
    }
    await delay(5);
  }
}

test('tells its version', async () => {
  assert.match(await exiftoolVersion(), /^1[3-9]\.\d+$/);
});

test('serves many commands by one perl', async () => {
  await Promise.all(Array.from({ length: 5 }, () => exiftoolVersion()));
  assert.equal(exiftool().pids.length, 1);
});

test('tells what is wrong with a file apart from warnings, and throws neither', async () => {
  const missing = await runExiftool(['-j', join(dir, 'missing.jpg')]);
  assert.deepEqual(missing.warnings, []);
  assert.match(missing.errors[0]!, /^File not found/);
});

test('reads files whatever their names', async () => {
  const plain = join(dir, 'plain.jpg');
  await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } }).toFile(plain);
  await runExiftool(['-overwrite_original', '-Artist=Ada', plain]);
  for (const name of [
    '-ver',
    '%d%f.%e',
    'a\n-Artist=Eve\n',
    ' touch x |',
    '#c',
    '$(x);`y`',
    '@',
    'ünïcode 写真',
  ]) {
    const path = join(dir, name);
    await copyFile(plain, path);
    const { stdout } = await withPlainName(path, (p) => runExiftool(['-s3', '-Artist', p]));
    assert.equal(stdout.trim(), 'Ada', JSON.stringify(name));
  }
});

test('refuses an argument with a line break, which would be two', async () => {
  await assert.rejects(runExiftool([`-Artist=a\n-ver`, dir]), /control character/);
});

describe('a command that takes too long', { timeout: 20_000 }, () => {
  test('ends at its deadline, with its perl, and the next one is served', async () => {
    const path = await slowFile();
    await exiftoolVersion();
    const [pid] = exiftool().pids;
    await assert.rejects(runExiftool(['-j', path], { timeoutMs: 300 }), code('processing_timeout'));
    await ended(pid!);
    assert.match(await exiftoolVersion(), /^1/);
  });

  test('ends when it is cancelled', async () => {
    const path = await slowFile();
    const controller = new AbortController();
    const command = runExiftool(['-j', path], { signal: controller.signal });
    await delay(100);
    controller.abort();
    await assert.rejects(command, code('cancelled'));
    await assert.rejects(runExiftool(['-ver'], { signal: controller.signal }), code('cancelled'));
  });

  test('does not take along one that waits behind it', async () => {
    const path = await slowFile();
    const slow = runExiftool(['-j', path], { timeoutMs: 400 });
    const waiting = exiftoolVersion();
    await assert.rejects(slow, code('processing_timeout'));
    assert.match(await waiting, /^1/);
  });

  test('is not stopped by one that waits behind it and gives up', async () => {
    const path = join(dir, 'plain2.jpg');
    await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } }).toFile(path);
    await endExiftool(); // so that the first command has perl's start to wait for
    const first = runExiftool(['-s3', '-ImageWidth', path]);
    await assert.rejects(runExiftool(['-ver'], { timeoutMs: 1 }), code('processing_timeout'));
    assert.equal((await first).stdout.trim(), '8');
  });
});

test('stops a command that takes too much memory', {
  timeout: 20_000,
  skip: process.platform !== 'linux',
}, async () => {
  const text = deflateSync(Buffer.alloc(100_000_000));
  const chunk = Buffer.concat([Buffer.from('iTXtXML:com.adobe.xmp\0\x01\0\0\0', 'latin1'), text]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(chunk.length - 4, 0);
  frame.writeUInt32BE(crc32(chunk), 4);
  const png = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  const path = join(dir, 'bomb.png');
  await writeFile(
    path,
    Buffer.concat([png.subarray(0, 33), frame.subarray(0, 4), chunk, frame.subarray(4), png.subarray(33)]),
  );
  await assert.rejects(runExiftool(['-j', path], { maxMemoryBytes: 80_000_000 }), code('memory_exceeded'));
  assert.match(await exiftoolVersion(), /^1/);
});

test('says that perl is missing', async () => {
  await endExiftool();
  const path = process.env.PATH;
  process.env.PATH = dir;
  try {
    await assert.rejects(
      exiftoolVersion(),
      (error: unknown) =>
        error instanceof Problem && error.code === 'dependency_down' && /needs perl/.test(error.detail ?? ''),
    );
  } finally {
    process.env.PATH = path;
  }
});

describe('a process that uses exiftool', { timeout: 20_000 }, () => {
  /** Starts a process that has run a command, then does `then`; answers with its perl. */
  async function owner(then: string) {
    const script = `import { exiftool, exiftoolVersion } from ${JSON.stringify(moduleUrl)};
      await exiftoolVersion(); console.log(exiftool().pids[0]); ${then}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('../../../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface(child.stdout!), 'line');
    return { child, perl: Number(line) };
  }

  test('ends when it has nothing else to do, and perl with it', async () => {
    const { child, perl } = await owner('');
    const [exitCode] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode];
    assert.equal(exitCode, 0);
    await ended(perl);
  });

  test('takes perl along even when it is killed', async () => {
    const { child, perl } = await owner('setInterval(() => {}, 1000);');
    process.kill(perl, 0); // throws where there is none
    child.kill('SIGKILL');
    await ended(perl);
  });
});
