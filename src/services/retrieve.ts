/**
 * Reads images for whoever may see them. What somebody may not see is not there: the answer to a stranger is the same
 * for a private image and for none.
 */
import type { Preset } from '../contract/policies.ts';
import { canSee, type Principal, requireBucket, requireOwner } from '../domain/access.ts';
import { failedProblem } from '../domain/failure.ts';
import { expandPreset } from '../domain/presets.ts';
import type { ImageFilter, ImageRow, JobRow, RenditionRow, VersionRow } from '../ports/catalog.ts';
import { Problem } from '../problem.ts';
import type { Services } from './context.ts';

export type RetrieveServices = Pick<Services, 'catalog' | 'blobs' | 'policies'>;

/** One size of an image. */
export interface SizeOf {
  size: string;
  /** All that it comes in, sooner or later: the one to prefer first. */
  formats: readonly string[];
  /** Those that are there, in the same order. */
  files: [RenditionRow, ...RenditionRow[]];
}

export interface ListedImage {
  image: ImageRow;
  sizes: SizeOf[];
  /** The current one; undefined where the bytes have not come. */
  version: VersionRow | undefined;
}

/** What sizes answer where none is named. */
const DEFAULT_SIZE = 'medium';

/** Whoever asks: for those whose right to it was checked otherwise. @throws Problem not_found */
export async function findAnyImage(
  imageId: string,
  { catalog }: Pick<Services, 'catalog'>,
): Promise<ImageRow> {
  const image = await catalog.image(imageId);
  if (!image) throw noSuchImage();
  return image;
}

/** @throws Problem not_found, also where it is not theirs to see */
export async function findImage(
  imageId: string,
  principal: Principal | undefined,
  services: Pick<Services, 'catalog'>,
): Promise<ImageRow> {
  const image = await findAnyImage(imageId, services);
  if (!canSee(principal, image)) throw noSuchImage();
  return image;
}

/** @throws Problem not_found; forbidden where it is public and somebody else's */
export async function findOwnImage(
  imageId: string,
  principal: Principal,
  services: Pick<Services, 'catalog'>,
): Promise<ImageRow> {
  const image = await findImage(imageId, principal, services);
  requireOwner(principal, image);
  return image;
}

/** Whether they are told what only the owner is. */
export const isTheirs = (principal: Principal | undefined, image: ImageRow): boolean =>
  principal !== undefined && canSee(principal, { ...image, visibility: 'private' });

/** Whether they have asked for a job: of their images, or of all as an admin. Others may see its image all the same. */
export const isTheirJob = (principal: Principal | undefined, { owner, bucket }: JobRow): boolean =>
  canSee(principal, { owner, bucket, visibility: 'private' });

/**
 * The sizes of an image's current version, or of another one, that are there.
 * @throws Problem not_found where the image has no such version
 */
export async function sizesOf(
  image: ImageRow,
  services: Pick<Services, 'catalog' | 'policies'>,
  version: number = image.currentVersion,
): Promise<SizeOf[]> {
  const { catalog, policies } = services;
  const rows = await catalog.renditions([image.imageId], version);
  if (rows.length === 0 && version !== image.currentVersion) await findVersion(image, version, services);
  return groupSizes(image, rows, policies);
}

/** The sizes of all versions that have some. */
export async function sizesByVersion(
  image: ImageRow,
  { catalog, policies }: Pick<Services, 'catalog' | 'policies'>,
): Promise<Map<number, SizeOf[]>> {
  const byVersion = Map.groupBy(await catalog.renditions([image.imageId]), ({ version }) => version);
  return new Map(
    Array.from(byVersion, ([version, rows]) => [version, groupSizes(image, rows, policies)] as const),
  );
}

/**
 * The size that was asked for, or the default.
 * @param sizes those that are there
 * @throws Problem invalid_field where the image will never have it; not_finished where it will; the code that the image
 *   failed with; not_found where the size came to the preset later
 */
