/** The work on uploads and new versions, and conversions whose result is fetched later. */
import { z } from 'zod';
import { jobParams, jobResultSchema, jobSchema, taskParams, taskSchema } from '../jobs.ts';
import type { Operation } from '../operation.ts';
import { MIME_TYPES } from '../plan.ts';
import {
  ACCEPT_RANGES,
  CONTENT_LENGTH,
  CONTENT_RANGE,
  ETAG,
  EVENT_STREAM,
  EVENTS_QUERY,
  EVENTS_RESUME,
  FAILURES,
  IF_PRIVATE,
} from './shared.ts';

const PRIVACY =
  'A job id is known to those who were told. The job of a private image is there only for its owner and for admins';

const READ = ['not_found', 'dependency_down'] as const;

/** A failed job's result is answered with the code that it ended with. */
const ENDED = [...FAILURES, 'invalid_plan'] as const;

const OF_JOB = '/api/v1/images/jobs/{job_id}';
const JOB_ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b11';
const IMAGE_ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';
const IMAGE_URL = `http://127.0.0.1:8000/api/v1/images/${IMAGE_ID}/direct`;

const JOB = {
  job_id: JOB_ID,
  image_id: IMAGE_ID,
  kind: 'upload',
  version: 1,
  batch_id: null,
  status: 'processing',
  progress: 45,
  step: 'rendering',
  created_at: '2026-11-02T08:00:00.000Z',
  started_at: '2026-11-02T08:00:00.012Z',
  completed_at: null,
  error: null,
  attempts: 1,
  max_retries: 3,
};

const BYTES_HEADERS = {
  'Content-Length': CONTENT_LENGTH,
  'Content-Disposition': {
    description: 'The name of the uploaded file, made harmless, with the new extension (RFC 6266).',
    schema: z.string(),
  },
  'X-Image-Width': { description: 'Width of the picture in px.', schema: z.int() },
  'X-Image-Height': { description: 'Height of the picture in px.', schema: z.int() },
  'Accept-Ranges': ACCEPT_RANGES,
  ETag: ETAG,
} as const;

