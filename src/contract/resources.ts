/** What the answers of the HTTP interface are made of. A schema with an `id` becomes a component of the OpenAPI document. */
import { z } from 'zod';
import { PROBLEMS, type ProblemCode } from '../problem.ts';

export const PROBLEM_CODES = Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]];

/** Problem details, RFC 9457. Further members may stand beside these, such as `preview_available`. */
export const problemSchema = z
  .looseObject({
    type: z.string().meta({ description: 'Where the problem is explained; relative to this service.' }),
    title: z.string().meta({ description: 'The same for every problem with this code.' }),
    status: z.int().min(400).max(599),
    detail: z.string().optional().meta({ description: 'What was expected and what was found, this time.' }),
    code: z.enum(PROBLEM_CODES).meta({ description: 'Stable; the member for programs to decide on.' }),
    instance: z.string().meta({ description: 'The path of the request.' }),
    request_id: z.string().meta({ description: 'The same as the X-Request-Id header; logs carry it.' }),
    errors: z
      .array(
        z.strictObject({
          path: z.string().meta({ description: 'The wrong field, dotted, as the client wrote it.' }),
          message: z.string(),
        }),
      )
      .optional()
      .meta({ description: 'The wrong fields, where there are such.' }),
  })
  .meta({
    id: 'Problem',
    description: 'Problem details as of RFC 9457.',
    examples: [
      {
        type: '/problems/upload_too_large',
        title: PROBLEMS.upload_too_large.title,
        status: 413,
        detail: 'The file may have at most 200 MB; the request announces 512 MB.',
        code: 'upload_too_large',
        instance: '/convert',
        request_id: '5f0c1c0e-4f6c-4a53-9a0a-0d3c5f9f5a43',
      },
    ],
  });
export type ProblemDocument = z.output<typeof problemSchema>;

export const problemTypeSchema = z
  .strictObject({
    type: z.string(),
    code: z.enum(PROBLEM_CODES),
    title: z.string(),
    status: z.int(),
    retryable: z
      .boolean()
      .meta({ description: 'Whether the same request may succeed later without a change.' }),
  })
  .meta({ id: 'ProblemType', description: 'What a problem code means.' });

export const healthSchema = z
  .strictObject({
    status: z.literal('ok'),
    version: z.string(),
    uptime_seconds: z.number().min(0),
    started_at: z.iso.datetime(),
  })
  .meta({ id: 'Health', description: 'The process lives and answers.' });

const checkSchema = z.strictObject({
  status: z.enum(['up', 'down']),
  detail: z.string().optional().meta({ description: 'Why it is down.' }),
});

export const readinessSchema = z
  .strictObject({
    status: z.enum(['ready', 'unavailable', 'draining']),
    checks: z
      .record(z.string(), checkSchema)
      .meta({ description: 'Each thing that the service needs, by name.' }),
  })
  .meta({
    id: 'Readiness',
    description: 'Whether requests should be sent here, and what is down where they should not.',
  });
export type Readiness = z.output<typeof readinessSchema>;
