/** `tintype sign`: a URL that renders an image on the fly, for the service as it is configured here. */
import { loadConfig } from '../config.ts';
import { EXTENSIONS } from '../contract/plan.ts';
import { PLAN_FLAGS, planFromFlags, planToSegment } from '../contract/plan-codec.ts';
import { KEY_BY_NAME, onOff } from '../contract/plan-keys.ts';
import { formatOfExtension } from '../contract/transform-url.ts';
import { signTransformUrl } from '../domain/transform-signature.ts';
import { Problem } from '../problem.ts';
import { resolveSecrets } from '../secrets.ts';
import { type OptionSpec, type ParsedArgs, parseCommandLine, UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { printable } from './text.ts';
import { readExpiry } from './token.ts';

/** What only URLs say. */
export const URL_OPTIONS: readonly OptionSpec[] = [
  { name: 'expires', value: 'time', help: 'how long the URL holds, as 30m, 1h or 30d; for ever by default' },
  {
    name: 'base',
    value: 'url',
    help: 'where clients reach the service; PUBLIC_URL by default, and without that a path is printed',
  },
  {
    name: 'preset',
    value: 'preset.rendition',
    help: 'a rendition of a preset, e.g. web.medium, in place of the options of a picture',
  },
  {
    name: 'dpr',
    value: 'number|auto',
    help: 'multiply width and height; auto: by the pixel ratio of the client’s screen. --width auto: what it shows',
  },
  {
    name: 'image-version',
    value: 'n',
    help: 'of the image; the current one by default. With it, caches may keep the picture for a year',
  },
  { name: 'help', alias: 'h', help: 'this text' },
];

/** As in URLs: a watermark is the id of an image. */
const PLAN_OPTIONS: readonly OptionSpec[] = PLAN_FLAGS.map(({ name, alias, valueName, optional, help }) => ({
  name,
  ...(alias !== undefined && { alias }),
  ...(valueName !== undefined && { value: valueName }),
  ...(optional && { optional }),
  help,
}));
const PLAN_NAMES = new Set(PLAN_FLAGS.map(({ name }) => name));
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Any width that is allowed, where the client's is to be read. */
const SOME_WIDTH = '100';

export interface SignRequest {
  imageId: string;
  /** A plan as in URLs. */
  plan: string;
  /** Empty where there is none. */
  ext: string;
  base?: string;
  expiresInSeconds?: number;
}

/** @throws UsageError, HelpRequested, Problem `invalid_configuration` */
export async function sign(args: string[], { env, stdout, stderr }: CommandContext): Promise<number> {
  const { imageId, plan, ext, base, expiresInSeconds } = readSignRequest(args);
  const config = loadConfig(env);
  const { urlSigningKey, created } = resolveSecrets(config);
  if (created) stderr.write('JWT_SECRET_KEY is not set: made a secret in DATA_DIR to sign with\n');
  const expiresAt =
    expiresInSeconds === undefined ? undefined : new Date(Date.now() + expiresInSeconds * 1000);
  const url = asUsage(() =>
    signTransformUrl(
      { imageId, plan, ext, ...(expiresAt && { expiresAt }) },
      { secret: urlSigningKey, base: (base ?? config.publicUrl ?? '').replace(/\/+$/, '') },
    ),
  );
  stdout.write(`${url}\n`);
  return EXIT.ok;
}

/** @throws UsageError, HelpRequested */
export function readSignRequest(args: string[]): SignRequest {
  const parsed = parseCommandLine(args, [...URL_OPTIONS, ...PLAN_OPTIONS]);
  const [imageId, extra] = parsed.positionals;
  if (imageId === undefined) throw new UsageError('sign needs the id of an image');
  if (!UUID.test(imageId)) {
    throw new UsageError(`expected the id of an image, got ${printable(imageId)}`);
  }
  if (extra !== undefined) throw new UsageError(`sign takes one image, got ${printable(extra)} as well`);
  const base = parsed.value('base');
  if (base !== undefined && !/^https?:\/\/[^?#]+$/i.test(base)) {
    throw new UsageError(`--base: expected a URL such as https://example.org, got ${printable(base)}`);
  }
  const expires = parsed.value('expires');
  const format = parsed.value('format');
  // A plan that stands alone says its format itself.
  const ext = format === undefined ? '' : EXTENSIONS[formatOfExtension(format) ?? 'jpeg'];
  return {
    imageId,
    plan: segmentOf(parsed),
    ext,
    ...(base !== undefined && { base }),
    ...(expires !== undefined && { expiresInSeconds: readExpiry(expires) }),
  };
}

function segmentOf(parsed: ParsedArgs): string {
  const flags = parsed.options.flatMap(({ name, value }): [string, string][] =>
    PLAN_NAMES.has(name) ? [[name, value === true ? '' : value]] : [],
  );
  const urlOnly = (name: string, key: string) => {
    const value = parsed.value(name);
    return value === undefined ? [] : [`${key}_${value}`];
  };
  const tokens = [
    ...urlOnly('preset', 'preset'),
    ...planTokens(flags),
    ...urlOnly('dpr', 'dpr'),
    ...urlOnly('image-version', 'v'),
  ];
  return tokens.length === 0 ? '-' : tokens.join(',');
}

function planTokens(flags: readonly [string, string][]): string[] {
  const whole = flags.find(([name]) => name === 'plan')?.[1].trim();
  if (whole !== undefined && !whole.startsWith('{') && flags.length === 1) return [whole];
  // Reads all of them, so that what is wrong is named as it was written.
  const checked = flags.map(([name, text]): [string, string] =>
    name === 'width' && text.startsWith('auto') ? [name, SOME_WIDTH] : [name, text],
  );
  const plan = asUsage(() => planFromFlags(checked));
  if (whole !== undefined) return [planToSegment(plan)];
  return flags.filter(([name]) => name !== 'format').map(([name, text]) => tokenOf(name, text));
}

/** As `planToSegment` prints it. */
function tokenOf(name: string, text: string): string {
  const named = KEY_BY_NAME.get(name)!;
  const key = KEY_BY_NAME.get(named.belongsTo?.(text) ?? name)!;
  if (text === '' || text.startsWith('auto') || key.kind === onOff)
    return `${key.short}${text && `_${text}`}`;
  const printed = key.kind.print(key.kind.read(text, 'plain'), 'segment');
  return `${key.short}_${printed.replaceAll(',', '_')}`;
}

function asUsage<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid_plan') throw error;
    const wrong = error.errors?.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    throw new UsageError((wrong ?? [error.message]).map(printable).join('\n'));
  }
}
