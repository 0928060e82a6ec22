/**
 * Presets, which renditions an upload gets, and bucket policies, who sees them: as they are written in JSON, and the
 * ones that are there without any. Rendition plans are Plans; `domain/presets.ts` turns a preset into what is rendered.
 */
import { z } from 'zod';
import { type FieldError, Problem } from '../problem.ts';
import { fieldErrors, shown } from './field-errors.ts';
import { type Plan, planSchema } from './plan.ts';
import { planFromSegment } from './plan-codec.ts';
import { KEY_BY_NAME } from './plan-keys.ts';
import { normalizePlan } from './plan-normal.ts';

/** libwebp's limit. */
export const MAX_WEBP_SIDE_PX = 16_383;
const MAX_RENDITIONS = 32;
const MAX_POLICY_MB = 10_240;
const MEBIBYTE = 1024 * 1024;

export const BUCKET_NAME = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;
const PRESET_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** Also a part of URLs and form fields. */
export const RENDITION_NAME = /^[a-z][a-z0-9_-]{0,31}$/;

export const bucketNameSchema = z.string().regex(BUCKET_NAME, {
  error: 'expected 3 to 63 lower-case letters, digits and dashes, no dash at either end',
});

export interface PresetRendition {
  /** What clients ask for as `size`. Renditions of one name differ in their formats; the first one is the default. */
  name: string;
  plan: Plan;
}

export interface Preset {
  name: string;
  renditions: readonly PresetRendition[];
}

/** A Plan as JSON or as a URL segment. What a segment does not say about metadata stays unsaid. */
const renditionPlanSchema = z.unknown().transform((input, ctx): Plan => {
  if (typeof input === 'string') {
    try {
      const plan: Plan = planFromSegment(input);
      const saysMetadata = input
        .split(',')
        .some((token) => KEY_BY_NAME.get(token.split('_', 1)[0]!)?.long === 'metadata');
      if (!saysMetadata) delete plan.output?.metadata;
      return plan;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      for (const { path, message } of error.errors ?? []) {
        ctx.addIssue({ code: 'custom', path: path === '' ? [] : [path], message });
      }
      return z.NEVER;
    }
  }
  const parsed = planSchema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  for (const { path, message } of fieldErrors(parsed.error)) {
    ctx.addIssue({ code: 'custom', path: path === '' ? [] : path.split('.'), message });
  }
  return z.NEVER;
});

const renditionSchema = z.strictObject({
  name: z.string().regex(RENDITION_NAME, {
    error: 'expected a lower-case letter, then up to 31 lower-case letters, digits, _ and -',
  }),
  plan: renditionPlanSchema,
});

const renditionsSchema = z
  .array(renditionSchema)
  .min(1)
  .max(MAX_RENDITIONS)
  .superRefine((renditions, ctx) => {
    const seen = new Set<string>();
    for (const [i, { name, plan }] of renditions.entries()) {
      if (plan.operations?.some((op) => op.op === 'watermark' && op.image !== undefined)) {
        const message = 'a preset serves many owners and cannot name an image; use a text';
        ctx.addIssue({ code: 'custom', path: [i, 'plan'], message });
      }
      const { format } = normalizePlan(plan).output;
      const key = `${name} ${format}`;
      if (seen.has(key)) {
        const message = `expected a name and format of its own, got a second ${name} in ${format}`;
        ctx.addIssue({ code: 'custom', path: [i], message });
      }
      seen.add(key);
    }
  });

/** `PRESETS_FILE`: `{"<name>": {"renditions": [{"name": "thumbnail", "plan": "w_150,h_150,f_webp"}]}}`. */
export const presetsFileSchema = z
  .record(
    z.string().regex(PRESET_NAME, {
      error: 'expected the name of a preset: lower-case letters, digits, _ and -',
    }),
    z.strictObject({ renditions: renditionsSchema }),
  )
  .transform((presets): Preset[] => Object.entries(presets).map(([name, preset]) => ({ name, ...preset })));

export type Visibility = 'public' | 'private';
export type MetadataPolicy = 'strip' | 'keep';

/** What the operator says about a bucket; what is absent is the service's default. */
export interface BucketRules {
  preset?: string | undefined;
  visibility?: Visibility | undefined;
  metadata?: MetadataPolicy | undefined;
  allowedMimeTypes?: string[] | undefined;
  maxBytes?: number | undefined;
}

const bucketRulesSchema = z
  .strictObject({
    preset: z.string().optional(),
    visibility: z.enum(['public', 'private']).optional(),
    metadata: z.enum(['strip', 'keep']).optional(),
    allowed_mime_types: z
      .array(z.string().regex(/^image\/[a-z0-9.+-]+$/, { error: 'expected a type such as image/jpeg' }))
      .min(1)
      .optional(),
    max_size_mb: z.number().min(0.001).max(MAX_POLICY_MB).optional(),
  })
  .transform(
    ({ allowed_mime_types, max_size_mb, ...rules }): BucketRules => ({
      ...rules,
      ...(allowed_mime_types && { allowedMimeTypes: allowed_mime_types }),
      ...(max_size_mb !== undefined && { maxBytes: Math.round(max_size_mb * MEBIBYTE) }),
    }),
  );

