/** Health and figures, for operators and dashboards. */
import { z } from 'zod';
import type { Operation } from '../operation.ts';
import { dashboardSchema, failedJobsSchema, statsSchema } from '../overview.ts';
import { healthSchema } from '../resources.ts';

/** Open to the network that the service is open to; a token lets see more. */
const MORE_WITH_TOKEN = { scopes: ['read'], optional: true } as const;
const DISCREET =
  'Readable without a token, for monitors; owners, buckets, file names and details of errors are for a token with the scope `admin`. Ids of private images are for their owners and admins.';

const STATS = {
  status_breakdown: { pending: 3, processing: 2, retrying: 0, completed: 1_250, failed: 4, cancelled: 1 },
  performance_24h: { completed_24h: 310, avg_processing_time_seconds: 0.61 },
  storage: { total_images: 1_260, total_jobs: 1_260, bytes: 5_368_709_120 },
  queue: { depth: 3, oldest_seconds: 0.4, outbox: 0, expected_uploads: 0 },
  workers: {
    concurrency: 2,
    running: 2,
    children: 2,
    busy: 2,
    idle: 0,
    waiting: 1,
    completed: 4_210,
    failed: 4,
    restarts: 1,
    recycled: 8,
    resident_memory_bytes: 314_572_800,
    peak_resident_memory_bytes: 503_316_480,
  },
};

export const ALIVE = {
  200: {
    description: 'It does.',
    schema: healthSchema,
    example: {
      status: 'ok',
      version: '0.1.0',
      uptime_seconds: 86_400.5,
      started_at: '2026-11-02T08:00:00.000Z',
    },
  },
} as const;

export const OVERVIEW_OPERATIONS = {
  service_health: {
    method: 'GET',
    path: '/api/v1/health',
    summary: 'Whether the process lives',
    description: 'The same as `/health`.',
    tags: ['Operation'],
    auth: 'none',
    responses: ALIVE,
    problems: [],
    whileDraining: true,
    example: 'curl "$URL/api/v1/health"',
  },

  stats: {
    method: 'GET',
    path: '/api/v1/health/stats',
    summary: 'Figures of the installation',
    description: 'Counts alone. They may be two seconds old.',
    tags: ['Operation'],
    auth: 'none',
    query: z.strictObject({}),
    responses: { 200: { description: 'The figures.', schema: statsSchema, example: STATS } },
    problems: ['invalid_field', 'dependency_down'],
    example: 'curl "$URL/api/v1/health/stats"',
  },

  failed_jobs: {
    method: 'GET',
    path: '/api/v1/health/failed',
    summary: 'Jobs that failed for good',
    description: `Those that will not be tried again by themselves. ${DISCREET}`,
    tags: ['Operation'],
    auth: MORE_WITH_TOKEN,
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(500).default(50) }),
    responses: {
      200: {
        description: 'The last that failed first.',
        schema: failedJobsSchema,
        example: {
          items: [
            {
              job_id: '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b11',
              image_id: '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10',
              kind: 'upload',
              status: 'failed',
              error: { code: 'decoder_crashed', title: 'A decoder crashed on this image', detail: null },
              attempts: 1,
              max_retries: 3,
              created_at: '2026-11-02T08:00:00.000Z',
              started_at: '2026-11-02T08:00:00.012Z',
              completed_at: '2026-11-02T08:00:00.640Z',
            },
          ],
        },
      },
    },
    problems: ['invalid_field', 'dependency_down'],
    example: 'curl -H "Authorization: Bearer $TOKEN" "$URL/api/v1/health/failed?limit=20"',
  },

  dashboard_data: {
    method: 'GET',
    path: '/dashboard/data',
    summary: 'What a dashboard shows',
    description: `Figures, the last 24 hours, the child processes, and the jobs that came last. ${DISCREET}`,
    tags: ['Operation'],
    auth: MORE_WITH_TOKEN,
    query: z.strictObject({}),
    responses: {
      200: {
        description: 'All of it at once.',
        schema: dashboardSchema,
        example: {
          generated_at: '2026-11-02T08:15:00.000Z',
          version: '0.1.0',
          uptime_seconds: 900,
          stats: STATS,
          hours: [
            {
              hour: '2026-11-02T08:00:00.000Z',
              completed: 12,
              failed: 0,
              avg_processing_time_seconds: 0.6,
            },
          ],
          children: [{ pid: 4711, resident_memory_bytes: 157_286_400 }],
          recent_failed: [],
          recent_jobs: [],
        },
      },
    },
    problems: ['invalid_field', 'dependency_down'],
    example: 'curl "$URL/dashboard/data"',
  },
} as const satisfies Record<string, Operation>;
