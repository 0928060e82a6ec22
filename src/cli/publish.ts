/** Puts a finished picture at its place: whole or not at all, and never over a file that should stay. */
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { link, mkdir, open, rename, rm, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

export interface PublishOptions {
  /** Replace what stands at the target. */
  overwrite: boolean;
  /** Modification time that the target gets. */
  modified: Date;
  signal: AbortSignal;
}

const parts = new Set<string>();

/** Removes what is half written, at once: for the moment before the process is ended by force. */
export function removePartsNow(): void {
  for (const part of parts) rmSync(part, { force: true });
}

/**
 * Copies `from` to a hidden `.part` file beside `target`, then gives it its name. A copy, not a rename: the
 * scratch folder may lie on another file system, and the new file must get the permissions that the user's umask
 * and the folder's defaults give.
 * @throws the file system's error; `EEXIST` where the target exists and `overwrite` is false. No part remains.
 */
export async function publish(from: string, target: string, options: PublishOptions): Promise<void> {
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const part = join(folder, partName(basename(target)));
  parts.add(part);
  try {
    await pipeline(
      createReadStream(from, { highWaterMark: 1 << 20 }),
      createWriteStream(part, { flags: 'wx', highWaterMark: 1 << 20 }),
      { signal: options.signal },
    );
    await utimes(part, new Date(), options.modified);
    options.signal.throwIfAborted();
    await (options.overwrite ? rename(part, target) : moveWithoutReplacing(part, target));
  } finally {
    await rm(part, { force: true });
    parts.delete(part);
  }
}

/** File names end at 255 bytes on the common file systems; the target's own name may use them all. */
function partName(name: string): string {
  let start = name;
  while (Buffer.byteLength(start) > 200) start = start.slice(0, -10);
  return `.${start.toWellFormed()}.${randomBytes(6).toString('hex')}.part`;
}

/** rename() replaces silently; link() does not. */
async function moveWithoutReplacing(part: string, target: string): Promise<void> {
  try {
    await link(part, target);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // FAT, exFAT (cameras' cards) and some network folders know no links.
    if (!code || !['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV', 'EACCES'].includes(code))
      throw error;
    // An empty file of our own takes the name first; the rename then replaces that.
    await (await open(target, 'wx')).close();
    try {
      await rename(part, target);
    } catch (renameError) {
      await rm(target, { force: true });
      throw renameError;
    }
  }
}
