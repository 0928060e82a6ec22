/** Ways for images to come in. */
import { z } from 'zod';
import type { HeaderSpec, Operation } from '../operation.ts';
import {
  batchAcceptedSchema,
  MAX_BATCH_FILES,
  presignedSchema,
  presignRequestSchema,
  uploadAcceptedSchema,
  uploadFieldsSchema,
} from '../uploads.ts';
import { IDEMPOTENCY_KEY } from './shared.ts';

const RATE_LIMIT_HEADERS: Readonly<Record<string, HeaderSpec>> = {
  'X-RateLimit-Limit': { description: 'Uploads that a window has room for.', schema: z.int() },
  'X-RateLimit-Remaining': { description: 'Uploads that the window still has room for.', schema: z.int() },
  'X-RateLimit-Reset': { description: 'When the window ends, in Unix seconds.', schema: z.int() },
};

/** What may be wrong with the bytes of an upload. */
const BYTES = [
  'request_timeout',
  'upload_too_large',
  'image_too_large',
  'too_many_frames',
  'unsupported_media_type',
  'undecodable_image',
  'storage_full',
  'dependency_down',
] as const;

const IMAGE_ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';
const JOB_ID = '0192f0c1-5b7a-7c3e-9d51-30b1d2f4a6c8';
const STATUS_URL = `/api/v1/images/jobs/${JOB_ID}`;

export const UPLOAD_OPERATIONS = {
  upload_images: {
    method: 'POST',
    path: '/api/v1/images/upload',
    summary: 'Upload images',
    description: [
      `Sends one file as the part \`file\`, or up to ${MAX_BATCH_FILES} as parts \`files\`. What was answered with 202 is on`,
      'disk, and its renditions will be made whatever happens to the service in between.',
      'What a file is follows from its first bytes; its name and the declared media type decide nothing.',
      'Of several files each is accepted or refused by itself: the answer has a result or a problem for each.',
    ].join('\n'),
    tags: ['Images'],
    auth: { scopes: ['write'] },
    requestHeaders: IDEMPOTENCY_KEY,
    body: {
      kind: 'stream',
      description:
        'The fields may stand before or after the files; before them, a wrong one is refused sooner.',
      files: {
        file: { description: 'The image.', required: false },
        files: { description: 'Several images, in place of `file`.', required: false, most: MAX_BATCH_FILES },
      },
      fields: uploadFieldsSchema,
    },
    responses: {
      202: {
        description: 'Accepted: one image, or several.',
        schema: z.union([uploadAcceptedSchema, batchAcceptedSchema]),
        headers: RATE_LIMIT_HEADERS,
        example: {
          job_id: JOB_ID,
          image_id: IMAGE_ID,
          status_url: STATUS_URL,
          message: 'The image was accepted; its renditions are being made.',
        },
      },
    },
    problems: [...BYTES, 'invalid_field', 'conflict', 'rate_limited'],
    example: [
      'curl -F file=@photo.jpg -F bucket=photos -F preset=web -H "Authorization: Bearer $TOKEN" \\',
      '  "$URL/api/v1/images/upload"',
    ].join('\n'),
  },

  generate_presigned_url: {
    method: 'POST',
    path: '/generate-presigned-url',
    summary: 'Let somebody upload one file',
    description: [
      'Gives a URL that takes one file without a token, of the type, size and checksum that are said here. The image and',
      'its job exist at once; the job begins when the file has come. What does not come in time is forgotten.',
    ].join('\n'),
    tags: ['Images'],
    auth: { scopes: ['write'] },
    body: { kind: 'json', schema: presignRequestSchema },
    responses: {
      200: {
        description: 'Send the file with `method` and `headers` to `upload_url`.',
        schema: presignedSchema,
        headers: RATE_LIMIT_HEADERS,
        example: {
          upload_url: `http://127.0.0.1:8000/api/v1/uploads/direct/${IMAGE_ID}?expires=1793610900&signature=Zp3bVxkq7Qx0mX2v8b1vX0Y6G1Jm0l0T0s5r9w2cQ4E`,
          method: 'PUT',
          headers: { 'Content-Type': 'image/jpeg' },
          image_id: IMAGE_ID,
          job_id: JOB_ID,
          expires_at: '2026-11-02T08:15:00.000Z',
        },
      },
    },
    problems: ['upload_too_large', 'invalid_field', 'rate_limited', 'dependency_down', 'storage_full'],
    example: [
      'curl --json \'{"filename":"photo.jpg","content_type":"image/jpeg","bucket":"photos"}\' \\',
      '  -H "Authorization: Bearer $TOKEN" "$URL/generate-presigned-url"',
    ].join('\n'),
  },

  upload_direct: {
    method: 'PUT',
    path: '/api/v1/uploads/direct/{image_id}',
    summary: 'Send the file of a presigned URL',
    description: [
      'Takes the file as it is. The URL works once, until it expires, and only for what it was made for; where the file is',
      'refused it can be used again.',
    ].join('\n'),
    tags: ['Images'],
    auth: 'none',
    params: z.strictObject({ image_id: z.guid() }),
    query: z.object({
      expires: z.string().optional().meta({ description: 'Unix seconds; part of the URL that was given.' }),
      signature: z.string().optional().meta({ description: 'Part of the URL that was given.' }),
    }),
    body: {
      kind: 'stream',
      description: 'The file, with the Content-Type that the URL was made for.',
      files: {},
      bare: ['image/*', 'application/octet-stream'],
    },
    responses: {
      200: {
        description: 'Accepted: its renditions are being made.',
        schema: uploadAcceptedSchema,
        example: {
          job_id: JOB_ID,
          image_id: IMAGE_ID,
          status_url: STATUS_URL,
          message: 'The image was accepted; its renditions are being made.',
        },
      },
    },
    problems: [...BYTES, 'forbidden', 'not_found', 'conflict', 'length_required', 'invalid_field'],
    example: 'curl -T photo.jpg -H "Content-Type: image/jpeg" "$UPLOAD_URL"',
  },
} as const satisfies Record<string, Operation>;
