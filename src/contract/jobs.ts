/** What the answers about jobs are made of. */
import { z } from 'zod';
import { PROBLEM_CODES } from './resources.ts';

export const SHOWN_JOB_STATUSES = [
  'pending',
  'processing',
  'retrying',
  'completed',
  'failed',
  'cancelled',
] as const;

/** `process`: a new version of an image that was there; `convert`: a conversion whose result is fetched later. */
export const JOB_KINDS = ['upload', 'process', 'convert'] as const;

export const BATCH_STATUSES = [
  'pending',
  'processing',
  'completed',
  'partially_completed',
  'failed',
] as const;

const px = z.int().min(1);
const when = z.iso.datetime();
const statusSchema = z.enum(SHOWN_JOB_STATUSES).meta({
  description:
    '`retrying`: the last attempt failed and there will be another. `completed`, `failed` and `cancelled` are final.',
});
const progressSchema = z.int().min(0).max(100).meta({ description: 'Percent.' });

const failureSchema = z
  .strictObject({
    code: z.enum(PROBLEM_CODES),
    title: z.string(),
    detail: z.string().nullable(),
  })
  .nullable()
  .meta({ description: 'What the last attempt failed with.' });

export const jobSchema = z
  .strictObject({
    job_id: z.guid(),
    image_id: z.guid(),
    kind: z.enum(['upload', 'process']),
    version: z.int().min(1).meta({
      description: 'Of the image, that the job makes the sizes of; of a `process` the one that it makes.',
    }),
    batch_id: z.guid().nullable().meta({ description: 'Where one request asked for several jobs.' }),
    status: statusSchema,
    progress: progressSchema,
    step: z.string().nullable().meta({ description: 'What is being done, in words; for people.' }),
    created_at: when,
    started_at: when.nullable().meta({ description: 'Of the last attempt.' }),
    completed_at: when.nullable().meta({ description: 'When it ended, well or not.' }),
    error: failureSchema,
    attempts: z.int().min(0),
    max_retries: z.int().min(0).meta({ description: 'Attempts after the first.' }),
  })
  .meta({ id: 'Job', description: 'The work on an upload, or on a new version.' });
export type JobDocument = z.output<typeof jobSchema>;

const urlSchema = z.url().meta({
  description: 'Where the bytes are. Of a private image it is signed and holds for an hour or so.',
});

const variantSchema = z.strictObject({
  width: px,
  height: px,
  aspect_ratio: z.number().positive().meta({ description: 'Width by height.' }),
  format: z.string().meta({ description: 'E.g. `webp`.' }),
  size_bytes: z.int().min(0),
});

export const jobResultSchema = z
  .strictObject({
    image_id: z.guid(),
    version: z.int().min(1),
    status: z.literal('completed'),
    urls: z.record(z.string(), urlSchema).meta({
      description:
        'By size. A size in several formats is under its name, where `Accept` decides, and under `<name>.<format>` for each further format.',
    }),
    metadata: z.strictObject({
      dominant_color: z.string().nullable().meta({ description: '`#rrggbb`.' }),
      thumbhash: z.string().nullable().meta({ description: 'Base64.' }),
      blurhash: z.string().nullable(),
      original_dimensions: z
        .strictObject({ width: px, height: px })
        .meta({ description: 'Of the version, as displayed.' }),
      variants: z.record(z.string(), variantSchema).meta({ description: 'By the names of `urls`.' }),
      context: z
        .record(z.string(), z.unknown())
        .meta({ description: 'The `metadata` of the upload, passed through.' }),
    }),
    completed_at: when,
  })
  .meta({ id: 'JobResult', description: 'What a job has made.' });
export type JobResult = z.output<typeof jobResultSchema>;

export const taskSchema = z
  .strictObject({
    task_id: z.guid(),
    status: statusSchema,
    progress: progressSchema,
    result_url: z.url().nullable().meta({ description: 'Once it is `completed`; kept for a day.' }),
    error: failureSchema,
  })
  .meta({ id: 'Task', description: 'A conversion whose result is fetched later.' });
export type TaskDocument = z.output<typeof taskSchema>;

const count = z.int().min(0);

/** What the jobs of one request add up to. */
const batchMembers = {
  batch_id: z.guid(),
  status: z.enum(BATCH_STATUSES).meta({
    description:
      '`pending`: none has begun. `processing`: some are to end still. Then `completed` where all did so well, `failed` where none did, and `partially_completed`.',
  }),
  progress: progressSchema,
  counts: z.strictObject(
    Object.fromEntries(SHOWN_JOB_STATUSES.map((status) => [status, count])) as Record<
      (typeof SHOWN_JOB_STATUSES)[number],
      typeof count
    >,
  ),
};

export const batchSchema = z
  .strictObject({
    ...batchMembers,
    items: z.array(jobSchema).meta({ description: 'In the order of the request.' }),
  })
  .meta({ id: 'Batch', description: 'Jobs that one request asked for.' });
export type BatchDocument = z.output<typeof batchSchema>;

/** Ids are compared as lower case. */
export const jobParams = z.strictObject({ job_id: z.guid().toLowerCase() });
export const batchParams = z.strictObject({ batch_id: z.guid().toLowerCase() });
export const taskParams = z.strictObject({ task_id: z.guid().toLowerCase() });
