/** The variables of what stores, processes and gives out uploads. */
import { join } from 'node:path';
import { z } from 'zod';
import { MAX_WEBP_SIDE_PX, RENDITION_NAME, WEB_SIZES } from '../contract/policies.ts';
import { FORMATS } from '../engine/probe/header.ts';
import { amount, httpUrl, list, MEBIBYTE, oneOf, optional, path, refuse, registry, whole } from './forms.ts';

const SUPPORTED = [...new Set(Object.values(FORMATS).map(({ mime }) => mime))];

/** Spellings that are common and registered nowhere, or for another flavour of the same. */
const MIME_ALIASES: Readonly<Record<string, string>> = {
  'image/jpg': 'image/jpeg',
  'image/tif': 'image/tiff',
  'image/heif': 'image/heic',
  'image/x-ms-bmp': 'image/bmp',
  'video/x-m4v': 'video/mp4',
  'video/x-matroska': 'video/matroska',
};

/** `image/*` and `video/*` stand for all of their kind. */
function mimeTypes(text: string, ctx: z.RefinementCtx): readonly string[] {
  const types = list(text, (item) => {
    const type = MIME_ALIASES[item.toLowerCase()] ?? item.toLowerCase();
    const found = SUPPORTED.filter((known) =>
      /^\w+\/\*$/.test(type) ? known.startsWith(type.slice(0, -1)) : known === type,
    );
    return found.length > 0 ? found : undefined;
  });
  return types ? Object.freeze([...new Set(types.flat())]) : refuse(ctx);
}

/** One rendition of the preset `web`. */
export interface ImageSize {
  name: string;
  longSidePx: number;
}

function imageSizes(text: string, ctx: z.RefinementCtx): readonly ImageSize[] {
  const sizes = list(text, (item) => {
    const [name = '', px = '', ...more] = item.split(':').map((part) => part.trim());
    const longSidePx = /^\d{1,5}$/.test(px) ? Number(px) : 0;
    const fits = RENDITION_NAME.test(name) && longSidePx >= 1 && longSidePx <= MAX_WEBP_SIDE_PX;
    return fits && more.length === 0 ? Object.freeze({ name, longSidePx }) : undefined;
  });
  const names = new Set(sizes?.map(({ name }) => name));
  return sizes && names.size === sizes.length ? Object.freeze(sizes) : refuse(ctx);
}

export const UPLOAD_FIELDS = {
  databasePath: path({
    name: 'DATABASE_PATH',
    form: 'a file',
    default: {
      shown: '`tintype.sqlite` in DATA_DIR',
      value: (textOf) => join(textOf('DATA_DIR'), 'tintype.sqlite'),
    },
    description: 'The SQLite file of the catalog: images, their versions and renditions, jobs.',
  }),
  storageBackend: oneOf(['local'], {
    name: 'STORAGE_BACKEND',
    form: 'local, the one backend of this version',
    default: 'local',
    description: 'Where originals and renditions are stored.',
  }),
  storagePath: path({
    name: 'STORAGE_PATH',
    form: 'a folder',
    default: { shown: '`blobs` in DATA_DIR', value: (textOf) => join(textOf('DATA_DIR'), 'blobs') },
    description:
      'Folder of the originals and renditions, where STORAGE_BACKEND is `local`. Made when it is missing.',
  }),
  queueBackend: oneOf(['embedded'], {
    name: 'QUEUE_BACKEND',
    form: 'embedded, the one backend of this version',
    default: 'embedded',
    description: 'What wakes the workers when there is a job.',
  }),
  maxUploadBytes: amount(
    { min: 0.001, max: 10_240, times: MEBIBYTE },
    {
      name: 'MAX_UPLOAD_SIZE_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '50',
      description: 'Largest file that an upload accepts. A bucket may set less.',
    },
  ),
  allowedMimeTypes: z
    .string()
    .transform(mimeTypes)
    .register(registry, {
      name: 'ALLOWED_MIME_TYPES',
      form: `types among image/*, video/*, ${SUPPORTED.join(', ')}, separated by commas`,
      default: { shown: 'all supported types', value: () => 'image/*,video/*' },
      description:
        'What an upload may be, by its first bytes; what it calls itself decides nothing. A bucket may set fewer. Videos need ffmpeg.',
    }),
  rateLimitMaxUploads: whole(
    { min: 1, max: 1_000_000_000 },
    {
      name: 'RATE_LIMIT_MAX_UPLOADS',
      unit: 'uploads',
      default: '50',
      description: 'How many images one subject of a token may upload within a window.',
    },
  ),
  rateLimitWindowMs: amount(
    { min: 0.001, max: 44_640, times: 60_000 },
    {
      name: 'RATE_LIMIT_WINDOW_MINUTES',
      unit: 'minutes',
      default: '60',
      description: 'Length of the window that uploads are counted in.',
    },
  ),
  maxPendingJobs: whole(
    { min: 1, max: 1_000_000_000 },
    {
      name: 'MAX_PENDING_JOBS',
      unit: 'jobs',
      default: '1000',
      description:
        'How many unfinished jobs one subject of a token may have; more processing is refused then. Uploads have their own limit.',
    },
  ),
  imageSizes: z
    .string()
    .transform(imageSizes)
    .register(registry, {
      name: 'IMAGE_SIZES',
      form: `name:pixels pairs with different names, separated by commas, of 1 to ${MAX_WEBP_SIDE_PX} px`,
      default: Object.entries(WEB_SIZES)
        .map((pair) => pair.join(':'))
        .join(','),
      description: 'The renditions of the preset `web`, each with the most that its longer side may have.',
    }),
  webpQuality: whole(
    { min: 1, max: 100 },
    {
      name: 'WEBP_QUALITY',
      default: '85',
      description: 'Quality of the WebP renditions of the presets `web` and `gallery`.',
    },
  ),
  presetsFile: optional((file) => file, {
    name: 'PRESETS_FILE',
    form: 'a JSON file',
    description: 'Further presets, and others for `web` and `gallery`: docs/how-to/presets-and-buckets.md.',
  }),
  bucketsFile: optional((file) => file, {
    name: 'BUCKETS_FILE',
    form: 'a JSON file',
    description:
      'Preset, visibility, metadata, types and size of the buckets: docs/how-to/presets-and-buckets.md.',
  }),
  maxRetries: whole(
    { min: 0, max: 100 },
    {
      name: 'MAX_RETRIES',
      unit: 'attempts after the first',
      default: '3',
      description: 'How often a job is tried again after a fault that may pass.',
    },
  ),
  retryDelayMs: amount(
    { min: 0, max: 86_400, times: 1_000 },
    {
      name: 'RETRY_DELAY_SECONDS',
      unit: 'seconds',
      default: '60',
      description: 'Wait before the second attempt; it doubles with each further one, up to an hour.',
    },
  ),
  presignedUrlTtlMs: amount(
    { min: 1, max: 604_800, times: 1_000 },
    {
      name: 'PRESIGNED_URL_TTL_SECONDS',
      unit: 'seconds',
      default: '900',
      description: 'How long a signed URL holds.',
    },
  ),
  publicUrl: optional(
    (text, ctx) => {
      const url = httpUrl(text);
      return url?.search === '' && url.hash === '' ? url.href.replace(/\/+$/, '') : refuse(ctx);
    },
    {
      name: 'PUBLIC_URL',
      form: 'a URL such as https://images.example.org, without a query',
      description:
        'Where clients reach the service, for the URLs in answers; otherwise the host that the request names.',
    },
  ),
};
