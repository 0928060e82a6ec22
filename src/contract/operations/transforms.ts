/** Images by URL: rendered when they are asked for. */
import { z } from 'zod';
import { imageParams } from '../images.ts';
import type { HeaderSpec, Operation } from '../operation.ts';
import { MIME_TYPES } from '../plan.ts';
import { ACCEPT_RANGES, CONDITIONS, CONTENT_LENGTH, CONTENT_RANGE, ETAG, FAILURES } from './shared.ts';

const ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';

const CACHE_CONTROL: HeaderSpec = {
  description:
    'An hour; a year and `immutable` where the URL names the version. Never longer than the URL holds, and `private` for a private image.',
  schema: z.string(),
};
const VARY: HeaderSpec = {
  description:
    '`Accept` where it chose the format; `Sec-CH-DPR` and `Sec-CH-Width` where these chose the size.',
  schema: z.string(),
};
const ACCEPT_CH: HeaderSpec = {
  description: 'The client hints that the plan asks for.',
  schema: z.string(),
};
const BYTES_HEADERS = {
  'Content-Length': CONTENT_LENGTH,
  'Accept-Ranges': ACCEPT_RANGES,
  'Cache-Control': CACHE_CONTROL,
  ETag: ETAG,
  Vary: VARY,
  'Accept-CH': ACCEPT_CH,
} as const;

export const TRANSFORM_OPERATIONS = {
  read_transform: {
    method: 'GET',
    path: '/t/{signature}/{plan}/{image}',
    summary: 'Render an image by URL',
    description: [
      'The signature is the permission, for private images as well. It covers plan, image, extension and expiry; any spelling of a plan that was signed in its canonical one holds: docs/how-to/urls.md.',
      'A picture is rendered once, however many ask for it at the same time, and kept while there is room; one that a job has made by the same plan is taken.',
      'The extension names the format. Without it, and without `f_` in the plan, `Accept` chooses: AVIF or WebP for those that name them, else PNG for what is transparent and JPEG for the rest; WebP or GIF for what moves. Metadata is stripped unless the plan says `meta_keep`.',
    ].join('\n'),
    tags: ['Images by URL'],
    auth: 'none',
    params: z.strictObject({
      signature: z.string().meta({ description: 'HMAC-SHA256, base64url, 43 characters.' }),
      plan: z.string().meta({
        description:
          'A plan as a segment, e.g. `w_600,h_400,fit_cover,q_80`; also `preset_web.medium`, `w_auto`, `dpr_2`, `dpr_auto`, `v_1`, or `-` for no operation.',
      }),
      image: z
        .string()
        .meta({ description: 'The id of the image, with an extension or without: `<id>.webp`.' }),
    }),
    query: z.strictObject({
      expires: z.string().max(20).optional().meta({ description: 'Until when it holds, in unix seconds.' }),
      unsigned: z.enum(['', 'true', '1']).optional().meta({
        description:
          'Of a public image without a signature, whatever stands in its place; where UNSIGNED_URLS allows it.',
      }),
    }),
    requestHeaders: {
      Accept: { description: 'Chooses the format where the URL does not.', schema: z.string() },
      'Sec-CH-DPR': {
        description: 'Of the client’s screen, for `dpr_auto`. Also `DPR`.',
        schema: z.string(),
      },
      'Sec-CH-Width': { description: 'Px of its screen, for `w_auto`. Also `Width`.', schema: z.string() },
      ...CONDITIONS,
    },
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
      304: {
        description: 'The client has it.',
        headers: { ETag: ETAG, 'Cache-Control': CACHE_CONTROL, Vary: VARY, 'Accept-CH': ACCEPT_CH },
      },
    },
    problems: [
      'invalid_plan',
      'invalid_field',
      'forbidden',
      'not_found',
      'not_finished',
      'range_not_satisfiable',
      'image_too_large',
      'too_many_frames',
      ...FAILURES,
      'unsupported_media_type',
      'overloaded',
      'dependency_down',
      'storage_full',
    ],
    example: `curl -O "$(tintype sign ${ID} --width 600 --quality 80 --format webp --base "$URL")"`,
  },

  purge_image: {
    method: 'POST',
    path: '/api/v1/images/{image_id}/purge',
    summary: 'Forget what URLs have rendered of an image',
    description:
      'For the owner and admins. The next request renders anew. The sizes of its preset stay, and so does what caches elsewhere have.',
    tags: ['Images by URL'],
    auth: { scopes: ['write'] },
    params: imageParams,
    query: z.strictObject({}),
    responses: {
      200: {
        description: 'It is forgotten.',
        schema: z.strictObject({
          image_id: z.guid(),
          purged: z.int().min(0).meta({ description: 'How many renditions it was.' }),
        }),
        example: { image_id: ID, purged: 3 },
      },
    },
    problems: ['not_found', 'invalid_field', 'dependency_down', 'storage_full'],
    example: `curl -X POST -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/${ID}/purge"`,
  },
} as const satisfies Record<string, Operation>;
