/**
 * What a child can do. A further kind is one line here and, if it deserves a name, a method in `pool.ts`.
 * Loaded in the children only; the parent imports its types.
 */
import sharp from 'sharp';
import type { Limits } from '../limits.ts';
import type { RenderRequest, Rendition } from '../types.ts';

export const tasks = {
  render: async (
    request: Omit<RenderRequest, 'signal' | 'onRendition'>,
    report: (rendition: Rendition) => void,
  ) => (await import('../render.ts')).render({ ...request, onRendition: report }),

  info: async ({ sourcePath, limits }: { sourcePath: string; limits: Limits }) => {
    const facts = await (await import('../probe.ts')).probe(sourcePath, limits);
    return { facts, info: await (await import('../metadata/read.ts')).readInfo(sourcePath, facts) };
  },
};

/**
 * One libvips thread a child, since there is a child for each core; no operation cache, since it would hold
 * memory and may return the pixels of an older file of the same name.
 */
export async function warmUp(): Promise<void> {
  sharp.cache(false);
  sharp.concurrency(1);
  await import('../render.ts');
}