export async function pickSize(
  image: ImageRow,
  sizes: readonly SizeOf[],
  asked: string | undefined,
  { catalog, policies }: Pick<Services, 'catalog' | 'policies'>,
): Promise<SizeOf> {
  const known = [
    ...new Set([...plannedFormats(image.preset, policies).keys(), ...sizes.map(({ size }) => size)]),
  ];
  const size = asked ?? (known.includes(DEFAULT_SIZE) ? DEFAULT_SIZE : known[0]);
  const found = sizes.find((one) => one.size === size);
  if (found) return found;
  if (size !== undefined && known.length > 0 && !known.includes(size)) throw unknownSize(known);
  await requireReady(image, { catalog });
  throw new Problem('not_found', { detail: 'The image has no such size.' });
}

/** @throws Problem invalid_field where the size does not come in this format; otherwise as `pickSize` */
export async function pickFormat(
  image: ImageRow,
  { size, formats, files }: SizeOf,
  format: string,
  services: Pick<Services, 'catalog'>,
): Promise<RenditionRow> {
  const found = files.find((file) => file.format === format);
  if (found) return found;
  if (!formats.includes(format)) {
    const message = `expected ${oneOf(formats)}`;
    throw new Problem('invalid_field', {
      detail: `The size ${size} does not come in this format: ${message}.`,
      errors: [{ path: 'format', message }],
    });
  }
  await requireReady(image, services);
  throw new Problem('not_found', { detail: 'The image does not have this size in this format.' });
}

/** @throws Problem not_finished, or the code that the image failed with */
export async function requireReady(image: ImageRow, { catalog }: Pick<Services, 'catalog'>): Promise<void> {
  switch (image.status) {
    case 'ready':
      return;
    case 'failed':
      throw failedProblem((await catalog.latestJob(image.imageId, image.currentVersion))?.lastError ?? null);
    case 'expected':
      throw new Problem('not_finished', { detail: 'The bytes of this image have not arrived.' });
    default:
      throw new Problem('not_finished', { detail: 'The image is still being processed.' });
  }
}

/** One page of the images that are theirs; for admins, of all. @throws Problem forbidden, invalid_field */
export async function listImages(
  filter: Omit<ImageFilter, 'owner' | 'buckets'>,
  principal: Principal,
  { catalog, policies }: Pick<Services, 'catalog' | 'policies'>,
): Promise<{ items: ListedImage[]; nextCursor: string | null }> {
  if (filter.bucket !== undefined) requireBucket(principal, filter.bucket);
  const { items: images, nextCursor } = await catalog.listImages({
    ...filter,
    ...(!principal.scopes.has('admin') && { owner: principal.subject }),
    ...(filter.bucket === undefined && principal.buckets && { buckets: [...principal.buckets] }),
  });
  const ids = images.map(({ imageId }) => imageId);
  const renditions = Map.groupBy(await catalog.renditions(ids), ({ imageId }) => imageId);
  const versions = new Map((await catalog.currentVersions(ids)).map((row) => [row.imageId, row]));
  const items = images.map((image) => {
    const rows = renditions.get(image.imageId) ?? [];
    const current = rows.filter(({ version }) => version === image.currentVersion);
    return { image, sizes: groupSizes(image, current, policies), version: versions.get(image.imageId) };
  });
  return { items, nextCursor };
}

/**
 * One size of several images, each id by itself.
 * @returns for each id what was found, or the Problem that it is answered with
 */
export async function findSizes(
  imageIds: readonly string[],
  size: string | undefined,
  principal: Principal | undefined,
  services: Pick<Services, 'catalog' | 'policies'>,
): Promise<Map<string, { image: ImageRow; found: SizeOf } | Problem>> {
  const { catalog, policies } = services;
  const images = new Map((await catalog.images([...imageIds])).map((image) => [image.imageId, image]));
  const visible = [...images.values()].filter((image) => canSee(principal, image));
  const rows = await catalog.renditions(visible.map(({ imageId }) => imageId));
  const renditions = Map.groupBy(rows, ({ imageId }) => imageId);
  const results = new Map<string, { image: ImageRow; found: SizeOf } | Problem>();
  for (const imageId of imageIds) {
    const image = images.get(imageId);
    if (!image || !canSee(principal, image)) {
      results.set(imageId, noSuchImage());
      continue;
    }
    const current = (renditions.get(imageId) ?? []).filter((row) => row.version === image.currentVersion);
    try {
      const found = await pickSize(image, groupSizes(image, current, policies), size, services);
      results.set(imageId, { image, found });
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error;
      results.set(imageId, error);
    }
  }
  return results;
}

