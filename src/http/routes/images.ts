/** Reading images, and deleting them. */
import type { ImageSummary } from '../../contract/images.ts';
import { type IMAGE_OPERATIONS, MAX_BATCH_IMAGES } from '../../contract/operations/images.ts';
import { EXTENSIONS, MIME_TYPES, type OutputFormat } from '../../contract/plan.ts';
import type { Principal } from '../../domain/access.ts';
import { parseKey } from '../../domain/keys.ts';
import type { ImageRow, RenditionRow } from '../../ports/catalog.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import { eraseImage } from '../../services/erase.ts';
import { type AddressQuery, ImageUrls } from '../../services/image-urls.ts';
import {
  developedSize,
  findAnyImage,
  findImage,
  findOwnImage,
  findSizes,
  findVersion,
  isTheirs,
  type ListedImage,
  listImages,
  pickFormat,
  pickSize,
  requireBytes,
  requireReady,
  type SizeOf,
  sizesByVersion,
  sizesOf,
} from '../../services/retrieve.ts';
import { chooseFormat } from '../accept.ts';
import type { Call, Handler, Handlers } from '../bind.ts';
import { contentDisposition, downloadName, uploadName } from '../disposition.ts';
import { problemDocument } from '../problems.ts';
import { baseUrl } from '../public-url.ts';
import { answerWithBytes } from '../stored-bytes.ts';
import { urlsOf } from './job-documents.ts';

type Operations = typeof IMAGE_OPERATIONS;

export interface ImageRouteOptions {
  services: Pick<Services, 'catalog' | 'blobs' | 'policies' | 'clock' | 'log' | 'urlSigningKey'>;
  /** PUBLIC_URL. */
  publicUrl: string | undefined;
}

/** The bytes of a version never change. */
const IMMUTABLE = 'public, max-age=31536000, immutable';
/** Whoever reads with a token is asked again who they are; what they have they need not fetch again. */
const ASK_AGAIN = 'private, max-age=0, must-revalidate';
/** About what may have changed, or holds a URL that ends. */
const NOT_KEPT = { 'cache-control': 'no-store' };

