/** `tintype info`: what files are and what they say about themselves. */
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import type { ImageInfo } from '../contract/info.ts';
import { Pool } from '../engine/pool/pool.ts';
import type { Facts } from '../engine/types.ts';
import { type OptionSpec, parseCommandLine, UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { readJobs } from './convert-options.ts';
import { type Failure, failureOf } from './failure.ts';
import { findInputs } from './inputs.ts';
import { limitsOf } from './limits.ts';
import { columnsOf, count, formatBytes, padColumns, printable, wrap } from './text.ts';

export const INFO_OPTIONS: readonly OptionSpec[] = [
  { name: 'json', help: 'one line of JSON for each file' },
  { name: 'recursive', alias: 'r', help: 'descend into the folders in a folder' },
  {
    name: 'jobs',
    alias: 'j',
    value: 'n',
    help: 'files read at the same time; one for each CPU core by default',
  },
  { name: 'help', alias: 'h', help: 'this text' },
];

type Answer = { path: string } & ({ facts: Facts; info: ImageInfo } | { failure: Failure });

/** @throws UsageError, HelpRequested, Problem `invalid_configuration` */
export async function info(args: string[], context: CommandContext): Promise<number> {
  const parsed = parseCommandLine(args, INFO_OPTIONS);
  const { stdout, stderr, signal, env } = context;
  if (parsed.positionals.length === 0) {
    throw new UsageError('nothing to tell about: name files, folders or patterns');
  }
  const jobs = readJobs(parsed.value('jobs'));
  const limits = limitsOf(env);
  const { sources, unusable, foldersLeft } = await findInputs(parsed.positionals, {
    recursive: parsed.has('recursive'),
    signal,
  });
  const json = parsed.has('json');
  let failed = 0;
  let shown = 0;
  const show = (answer: Answer): void => {
    if ('failure' in answer) {
      failed += 1;
      stderr.write(`failed ${printable(answer.path)}: ${printable(answer.failure.reason)}\n`);
    }
    if (json) stdout.write(`${JSON.stringify(asJson(answer))}\n`);
    else if ('facts' in answer) {
      stdout.write(`${shown++ > 0 ? '\n' : ''}${block(answer, stdout.columns || 80)}`);
    }
  };
  for (const { path, reason } of unusable) show({ path, failure: { code: 'unusable_input', reason } });

  const size = Math.min(jobs, sources.length);
  const pool = new Pool({ size: Math.max(1, size), workDir: tmpdir() });
  try {
    const ask = async (path: string): Promise<Answer> => {
      try {
        return { path, ...(await pool.info(resolve(path), limits, { signal })) };
      } catch (error) {
        return { path, failure: failureOf(error) };
      }
    };
    // Shown in the order of the inputs, whichever is known first; never many more asked for than are shown.
    const asked: Promise<Answer>[] = [];
    for (const [i, { path }] of sources.entries()) {
      asked.push(ask(path));
      if (i < size) continue;
      const answer = await asked.shift()!;
      if (signal.aborted) break;
      show(answer);
    }
    for (const answer of asked) {
      const known = await answer;
      if (!signal.aborted) show(known);
    }
  } finally {
    await pool.close({ graceMs: 0 });
  }
  if (sources.length === 0 && unusable.length === 0) stderr.write('no images found\n');
  if (foldersLeft > 0) stderr.write(`note: ${count(foldersLeft, 'folder')} not entered; see --recursive\n`);
  return failed > 0 ? EXIT.someFailed : EXIT.ok;
}

function asJson(answer: Answer): object {
  const { path: file } = answer;
  if ('failure' in answer) {
    return { file, problem: { code: answer.failure.code, detail: answer.failure.reason } };
  }
  const { bitDepth, colorSpace, iccProfile, cicp, ...facts } = answer.facts;
  return {
    file,
    facts: {
      ...facts,
      bit_depth: bitDepth,
      color_model: colorSpace,
      icc_profile: iccProfile ?? null,
      ...(cicp && {
        cicp: {
          primaries: cicp.primaries,
          transfer: cicp.transfer,
          matrix: cicp.matrix,
          full_range: cicp.fullRange,
        },
      }),
    },
    info: answer.info,
  };
}

/** The file's name, and under it a row for all that is known. */
function block(
  { path, facts, info }: { path: string; facts: Facts; info: ImageInfo },
  columns: number,
): string {
  const rows = [...factRows(facts), ...infoRows(facts, info)].filter(
    (row): row is [string, string] => row[1] !== '',
  );
  const labelColumns = Math.max(...rows.map(([label]) => columnsOf(label))) + 2;
  const lines = rows.flatMap(([label, value]) =>
    wrap(printable(value), Math.max(20, columns - labelColumns - 2)).map(
      (line, i) => `  ${padColumns(i === 0 ? label : '', labelColumns)}${line}`,
    ),
  );
  return `${[printable(path), ...lines].join('\n')}\n`;
}

/** A value that is empty is not shown. */
type Row = [label: string, value: string];

function factRows(facts: Facts): Row[] {
  const { width, height, pages, animated } = facts;
  const megapixels = (width * height) / 1e6;
  const bytes = `${facts.bytes.toLocaleString('en')} ${facts.bytes === 1 ? 'byte' : 'bytes'}`;
  const depth = `${facts.bitDepth} bits a channel`;
  return [
    ['Format', `${facts.format.toUpperCase()} (${facts.mime})`],
    ['Size', `${width} × ${height} px${megapixels < 0.05 ? '' : `, ${megapixels.toFixed(1)} megapixels`}`],
    ['File', facts.bytes < 1000 ? bytes : `${formatBytes(facts.bytes)} (${bytes})`],
    ['Pages', pages > 1 ? `${pages} ${animated ? 'frames' : 'pages'}` : '1'],
    ['Transparency', facts.alpha ? 'yes' : 'no'],
    ['Colour', `${COLOR_MODELS[facts.colorSpace]}, ${depth}`],
    ['Profile', facts.iccProfile ?? 'none embedded'],
  ];
}

const COLOR_MODELS: Record<Facts['colorSpace'], string> = {
  rgb: 'RGB',
  gray: 'grey',
  cmyk: 'CMYK',
  lab: 'Lab',
  palette: 'palette',
  cfa: 'camera sensor',
};

function infoRows(facts: Facts, info: ImageInfo): Row[] {
  const { gps } = info;
  const make = info.camera_make ?? '';
  const model = info.camera_model ?? '';
  // Most makers write their name into the model as well.
  const camera = model.toLowerCase().startsWith(make.toLowerCase()) ? model : `${make} ${model}`.trim();
  const exposure = [
    info.shutter_speed && `${info.shutter_speed} s`,
    info.aperture && `f/${info.aperture}`,
    info.iso && `ISO ${info.iso}`,
    info.focal_length && `${info.focal_length} mm`,
  ].filter(Boolean);
  const stored = info.orientation ?? facts.orientation;
  return [
    ['Colour space', info.color_space ?? ''],
    ['Orientation', stored === 1 ? '' : `${stored} as stored; the size above is upright`],
    ['Camera', camera],
    ['Lens', info.lens ?? ''],
    ['Taken', info.date_taken?.replace('T', ' ') ?? ''],
    ['Exposure', exposure.join('  ')],
    ['Title', info.title ?? ''],
    ['Description', info.description ?? ''],
    ['Keywords', info.keywords?.join(', ') ?? ''],
    ['Artist', info.artist ?? ''],
    ['Copyright', info.copyright ?? ''],
    ['Software', info.software ?? ''],
    ['GPS', gps ? `${position(gps)} (personal data: --strip leaves it out)` : ''],
  ];
}

function position({ latitude, longitude, altitude }: NonNullable<ImageInfo['gps']>): string {
  const height = altitude === undefined ? '' : `, ${Math.round(altitude)} m`;
  return `${latitude.toFixed(6)}, ${longitude.toFixed(6)}${height}`;
}
