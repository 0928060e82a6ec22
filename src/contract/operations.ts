/**
 * The HTTP interface, as one table: routes, validation, the OpenAPI document and `docs/http-api.md` all come
 * from it. An operation without a handler, or a handler without an operation, stops the server at its start.
 */
import { z } from 'zod';
import type { Operation } from './operation.ts';
import { IMAGE_OPERATIONS } from './operations/images.ts';
import { JOB_OPERATIONS } from './operations/jobs.ts';
import { ALIVE, OVERVIEW_OPERATIONS } from './operations/overview.ts';
import { PROCESSING_OPERATIONS } from './operations/processing.ts';
import { TRANSFORM_OPERATIONS } from './operations/transforms.ts';
import { UPLOAD_OPERATIONS } from './operations/uploads.ts';
import { MIME_TYPES } from './plan.ts';
import { PROBLEM_CODES, problemTypeSchema, readinessSchema } from './resources.ts';
import { asyncSchema, conversionAcceptedSchema } from './uploads.ts';

export const OPERATIONS = {
  ...UPLOAD_OPERATIONS,
  ...JOB_OPERATIONS,
  convert: {
    method: 'POST',
    path: '/convert',
    summary: 'Convert one image',
    description: [
      'Sends a picture, gets a picture: the query says what to make of it, and the answer streams the result.',
      'What the file is follows from its first bytes; its name and the declared media type decide nothing.',
      'Pixels come back upright and in sRGB. Metadata is kept unless `metadata=strip` asks for none.',
      'Closing the connection cancels the work.',
    ].join('\n'),
    tags: ['Conversion'],
    auth: 'none',
    query: z.strictObject({
      async: asyncSchema.meta({
        description: 'Answer as soon as the picture is stored; the result is fetched later.',
      }),
    }),
    plan: true,
    body: {
      kind: 'stream',
      description: 'The picture, as the multipart part `file`, or as the bare body with an image media type.',
      files: { file: { description: 'The picture.', required: true } },
      bare: ['image/*', 'application/octet-stream'],
    },
    responses: {
      200: {
        description: 'The converted picture.',
        content: Object.values(MIME_TYPES),
        headers: {
          'Content-Length': { description: 'Bytes of the picture.', schema: z.int() },
          'Content-Disposition': {
            description: 'The name of the uploaded file, made harmless, with the new extension (RFC 6266).',
            schema: z.string(),
          },
          'X-Image-Width': { description: 'Width of the picture in px.', schema: z.int() },
          'X-Image-Height': { description: 'Height of the picture in px.', schema: z.int() },
          'Server-Timing': {
            description: 'Milliseconds spent on `receive`, `probe` and `render`.',
            schema: z.string(),
          },
        },
      },
      202: {
        description: 'With `async`: accepted.',
        schema: conversionAcceptedSchema,
        example: {
          task_id: '0192f0c1-5b7a-7c3e-9d51-30b1d2f4a6c8',
          status_url: '/status/0192f0c1-5b7a-7c3e-9d51-30b1d2f4a6c8',
        },
      },
    },
    problems: [
      'request_timeout',
      'upload_too_large',
      'image_too_large',
      'too_many_frames',
      'unsupported_media_type',
      'undecodable_image',
      'raw_not_developable',
      'preview_not_found',
      'decoder_crashed',
      'memory_exceeded',
      'processing_timeout',
      'metadata_failed',
      'invalid_plan',
      'invalid_field',
      'overloaded',
      'dependency_down',
      'storage_full',
    ],
    example: [
      'curl -OJ -F file=@photo.heic "$URL/convert?format=jpeg"',
      'curl -o small.webp --data-binary @photo.jpg -H "Content-Type: image/jpeg" \\',
      '  "$URL/convert?format=webp&width=1200&metadata=strip"',
    ].join('\n'),
  },

  ...IMAGE_OPERATIONS,
  ...PROCESSING_OPERATIONS,

  ...TRANSFORM_OPERATIONS,

  ...OVERVIEW_OPERATIONS,

  health: {
    method: 'GET',
    path: '/health',
    summary: 'Whether the process lives',
    description: 'Looks at nothing but the process itself: for liveness probes.',
    tags: ['Operation'],
    auth: 'none',
    responses: ALIVE,
    problems: [],
    whileDraining: true,
    example: 'curl "$URL/health"',
  },

  ready: {
    method: 'GET',
    path: '/ready',
    summary: 'Whether requests should be sent here',
    description: 'Checks what the service needs, and says which of it is down: for readiness probes.',
    tags: ['Operation'],
    auth: 'none',
    responses: {
      200: {
        description: 'Ready.',
        schema: readinessSchema,
        example: {
          status: 'ready',
          checks: { pool: { status: 'up' }, metadata: { status: 'up' }, work_folder: { status: 'up' } },
        },
      },
      503: {
        description: 'Something is down, or the server is shutting down.',
        schema: readinessSchema,
        example: {
          status: 'unavailable',
          checks: {
            pool: { status: 'up' },
            metadata: { status: 'down', detail: 'Perl is needed to carry metadata over, and was not found.' },
            work_folder: { status: 'up' },
          },
        },
      },
    },
    problems: [],
    whileDraining: true,
    example: 'curl "$URL/ready"',
  },

  metrics: {
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics for Prometheus',
    tags: ['Operation'],
    auth: 'none',
    responses: { 200: { description: 'Text exposition format.', content: ['text/plain'] } },
    problems: [],
    whileDraining: true,
    example: 'curl "$URL/metrics"',
  },

  home: {
    method: 'GET',
    path: '/',
    summary: 'To the first page',
    tags: ['Documentation'],
    auth: 'none',
    responses: {
      303: {
        description: 'To `/docs`.',
        headers: { Location: { description: 'Where to go.', schema: z.string() } },
      },
    },
    problems: [],
    example: 'curl -i "$URL/"',
  },

  docs: {
    method: 'GET',
    path: '/docs',
    summary: 'This interface, to read and to try',
    tags: ['Documentation'],
    auth: 'none',
    responses: { 200: { description: 'A page.', content: ['text/html'] } },
    problems: [],
    example: 'curl "$URL/docs"',
  },

  openapi: {
    method: 'GET',
    path: '/openapi.json',
    summary: 'This interface, for programs',
    description: 'An OpenAPI 3.1 document.',
    tags: ['Documentation'],
    auth: 'none',
    responses: {
      200: {
        description: 'OpenAPI 3.1.',
        schema: z.looseObject({ openapi: z.string() }),
      },
    },
    problems: [],
    example: 'curl "$URL/openapi.json"',
  },

  problem: {
    method: 'GET',
    path: '/problems/{code}',
    summary: 'What a problem code means',
    description: 'The `type` of every problem document leads here.',
    tags: ['Documentation'],
    auth: 'none',
    params: z.strictObject({ code: z.enum(PROBLEM_CODES) }),
    responses: {
      200: {
        description: 'Its meaning.',
        schema: problemTypeSchema,
        example: {
          type: '/problems/overloaded',
          code: 'overloaded',
          status: 503,
          title: 'The service is overloaded',
          retryable: true,
        },
      },
    },
    problems: ['not_found'],
    example: 'curl "$URL/problems/image_too_large"',
  },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof OPERATIONS;
