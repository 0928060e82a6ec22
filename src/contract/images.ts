/** What the answers about images are made of. */
import { z } from 'zod';
import { imageInfoSchema } from './info.ts';
import { OUTPUT_FORMATS, planSchema } from './plan.ts';
import { problemSchema } from './resources.ts';

/** The formats that uploads come in, as the engine's sniffing names them, with their media types. */
export const SOURCE_MEDIA_TYPES = [
  'image/jpeg',
  'image/png',
  'image/gif',
  'image/webp',
  'image/avif',
  'image/tiff',
  'image/svg+xml',
  'image/bmp',
  'image/heic',
  'image/x-adobe-dng',
  'image/x-canon-cr2',
  'image/x-canon-cr3',
  'image/x-canon-crw',
  'image/x-nikon-nef',
  'image/x-sony-arw',
  'image/x-fuji-raf',
  'image/x-panasonic-rw2',
  'image/x-olympus-orf',
  'image/x-dcraw',
  'video/mp4',
  'video/quicktime',
  'video/3gpp',
  'video/webm',
  'video/matroska',
] as const;

export const IMAGE_STATUSES = ['expected', 'pending', 'ready', 'failed'] as const;

const px = z.int().min(1);
const statusSchema = z.enum(IMAGE_STATUSES).meta({
  description:
    '`expected`: its bytes have not come. `pending`: sizes appear one by one. `ready`: all are there. `failed`: no more will come.',
});
const urlSchema = z
  .url()
  .meta({ description: 'Where the bytes are. Of a private image it is signed and holds for an hour or so.' });

const fileMembers = {
  width: px,
  height: px,
  format: z.string().meta({ description: 'E.g. `webp`.' }),
  size_bytes: z.int().min(0),
};

const renditionMembers = {
  size: z.string().meta({ description: "The rendition's name in the preset." }),
  url: urlSchema,
  ...fileMembers,
};

export const imageSummarySchema = z
  .strictObject({
    image_id: z.guid(),
    bucket: z.string(),
    project: z.string().nullable(),
    status: statusSchema,
    filename: z.string().meta({ description: 'As the client said; only text.' }),
    created_at: z.iso.datetime(),
    camera: z.string().nullable().meta({ description: 'Make and model.' }),
    taken_at: z.string().nullable().meta({
      description: 'ISO 8601; without an offset where the camera recorded none.',
    }),
    width: px
      .nullable()
      .meta({ description: 'Of the current version, as displayed; null before the upload has come.' }),
    height: px.nullable(),
    dominant_color: z.string().nullable().meta({ description: '`#rrggbb`.' }),
    thumbhash: z.string().nullable().meta({ description: 'Base64.' }),
    blurhash: z.string().nullable(),
    urls: z.record(z.string(), urlSchema).meta({ description: 'By size; those that are there already.' }),
    owner: z.string().optional().meta({ description: 'For admins.' }),
  })
  .meta({ id: 'ImageSummary' });
export type ImageSummary = z.output<typeof imageSummarySchema>;

export const imageListSchema = z.strictObject({
  items: z.array(imageSummarySchema),
  next_cursor: z.string().nullable().meta({ description: 'For `cursor`; null with the last page.' }),
});

export const renditionSchema = z
  .strictObject({ image_id: z.guid(), version: z.int().min(1), status: statusSchema, ...renditionMembers })
  .meta({ id: 'Rendition', description: 'One size of an image.' });

export const renditionsSchema = z.strictObject({
  image_id: z.guid(),
  version: z.int().min(1),
  status: statusSchema,
  items: z.array(z.strictObject(renditionMembers)).meta({
    description: 'Those that are there, smallest first; a size in several formats stands once for each.',
  }),
});

export const renditionBatchSchema = z.strictObject({
  items: z.record(z.string(), z.union([renditionSchema, z.strictObject({ problem: problemSchema })])).meta({
    description: 'By id, as it was asked for.',
  }),
});

export const imageDetailsSchema = z
  .strictObject({
    image_id: z.guid(),
    version: z.int().min(1),
    ...fileMembers,
    mime: z.string(),
    ...imageInfoSchema.shape,
  })
  .meta({ id: 'ImageInfo', description: 'What a picture is, and what it says about itself.' });

export const versionsSchema = z.strictObject({
  image_id: z.guid(),
  current_version: z.int().min(1),
  items: z
    .array(
      z.strictObject({
        version: z.int().min(1),
        current: z.boolean(),
        created_at: z.iso.datetime(),
        ...fileMembers,
        mime_type: z.string(),
        plan: planSchema.nullable().meta({
          description:
            'What the version was made by, in its normal form; null for the upload, and for others than the owner and admins.',
        }),
        url: z.url().nullable().meta({
          description:
            'Where its own bytes are, to be read with a token; null for others than the owner and admins.',
        }),
        urls: z.record(z.string(), urlSchema).meta({
          description:
            'Its sizes. One in several formats is under its name, where `Accept` decides, and under `<name>.<format>` for each further format.',
        }),
      }),
    )
    .meta({ description: 'Oldest first; the first is the upload.' }),
});

/** Ids are compared as lower case. */
export const imageParams = z.strictObject({ image_id: z.guid().toLowerCase() });

export const sizeParam = z
  .string()
  .min(1)
  .max(64)
  .optional()
  .meta({ description: "A rendition's name; `medium` or the preset's first when absent." });

export const formatParam = z
  .enum(OUTPUT_FORMATS)
  .optional()
  .meta({ description: 'For a size that comes in several formats.' });

export const versionParam = z.coerce.number().int().min(1).max(1_000_000);

/** Of the image that is asked about. */
export const ofVersionParam = versionParam
  .optional()
  .meta({ description: 'Of the image; the current one when absent.' });

/** A calendar date or the beginning of one, and a time. What the offset says is left aside. */
const WHEN =
  /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(?:Z|[ +-]\d\d:?\d\d)?)?)?)?$/i;

/** ISO 8601 to what the catalog compares with the time that the camera's clock showed: no offset, no fraction. */
export const takenParam = z
  .string()
  .max(40)
  .transform((text, ctx) => {
    const match = WHEN.exec(text.trim());
    const [year, month, day, hour, minute, second] = (match ?? []).slice(1).map((part) => part ?? '');
    const date = [year, month, day].filter(Boolean).join('-');
    if (match && isDay(Number(year), Number(month || 1), Number(day || 1)) && isTime(hour, minute, second)) {
      return hour ? `${date}T${[hour, minute, second].filter(Boolean).join(':')}` : date;
    }
    ctx.addIssue({
      code: 'custom',
      message: 'expected a date or time such as 2024, 2024-05, 2024-05-01 or 2024-05-01T10:20:30',
    });
    return z.NEVER;
  });

function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(2000, month - 1, day));
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

const isTime = (hour = '', minute = '', second = ''): boolean =>
  Number(hour) < 24 && Number(minute) < 60 && Number(second) <= 60;
