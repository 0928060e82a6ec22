/** New versions of images that are there, and several jobs at a time. */
import { z } from 'zod';
import { imageParams } from '../images.ts';
import { batchParams, batchSchema } from '../jobs.ts';
import type { Operation } from '../operation.ts';
import { planSchema } from '../plan.ts';
import {
  batchProcessSchema,
  MAX_PROCESS_BATCH,
  processAcceptedSchema,
  processBatchAcceptedSchema,
  processQuery,
} from '../processing.ts';
import { EVENT_STREAM, EVENTS_QUERY, EVENTS_RESUME, FAILURES, IDEMPOTENCY_KEY } from './shared.ts';

const WRITE = [
  'invalid_plan',
  'invalid_field',
  'conflict',
  'rate_limited',
  'dependency_down',
  'storage_full',
] as const;

const IMAGE_ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';
const JOB_ID = '0192f0c1-5b7a-7c3e-9d51-30b1d2f4a6c8';
const BATCH_ID = '0192f0c1-5b7a-7c3e-9d51-41c2e3a5b7d9';
const OTHER_ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b12';
const ACCEPTED = {
  job_id: JOB_ID,
  image_id: IMAGE_ID,
  version: 2,
  status_url: `/api/v1/images/jobs/${JOB_ID}`,
};
const OF_BATCH = '/api/v1/images/batch/{batch_id}';

export const PROCESSING_OPERATIONS = {
  process_image: {
    method: 'POST',
    path: '/api/v1/images/{image_id}/process',
    summary: 'Make a new version of an image',
    description: [
      'Runs a Plan on a version of the image, as a job. What comes out is a new version, with all sizes of its own: where',
      'the job completes, all of it is there at once and becomes what the image shows, unless a later version already',
      'does. Until then, and where the job fails or is cancelled, the image is as it was. Older versions stay, and are read',
      'with `version`.',
      '',
      'Where the Plan names no format, the version keeps that of its source, as far as pictures are written in it, and is',
      'JPEG otherwise. Metadata is kept unless the Plan says `strip`; about that of the sizes, the bucket has the last word.',
      'An image that the Plan names must belong to the same owner; its bytes are those of its version at this moment.',
      '',
      'For the owner and admins.',
    ].join('\n'),
    tags: ['Images'],
    auth: { scopes: ['write'] },
    params: imageParams,
    query: processQuery,
    requestHeaders: IDEMPOTENCY_KEY,
    body: { kind: 'json', description: 'A Plan.', schema: planSchema, planAt: '' },
    responses: { 202: { description: 'It will be made.', schema: processAcceptedSchema, example: ACCEPTED } },
    problems: ['not_found', 'not_finished', ...WRITE, ...FAILURES],
    example: [
      `curl --json '{"operations":[{"op":"rotate","angle":90},{"op":"resize","width":800}]}' \\`,
      `  -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/${IMAGE_ID}/process"`,
    ].join('\n'),
  },

  process_batch: {
    method: 'POST',
    path: '/api/v1/images/batch/process',
    summary: 'Make a new version of several images',
    description: [
      `The same Plan for up to ${MAX_PROCESS_BATCH} images, a job each, as \`POST …/process\` runs it on their current versions.`,
      'Each image is accepted or refused by itself: the answer has a job or a problem for each. The jobs share a',
      '`batch_id`, by which they are followed together.',
    ].join('\n'),
    tags: ['Images'],
    auth: { scopes: ['write'] },
    requestHeaders: IDEMPOTENCY_KEY,
    body: { kind: 'json', schema: batchProcessSchema, planAt: 'plan' },
    responses: {
      202: {
        description: 'What was accepted, and what was not and why.',
        schema: processBatchAcceptedSchema,
        example: {
          batch_id: BATCH_ID,
          status_url: `/api/v1/images/batch/${BATCH_ID}`,
          items: [
            ACCEPTED,
            {
              image_id: OTHER_ID,
              problem: {
                type: '/problems/not_found',
                title: 'Not found',
                status: 404,
                detail:
                  'There is no such image; a private one is there only for its owner, or by a signed URL.',
                code: 'not_found',
                instance: `/api/v1/images/${OTHER_ID}/process`,
                request_id: '5f0c1c0e-4f6c-4a53-9a0a-0d3c5f9f5a43',
              },
            },
          ],
        },
      },
    },
    problems: WRITE,
    example: [
      `curl --json '{"image_ids":["${IMAGE_ID}"],"plan":{"operations":[{"op":"grayscale"}]}}' \\`,
      '  -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/batch/process"',
    ].join('\n'),
  },

  get_batch: {
    method: 'GET',
    path: OF_BATCH,
    summary: 'Look up the jobs of one request',
    description:
      'Of an upload of several files, or of `batch/process`; for whoever sent it and for admins. Jobs of images that were deleted are not among them any more.',
    tags: ['Jobs'],
    auth: { scopes: ['read'] },
    params: batchParams,
    query: z.strictObject({}),
    responses: {
      200: {
        description: 'How far they are, together and each.',
        schema: batchSchema,
        example: {
          batch_id: BATCH_ID,
          status: 'processing',
          progress: 45,
          counts: { pending: 0, processing: 1, retrying: 0, completed: 0, failed: 0, cancelled: 0 },
          items: [
            {
              job_id: JOB_ID,
              image_id: IMAGE_ID,
              kind: 'process',
              version: 2,
              batch_id: BATCH_ID,
              status: 'processing',
              progress: 45,
              step: 'rendering',
              created_at: '2026-11-02T08:00:00.000Z',
              started_at: '2026-11-02T08:00:00.012Z',
              completed_at: null,
              error: null,
              attempts: 1,
              max_retries: 3,
            },
          ],
        },
      },
    },
    problems: ['not_found', 'invalid_field', 'dependency_down'],
    example: `curl -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/batch/${BATCH_ID}"`,
  },

  stream_batch_events: {
    method: 'GET',
    path: `${OF_BATCH}/events`,
    summary: 'Follow the jobs of one request',
    description: [
      'For whoever sent the request and for admins. Server-sent events with JSON data. First comes the state as it is, then',
      'what has been, and what comes:',
      '',
      '- `progress`: `{batch_id, status, progress, counts}`: how the batch stands now',
      '- `job`: `{job_id, image_id, version, status, progress, step, attempts}`: how one job stands now; when it has ended, with `completed_at` and `result_url` or `error`',
      '- `step`: `{job_id, image_id, step, at}`, with `attempt` or `code` where there is one: what happened to a job',
      '- `rendition`: `{job_id, image_id, name, url, width, height, format, size_bytes}`: this size can be read now',
      '- `completed`: `{batch_id, status, progress, counts}`: all jobs have ended, `status` and `counts` say how. The last one; the stream ends',
      '',
      EVENTS_RESUME,
    ].join('\n'),
    tags: ['Jobs'],
    auth: { scopes: ['read'] },
    params: batchParams,
    query: EVENTS_QUERY,
    responses: {
      200: EVENT_STREAM,
      204: { description: 'All jobs have ended, and the client has seen the last event.' },
    },
    problems: ['not_found', 'invalid_field', 'dependency_down'],
    example: `curl -N -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/batch/${BATCH_ID}/events"`,
  },
} as const satisfies Record<string, Operation>;
