/**
 * Delays and loops as the file formats count them. libvips writes most of them right; what it cannot say, or says
 * differently for the sake of old players, is corrected in its file.
 */
import { open, readFile } from 'node:fs/promises';
import type { Timing } from './index.ts';

const GIF_UNIT_MS = 10;
const WEBP_UNIT_MS = 1;
/** libvips writes 100 for anything shorter into a WebP. */
const WEBP_MIN_GIVEN_MS = 11;
const WEBP_MAX_MS = 0xff_ffff;
const GIF_MAX_UNITS = 65_535;
/** sharp takes no more of either. */
const MAX_GIVEN_MS = 65_535;
const MAX_GIVEN_LOOP = 65_535;

/**
 * Whole units of `unitMs` for each delay, so that every frame begins at the unit nearest to its true time: what one
 * frame loses to rounding the next one gets, and the animation as a whole keeps its length.
 */
export function wholeUnits(delayMs: readonly number[], unitMs: number): number[] {
  let time = 0;
  let began = 0;
  return delayMs.map((delay) => {
    time += delay;
    const ends = Math.round(time / unitMs);
    const units = ends - began;
    began = ends;
    return units;
  });
}

export interface Schedule {
  /** What libvips is told. */
  given: Timing;
  /** Makes the delays in its file what they should be. */
  correct(path: string): Promise<void>;
}

/** How the frames of a GIF or WebP get their timing. */
export function schedule(format: 'gif' | 'webp', timing: Timing): Schedule {
  const { delay, loop } = timing;
  const plays = loop !== undefined && { loop: Math.min(loop, MAX_GIVEN_LOOP) };
  if (!delay) return { given: { ...plays }, correct: async () => {} };
  const unitMs = format === 'gif' ? GIF_UNIT_MS : WEBP_UNIT_MS;
  const [least, most] =
    format === 'gif' ? [0, MAX_GIVEN_MS - (MAX_GIVEN_MS % GIF_UNIT_MS)] : [WEBP_MIN_GIVEN_MS, MAX_GIVEN_MS];
  const wanted = wholeUnits(delay, unitMs);
  const given = wanted.map((units) => Math.max(least, Math.min(most, units * unitMs)));
  const differs = wanted.some((units, i) => units * unitMs !== given[i]);
  const write = format === 'gif' ? writeGifDelays : writeWebpDelays;
  return {
    given: { delay: given, ...plays },
    correct: async (path) => {
      if (differs) await write(path, wanted, given);
    },
  };
}

/** GIF89a: every frame of ours has a graphic control extension, whose delay stands in its bytes 4 and 5. */
async function writeGifDelays(path: string, centiseconds: number[]): Promise<void> {
  const gif = await readFile(path);
  const file = await open(path, 'r+');
  try {
    let frame = 0;
    let at = 13 + paletteBytes(gif[10]!);
    while (gif[at] === 0x21 || gif[at] === 0x2c) {
      if (gif[at] === 0x2c) at += 10 + paletteBytes(gif[at + 9]!) + 1;
      else {
        if (gif[at + 1] === 0xf9) {
          const delay = Buffer.alloc(2);
          delay.writeUInt16LE(Math.min(GIF_MAX_UNITS, centiseconds[frame++] ?? 0));
          await file.write(delay, 0, 2, at + 4);
        }
        at += 2;
      }
      while (gif[at]) at += gif[at]! + 1;
      at += 1;
    }
  } finally {
    await file.close();
  }
}

const paletteBytes = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);

/**
 * RFC 9649: ANMF has its delay at byte 12 of its body. libwebp joins frames that do not differ and adds their delays
 * up; as all that were given are above zero, the sum tells which they were.
 */
async function writeWebpDelays(path: string, wanted: number[], given: number[]): Promise<void> {
  const webp = await readFile(path);
  const file = await open(path, 'r+');
  try {
    let frame = 0;
    for (let at = 12; at + 8 <= webp.length; ) {
      const length = webp.readUInt32LE(at + 4);
      if (webp.toString('latin1', at, at + 4) === 'ANMF') {
        const written = webp.readUIntLE(at + 20, 3);
        let delay = 0;
        for (let sum = 0; sum < written && frame < given.length; frame++) {
          sum += given[frame]!;
          delay += wanted[frame]!;
        }
        const bytes = Buffer.alloc(3);
        bytes.writeUIntLE(Math.min(delay, WEBP_MAX_MS), 0, 3);
        await file.write(bytes, 0, 3, at + 20);
      }
      at += 8 + length + (length & 1);
    }
  } finally {
    await file.close();
  }
}
