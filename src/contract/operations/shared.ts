/** What several operations of the table say alike. */
import { z } from 'zod';
import type { HeaderSpec } from '../operation.ts';

/** What is public is anybody's to read. */
export const IF_PRIVATE = { scopes: ['read'], optional: true } as const;

/** The codes that making pictures may end with, at once or as the end of a job. */
export const FAILURES = [
  'undecodable_image',
  'raw_not_developable',
  'preview_not_found',
  'decoder_crashed',
  'memory_exceeded',
  'processing_timeout',
  'metadata_failed',
  'processing_failed',
] as const;

export const ETAG: HeaderSpec = { description: 'Strong: other bytes have another one.', schema: z.string() };
export const CONTENT_LENGTH: HeaderSpec = { description: 'Bytes that follow.', schema: z.int() };
export const ACCEPT_RANGES: HeaderSpec = { description: '`bytes`.', schema: z.string() };
export const CONTENT_RANGE: HeaderSpec = { description: 'Which bytes, of how many.', schema: z.string() };

/** For bytes that are sent as a whole, in part, or not at all. */
export const CONDITIONS = {
  'If-None-Match': { description: 'The `ETag` of what the client has.', schema: z.string() },
  Range: {
    description: 'One range of bytes, `bytes=0-1023`; the whole file is sent for several.',
    schema: z.string(),
  },
  'If-Range': { description: 'The `ETag` that the range belongs to.', schema: z.string() },
} as const;

export const IDEMPOTENCY_KEY = {
  'Idempotency-Key': {
    description:
      'Up to 255 visible ASCII characters that name this request. The same request again within a day gets the first answer again; another request under the same key is a `conflict`. A request that failed leaves its key free.',
    schema: z.string(),
  },
} as const;

/** Of a stream of events. */
export const EVENTS_QUERY = z.strictObject({
  last_event_id: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .meta({ description: 'For clients that cannot send the header.' }),
});
export const EVENTS_RESUME =
  'An event with an `id` is kept: after a pause, `Last-Event-ID`, which browsers send by themselves, or `last_event_id` goes on behind it. Where nothing more will come the answer is 204.';
export const EVENT_STREAM = {
  description: 'The stream; a comment every 15 seconds keeps it open.',
  content: ['text/event-stream'],
  headers: { 'Cache-Control': { description: '`no-cache`.', schema: z.string() } },
} as const;
