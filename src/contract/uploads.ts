/** What requests and answers about uploads are made of. */
import { z } from 'zod';
import { bucketNameSchema } from './policies.ts';
import { problemSchema } from './resources.ts';

export const MAX_BATCH_FILES = 10;
const MAX_CONTEXT_BYTES = 16 * 1024;
const MAX_CONTEXT_DEPTH = 32;
const MAX_PROJECT_CHARS = 100;
const MAX_PRESET_CHARS = 63;
const MAX_FILENAME_CHARS = 1_000;

type Context = Record<string, unknown>;

const CONTEXT_DESCRIPTION = `A JSON object of at most ${MAX_CONTEXT_BYTES / 1024} KB; passed through, and given back as \`context\`.`;

/** Why an object is not taken as an upload's metadata; undefined where it is. */
function contextComplaint(value: unknown, text: string): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `expected a JSON object, got ${Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`}`;
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_CONTEXT_BYTES) return `expected at most ${MAX_CONTEXT_BYTES} bytes, got ${bytes}`;
  if (deeperThan(value, MAX_CONTEXT_DEPTH)) {
    return `expected at most ${MAX_CONTEXT_DEPTH} levels of lists and objects, got more`;
  }
  return undefined;
}

/** @param levels how deep it may be. Goes no deeper than that. */
function deeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => deeperThan(inner, levels - 1));
}

const contextText = z.string().transform((text, ctx): Context => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    ctx.addIssue({ code: 'custom', message: 'expected a JSON object, got text that is no JSON' });
    return z.NEVER;
  }
  const message = contextComplaint(value, text);
  if (message === undefined) return value as Context;
  ctx.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const contextObject = z.record(z.string(), z.unknown()).superRefine((value, ctx) => {
  const message = contextComplaint(value, JSON.stringify(value));
  if (message !== undefined) ctx.addIssue({ code: 'custom', message });
});

const projectSchema = z
  .string()
  .max(MAX_PROJECT_CHARS)
  .regex(/^[^\p{Cc}\p{Cs}]+$/u, { error: 'expected text without control characters' })
  .meta({ description: `Groups images; up to ${MAX_PROJECT_CHARS} characters.` });

const presetSchema = z
  .string()
  .max(MAX_PRESET_CHARS)
  .meta({ description: "The renditions to make; the bucket's preset when absent." });

export const uploadFieldsSchema = z.strictObject({
  bucket: bucketNameSchema.meta({ description: 'Decides on visibility, types, size and preset.' }),
  metadata: contextText.optional().meta({ description: CONTEXT_DESCRIPTION }),
  preset: presetSchema.optional(),
  project: projectSchema.optional(),
});

const id = z.guid();
const statusUrl = z.string().meta({ description: 'Where the job is followed; relative to this service.' });
const accepted = { job_id: id, image_id: id, status_url: statusUrl };

export const uploadAcceptedSchema = z
  .strictObject({ ...accepted, message: z.string() })
  .meta({ id: 'UploadAccepted', description: 'The image is stored; its renditions are being made.' });

const filename = z.string().meta({ description: 'As the client said, without what is no part of a name.' });

export const batchAcceptedSchema = z
  .strictObject({
    batch_id: id,
    items: z
      .array(
        z.union([
          z.strictObject({ filename, ...accepted }),
          z.strictObject({ filename, problem: problemSchema }),
        ]),
      )
      .min(2)
      .max(MAX_BATCH_FILES)
      .meta({ description: 'In the order of the files: what was accepted, and what was not and why.' }),
  })
  .meta({ id: 'BatchAccepted' });

const SHA256 = /^[0-9a-f]{64}$/i;

export const presignRequestSchema = z.strictObject({
  filename: z.string().min(1).max(MAX_FILENAME_CHARS),
  content_type: z
    .string()
    .max(100)
    .regex(/^(image\/[a-z0-9][a-z0-9.+-]*|application\/octet-stream)$/i, {
      error: 'expected image/… or application/octet-stream',
    })
    .meta({ description: 'What the upload will be sent with. What the file is follows from its bytes.' }),
  bucket: bucketNameSchema,
  size: z
    .int()
    .min(1)
    .optional()
    .meta({ description: 'Bytes of the file; any other number is refused then.' }),
  sha256: z
    .string()
    .regex(SHA256, { error: 'expected 64 hexadecimal digits' })
    .transform((hex) => hex.toLowerCase())
    .optional()
    .meta({ description: 'Of the file, as hexadecimal digits; any other file is refused then.' }),
  metadata: contextObject.optional().meta({ description: CONTEXT_DESCRIPTION }),
  preset: presetSchema.optional(),
  project: projectSchema.optional(),
});

export const presignedSchema = z
  .strictObject({
    upload_url: z.url(),
    method: z.literal('PUT'),
    headers: z.record(z.string(), z.string()).meta({ description: 'To be sent with the file, exactly so.' }),
    image_id: id,
    job_id: id,
    expires_at: z.iso.datetime(),
  })
  .meta({ id: 'PresignedUpload', description: 'Leave to send one file.' });

export const conversionAcceptedSchema = z
  .strictObject({ task_id: id, status_url: statusUrl })
  .meta({ id: 'ConversionAccepted' });

/** A switch of a query: alone, or with a value. */
export const asyncSchema = z
  .enum(['', 'true', '1', 'false', '0'])
  .default('false')
  .transform((text) => text !== 'false' && text !== '0');
