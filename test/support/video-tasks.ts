/** A task module: videos decoded in a pool's child. */
import { decodeVideoFrame } from '../../src/engine/decode/video.ts';
import type { Limits } from '../../src/engine/limits.ts';
import { probe } from '../../src/engine/probe.ts';

export const tasks = {
  frame: async (
    { path, limits }: { path: string; limits: Limits },
    report: (event: { pid: number }) => void,
  ) => {
    const facts = await probe(path, limits);
    report({ pid: process.pid });
    const { width, height } = await decodeVideoFrame(path, facts, { second: 0 }, limits);
    return { width, height };
  },
};
