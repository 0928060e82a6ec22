/** Reading images, and deleting them. */
import { z } from 'zod';
import {
  formatParam,
  IMAGE_STATUSES,
  imageDetailsSchema,
  imageListSchema,
  imageParams,
  ofVersionParam,
  renditionBatchSchema,
  renditionSchema,
  renditionsSchema,
  SOURCE_MEDIA_TYPES,
  sizeParam,
  takenParam,
  versionParam,
  versionsSchema,
} from '../images.ts';
import type { HeaderSpec, Operation } from '../operation.ts';
import { MIME_TYPES } from '../plan.ts';
import { bucketNameSchema } from '../policies.ts';
import {
  ACCEPT_RANGES,
  CONDITIONS,
  CONTENT_LENGTH,
  CONTENT_RANGE,
  ETAG,
  FAILURES,
  IF_PRIVATE,
} from './shared.ts';

export const MAX_BATCH_IMAGES = 50;
const MAX_LIST_LIMIT = 200;
const DEFAULT_LIST_LIMIT = 50;

const PRIVACY =
  'A public image is read by anybody. A private one is not there (`not_found`) but for its owner and for admins';

const READ = ['not_found', 'invalid_field', 'dependency_down'] as const;

const CACHE_CONTROL: HeaderSpec = {
  description: 'A year and `immutable`; `private` and shorter for a private image.',
  schema: z.string(),
};
const VARY: HeaderSpec = {
  description: '`Accept` where it chose the format.',
  schema: z.string(),
};
const BYTES_HEADERS = {
  'Content-Length': CONTENT_LENGTH,
  'Content-Disposition': { description: "The upload's name, made harmless (RFC 6266).", schema: z.string() },
  'Accept-Ranges': ACCEPT_RANGES,
  'Cache-Control': CACHE_CONTROL,
  ETag: ETAG,
} as const;
/** An upload's, or that of what was made of one. */
const VERSION_MEDIA_TYPES = [...new Set([...SOURCE_MEDIA_TYPES, ...Object.values(MIME_TYPES)])];

const OF_IMAGE = '/api/v1/images/{image_id}';
const ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';
const URL = `http://127.0.0.1:8000/api/v1/images/${ID}/direct?size=medium&version=1`;
const MEDIUM = { size: 'medium', url: URL, width: 600, height: 450, format: 'webp', size_bytes: 48_213 };

