/** Real programs that tests compare with. One table serves the tests and `scripts/system-packages.ts`. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

interface ToolEntry {
  /** Debian package. */
  package: string;
  /** Names on PATH, the preferred one first. */
  commands: string[];
  /** With these arguments it answers something that `says` matches; the exit status does not matter. */
  probe: string[];
  says: RegExp;
  neededFor: string;
}

export const TOOLS = {
  perl: {
    package: 'perl',
    commands: ['perl'],
    // A slim image's perl has no Time::Piece, nor other standard modules that exiftool wants.
    probe: ['-MTime::Piece', '-v'],
    says: /^This is perl/m,
    neededFor: 'exiftool, with which the engine reads and keeps metadata',
  },
  exiftool: {
    package: 'libimage-exiftool-perl',
    commands: ['exiftool'],
    probe: ['-ver'],
    says: /^\d+\.\d+/,
    neededFor: 'reading what was written with an exiftool that is not the engine’s own',
  },
  'heif-convert': {
    package: 'libheif-examples',
    commands: ['heif-convert', 'heif-dec'],
    probe: ['--help'],
    says: /libheif version/,
    neededFor: 'comparing HEIC pixels with native libheif',
  },
  'heif-enc': {
    package: 'libheif-examples',
    commands: ['heif-enc'],
    probe: ['--help'],
    says: /libheif version/,
    neededFor: 'making HEIC files',
  },
  dcraw_emu: {
    package: 'libraw-bin',
    commands: ['dcraw_emu'],
    probe: [],
    says: /dcraw emulator/,
    neededFor: 'comparing RAW pixels with native LibRaw',
  },
  imagemagick: {
    package: 'imagemagick',
    commands: ['magick', 'convert-im6', 'convert'],
    probe: ['-version'],
    says: /^Version: ImageMagick/m,
    neededFor: 'comparing colours with an independent conversion (lcms)',
  },
  ffmpeg: {
    package: 'ffmpeg',
    commands: ['ffmpeg'],
    probe: ['-version'],
    says: /^ffmpeg version/m,
    neededFor: 'videos and AVIF sequences, which the engine decodes by it, and making them',
  },
  ffprobe: {
    package: 'ffmpeg',
    commands: ['ffprobe'],
    probe: ['-version'],
    says: /^ffprobe version/m,
    neededFor: 'videos and AVIF sequences, which the engine decodes by it',
  },
  php: {
    package: 'php-cli',
    commands: ['php'],
    probe: ['--version'],
    says: /^PHP \d/m,
    neededFor: 'the recipe for signing URLs in PHP',
  },
  python3: {
    package: 'python3',
    commands: ['python3'],
    probe: ['--version'],
    says: /^Python 3/m,
    neededFor: 'the recipe for signing URLs in Python',
  },
  strace: {
    package: 'strace',
    commands: ['strace'],
    probe: ['-V'],
    says: /^strace -- version/m,
    neededFor: 'watching which files and addresses the server touches',
  },
} as const satisfies Record<string, ToolEntry>;

export type ToolName = keyof typeof TOOLS;

const found = new Map<ToolName, { path: string }>();

/**
 * Where a program is, as an absolute path; undefined where it is missing. A file of the right name is not
 * enough (a `convert` need not be ImageMagick's): what it says of itself must fit as well.
 */
export function tool(name: ToolName): { path: string } | undefined {
  const known = found.get(name) ?? find(TOOLS[name]);
  if (known) found.set(name, known);
  return known;
}

/**
 * The path of a program that this test cannot do without. Where it is missing the test is marked as skipped,
 * with the reason, and the answer is undefined: return from the test then. With `CI=true` it throws.
 */
export function requireTool(t: { skip(reason: string): void }, name: ToolName): string | undefined {
  const path = tool(name)?.path;
  if (path) return path;
  const reason = `needs ${name} (Debian package ${TOOLS[name].package})`;
  if (process.env.CI === 'true') throw new Error(reason);
  t.skip(reason);
  return undefined;
}

function find({ commands, probe, says }: ToolEntry): { path: string } | undefined {
  for (const path of commands.flatMap(onPath)) {
    const run = spawnSync(path, probe, {
      encoding: 'utf8',
      timeout: 10_000,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (!run.error && says.test(`${run.stdout}\n${run.stderr}`)) return { path };
  }
  return undefined;
}

/** Packages' own commands are left out: a program to compare with must not be the one that the engine runs. */
function onPath(command: string): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((f) => f && !f.includes('node_modules'));
  return folders.map((folder) => join(folder, command)).filter(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
