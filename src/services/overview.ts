/** The figures that operators look at. Many may ask: the catalog is read once in a while. */
import { canSee, type Principal } from '../domain/access.ts';
import type { Catalog, ImageRow, JobRow } from '../ports/catalog.ts';
import type { Services } from './context.ts';
import { isTheirJob } from './retrieve.ts';

type Figures = Awaited<ReturnType<Catalog['stats']>>;
type Activity = Awaited<ReturnType<Catalog['activity']>>;

/** A job, and what of it the caller may see. */
export interface SeenJob {
  job: JobRow;
  /** Undefined where it has none, or none any more. */
  image: ImageRow | undefined;
  /** Whether its ids are for the caller. */
  isShown: boolean;
}

export interface Overview {
  figures(): Promise<Figures>;
  activity(): Promise<Activity>;
  /** Dead letters, the last first. The job of a public image is anybody's to see. */
  failedJobs(limit: number, principal: Principal | undefined): Promise<SeenJob[]>;
  /** Those that came last, the last first. Only admins learn of the jobs of others. */
  recentJobs(limit: number, principal: Principal | undefined): Promise<SeenJob[]>;
}

const FIGURES_AGE_MS = 2_000;
/** It reads every job of a day. */
const ACTIVITY_AGE_MS = 10_000;

export function createOverview({ catalog, clock }: Pick<Services, 'catalog' | 'clock'>): Overview {
  async function withImages(jobs: JobRow[], isShown: (job: JobRow, image?: ImageRow) => boolean) {
    const ids = jobs.flatMap(({ imageId }) => imageId ?? []);
    const images = new Map((await catalog.images(ids)).map((image) => [image.imageId, image]));
    return jobs.map((job) => {
      const image = job.imageId === null ? undefined : images.get(job.imageId);
      return { job, image, isShown: isShown(job, image) };
    });
  }

  return {
    figures: remembered(FIGURES_AGE_MS, () => catalog.stats(clock.now())),
    activity: remembered(ACTIVITY_AGE_MS, () => catalog.activity(clock.now())),
    failedJobs: async (limit, principal) =>
      withImages(await catalog.failedJobs(limit), (job, image) =>
        image ? canSee(principal, image) : isTheirJob(principal, job),
      ),
    recentJobs: async (limit, principal) =>
      withImages(await catalog.recentJobs(limit), (job) => isTheirJob(principal, job)),
  };
}

/** The last answer while it is fresh; those who ask at the same time wait for one. A failure is not kept. */
function remembered<T>(maxAgeMs: number, ask: () => Promise<T>): () => Promise<T> {
  let last: { answer: Promise<T>; untilMs: number } | undefined;
  return () => {
    if (last && performance.now() < last.untilMs) return last.answer;
    const mine = { answer: ask(), untilMs: performance.now() + maxAgeMs };
    last = mine;
    mine.answer.catch(() => {
      if (last === mine) last = undefined;
    });
    return mine.answer;
  };
}
