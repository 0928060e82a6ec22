/** What exiftool finds in renditions that should carry no metadata. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a file of its format cannot do without, and what exiftool says of any file. */
const STRUCTURE =
  /^(SourceFile|ExifTool:.*|System:.*|File:.*|JFIF:.*|RIFF:.*|Composite:(ImageSize|Megapixels))$/;

/**
 * Looks at all WebP and JPEG files of a folder at once.
 * @returns how many there are, and what is left in them, `file: tag`
 */
export async function metadataLeftIn(
  folder: string,
  exiftool: string,
): Promise<{ files: number; left: string[] }> {
  const args = ['-a', '-G1', '-ee', '-j', '-m', '-q', '-q', '-r', folder];
  const { stdout } = await run(exiftool, args, { maxBuffer: 1 << 28 });
  const files = JSON.parse(stdout) as Record<string, unknown>[];
  const left = files.flatMap(({ SourceFile, ...tags }) =>
    Object.keys(tags)
      .filter((tag) => !STRUCTURE.test(tag))
      .map((tag) => `${SourceFile}: ${tag}`),
  );
  return { files: files.length, left };
}
