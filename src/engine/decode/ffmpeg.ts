/**
 * ffmpeg and ffprobe, where they are installed: the one way to the pixels of a video. Both are run without a shell and
 * without the environment, in the process group of their owner, so that the pool's one signal reaches them too.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { Problem } from '../../problem.ts';

export interface CallLimits {
  /** Wall time. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

export interface Programs {
  ffmpeg: string;
  ffprobe: string;
}

export interface Ended {
  /** What it complained of, without addresses and file names. */
  complaint: string;
  /** It came to its own end with status 0. */
  succeeded: boolean;
}

const MAX_STDERR_CHARS = 8_192;
const MAX_DETAIL_CHARS = 200;
const VERSION_TIMEOUT_MS = 10_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

let lookedUp: { searched: string | undefined; found: Programs | undefined } | undefined;

/** Absolute paths of both programs, looked for on the PATH once; undefined where one is missing. */
export function findFfmpeg(): Programs | undefined {
  const searched = process.env.PATH;
  if (!lookedUp || lookedUp.searched !== searched) {
    const ffmpeg = onPath('ffmpeg', searched);
    const ffprobe = onPath('ffprobe', searched);
    lookedUp = { searched, found: ffmpeg && ffprobe ? { ffmpeg, ffprobe } : undefined };
  }
  return lookedUp.found;
}

/** @throws Problem `unsupported_media_type` where ffmpeg is missing */
export function requireFfmpeg(): Programs {
  const found = findFfmpeg();
  if (!found) throw new Problem('unsupported_media_type', { detail: FFMPEG_MISSING });
  return found;
}

export const FFMPEG_MISSING = 'Videos need ffmpeg, which is not installed here.';

/** E.g. `5.1.9-0+deb12u1`; undefined where ffmpeg is missing or does not run. Good for a check at start-up. */
export async function ffmpegVersion(): Promise<string | undefined> {
  const found = findFfmpeg();
  if (!found) return undefined;
  let text = '';
  try {
    const { succeeded } = await runProgram(
      found.ffmpeg,
      ['-hide_banner', '-version'],
      { timeoutMs: VERSION_TIMEOUT_MS },
      (chunk) => {
        text += chunk.toString('latin1');
      },
    );
    if (!succeeded) return undefined;
  } catch {
    // Found, and of no use: a broken library, no right to run it.
    return undefined;
  }
  return /^ffmpeg version (\S+)/.exec(text)?.[1];
}

/** Whether videos can be decoded here: ffmpeg is there and runs. */
export async function videoAvailable(): Promise<boolean> {
  return (await ffmpegVersion()) !== undefined;
}

function onPath(command: string, path: string | undefined): string | undefined {
  for (const dir of (path ?? '').split(delimiter)) {
    const file = join(dir, command);
    if (!isAbsolute(file)) continue;
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/**
 * Runs one of the two programs to its end.
 * @param onOutput is given what comes on standard output; what it throws ends the program and is thrown
 * @throws Problem `processing_timeout`, `cancelled`, `decoder_crashed`, `unsupported_media_type` where the program is gone
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  { timeoutMs, signal }: CallLimits,
  onOutput: (chunk: Buffer) => void,
): Promise<Ended> {
  if (signal?.aborted) throw new Problem('cancelled', { cause: signal.reason });
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: false,
    windowsHide: true,
    env: environment(),
  });
  let stopped: unknown;
  const stop = (reason: unknown) => {
    stopped ??= reason;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => stop(tooLong()), Math.min(Math.max(timeoutMs, 0), MAX_TIMER_MS));
  const onAbort = () => stop(new Problem('cancelled', { cause: signal?.reason }));
  signal?.addEventListener('abort', onAbort, { once: true });
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    if (stopped !== undefined) return;
    try {
      onOutput(chunk);
    } catch (error) {
      stop(error);
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < MAX_STDERR_CHARS) stderr += text.slice(0, MAX_STDERR_CHARS);
  });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<{
      code: number | null;
      by: NodeJS.Signals | null;
    }>();
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const gone = cause.code === 'ENOENT' || cause.code === 'EACCES';
      reject(
        gone
          ? new Problem('unsupported_media_type', { detail: FFMPEG_MISSING, cause })
          : new Problem('internal', { cause }),
      );
    });
    child.once('close', (code, by) => resolve({ code, by }));
    const { code, by } = await promise;
    if (stopped !== undefined) throw stopped;
    if (by === 'SIGXCPU') throw tooLong();
    if (by !== null) {
      throw new Problem('decoder_crashed', {
        detail: 'The decoder broke down on this video, which is most likely damaged.',
        cause: new Error(`ended by ${by}\n${stderr}`.trim()),
      });
    }
    return { complaint: complaintOf(stderr), succeeded: code === 0 };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

const tooLong = () =>
  new Problem('processing_timeout', { detail: 'Decoding this video takes more time than is allowed.' });

/** Nothing of the owner's: only what the programs' libraries may need to be found. */
function environment(): NodeJS.ProcessEnv {
  const { LD_LIBRARY_PATH } = process.env;
  return {
    LANG: 'C',
    LC_ALL: 'C',
    AV_LOG_FORCE_NOCOLOR: '1',
    ...(LD_LIBRARY_PATH !== undefined && { LD_LIBRARY_PATH }),
  };
}

/** The sound's decoder is not on the list of those that may be used, nor needs it be. */
const NOT_ABOUT_THE_PICTURE = /^Last message repeated|not on whitelist|^Could not find codec parameters/;

/** The first line of what was said, fit for a client: `[h264 @ 0x55d4] …` without its address, files without names. */
function complaintOf(stderr: string): string {
  const line = stderr
    .split('\n')
    .map((text) => text.replace(/^(\[[^\]\n]{0,80}\] )+/, '').trim())
    .find((text) => text !== '' && !NOT_ABOUT_THE_PICTURE.test(text));
  if (line === undefined) return '';
  const clean = line
    .replace(/(?:file:)?\/[^\s:]*/g, 'the file')
    .replace(/[\p{Cc}\p{Cs}]/gu, '')
    .replace(/[.\s]+$/, '');
  return clean.length > MAX_DETAIL_CHARS ? `${clean.slice(0, MAX_DETAIL_CHARS)}…` : clean;
}
