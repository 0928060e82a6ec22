/** What operators look at: figures, dead letters, the last day. Counts alone tell nothing of anybody. */
import { z } from 'zod';
import { JOB_KINDS, SHOWN_JOB_STATUSES } from './jobs.ts';
import { PROBLEM_CODES } from './resources.ts';

const count = z.int().min(0);
const seconds = z.number().min(0);
const when = z.iso.datetime();

export const statsSchema = z
  .strictObject({
    status_breakdown: z.record(z.enum(SHOWN_JOB_STATUSES), count).meta({ description: 'Jobs by status.' }),
    performance_24h: z.strictObject({
      completed_24h: count,
      avg_processing_time_seconds: seconds
        .nullable()
        .meta({ description: 'Of the attempts that completed; null where none did.' }),
    }),
    storage: z.strictObject({
      total_images: count,
      total_jobs: count,
      bytes: count.meta({ description: 'Uploads and renditions; what is shared counts once.' }),
    }),
    queue: z.strictObject({
      depth: count.meta({ description: 'Jobs that could run now.' }),
      oldest_seconds: seconds
        .nullable()
        .meta({ description: 'How long the oldest of them waits; null where none does.' }),
      outbox: count.meta({ description: 'Jobs that the queue has not been told of yet.' }),
      expected_uploads: count.meta({ description: 'Direct uploads that were allowed and have not come.' }),
    }),
    workers: z.strictObject({
      concurrency: count.meta({ description: 'Jobs that this process runs at the same time, at most.' }),
      running: count.meta({ description: 'Jobs that this process is running.' }),
      children: count.meta({ description: 'Child processes that decode and encode.' }),
      busy: count,
      idle: count,
      waiting: count.meta({ description: 'Tasks that wait for a child.' }),
      completed: count.meta({ description: 'Tasks since the start.' }),
      failed: count,
      restarts: count.meta({ description: 'Children that died or were killed.' }),
      recycled: count.meta({ description: 'Children that were replaced because of their age or size.' }),
      resident_memory_bytes: count.meta({ description: 'Of all children, as last sampled.' }),
      peak_resident_memory_bytes: count,
    }),
  })
  .meta({ id: 'Stats', description: 'Figures of the whole installation; `workers` of this process.' });
export type Stats = z.output<typeof statsSchema>;

const failure = z.strictObject({
  code: z.enum(PROBLEM_CODES),
  title: z.string(),
  detail: z.string().nullable().meta({ description: 'For admins.' }),
});

const kept = z.string().nullable().optional();

export const failedJobSchema = z
  .strictObject({
    job_id: z.guid().nullable().meta({ description: 'Null where it is not for the caller to see.' }),
    image_id: z.guid().nullable(),
    kind: z.enum(JOB_KINDS),
    status: z.literal('failed'),
    error: failure,
    attempts: count,
    max_retries: count,
    created_at: when,
    started_at: when.nullable(),
    completed_at: when.nullable(),
    owner: kept.meta({ description: 'For admins, as are `bucket` and `filename`.' }),
    bucket: kept,
    filename: kept,
  })
  .meta({ id: 'FailedJob', description: 'A job that will not be tried again by itself.' });
export type FailedJob = z.output<typeof failedJobSchema>;

export const failedJobsSchema = z.strictObject({
  items: z.array(failedJobSchema).meta({ description: 'The last that failed first.' }),
});

export const dashboardSchema = z
  .strictObject({
    generated_at: when,
    version: z.string(),
    uptime_seconds: seconds,
    stats: statsSchema,
    hours: z
      .array(
        z.strictObject({
          hour: when.meta({ description: 'Its begin.' }),
          completed: count,
          failed: count,
          avg_processing_time_seconds: seconds.nullable(),
        }),
      )
      .meta({ description: 'The last 24, oldest first; the last one is still running.' }),
    children: z.array(z.strictObject({ pid: count, resident_memory_bytes: count })),
    recent_failed: z.array(failedJobSchema),
    recent_jobs: z.array(
      z.strictObject({
        job_id: z.guid().nullable().meta({ description: 'For admins, and of the own jobs.' }),
        image_id: z.guid().nullable(),
        kind: z.enum(JOB_KINDS),
        status: z.enum(SHOWN_JOB_STATUSES),
        progress: z.int().min(0).max(100),
        step: z.string().nullable(),
        attempts: count,
        created_at: when,
        started_at: when.nullable(),
        completed_at: when.nullable(),
      }),
    ),
  })
  .meta({ id: 'Dashboard' });