export function imageRoutes({ services, publicUrl }: ImageRouteOptions): Handlers<Operations> {
  const urls = new ImageUrls(services);
  const present = new Presenter(urls);
  const baseOf = ({ request }: Pick<Call, 'request'>) => baseUrl(request, publicUrl);

  return {
    list_images: async (call) => {
      const { principal, query } = call;
      const { taken_from: takenFrom, taken_to: takenTo, status: word, ...filter } = query;
      const status = word === 'completed' ? 'ready' : word;
      const page = await listImages(
        { ...defined(filter), limit: filter.limit, ...defined({ status, takenFrom, takenTo }) },
        principal,
        services,
      );
      const isAdmin = principal.scopes.has('admin');
      const base = baseOf(call);
      return {
        status: 200,
        headers: NOT_KEPT,
        json: {
          items: page.items.map((item) => present.summary(item, isAdmin, base)),
          next_cursor: page.nextCursor,
        },
      };
    },

    get_image_batch: async (call) => {
      const { principal, query, request } = call;
      const spellings = batchIds(query.image_ids);
      const ids = [...new Set(spellings.map((id) => id.toLowerCase()))];
      const base = baseOf(call);
      const results = await findSizes(ids, query.size, principal, services);
      const items = spellings.map((spelling) => {
        const result = results.get(spelling.toLowerCase())!;
        if (!(result instanceof Problem)) {
          const { image, found } = result;
          return [spelling, present.rendition(image, found, found.files[0], base)] as const;
        }
        const problem = problemDocument(result, `/api/v1/images/${spelling}`, request.id);
        return [spelling, { problem }] as const;
      });
      return { status: 200, headers: NOT_KEPT, json: { items: Object.fromEntries(items) } };
    },

    get_image: async (call) => {
      const { params, query, principal } = call;
      const image = await findImage(params.image_id, principal, services);
      const { format, version } = query;
      const size = await pickSize(image, await sizesOf(image, services, version), query.size, services);
      const file = format === undefined ? size.files[0] : await pickFormat(image, size, format, services);
      return { status: 200, headers: NOT_KEPT, json: present.rendition(image, size, file, baseOf(call)) };
    },

    get_image_sizes: async (call) => {
      const { params, query, principal } = call;
      const image = await findImage(params.image_id, principal, services);
      const { imageId: image_id, status, currentVersion } = image;
      const { version = currentVersion } = query;
      const sizes = await sizesOf(image, services, version);
      const base = baseOf(call);
      const items = sizes.flatMap((size) => size.files.map((file) => present.file(image, size, file, base)));
      return { status: 200, headers: NOT_KEPT, json: { image_id, version, status, items } };
    },

    read_image: directRoute(services, urls),

    get_image_info: async ({ params, query, principal }) => {
      const image = await findImage(params.image_id, principal, services);
      await requireReady(image, services);
      const { version: number = image.currentVersion } = query;
      const [version, job] = await Promise.all([
        findVersion(image, number, services),
        services.catalog.latestJob(image.imageId, number),
      ]);
      const info = { ...NOTHING_SAID, ...image.info, ...(version.plan && OF_WHAT_WE_WRITE) };
      return {
        status: 200,
        headers: NOT_KEPT,
        json: {
          image_id: image.imageId,
          version: number,
          ...developedSize(version, job),
          format: version.format,
          size_bytes: version.bytes,
          mime: version.mime,
          ...info,
          gps: isTheirs(principal, image) ? info.gps : null,
        },
      };
    },

    download_image: async ({ params, query, principal, request }) => {
      const image = await findOwnImage(params.image_id, principal, services);
      const version = await findVersion(image, query.version, services);
      await requireBytes(version, services);
      const { blobKey: key, bytes, mime, format } = version;
      const source = parseKey(key);
      const extension = EXTENSIONS[format as OutputFormat] ?? format;
      // What was made of an upload has the extension of its own format.
      const name = (version.plan ? downloadName : uploadName)(image.filename, extension);
      return answerWithBytes(
        request,
        {
          key,
          bytes,
          type: mime,
          headers: { 'cache-control': ASK_AGAIN },
          contentHeaders: {
            'content-disposition': contentDisposition(name),
            ...(source?.kind === 'original' && { 'repr-digest': digestField(source.sha256) }),
          },
        },
        services.blobs,
      ) as ReturnType<Handler<Operations['download_image']>>;
    },

    list_image_versions: async (call) => {
      const { params, principal } = call;
      const image = await findImage(params.image_id, principal, services);
      const [versions, sizes] = await Promise.all([
        services.catalog.versions(image.imageId),
        sizesByVersion(image, services),
      ]);
      const base = baseOf(call);
      const isOwner = isTheirs(principal, image);
      const { imageId: image_id, currentVersion: current_version } = image;
      const items = versions.map((row) => ({
        version: row.version,
        current: row.version === current_version,
        created_at: row.createdAt,
        width: row.width,
        height: row.height,
        format: row.format,
        size_bytes: row.bytes,
        mime_type: row.mime,
        plan: isOwner ? row.plan : null,
        url: isOwner ? `${base}/api/v1/images/${image_id}/download?version=${row.version}` : null,
        urls: urlsOf(image, row.version, sizes.get(row.version) ?? [], urls, base),
      }));
      return { status: 200, headers: NOT_KEPT, json: { image_id, current_version, items } };
    },

    delete_image: async ({ params, principal }) => {
      await eraseImage(params.image_id, principal, services);
      return { status: 204 };
    },
  };
}

function directRoute(
  services: ImageRouteOptions['services'],
  urls: ImageUrls,
): Handler<Operations['read_image']> {
  return async ({ params, query, principal, request }) => {
    const access = await findToRead(params.image_id, query, principal, services, urls);
    const { image } = access;
    const size = await pickSize(image, await sizesOf(image, services, query.version), query.size, services);
    const format = query.format ?? negotiated(size, request.headers.accept);
    const file = await pickFormat(image, size, format, services);
    await requireBytes(file, services);
    const extension = EXTENSIONS[file.format as OutputFormat] ?? file.format;
    const name = downloadName(image.filename, extension);
    const isNegotiated = size.formats.length > 1 && query.format === undefined;
    // Another format may be the better answer in a moment.
    const isFinal = !isNegotiated || size.files.length === size.formats.length;
    // Of an image that is processed, another version will be.
    const isFixed = query.version !== undefined || image.currentVersion === 1;
    return answerWithBytes(
      request,
      {
        key: file.blobKey,
        bytes: file.bytes,
        type: MIME_TYPES[file.format as OutputFormat] ?? 'application/octet-stream',
        headers: {
          'cache-control': isFinal && isFixed ? access.cacheControl : ASK_AGAIN,
          ...(isNegotiated && { vary: 'Accept' }),
        },
        contentHeaders: { 'content-disposition': contentDisposition(name, 'inline') },
      },
      services.blobs,
    );
  };
}

