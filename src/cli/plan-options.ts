/** The options of a Plan on the command line: from arguments to what becomes of the pixels. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { OutputFormat } from '../contract/plan.ts';
import { PLAN_FLAGS, readPlanFlags } from '../contract/plan-codec.ts';
import type { KeyGroup } from '../contract/plan-keys.ts';
import type { ReadPlan } from '../contract/plan-normal.ts';
import { Problem } from '../problem.ts';
import { type OptionSpec, type ParsedArgs, UsageError } from './args.ts';
import { fileSystemReason } from './failure.ts';
import { printable } from './text.ts';

/** Other spellings of options of a plan. */
export const SUGAR_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'size',
    value: 'px|WxH',
    help: '--size 1200 fits the picture within 1200×1200, --size 1200x800 within 1200×800; the same as --width and --height',
  },
  { name: 'strip', help: 'the same as --metadata strip' },
];

/** Without a group: what stands for all of them. */
export type PictureOption = OptionSpec & { group?: KeyGroup };

/** What is said otherwise here, where images are files. */
const HERE: Readonly<Record<string, { value: string; help: string }>> = {
  watermark: { value: 'file', help: 'lay this picture over each picture' },
  plan: {
    value: 'file.json|plan',
    help: 'a whole plan, as JSON or in short form (w_600,h_400,fit_cover,f_webp), or the name of a .json file that holds one',
  },
};

/** What becomes of the pixels, in the order given. */
export const PICTURE_OPTIONS: readonly PictureOption[] = PLAN_FLAGS.map(
  ({ name, alias, valueName, optional, group, help }) => ({
    name,
    ...(alias !== undefined && { alias }),
    ...(valueName !== undefined && { value: valueName }),
    ...(optional && { optional }),
    ...(group && { group }),
    help,
    ...HERE[name],
  }),
);

/** For a method of `--background`. */
export const MODEL_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'matte-model',
    value: 'file.onnx',
    help: 'the model of --background model; that of MATTE_MODEL_PATH by default',
  },
];

const PICTURE_NAMES = new Set(PICTURE_OPTIONS.map(({ name }) => name));

export interface PictureOptions extends ReadPlan {
  /** Files of the images that the plan names, by id. */
  assets: Record<string, string>;
}

/**
 * The options of the picture in the order given, the shorthands replaced by what they stand for.
 * @throws UsageError
 */
export function readPictureOptions(
  parsed: ParsedArgs,
  defaultFormat: OutputFormat | undefined,
): PictureOptions {
  const assets: Record<string, string> = {};
  const flags = parsed.options.flatMap(({ name, value }): [string, string][] => {
    const text = value === true ? '' : value;
    if (name === 'strip') return [['metadata', 'strip']];
    if (name === 'size') return readSize(text);
    if (name === 'plan') return [['plan', readPlanText(text)]];
    if (name === 'watermark') {
      const id = contentId(text);
      assets[id] = resolve(text);
      return [['watermark', id]];
    }
    return PICTURE_NAMES.has(name) ? [[name, text]] : [];
  });
  try {
    const read = readPlanFlags(flags, defaultFormat === undefined ? {} : { defaultFormat });
    return { ...read, assets };
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid_plan') throw error;
    const wrong = error.errors?.map(({ path, message }) => `${path}: ${message}`);
    throw new UsageError((wrong ?? [error.message]).map(printable).join('\n'));
  }
}

/** Width and height, either of which may be absent; undefined for another form. */
export function parseSize(text: string): { width?: number; height?: number } | undefined {
  const [, width, height] = /^(\d{1,6})?[x×](\d{1,6})?$/i.exec(text) ?? [];
  if (width === undefined && height === undefined) return undefined;
  return {
    ...(width !== undefined && { width: Number(width) }),
    ...(height !== undefined && { height: Number(height) }),
  };
}

function readSize(text: string): [string, string][] {
  const box = /^\d{1,6}$/.test(text) ? { width: text, height: text } : parseSize(text);
  if (!box) throw new UsageError(`--size: expected 1200, 1200x800, 1200x or x800, got ${printable(text)}`);
  return Object.entries(box).map(([side, px]) => [side, String(px)]);
}

function readPlanText(text: string): string {
  if (!/\.json$/i.test(text)) return text;
  try {
    return readFileSync(text, 'utf8');
  } catch (error) {
    throw new UsageError(`--plan: ${printable(text)}: ${fileSystemReason(error)}`);
  }
}

const HASH_CHUNK_BYTES = 1024 * 1024;

/**
 * What stands for a file where a plan names an image: a UUID (version 8, RFC 9562) made of the SHA-256 of its bytes, so
 * that the same watermark is the same plan.
 * @throws UsageError where there is no such file
 */
function contentId(file: string): string {
  const hash = createHash('sha256');
  try {
    if (statSync(file).isDirectory()) throw new UsageError(`--watermark: ${printable(file)} is a folder`);
    const descriptor = openSync(file, 'r');
    try {
      const chunk = Buffer.alloc(HASH_CHUNK_BYTES);
      for (let bytes = readSync(descriptor, chunk); bytes > 0; bytes = readSync(descriptor, chunk)) {
        hash.update(chunk.subarray(0, bytes));
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--watermark: ${printable(file)}: ${fileSystemReason(error)}`);
  }
  const bytes = hash.digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
