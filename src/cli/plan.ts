/** `tintype plan explain`: what a plan will do, before it is done. */
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import type { NormalOperation, NormalPlan } from '../contract/plan.ts';
import {
  type ExplainSource,
  explainPlan,
  type PixelSize,
  type PlanExplanation,
} from '../contract/plan-explain.ts';
import type { Limits } from '../engine/limits.ts';
import { Pool } from '../engine/pool/pool.ts';
import { layout } from '../engine/steps/index.ts';
import type { Facts } from '../engine/types.ts';
import { didYouMean, type OptionSpec, parseCommandLine, UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { failureOf } from './failure.ts';
import { limitsOf } from './limits.ts';
import { PICTURE_OPTIONS, parseSize, readPictureOptions, SUGAR_OPTIONS } from './plan-options.ts';
import { printable, wrap } from './text.ts';

export const EXPLAIN_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'source-size',
    value: 'WxH',
    help: 'the size of the picture that the plan is for, e.g. 4000x3000, where no file is named',
  },
  { name: 'json', help: 'the same as JSON' },
  { name: 'help', alias: 'h', help: 'this text' },
];

export interface ExplainRequest {
  read: ReturnType<typeof readPictureOptions>;
  file?: string;
  sourceSize?: PixelSize;
  json: boolean;
}

/** @throws UsageError, HelpRequested, Problem `invalid_configuration` */
export async function plan(args: string[], context: CommandContext): Promise<number> {
  const { stdout, stderr } = context;
  const { read, file, sourceSize, json } = readExplainRequest(args);
  const limits = limitsOf(context.env);
  let source: ExplainSource | undefined;
  try {
    const known = file === undefined ? sourceSize : await factsOf(file, limits, context.signal);
    source = known && sourceOf(known, read.plan);
  } catch (error) {
    if (context.signal.aborted) throw error;
    const what = file === undefined ? 'failed' : `failed ${printable(file)}`;
    stderr.write(`${what}: ${printable(failureOf(error).reason)}\n`);
    return EXIT.someFailed;
  }
  const explanation = explainPlan(read, source);
  stdout.write(
    json ? `${JSON.stringify(asJson(explanation), null, 2)}\n` : asText(explanation, stdout.columns),
  );
  return EXIT.ok;
}

/** @throws UsageError, HelpRequested */
export function readExplainRequest(args: string[]): ExplainRequest {
  const options = [...EXPLAIN_OPTIONS, ...SUGAR_OPTIONS, ...PICTURE_OPTIONS];
  const parsed = parseCommandLine(args, options);
  const [verb, file, ...more] = parsed.positionals;
  if (verb !== 'explain') {
    throw new UsageError(
      verb === undefined
        ? 'plan needs to know what to do: tintype plan explain'
        : `plan can explain; got ${printable(verb)}${didYouMean(verb, ['explain'])}`,
    );
  }
  if (more.length > 0) throw new UsageError(`one file at most, got ${printable([file, ...more].join(' '))}`);
  const text = parsed.value('source-size');
  const { width, height } = (text === undefined ? undefined : parseSize(text)) ?? {};
  if (text !== undefined && !(width && height)) {
    throw new UsageError(`--source-size: expected a size such as 4000x3000, got ${printable(text)}`);
  }
  if (text !== undefined && file !== undefined) {
    throw new UsageError('the file has a size of its own: name a file, or give --source-size');
  }
  return {
    read: readPictureOptions(parsed, undefined),
    ...(file !== undefined && { file }),
    ...(width && height && { sourceSize: { width, height } }),
    json: parsed.has('json'),
  };
}

async function factsOf(file: string, limits: Limits, signal: AbortSignal): Promise<Facts> {
  const pool = new Pool({ size: 1, workDir: tmpdir() });
  try {
    return (await pool.info(resolve(file), limits, { signal })).facts;
  } finally {
    await pool.close({ graceMs: 0 });
  }
}

/**
 * @param known only the size, or what the file's headers say
 * @throws Problem `invalid_plan` where the plan cannot apply to a picture of this size
 */
function sourceOf(known: PixelSize | Facts, { preview, operations }: NormalPlan): ExplainSource {
  const { width, height, ...facts } = known;
  const [first] = operations;
  // The pages of a TIFF have sizes of their own, and so has a preview.
  const isAnother = 'format' in facts && facts.format === 'tiff' && first?.op === 'frame' && first.page !== 0;
  let at: PixelSize | undefined = preview || isAnother ? undefined : { width, height };
  const sizes = operations.map((op) => {
    at = at && sizeAfter(op, at);
    return at;
  });
  return { ...facts, width, height, sizes };
}

function sizeAfter(op: NormalOperation, size: PixelSize): PixelSize | undefined {
  return op.op === 'trim' ? undefined : layout([op], size, 1).size;
}

function asJson({ spellings, operations, output, withoutEffect, warnings }: PlanExplanation): object {
  const { widthMm, heightMm, ...rest } = output;
  return {
    plan: spellings.json,
    segment: spellings.segment,
    flags: spellings.flags,
    operations,
    output: { ...rest, ...(widthMm !== undefined && { width_mm: widthMm, height_mm: heightMm }) },
    without_effect: withoutEffect,
    warnings,
  };
}

const MAX_COLUMNS = 100;

function asText(explanation: PlanExplanation, terminalColumns: number | undefined): string {
  const columns = Math.max(40, Math.min(terminalColumns ?? 80, MAX_COLUMNS));
  const { spellings, operations, output, withoutEffect, warnings } = explanation;
  const lines = ['What is done'];
  const item = (mark: string, text: string) => {
    const indent = ' '.repeat(mark.length + 3);
    lines.push(
      ...wrap(printable(text), columns - indent.length).map(
        (line, i) => (i === 0 ? `  ${mark} ` : indent) + line,
      ),
    );
  };
  for (const [i, { sentence, size }] of operations.entries()) item(`${i + 1}.`, sentence + sizeWords(size));
  const { widthMm, heightMm } = output;
  const inPrint = widthMm === undefined ? '' : `, ${widthMm} × ${heightMm} mm in print`;
  item(`${operations.length + 1}.`, `${output.sentence}${sizeWords(output.size)}${inPrint}`);
  const list = (title: string, texts: string[]) => {
    if (texts.length === 0) return;
    lines.push('', title);
    for (const text of texts) item('-', text);
  };
  list('Without effect', withoutEffect);
  list('Worth knowing', warnings);
  // To be copied: not broken.
  lines.push('', 'The same plan');
  lines.push(`  in a URL       ${spellings.segment}`);
  lines.push(`  as options     ${spellings.flags.map(shellWord).join(' ')}`);
  lines.push(`  as JSON        ${JSON.stringify(spellings.json)}`);
  return `${lines.join('\n')}\n`;
}

function sizeWords(size: PixelSize | null | undefined): string {
  if (size === undefined) return '';
  return size === null ? ' → the size depends on the pixels' : ` → ${size.width}×${size.height} px`;
}

/** As a POSIX shell takes it for one word. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
