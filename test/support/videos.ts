/** Videos made by ffmpeg for one test: as small as can be, and of frames that tell which they are. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireTool, tool } from './tools.ts';

const TIMEOUT_MS = 60_000;

/** Frame n, of 64 × 48, is of the grey `greyOf(n)`, but for its red upper left quarter; ten a second, two seconds. */
export const GREYS =
  "color=c=black:s=64x48:r=10:d=2,format=gbrp,geq=r='if(lt(X,32)*lt(Y,24),255,20+N*10)':g='if(lt(X,32)*lt(Y,24),0,20+N*10)':b='if(lt(X,32)*lt(Y,24),0,20+N*10)',scale=out_color_matrix=bt709,format=yuv444p";
export const greyOf = (frame: number): number => 20 + frame * 10;

export const H264 = ['-c:v', 'libx264', '-qp', '4', '-pix_fmt', 'yuv444p', '-colorspace', 'bt709'];

export interface VideoTools {
  /** @returns the path of the file that was made */
  make(name: string, ...args: string[]): string;
}

/** The test is skipped, and the answer undefined, where ffmpeg is missing. */
export function videoTools(t: { skip(reason: string): void }, dir: string): VideoTools | undefined {
  const ffmpeg = requireTool(t, 'ffmpeg');
  if (!ffmpeg || !requireTool(t, 'ffprobe')) return undefined;
  return {
    make(name, ...args) {
      const path = join(dir, name);
      const run = spawnSync(ffmpeg, ['-nostdin', '-v', 'error', '-y', ...args, path], {
        encoding: 'utf8',
        timeout: TIMEOUT_MS,
      });
      if (run.status !== 0) throw new Error(`ffmpeg could not make ${name}: ${run.error ?? run.stderr}`);
      return path;
    },
  };
}

/** For a `describe`'s option; with `CI=true` its tests run, and fail. */
export const noVideoTools: string | false =
  process.env.CI === 'true' || (tool('ffmpeg') && tool('ffprobe'))
    ? false
    : 'needs ffmpeg (Debian package ffmpeg)';

/** Rows `[a, b, c, d]` of the track's display matrix, of a video with one track. */
export function turnTrack(path: string, [a, b, c, d]: readonly [number, number, number, number]): void {
  const file = readFileSync(path);
  const at = file.indexOf('tkhd') + 4 + 40;
  for (const [i, value] of [a, b, 0, c, d].entries()) file.writeInt32BE(value * 65_536, at + i * 4);
  writeFileSync(path, file);
}
