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
 * Writes the largest embedded JPEG preview into `outDir` and answers its path. The bytes are those of the
 * camera, untouched; their orientation may be that of the sensor, stated by an EXIF block of their own or none.
 * @throws Problem `preview_not_found`, or what `runExiftool` throws
 */
export async function extractPreview(
  path: string,
  outDir: string,
  options: CommandOptions = {},
): Promise<string> {
  const deadline = performance.now() + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
  const within = () => ({
    ...options,
    ...(options.timeoutMs && { timeoutMs: Math.max(1, deadline - performance.now()) }),
  });
  return withPlainName(path, async (source) => {
    for (const [i, tag] of (await candidates(source, within())).entries()) {
      const target = join(resolve(outDir), `preview-${i}.jpg`);
      // `%0f` is no part of the name: without a format code exiftool takes the argument for an extension.
      const name = `%0f${target.replaceAll('%', '%%')}`;
      await runExiftool(['-b', '-m', `-${tag}`, '-w!', name, source], within());
      if (await isJpeg(target)) return target;
      await rm(target, { force: true });
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

/** `group:tag` of each embedded picture, the most bytes first, thumbnails after all others. */
async function candidates(source: string, options: CommandOptions): Promise<string[]> {
  const tags = [...PREVIEW_TAGS, THUMBNAIL_TAG].map((tag) => `-${tag}`);
  const { stdout } = await runExiftool(['-a', '-G1', '-s', ...tags, source], options);
  return Array.from(stdout.matchAll(/^\[(\w+)\]\s+(\w+)\s*:.*?\(Binary data (\d+) bytes/gm))
    .map(([, group, tag, bytes]) => ({
      name: `${group}:${tag}`,
      bytes: Number(bytes),
      thumbnail: tag === THUMBNAIL_TAG,
    }))
    .sort((a, b) => Number(a.thumbnail) - Number(b.thumbnail) || b.bytes - a.bytes)
    .slice(0, MAX_CANDIDATES)
    .map(({ name }) => name);
}

/** Some cameras' tags hold other things, and cut files hold a header without a picture. */
async function isJpeg(path: string): Promise<boolean> {
  try {
    await using file = await open(path, 'r');
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    if (buffer.readUInt16BE(0) !== 0xffd8) return false;
    const { format, width, height } = await sharp(path).metadata();
    return format === 'jpeg' && width > 0 && height > 0;
  } catch {
    // Not written, or no picture.
    return false;
  }
}
