/** The JPEG previews that cameras put into RAW files, by exiftool. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { Problem } from '../../problem.ts';
import { type CommandOptions, runExiftool, withPlainName } from '../metadata/exiftool.ts';

/** The tags that hold whole pictures; the thumbnail is better than nothing only. */
const PREVIEW_TAGS = ['JpgFromRaw', 'JpgFromRaw2', 'PreviewImage', 'OtherImage'];
const THUMBNAIL_TAG = 'ThumbnailImage';
/** A file has three or four. */
const MAX_CANDIDATES = 16;

/**
 * Writes the largest embedded JPEG preview into `outDir` and answers its path. The bytes are the camera's; where
 * they do not say how the picture is to be turned, the RAW file's Orientation is added.
 * @throws Problem `preview_not_found`, or what `runExiftool` throws
 */
export async function extractPreview(
  path: string,
  outDir: string,
  options: CommandOptions = {},
): Promise<string> {
  const run = withinOneDeadline(options);
  return withPlainName(path, async (source) => {
    const { tags, orientation } = await embeddedPictures(source, run);
    for (const [i, tag] of tags.entries()) {
      const target = join(resolve(outDir), `preview-${i}.jpg`);
      // `%0f` stands for nothing: without a format code exiftool takes the argument for an extension.
      const name = `%0f${target.replaceAll('%', '%%')}`;
      await run(['-b', '-m', `-${tag}`, '-w!', name, source]);
      const jpeg = await jpegHeader(target);
      if (!jpeg) {
        await rm(target, { force: true });
        continue;
      }
      // Sensors lie on their long side: a preview that stands has been turned already.
      const turned = orientation >= 5 && jpeg.height > jpeg.width;
      if (orientation > 1 && jpeg.orientation === undefined && !turned) {
        await run(['-m', '-n', `-Orientation=${orientation}`, '-overwrite_original', target]);
      }
      return target;
    }
    throw new Problem('preview_not_found', { detail: 'The file holds no embedded JPEG preview.' });
  });
}

/** Whether `extractPreview` would find one. */
export async function hasPreview(path: string, options: CommandOptions = {}): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-preview-'));
  try {
    await extractPreview(path, folder, options);
    return true;
  } catch (error) {
    if (error instanceof Problem && error.code === 'preview_not_found') return false;
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Run = (args: string[]) => Promise<string>;

function withinOneDeadline({ timeoutMs, ...options }: CommandOptions): Run {
  const end = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
  return async (args) => {
    const left = end === undefined ? {} : { timeoutMs: Math.max(1, end - performance.now()) };
    return (await runExiftool(args, { ...options, ...left })).stdout;
  };
}

/**
 * `group:tag` of each embedded picture, the most bytes first, thumbnails after all others; and the file's
 * Orientation as in EXIF.
 */
async function embeddedPictures(source: string, run: Run): Promise<{ tags: string[]; orientation: number }> {
  const wanted = [...PREVIEW_TAGS, THUMBNAIL_TAG, 'IFD0:Orientation'].map((tag) => `-${tag}`);
  const listing = await run(['-a', '-G1', '-s', '-n', ...wanted, source]);
  const tags = Array.from(listing.matchAll(/^\[(\w+)\]\s+(\w+)\s*:.*?\(Binary data (\d+) bytes/gm))
    .map(([, group, tag, bytes]) => ({
      name: `${group}:${tag}`,
      bytes: Number(bytes),
      thumbnail: tag === THUMBNAIL_TAG,
    }))
    .sort((a, b) => Number(a.thumbnail) - Number(b.thumbnail) || b.bytes - a.bytes)
    .slice(0, MAX_CANDIDATES)
    .map(({ name }) => name);
  const orientation = Number(/^\[IFD0\]\s+Orientation\s*: ([1-8])$/m.exec(listing)?.[1] ?? 1);
  return { tags, orientation };
}

/** Undefined where it is none: some cameras' tags hold other things, and cut files a header without a picture. */
async function jpegHeader(path: string) {
  try {
    await using file = await open(path, 'r');
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    if (buffer.readUInt16BE(0) !== 0xffd8) return undefined;
    const { format, width, height, orientation } = await sharp(path).metadata();
    return format === 'jpeg' && width > 0 && height > 0 ? { width, height, orientation } : undefined;
  } catch {
    // Not written, or no picture.
    return undefined;
  }
}