/** Stands in `BUCKETS_FILE` for every bucket that is not named there. */
const ANY_BUCKET = '*';

/** `BUCKETS_FILE`: `{"<bucket>": {"preset": "gallery", "visibility": "private"}, "*": {…}}`. */
export const bucketsFileSchema = z.record(
  z.string().refine((name) => name === ANY_BUCKET || BUCKET_NAME.test(name), {
    error: `expected the name of a bucket (3 to 63 lower-case letters, digits and dashes) or ${ANY_BUCKET}`,
  }),
  bucketRulesSchema,
);

/** What holds for a bucket, complete. */
export interface BucketPolicy {
  /** The preset of uploads that name none. */
  preset: string;
  visibility: Visibility;
  /** Metadata of every rendition; absent: as the plans of the preset say. Originals stay as they are. */
  metadata?: MetadataPolicy;
  allowedMimeTypes: ReadonlySet<string>;
  maxBytes: number;
}

export interface Policies {
  /** Undefined where there is no such preset. */
  preset(name: string): Preset | undefined;
  presetNames: readonly string[];
  policyFor(bucket: string): BucketPolicy;
}

export interface PolicySources {
  presets: readonly Preset[];
  buckets: Readonly<Record<string, BucketRules>>;
  /** What every upload of the service is held to: a bucket narrows it. */
  allowedMimeTypes: readonly string[];
  maxBytes: number;
}

/** A preset that comes later in the list stands in place of an earlier one of its name. */
export function createPolicies({ presets, buckets, allowedMimeTypes, maxBytes }: PolicySources): Policies {
  const byName = new Map(presets.map((preset) => [preset.name, preset]));
  const complete = (rules: BucketRules): BucketPolicy => ({
    preset: rules.preset ?? 'web',
    visibility: rules.visibility ?? 'public',
    ...(rules.metadata && { metadata: rules.metadata }),
    allowedMimeTypes: new Set(rules.allowedMimeTypes ?? allowedMimeTypes),
    maxBytes: Math.min(rules.maxBytes ?? maxBytes, maxBytes),
  });
  const policies = new Map(Object.entries(buckets).map(([name, rules]) => [name, complete(rules)]));
  const otherwise = policies.get(ANY_BUCKET) ?? complete({});
  policies.delete(ANY_BUCKET);
  return {
    preset: (name) => byName.get(name),
    presetNames: [...byName.keys()],
    policyFor: (bucket) => policies.get(bucket) ?? otherwise,
  };
}

/** What a bucket asks for and the service does not have. */
export function bucketErrors({ presets, buckets, allowedMimeTypes }: PolicySources): FieldError[] {
  const errors: FieldError[] = [];
  const expectOneOf = (known: readonly string[], value: string, path: string): void => {
    if (known.includes(value)) return;
    errors.push({ path, message: `expected one of ${known.join(', ')}, got ${shown(value)}` });
  };
  const presetNames = presets.map(({ name }) => name);
  for (const [bucket, rules] of Object.entries(buckets)) {
    if (rules.preset !== undefined) expectOneOf(presetNames, rules.preset, `${bucket}.preset`);
    for (const [i, type] of (rules.allowedMimeTypes ?? []).entries()) {
      expectOneOf(allowedMimeTypes, type, `${bucket}.allowed_mime_types.${i}`);
    }
  }
  return errors;
}

/** The longer side of each rendition of the preset `web`, in px. */
export const WEB_SIZES = { thumbnail: 150, medium: 600, large: 1200, original: 4096 } as const;
const GALLERY_JPEG_QUALITY = 85;

export interface BuiltInOptions {
  webSizes: readonly { name: string; longSidePx: number }[];
  /** 1–100. */
  webpQuality: number;
}

/** `web` and `gallery`: nothing is enlarged, and nothing that the camera wrote is published. */
export function builtInPresets({ webSizes, webpQuality }: BuiltInOptions): Preset[] {
  const asWebp = { format: 'webp', quality: webpQuality, metadata: 'strip' } as const;
  const asJpeg = {
    format: 'jpeg',
    quality: GALLERY_JPEG_QUALITY,
    chroma: '4:2:0',
    metadata: 'strip',
  } as const;
  const gallery: readonly (readonly [name: string, operation: NonNullable<Plan['operations']>[number]])[] = [
    ['thumbnail', { op: 'resize', width: 200, height: 200, fit: 'cover' }],
    ['optimized', { op: 'resize', width: 1920, height: 1080 }],
  ];
  return [
    {
      name: 'web',
      renditions: webSizes.map(({ name, longSidePx }) => ({
        name,
        plan: { operations: [{ op: 'resize', width: longSidePx, height: longSidePx }], output: asWebp },
      })),
    },
    {
      name: 'gallery',
      renditions: gallery.flatMap(([name, operation]) =>
        [asWebp, asJpeg].map((output) => ({ name, plan: { operations: [operation], output } })),
      ),
    },
  ];
}