export const IMAGE_OPERATIONS = {
  list_images: {
    method: 'GET',
    path: '/api/v1/images',
    summary: 'List images',
    description:
      "The caller's own, all for admins, latest first; where the token names buckets, only those of them. Pages miss and repeat nothing while images are added.",
    tags: ['Images'],
    auth: { scopes: ['read'] },
    query: z.strictObject({
      bucket: bucketNameSchema.optional(),
      project: z.string().min(1).max(200).optional(),
      status: z
        .enum([...IMAGE_STATUSES, 'completed'])
        .optional()
        .meta({
          description: "All but `expected` when absent. `completed`, a job's word, is read as `ready`.",
        }),
      camera: z
        .string()
        .min(1)
        .max(200)
        .optional()
        .meta({ description: 'Part of make and model, in any case.' }),
      taken_from: takenParam.optional().meta({
        description: "ISO 8601 or the beginning of it, by the camera's clock: an offset is left aside.",
      }),
      taken_to: takenParam.optional().meta({ description: 'As `taken_from`, itself included.' }),
      cursor: z
        .string()
        .min(1)
        .max(200)
        .optional()
        .meta({ description: '`next_cursor` of the page before.' }),
      limit: z.coerce.number().int().min(1).max(MAX_LIST_LIMIT).default(DEFAULT_LIST_LIMIT),
    }),
    responses: {
      200: {
        description: 'One page.',
        schema: imageListSchema,
        example: {
          items: [
            {
              image_id: ID,
              bucket: 'photos',
              project: null,
              status: 'ready',
              filename: 'harbour.jpg',
              created_at: '2026-11-02T08:00:00.000Z',
              camera: 'FUJIFILM X100V',
              taken_at: '2026-10-31T18:30:00+01:00',
              width: 4000,
              height: 3000,
              dominant_color: '#336699',
              thumbhash: '1QcSHQRnh493V4dIh4eXh1h4kJUI',
              blurhash: 'LEHV6nWB2yk8',
              urls: { medium: URL },
            },
          ],
          next_cursor: null,
        },
      },
    },
    problems: ['invalid_field', 'dependency_down'],
    example: 'curl -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images?bucket=photos&limit=20"',
  },

  get_image_batch: {
    method: 'GET',
    path: '/api/v1/images/batch',
    summary: 'Look up one size of several images',
    description: `${PRIVACY}. Each id is answered by itself, with the size or with a problem.`,
    tags: ['Images'],
    auth: IF_PRIVATE,
    query: z.strictObject({
      image_ids: z
        .string()
        .min(1)
        .max(8_000)
        .meta({ description: `Separated by commas; at most ${MAX_BATCH_IMAGES} different ones.` }),
      size: sizeParam,
    }),
    responses: {
      200: {
        description: 'An entry for each id.',
        schema: renditionBatchSchema,
        example: { items: { [ID]: { image_id: ID, version: 1, status: 'ready', ...MEDIUM } } },
      },
    },
    problems: ['invalid_field', 'dependency_down'],
    example: `curl "$URL/api/v1/images/batch?image_ids=${ID}&size=medium"`,
  },

  get_image: {
    method: 'GET',
    path: OF_IMAGE,
    summary: 'Look up one size of an image',
    description: `${PRIVACY}. Small sizes are there before the image is \`ready\`.`,
    tags: ['Images'],
    auth: IF_PRIVATE,
    params: imageParams,
    query: z.strictObject({ size: sizeParam, format: formatParam, version: ofVersionParam }),
    responses: {
      200: {
        description: 'The size, and where it is.',
        schema: renditionSchema,
        example: { image_id: ID, version: 1, status: 'ready', ...MEDIUM },
      },
    },
    problems: [...READ, 'not_finished', ...FAILURES],
    example: `curl "$URL/api/v1/images/${ID}?size=medium"`,
  },

  get_image_sizes: {
    method: 'GET',
    path: `${OF_IMAGE}/all`,
    summary: 'Look up every size of an image',
    description: `${PRIVACY}.`,
    tags: ['Images'],
    auth: IF_PRIVATE,
    params: imageParams,
    query: z.strictObject({ version: ofVersionParam }),
    responses: {
      200: {
        description: 'The sizes that are there.',
        schema: renditionsSchema,
        example: { image_id: ID, version: 1, status: 'ready', items: [MEDIUM] },
      },
    },
    problems: READ,
    example: `curl "$URL/api/v1/images/${ID}/all"`,
  },

  read_image: {
    method: 'GET',
    path: `${OF_IMAGE}/direct`,
    summary: 'Read the bytes of one size',
    description: [
      `${PRIVACY}, and for whoever has a signed URL: each answer that names a private image's URL signs it for an hour.`,
      'A size in several formats is given as `format` says, or as `Accept` does: WebP and AVIF to those that name them, JPEG, PNG or GIF to the rest.',
      'A size that is called `original` is the one that the preset makes; the uploaded bytes are at `/download`.',
      'URLs in answers name the `version`, so that what a cache keeps under them cannot be out of date. Without one, of an image that was processed, caches are told to ask each time.',
    ].join('\n'),
    tags: ['Images'],
    auth: IF_PRIVATE,
    params: imageParams,
    query: z.strictObject({
      size: sizeParam,
      format: formatParam,
      version: ofVersionParam,
      expires: z
        .string()
        .max(20)
        .optional()
        .meta({ description: 'Of a signed URL: until when, in unix seconds.' }),
      signature: z.string().max(64).optional().meta({ description: 'Of a signed URL.' }),
    }),
    requestHeaders: CONDITIONS,
    responses: {
      200: {
        description: 'The bytes.',
        content: Object.values(MIME_TYPES),
        headers: { ...BYTES_HEADERS, Vary: VARY },
      },
      206: {
        description: 'The range that was asked for.',
        content: Object.values(MIME_TYPES),
        headers: { ...BYTES_HEADERS, Vary: VARY, 'Content-Range': CONTENT_RANGE },
      },
      304: {
        description: 'The client has them.',
        headers: { ETag: ETAG, 'Cache-Control': CACHE_CONTROL, Vary: VARY },
      },
    },
    problems: [...READ, 'forbidden', 'not_finished', 'range_not_satisfiable', ...FAILURES],
    example: `curl -o large.webp "$URL/api/v1/images/${ID}/direct?size=large"`,
  },

  get_image_info: {
    method: 'GET',
    path: `${OF_IMAGE}/info`,
    summary: 'What the picture is, and what it says about itself',
    description: [
      `${PRIVACY}. Where it was taken (\`gps\`) is told to these two alone. Texts were written by strangers.`,
      'Size, format, orientation and colours are those of the version; what else is known of a picture its upload has said.',
    ].join('\n'),
    tags: ['Images'],
    auth: IF_PRIVATE,
    params: imageParams,
    query: z.strictObject({ version: ofVersionParam }),
    responses: {
      200: {
        description:
          'Properties of the version, and the metadata of its upload; null for what that does not say.',
        schema: imageDetailsSchema,
        example: {
          image_id: ID,
          version: 1,
          width: 4000,
          height: 3000,
          format: 'jpeg',
          size_bytes: 2_310_458,
          mime: 'image/jpeg',
          camera_make: 'FUJIFILM',
          camera_model: 'X100V',
          lens: null,
          date_taken: '2026-10-31T18:30:00+01:00',
          iso: 160,
          focal_length: 23,
          aperture: 5.6,
          shutter_speed: '1/250',
          orientation: 1,
          color_space: 'sRGB',
          gps: null,
          title: null,
          description: null,
          keywords: null,
          artist: null,
          copyright: null,
          software: null,
        },
      },
    },
    problems: [...READ, 'not_finished', ...FAILURES],
    example: `curl "$URL/api/v1/images/${ID}/info"`,
  },

  download_image: {
    method: 'GET',
    path: `${OF_IMAGE}/download`,
    summary: 'Read the uploaded bytes, unchanged',
    description:
      'For the owner and admins: an upload may carry a place and more. With `version`, what was made of it as it was made.',
    tags: ['Images'],
    auth: { scopes: ['read'] },
    params: imageParams,
    query: z.strictObject({
      version: versionParam.default(1).meta({ description: '1, the upload, when absent.' }),
    }),
    requestHeaders: CONDITIONS,
    responses: {
      200: {
        description: 'The bytes.',
        content: VERSION_MEDIA_TYPES,
        headers: {
          ...BYTES_HEADERS,
          'Repr-Digest': {
            description: 'SHA-256 of the whole file (RFC 9530); of uploads.',
            schema: z.string(),
          },
        },
      },
      206: {
        description: 'The range that was asked for.',
        content: VERSION_MEDIA_TYPES,
        headers: { ...BYTES_HEADERS, 'Content-Range': CONTENT_RANGE },
      },
      304: { description: 'The client has them.', headers: { ETag: ETAG, 'Cache-Control': CACHE_CONTROL } },
    },
    problems: [...READ, 'not_finished', 'range_not_satisfiable'],
    example: `curl -OJ -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/${ID}/download"`,
  },

  list_image_versions: {
    method: 'GET',
    path: `${OF_IMAGE}/versions`,
    summary: 'List the versions of an image',
    description: `${PRIVACY}. What a version was made by, and where its own bytes are, is told to these two alone.`,
    tags: ['Images'],
    auth: IF_PRIVATE,
    params: imageParams,
    query: z.strictObject({}),
    responses: {
      200: {
        description: 'The versions that are there.',
        schema: versionsSchema,
        example: {
          image_id: ID,
          current_version: 1,
          items: [
            {
              version: 1,
              current: true,
              created_at: '2026-11-02T08:00:00.000Z',
              width: 4000,
              height: 3000,
              format: 'jpeg',
              size_bytes: 2_310_458,
              mime_type: 'image/jpeg',
              plan: null,
              url: `http://127.0.0.1:8000/api/v1/images/${ID}/download?version=1`,
              urls: { medium: URL },
            },
          ],
        },
      },
    },
    problems: READ,
    example: `curl "$URL/api/v1/images/${ID}/versions"`,
  },

  delete_image: {
    method: 'DELETE',
    path: OF_IMAGE,
    summary: 'Delete an image',
    description:
      'For the owner and admins. Every version and rendition goes, work under way is called off, and bytes that no other image shares are removed from the store.',
    tags: ['Images'],
    auth: { scopes: ['write'] },
    params: imageParams,
    query: z.strictObject({}),
    responses: { 204: { description: 'It is gone.' } },
    problems: ['not_found', 'invalid_field', 'dependency_down', 'storage_full'],
    example: `curl -X DELETE -H "Authorization: Bearer $TOKEN" "$URL/api/v1/images/${ID}"`,
  },
} as const satisfies Record<string, Operation>;