/**
 * Who gives a signature has it checked before anything else, so that a wrong one tells nothing of the image.
 * @throws Problem forbidden for a wrong or expired signature, not_found
 */
async function findToRead(
  imageId: string,
  query: AddressQuery,
  principal: Principal | undefined,
  services: ImageRouteOptions['services'],
  urls: ImageUrls,
): Promise<{ image: ImageRow; cacheControl: string }> {
  if (query.expires === undefined && query.signature === undefined) {
    const image = await findImage(imageId, principal, services);
    return { image, cacheControl: image.visibility === 'public' ? IMMUTABLE : ASK_AGAIN };
  }
  requireValid(urls.verify(imageId, query));
  const image = await findAnyImage(imageId, services);
  const leftMs = Number(query.expires) * 1000 - services.clock.now().getTime();
  const whileItHolds = `private, max-age=${Math.max(0, Math.floor(leftMs / 1000))}, immutable`;
  return { image, cacheControl: image.visibility === 'public' ? IMMUTABLE : whileItHolds };
}

function requireValid(verdict: ReturnType<ImageUrls['verify']>): void {
  if (verdict === 'valid') return;
  throw new Problem('forbidden', {
    detail: verdict === 'expired' ? 'The URL has expired.' : "The URL's signature does not fit it.",
  });
}

const negotiated = ({ files }: SizeOf, accept: string | undefined): string =>
  chooseFormat(accept, files.map(({ format }) => format) as [string, ...string[]]);

class Presenter {
  readonly #urls: ImageUrls;

  constructor(urls: ImageUrls) {
    this.#urls = urls;
  }

  rendition(image: ImageRow, size: SizeOf, file: RenditionRow, base: string) {
    const { imageId: image_id, status } = image;
    return { image_id, version: file.version, status, ...this.file(image, size, file, base) };
  }

  /** The URL gives the very file that is described. */
  file(image: ImageRow, { size, formats }: SizeOf, file: RenditionRow, base: string) {
    const { format, width, height, bytes } = file;
    const address = { ...addressOf(file), ...(formats.length > 1 && { format }) };
    return { size, url: this.#urls.urlOf(image, address, base), width, height, format, size_bytes: bytes };
  }

  summary({ image, sizes, version }: ListedImage, isAdmin: boolean, base: string): ImageSummary {
    const urls = sizes.map(
      ({ size, files }) => [size, this.#urls.urlOf(image, addressOf(files[0]), base)] as const,
    );
    return {
      image_id: image.imageId,
      bucket: image.bucket,
      project: image.project,
      status: image.status,
      filename: image.filename,
      created_at: image.createdAt,
      camera: image.camera,
      taken_at: image.takenAt,
      width: version?.width ?? null,
      height: version?.height ?? null,
      dominant_color: image.dominantColor,
      thumbhash: image.thumbhash,
      blurhash: image.blurhash,
      urls: Object.fromEntries(urls),
      ...(isAdmin && { owner: image.owner }),
    };
  }
}

const addressOf = ({ imageId, version, name }: RenditionRow) => ({ imageId, version, size: name });

/** Different ones, as they were written. @throws Problem invalid_field */
function batchIds(text: string): string[] {
  const ids = [...new Set(text.split(',').map((id) => id.trim()))].filter((id) => id !== '');
  if (ids.length > 0 && ids.length <= MAX_BATCH_IMAGES) return ids;
  const message = `expected 1 to ${MAX_BATCH_IMAGES} ids, separated by commas; got ${ids.length}`;
  throw new Problem('invalid_field', {
    detail: `The field "image_ids" of the query is wrong: ${message}.`,
    errors: [{ path: 'image_ids', message }],
  });
}

/** RFC 9530. */
const digestField = (sha256: string): string => `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`;

/** For where there is nothing to be read. */
const NOTHING_SAID = {
  camera_make: null,
  camera_model: null,
  lens: null,
  date_taken: null,
  iso: null,
  focal_length: null,
  aperture: null,
  shutter_speed: null,
  orientation: null,
  color_space: null,
  gps: null,
  title: null,
  description: null,
  keywords: null,
  artist: null,
  copyright: null,
  software: null,
};

/** However the upload was: pixels are written upright, and in sRGB. */
const OF_WHAT_WE_WRITE = { orientation: 1, color_space: 'sRGB' };

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the members that are undefined. */
const defined = <T extends object>(from: T): Defined<T> =>
  Object.fromEntries(Object.entries(from).filter(([, value]) => value !== undefined)) as Defined<T>;
