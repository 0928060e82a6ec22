/** Health and figures, for operators and dashboards. */
import type { SHOWN_JOB_STATUSES } from '../../contract/jobs.ts';
import type { OVERVIEW_OPERATIONS } from '../../contract/operations/overview.ts';
import type { FailedJob, Stats } from '../../contract/overview.ts';
import type { Principal } from '../../domain/access.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import type { Overview, SeenJob } from '../../services/overview.ts';
import type { Handlers } from '../bind.ts';
import { healthRoute } from './health.ts';

type Table = typeof OVERVIEW_OPERATIONS;

export interface OverviewRouteOptions {
  services: Pick<Services, 'pool' | 'clock'>;
  overview: Overview;
  version: string;
  /** The worker of this process; it has none where jobs run elsewhere. */
  workerStats?: (() => { concurrency: number; running: number }) | undefined;
}

const DASHBOARD_FAILED = 10;
const DASHBOARD_RECENT = 20;
const NOT_KEPT = { 'cache-control': 'no-store' };

export function overviewRoutes({
  services,
  overview,
  version,
  workerStats = () => ({ concurrency: 0, running: 0 }),
}: OverviewRouteOptions): Handlers<Table> {
  const { pool, clock } = services;

  async function stats(): Promise<Stats> {
    const [figures, { outbox }] = await Promise.all([overview.figures(), overview.activity()]);
    const { expected, ...shown } = figures.jobs;
    const { size, rssBytes, peakRssBytes, busy, idle, waiting, completed, failed, restarts, recycled } =
      pool.stats();
    return {
      status_breakdown: shown,
      performance_24h: {
        completed_24h: figures.completed24h,
        avg_processing_time_seconds: figures.avgProcessingSeconds,
      },
      storage: {
        total_images: figures.images,
        total_jobs: Object.values(shown).reduce((sum, n) => sum + n, 0),
        bytes: figures.bytes,
      },
      queue: {
        depth: shown.pending,
        oldest_seconds: figures.oldestWaitingSeconds,
        outbox,
        expected_uploads: expected,
      },
      workers: {
        ...workerStats(),
        children: size,
        busy,
        idle,
        waiting,
        completed,
        failed,
        restarts,
        recycled,
        resident_memory_bytes: Object.values(rssBytes).reduce((sum, bytes) => sum + bytes, 0),
        peak_resident_memory_bytes: peakRssBytes,
      },
    };
  }

  return {
    service_health: healthRoute(version),

    stats: async () => ({ status: 200, headers: NOT_KEPT, json: await stats() }),

    failed_jobs: async ({ query, principal }) => {
      const jobs = await overview.failedJobs(query.limit, principal);
      return {
        status: 200,
        headers: NOT_KEPT,
        json: { items: jobs.map((job) => presentFailed(job, principal)) },
      };
    },

    dashboard_data: async ({ principal }) => {
      const [figures, { hours }, failed, recent] = await Promise.all([
        stats(),
        overview.activity(),
        overview.failedJobs(DASHBOARD_FAILED, principal),
        overview.recentJobs(DASHBOARD_RECENT, principal),
      ]);
      return {
        status: 200,
        headers: NOT_KEPT,
        json: {
          generated_at: clock.now().toISOString(),
          version,
          uptime_seconds: Math.round(process.uptime() * 10) / 10,
          stats: figures,
          hours: hours.map(({ hour, completed, failed, avgProcessingSeconds }) => ({
            hour,
            completed,
            failed,
            avg_processing_time_seconds: avgProcessingSeconds,
          })),
          children: Object.entries(pool.stats().rssBytes).map(([pid, bytes]) => ({
            pid: Number(pid),
            resident_memory_bytes: bytes,
          })),
          recent_failed: failed.map((job) => presentFailed(job, principal)),
          recent_jobs: recent.map(presentRecent),
        },
      };
    },
  };
}

function presentFailed({ job, image, isShown }: SeenJob, principal: Principal | undefined): FailedJob {
  const isAdmin = isShown && principal?.scopes.has('admin') === true;
  const { code, title, detail } = Problem.deserialize(job.lastError ?? { code: 'internal' });
  return {
    ...idsOf({ job, isShown }),
    kind: job.kind,
    status: 'failed',
    error: { code, title, detail: (isAdmin && detail) || null },
    attempts: job.attemptCount,
    max_retries: job.maxRetries,
    created_at: job.createdAt,
    started_at: job.startedAt,
    completed_at: job.completedAt,
    ...(isAdmin && { owner: job.owner, bucket: job.bucket, filename: image?.filename ?? null }),
  };
}

const presentRecent = ({ job, isShown }: SeenJob) => ({
  ...idsOf({ job, isShown }),
  kind: job.kind,
  status: shownStatus(job.status),
  progress: job.progress,
  step: job.step,
  attempts: job.attemptCount,
  created_at: job.createdAt,
  started_at: job.startedAt,
  completed_at: job.completedAt,
});

const idsOf = ({ job, isShown }: Pick<SeenJob, 'job' | 'isShown'>) => ({
  job_id: isShown ? job.jobId : null,
  image_id: isShown ? job.imageId : null,
});

/** A job whose bytes are still to come waits, for whoever looks at it. */
const shownStatus = (status: SeenJob['job']['status']): (typeof SHOWN_JOB_STATUSES)[number] =>
  status === 'expected' ? 'pending' : status;