/**
 * A version of the image, with the size that its pixels turned out to have: of a RAW file the headers say less.
 * @throws Problem not_found; not_finished where no bytes have come
 */
export async function findVersion(
  image: ImageRow,
  version: number,
  { catalog }: Pick<Services, 'catalog'>,
): Promise<VersionRow> {
  const row = (await catalog.versions(image.imageId)).find((one) => one.version === version);
  if (row) return row;
  if (image.status === 'expected') await requireReady(image, { catalog });
  throw new Problem('not_found', { detail: 'The image has no such version.' });
}

/** Where the developed pixels have another size than the headers say, that size. */
export function developedSize(
  { width, height, version }: VersionRow,
  job: JobRow | undefined,
): { width: number; height: number } {
  const source = job?.version === version ? job.processingMetadata.source : undefined;
  const { width: w, height: h } = (source ?? {}) as { width?: unknown; height?: unknown };
  return typeof w === 'number' && typeof h === 'number' ? { width: w, height: h } : { width, height };
}

/**
 * Makes sure that the bytes of a row are there and as many as it says, before anything is answered.
 * @throws Problem not_found where the image was deleted meanwhile; internal where the bytes are missing or damaged
 */
export async function requireBytes(
  { imageId, blobKey, bytes }: { imageId: string; blobKey: string; bytes: number },
  { catalog, blobs }: Pick<Services, 'catalog' | 'blobs'>,
): Promise<void> {
  const stored = await blobs.head(blobKey);
  if (stored?.bytes === bytes) return;
  if (!(await catalog.image(imageId))) throw noSuchImage();
  const what = stored ? 'damaged' : 'missing';
  throw new Problem('internal', {
    detail: `The stored bytes of this image are ${what}.`,
    cause: new Error(`${blobKey}: expected ${bytes} bytes, found ${stored?.bytes ?? 'none'}`),
  });
}

/** Smallest first; the formats of one size as the preset orders them. */
function groupSizes(
  { preset }: ImageRow,
  rows: readonly RenditionRow[],
  policies: Services['policies'],
): SizeOf[] {
  const planned = plannedFormats(preset, policies);
  return [...Map.groupBy(rows, ({ name }) => name)].map(([size, files]) => {
    const formats = [...new Set([...(planned.get(size) ?? []), ...files.map(({ format }) => format)])];
    const byRank = files.sort((a, b) => formats.indexOf(a.format) - formats.indexOf(b.format));
    return { size, formats, files: byRank as SizeOf['files'] };
  });
}

/** Presets do not change while the service runs. */
const formatsOf = new WeakMap<Preset, Map<string, string[]>>();

/** The sizes of a preset in its order, with their formats; none where the preset is not there any more. */
function plannedFormats(name: string, policies: Services['policies']): ReadonlyMap<string, string[]> {
  const preset = policies.preset(name);
  if (!preset) return new Map();
  let formats = formatsOf.get(preset);
  if (!formats) {
    formats = new Map();
    for (const { name: size, plan } of expandPreset(preset)) {
      formats.set(size, [...(formats.get(size) ?? []), plan.output.format]);
    }
    formatsOf.set(preset, formats);
  }
  return formats;
}

const noSuchImage = () =>
  new Problem('not_found', {
    detail: 'There is no such image; a private one is there only for its owner, or by a signed URL.',
  });

function unknownSize(known: readonly string[]): Problem {
  const message = `expected ${oneOf(known)}`;
  return new Problem('invalid_field', {
    detail: `The image has no such size: ${message}.`,
    errors: [{ path: 'size', message }],
  });
}

const oneOf = (names: readonly string[]): string =>
  names.length === 1 ? String(names[0]) : `one of ${names.join(', ')}`;
