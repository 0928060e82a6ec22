/** What is done about an ffmpeg that hangs, floods or crashes: programs of that name that do nothing else. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { ffmpegVersion, findFfmpeg, runProgram, videoAvailable } from '../../../src/engine/decode/ffmpeg.ts';
import { decodeVideoFrame } from '../../../src/engine/decode/video.ts';
import { DEFAULT_LIMITS } from '../../../src/engine/limits.ts';
import { TaskPool } from '../../../src/engine/pool/task-pool.ts';
import { Reader } from '../../../src/engine/probe/reader.ts';
import { probeVideo } from '../../../src/engine/probe/video.ts';
import type { Facts } from '../../../src/engine/types.ts';
import { firstEvent, isAlive, problem, until } from '../../support/pool.ts';
import { tempDir } from '../../support/temp.ts';
import type { tasks } from '../../support/video-tasks.ts';
import { movie } from './support/movie-bytes.ts';

const SHELL = '/bin/sh';
const path = process.env.PATH;

describe('ffmpeg', { skip: existsSync(SHELL) ? false : 'needs a shell' }, () => {
  const dir = tempDir({ after });
  const source = join(dir, 'a.mp4');
  writeFileSync(source, movie());
  afterEach(() => {
    process.env.PATH = path;
  });

  /** Puts programs of those names first on the PATH; ffmpeg notes its process id in `pid`. */
  function programs(ffmpeg: string, ffprobe = 'exit 0'): void {
    for (const [name, body] of Object.entries({ ffmpeg, ffprobe })) {
      const program = join(dir, name);
      writeFileSync(program, `#!${SHELL}\n${name === 'ffmpeg' ? `echo $$ > ${dir}/pid\n` : ''}${body}\n`);
      chmodSync(program, 0o755);
    }
    process.env.PATH = `${dir}:${path}`;
  }

  const noted = () => Number(readFileSync(join(dir, 'pid'), 'utf8'));

  async function decode(timeoutMs: number, signal?: AbortSignal) {
    const header = await probeVideo(Reader.over(movie()), DEFAULT_LIMITS);
    const facts: Facts = { ...header, family: 'video', mime: 'video/mp4', bytes: 1 };
    return decodeVideoFrame(source, facts, { second: 0 }, { ...DEFAULT_LIMITS, timeoutMs, signal });
  }

  test('is found on the PATH with ffprobe beside it, or not at all', async () => {
    programs('echo "ffmpeg version 9.9-test Copyright"');
    assert.deepEqual(findFfmpeg(), { ffmpeg: join(dir, 'ffmpeg'), ffprobe: join(dir, 'ffprobe') });
    assert.equal(await ffmpegVersion(), '9.9-test');
    assert.equal(await videoAvailable(), true);
    programs('exit 1');
    assert.equal(await videoAvailable(), false, 'it is there and does not run');
    process.env.PATH = '.:relative';
    assert.equal(findFfmpeg(), undefined, 'of no folder of this moment');
    assert.equal(await videoAvailable(), false);
    await assert.rejects(decode(1000), problem('unsupported_media_type'));
  });

  test('that hangs is ended at the deadline', async () => {
    programs('exec sleep 600');
    await assert.rejects(decode(1_500), problem('processing_timeout'));
    assert.equal(isAlive(noted()), false);
    programs('exit 0', 'exec sleep 600');
    await assert.rejects(decode(300), problem('processing_timeout'));
  });

  test('is ended when the caller gives up', async () => {
    programs('exec sleep 600');
    const giveUp = new AbortController();
    writeFileSync(join(dir, 'pid'), '');
    const decoding = decode(60_000, giveUp.signal);
    await until('ffmpeg runs', () => noted() > 0);
    giveUp.abort();
    await assert.rejects(decoding, problem('cancelled'));
    assert.equal(isAlive(noted()), false);
    await assert.rejects(decode(60_000, AbortSignal.abort()), problem('cancelled'));
  });

  test('that gives more than it was asked for is ended', async () => {
    programs('exec cat /dev/zero');
    await assert.rejects(decode(60_000), problem('internal'));
    assert.equal(isAlive(noted()), false);
  });

  test('that crashes says so, and one that fails says why, without names', async () => {
    programs('kill -SEGV $$');
    await assert.rejects(decode(60_000), problem('decoder_crashed'));
    programs("echo '[h264 @ 0x55d4a] [x] broken slice in file:/srv/secret/a.mp4.' >&2; exit 1");
    await assert.rejects(decode(60_000), (error: unknown) => {
      problem('undecodable_image')(error);
      assert.match((error as Error).message, /: broken slice in the file\.$/);
      return true;
    });
    programs('exit 0');
    await assert.rejects(decode(60_000), problem('undecodable_image'));
  });

  test('sees nothing of the environment', async () => {
    process.env.TINTYPE_TEST_SECRET = 'hunter2';
    let output = '';
    const seen = await runProgram('/usr/bin/env', [], { timeoutMs: 60_000 }, (chunk) => {
      output += chunk;
    });
    delete process.env.TINTYPE_TEST_SECRET;
    assert.equal(seen.succeeded, true);
    assert.doesNotMatch(output, /hunter2|PATH=\//);
  });

  test('does not outlive the pool’s child, whoever kills it', async (t) => {
    programs('exec sleep 600');
    const pool = new TaskPool<typeof tasks>(new URL('../../support/video-tasks.ts', import.meta.url), {
      size: 1,
      workDir: tempDir(t),
    });
    t.after(() => pool.close({ graceMs: 0 }));
    for (const way of ['deadline', 'SIGKILL'] as const) {
      writeFileSync(join(dir, 'pid'), '');
      const begun = firstEvent<{ pid: number }>();
      const timeoutMs = way === 'deadline' ? 3_000 : 60_000;
      const running = pool.run(
        'frame',
        { path: source, limits: DEFAULT_LIMITS },
        { limits: { ...DEFAULT_LIMITS, timeoutMs }, report: begun.report },
      );
      const outcome = assert.rejects(
        running,
        problem(way === 'deadline' ? 'processing_timeout' : 'decoder_crashed'),
      );
      const { pid } = await begun.promise;
      await until('ffmpeg runs', () => noted() > 0);
      assert.equal(isAlive(noted()), true);
      if (way === 'SIGKILL') process.kill(pid, 'SIGKILL');
      await outcome;
      await until('ffmpeg is gone', () => !isAlive(noted()));
    }
  });
});