export const JOB_OPERATIONS = {
  get_job: {
    method: 'GET',
    path: OF_JOB,
    summary: 'Look up a job',
    description: `${PRIVACY}.`,
    tags: ['Jobs'],
    auth: IF_PRIVATE,
    params: jobParams,
    responses: { 200: { description: 'How far it is.', schema: jobSchema, example: JOB } },
    problems: READ,
    example: `curl "$URL/api/v1/images/jobs/${JOB_ID}"`,
  },

  get_job_result: {
    method: 'GET',
    path: `${OF_JOB}/result`,
    summary: 'What a job has made',
    description: `${PRIVACY}. A failed or cancelled job is answered with the problem that ended it.`,
    tags: ['Jobs'],
    auth: IF_PRIVATE,
    params: jobParams,
    responses: {
      200: {
        description: 'Every size, and what stands in its place until it has come.',
        schema: jobResultSchema,
        example: {
          image_id: IMAGE_ID,
          version: 1,
          status: 'completed',
          urls: { medium: `${IMAGE_URL}?size=medium&version=1` },
          metadata: {
            dominant_color: '#336699',
            thumbhash: '1QcSHQRnh493V4dIh4eXh1h4kJUI',
            blurhash: 'LEHV6nWB2yk8',
            original_dimensions: { width: 4000, height: 3000 },
            variants: {
              medium: { width: 600, height: 450, aspect_ratio: 1.3333, format: 'webp', size_bytes: 48_213 },
            },
            context: { album: 'harbour' },
          },
          completed_at: '2026-11-02T08:00:00.640Z',
        },
      },
    },
    problems: [...READ, 'not_finished', ...ENDED],
    example: `curl "$URL/api/v1/images/jobs/${JOB_ID}/result"`,
  },

  stream_job_events: {
    method: 'GET',
    path: `${OF_JOB}/events`,
    summary: 'Follow a job',
    description: [
      `${PRIVACY}.`,
      'Server-sent events with JSON data. The first is `progress` with the state as it is; then come those that have been, and those that come:',
      '',
      '- `progress`: `{job_id, image_id, status, progress, step, attempts}`: how it stands now',
      '- `step`: `{job_id, image_id, step, at}`, with `attempt` or `code` where there is one: what happened to the job, such as `job.started` and `job.retrying`',
      '- `rendition`: `{name, url, width, height, format, size_bytes}`: this size can be read now',
      '- `completed`: `{job_id, image_id, status, result_url, completed_at}`; `failed`: with `error`; `cancelled`. The last one; the stream ends',
      '',
      EVENTS_RESUME,
    ].join('\n'),
    tags: ['Jobs'],
    auth: IF_PRIVATE,
    params: jobParams,
    query: EVENTS_QUERY,
    responses: {
      200: EVENT_STREAM,
      204: { description: 'The job has ended, and the client has seen its last event.' },
    },
    problems: [...READ, 'invalid_field'],
    example: `curl -N "$URL/api/v1/images/jobs/${JOB_ID}/events"`,
  },

  retry_job: {
    method: 'POST',
    path: `${OF_JOB}/retry`,
    summary: 'Have a job run again',
    description:
      'A failed, cancelled or waiting one, from its first attempt; what it made before is not made again. For the owner and admins.',
    tags: ['Jobs'],
    auth: { scopes: ['write'] },
    params: jobParams,
    responses: {
      202: {
        description: 'It will.',
        schema: jobSchema,
        example: { ...JOB, status: 'pending', progress: 0, step: null, started_at: null, attempts: 0 },
      },
    },
    problems: [...READ, 'conflict', 'storage_full'],
    example: `curl -X POST -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/jobs/${JOB_ID}/retry"`,
  },

  cancel_job: {
    method: 'POST',
    path: `${OF_JOB}/cancel`,
    summary: 'Cancel a job',
    description:
      'One that runs is ended within a second or so, then it is `cancelled`. What an upload has made already stays until the image is deleted; of a version that was being made nothing does. For the owner and admins.',
    tags: ['Jobs'],
    auth: { scopes: ['write'] },
    params: jobParams,
    responses: {
      202: {
        description: 'It is, or will be.',
        schema: jobSchema,
        example: { ...JOB, status: 'cancelled', step: 'cancelled', completed_at: '2026-11-02T08:00:01.000Z' },
      },
    },
    problems: [...READ, 'conflict', 'storage_full'],
    example: `curl -X POST -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/jobs/${JOB_ID}/cancel"`,
  },

  get_task: {
    method: 'GET',
    path: '/status/{task_id}',
    summary: 'Look up a conversion',
    description: 'One that was asked for with `async=true`. It is kept for a day after it has ended.',
    tags: ['Conversion'],
    auth: 'none',
    params: taskParams,
    responses: {
      200: {
        description: 'How far it is.',
        schema: taskSchema,
        example: {
          task_id: JOB_ID,
          status: 'completed',
          progress: 100,
          result_url: `http://127.0.0.1:8000/status/${JOB_ID}/result`,
          error: null,
        },
      },
    },
    problems: READ,
    example: `curl "$URL/status/${JOB_ID}"`,
  },

  get_task_result: {
    method: 'GET',
    path: '/status/{task_id}/result',
    summary: 'Read the result of a conversion',
    description:
      'Knows `If-None-Match`, `Range` (one) and `If-Range`. A failed conversion is answered with the problem that ended it.',
    tags: ['Conversion'],
    auth: 'none',
    params: taskParams,
    responses: {
      200: { description: 'The picture.', content: Object.values(MIME_TYPES), headers: BYTES_HEADERS },
      206: {
        description: 'The range that was asked for.',
        content: Object.values(MIME_TYPES),
        headers: {
          ...BYTES_HEADERS,
          'Content-Range': CONTENT_RANGE,
        },
      },
      304: { description: 'The client has it.', headers: { ETag: ETAG } },
    },
    problems: [...READ, 'not_finished', 'range_not_satisfiable', ...ENDED],
    example: `curl -OJ "$URL/status/${JOB_ID}/result"`,
  },
} as const satisfies Record<string, Operation>;
